//! The exact threshold by histograms of the key's bits, 11 + 10 + 10: works for any input in three reads.

use super::{INFINITY, key};

/// Where a selection cuts: everything above `key`, and the first `ties` elements equal to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub key: u32,
    pub ties: u64,
    pub nans: u64,
}

/// The cut that keeps exactly `k` of `x`; 1 ≤ k ≤ x.len().
pub(super) fn cut(x: &[f32], k: u64, as_zero: bool) -> Cut {
    let nans = x.iter().map(|x| u64::from(x.to_bits() & 0x7fff_ffff > INFINITY)).sum();
    let mut prefix = 0_u32; // bits of the threshold that are known
    let mut known = 0_u32; // mask of those bits
    let mut left = k; // elements to be kept among those that share the prefix
    for (shift, bits) in [(20, 11), (10, 10), (0, 10)] {
        let mut bins = [0_u64; 2048];
        for &value in x {
            let key = key(value, as_zero);
            if key & known == prefix {
                bins[(key >> shift) as usize & ((1 << bits) - 1)] += 1;
            }
        }
        let mut bin = (1 << bits) - 1;
        while bins[bin] < left {
            left -= bins[bin];
            bin -= 1;
        }
        prefix |= (bin as u32) << shift;
        known |= ((1 << bits) - 1) << shift;
    }
    Cut { key: prefix, ties: left, nans }
}
