//! Where the values come from: a slice, or anything that can compute a block of them again and again.

use std::ops::Range;

use super::sweep::Pairs;

/// Values by block; blocks may be asked for repeatedly and from several threads.
pub(crate) trait Source: Sync {
    /// Number of values, below 2³².
    fn len(&self) -> usize;
    /// The values at some places, for the sample.
    fn values(&self, at: &[u64], out: &mut [f32]);
    /// Calls `visit(base, values)` for the values of `range`, block after block in order; stops when it returns false.
    fn blocks(&self, range: Range<usize>, visit: &mut dyn FnMut(usize, &[f32]) -> bool);
    /// A quicker way to all values of `range` whose key reaches `floor`: appends them to `pairs`, calls `go_on` with how
    /// many were new, and ends when that says false. Returns whether there is such a way; if not, nothing has happened.
    fn gather(&self, range: Range<usize>, floor: u32, pairs: &mut Pairs, go_on: &mut dyn FnMut(usize) -> bool) -> bool {
        let _ = (range, floor, pairs, go_on);
        false
    }
}

/// Elements of a block: three blocks and the candidates fit the first cache.
pub(crate) const BLOCK: usize = 1 << 12;

impl Source for &[f32] {
    fn len(&self) -> usize {
        <[f32]>::len(self)
    }

    fn values(&self, at: &[u64], out: &mut [f32]) {
        for (&at, out) in at.iter().zip(out) {
            *out = self[at as usize];
        }
    }

    fn blocks(&self, range: Range<usize>, visit: &mut dyn FnMut(usize, &[f32]) -> bool) {
        for (block, values) in self[range.clone()].chunks(BLOCK).enumerate() {
            if !visit(range.start + block * BLOCK, values) {
                return;
            }
        }
    }
}
