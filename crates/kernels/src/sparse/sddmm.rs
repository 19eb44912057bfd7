//! Sampled dense-dense product: single entries of `dyᵀ·x`.

use rayon::prelude::*;

use super::Support;
use super::support::same;
use crate::Result;
use crate::simd::{self, vectorised};

const LANES: usize = 32;
/// Entries that a thread takes at once.
const PART: usize = 1 << 10;
/// Side of a square that is transposed at once.
const SIDE: usize = 32;

/// The kept entries of the weight gradient `dW = dyᵀ·x: [outputs, inputs]`, without making it: entry `r·inputs + c` is
/// `Σ_t dy[t, r]·x[t, c]`, where `dy: [positions, outputs]` and `x: [positions, inputs]`.
///
/// Products are added in 32 interleaved lanes (`t`, `t + 32`, …), which then fold by halves, in f32. Both matrices are
/// transposed first (`4·positions·(outputs + inputs)` bytes); the work is `2·positions·nnz` operations, against
/// `2·positions·outputs·inputs` for the whole gradient.
///
/// # Errors
/// Matrices whose lengths don't fit; a support whose length isn't `outputs·inputs`.
pub fn sddmm(at: &Support, dy: &[f32], x: &[f32], positions: usize, outputs: usize, inputs: usize) -> Result<Vec<f32>> {
    check(at, dy.len(), x.len(), [positions, outputs, inputs])?;
    let mut out = vec![0.0; at.nnz()];
    if positions == 0 || at.nnz() == 0 {
        return Ok(out);
    }
    let (dy, x) = (transposed(dy, outputs, positions), transposed(x, inputs, positions));
    let level = simd::level();
    out.par_chunks_mut(PART).zip(at.idx().par_chunks(PART)).for_each(|(out, idx)| {
        let (dy, x) = (&dy[..], &x[..]);
        vectorised!(level, dots(dy: &[f32], x: &[f32], positions: usize, inputs: usize, idx: &[u32], out: &mut [f32]));
    });
    Ok(out)
}

/// Checks the lengths.
pub(crate) fn check(at: &Support, dy: usize, x: usize, [positions, outputs, inputs]: [usize; 3]) -> Result<()> {
    let times = |a: usize, b: usize| (a as u64).saturating_mul(b as u64);
    same("dy", dy as u64, "positions times outputs", times(positions, outputs))?;
    same("x", x as u64, "positions times inputs", times(positions, inputs))?;
    same("the support", at.len(), "outputs times inputs", times(outputs, inputs))
}

/// `[columns, rows]` of `[rows, columns]`, a band of columns a thread.
fn transposed(x: &[f32], columns: usize, rows: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(SIDE * rows).enumerate().for_each(|(band, out)| {
        for from in (0..rows).step_by(SIDE) {
            for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                for (r, out) in out[from..rows.min(from + SIDE)].iter_mut().enumerate() {
                    *out = x[(from + r) * columns + band * SIDE + c];
                }
            }
        }
    });
    out
}

#[inline(always)]
fn dots(dy: &[f32], x: &[f32], positions: usize, inputs: usize, idx: &[u32], out: &mut [f32]) {
    for (out, &i) in out.iter_mut().zip(idx) {
        let (r, c) = (i as usize / inputs, i as usize % inputs);
        let (a, b) = (&dy[r * positions..][..positions], &x[c * positions..][..positions]);
        let mut sums = [0.0_f32; LANES];
        let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), positions - positions % LANES);
        for (a, b) in whole {
            for l in 0..LANES {
                sums[l] += a[l] * b[l];
            }
        }
        for (sum, (a, b)) in sums.iter_mut().zip(a[rest..].iter().zip(&b[rest..])) {
            *sum += a * b;
        }
        for step in [16, 8, 4, 2, 1] {
            for l in 0..step {
                sums[l] += sums[l + step];
            }
        }
        *out = sums[0];
    }
}
