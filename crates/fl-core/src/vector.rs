//! Sums over long vectors whose bits do not depend on the number of threads: leaves of 4096 consecutive numbers, eight
//! f64 lanes a leaf, leaves added in index order.

use rayon::prelude::*;

/// Coordinates that one task handles; also the leaf of every float sum.
pub(crate) const LEAF: usize = 4096;

const LANES: usize = 8;

fn leaf_sum(x: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f(f64::from(value));
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f(f64::from(value));
    }
    lanes.iter().sum()
}

/// Σ|x|, on the calling thread. NaN or infinity in x makes it NaN or infinite.
pub(crate) fn l1(x: &[f32]) -> f64 {
    x.chunks(LEAF).map(|leaf| leaf_sum(leaf, f64::abs)).sum()
}

/// Σx², on the calling thread.
pub(crate) fn norm_sq(x: &[f32]) -> f64 {
    x.chunks(LEAF).map(|leaf| leaf_sum(leaf, |v| v * v)).sum()
}

/// ‖x‖₂, over all threads.
pub(crate) fn norm(x: &[f32]) -> f64 {
    let leaves: Vec<f64> = x.par_chunks(LEAF).map(|leaf| leaf_sum(leaf, |v| v * v)).collect();
    leaves.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_threads() {
        let x: Vec<f32> = (0..100_003).map(|i| ((i * 7919) % 1000) as f32 * 1e-3 - 0.3).collect();
        let norms: Vec<u64> = [1, 2, 5]
            .map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| norm(&x)).to_bits())
            .to_vec();
        assert!(norms.iter().all(|&n| n == norms[0] && n == norm_sq(&x).sqrt().to_bits()));
        assert!(l1(&[1.0, f32::NAN]).is_nan() && l1(&[f32::NEG_INFINITY, 1.0]).is_infinite());
    }
}
