//! Aggregators that treat each coordinate on its own.
//!
//! Columns are sorted sixteen at a time by Batcher's odd-even merge network: a comparator is a minimum and a maximum of
//! sixteen-wide rows, without branches. About n·log₂²n/4 comparators a block of columns.

use std::array;

use rayon::prelude::*;

use super::{Aggregator, UpdateMatrix};
use crate::Result;
use crate::vector::LEAF;

/// Columns sorted at once.
const WIDTH: usize = 16;

/// Each coordinate's median (Yin et al., 2018).
#[derive(Debug, Clone, Copy)]
pub struct Median;

impl Aggregator for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, _f: usize) -> Result<Vec<f32>> {
        let n = updates.rows().len();
        Ok(by_columns(updates.rows(), updates.d(), |sorted, out| {
            for (lane, out) in out.iter_mut().enumerate() {
                let (low, high) = (sorted[(n - 1) / 2][lane], sorted[n / 2][lane]);
                *out = f64::midpoint(f64::from(low), f64::from(high)) as f32;
            }
        }))
    }
}

/// Each coordinate's mean without its f smallest and f largest values (Yin et al., 2018). f = 0 is the plain mean.
#[derive(Debug, Clone, Copy)]
pub struct TrimmedMean;

impl Aggregator for TrimmedMean {
    fn name(&self) -> &'static str {
        "trimmed-mean"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>> {
        let n = updates.rows().len();
        updates.need("trimmed-mean", f, f.saturating_mul(2).saturating_add(1))?;
        Ok(by_columns(updates.rows(), updates.d(), |sorted, out| {
            let mut sums = [0.0f64; WIDTH];
            for row in &sorted[f..n - f] {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let kept = (n - 2 * f) as f64;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / kept) as f32);
        }))
    }
}

/// Applies `f` to each block of sorted columns, \[n\]\[WIDTH\], and the coordinates that it yields.
pub(super) fn by_columns(rows: &[&[f32]], d: usize, f: impl Fn(&[[f32; WIDTH]], &mut [f32]) + Sync) -> Vec<f32> {
    let network = odd_even_merge(rows.len());
    let mut result = vec![0.0f32; d];
    result.par_chunks_mut(LEAF).enumerate().for_each(|(leaf, out)| {
        let mut block = vec![[0.0f32; WIDTH]; rows.len()];
        for (i, out) in out.chunks_mut(WIDTH).enumerate() {
            let start = leaf * LEAF + i * WIDTH;
            for (lanes, row) in block.iter_mut().zip(rows) {
                lanes[..out.len()].copy_from_slice(&row[start..start + out.len()]);
            }
            sort_columns(&mut block, &network);
            f(&block, out);
        }
    });
    result
}

/// The comparators (low, high) that sort n values.
fn odd_even_merge(n: usize) -> Vec<(u32, u32)> {
    let mut network = Vec::new();
    let mut p = 1;
    while p < n {
        let mut k = p;
        while k >= 1 {
            let mut j = k % p;
            while j + k < n {
                for i in 0..k.min(n - j - k) {
                    if (i + j) / (2 * p) == (i + j + k) / (2 * p) {
                        network.push(((i + j) as u32, (i + j + k) as u32));
                    }
                }
                j += 2 * k;
            }
            k /= 2;
        }
        p *= 2;
    }
    network
}

fn sort_columns(block: &mut [[f32; WIDTH]], network: &[(u32, u32)]) {
    for &(low, high) in network {
        let (low, high) = (low as usize, high as usize);
        let (x, y) = (block[low], block[high]);
        // Not f32::min and max: those leave open which zero is the smaller.
        block[low] = array::from_fn(|i| if y[i] < x[i] { y[i] } else { x[i] });
        block[high] = array::from_fn(|i| if y[i] < x[i] { x[i] } else { y[i] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_network_sorts(columns in prop::collection::vec(prop::collection::vec(-50i32..50, WIDTH), 1..40)) {
            let mut block: Vec<[f32; WIDTH]> =
                columns.iter().map(|row| array::from_fn(|i| row[i] as f32)).collect();
            sort_columns(&mut block, &odd_even_merge(columns.len()));
            for lane in 0..WIDTH {
                let mut expected: Vec<f32> = columns.iter().map(|row| row[lane] as f32).collect();
                expected.sort_by(f32::total_cmp);
                let found: Vec<f32> = block.iter().map(|row| row[lane]).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
