//! The exact threshold by histograms of the key's bits, 11 + 10 + 10: works for any input in three reads.

use super::{key, source::Source};

/// The key of the `k`-th largest; 1 ≤ k ≤ the source's length.
pub(super) fn kth_key(source: &impl Source, k: u64, nan_zero: bool) -> u32 {
    let mut prefix = 0_u32; // bits of the threshold that are known
    let mut known = 0_u32; // mask of those bits
    let mut left = k; // elements to be kept among those that share the prefix
    for (shift, bits) in [(20, 11), (10, 10), (0, 10)] {
        let mut bins = [0_u64; 2048];
        source.blocks(0..source.len(), &mut |_, x| {
            for &value in x {
                let key = key(value, nan_zero);
                if key & known == prefix {
                    bins[(key >> shift) as usize & ((1 << bits) - 1)] += 1;
                }
            }
            true
        });
        let mut bin = (1 << bits) - 1;
        while bins[bin] < left {
            left -= bins[bin];
            bin -= 1;
        }
        prefix |= (bin as u32) << shift;
        known |= ((1 << bits) - 1) << shift;
    }
    prefix
}
