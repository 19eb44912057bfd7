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
    let column = |i: u32| &x[i as usize % inputs * positions..][..positions];
    let (mut idx, mut out) = (idx, out);
    while let Some(&first) = idx.first() {
        let row = first as usize / inputs;
        let a = &dy[row * positions..][..positions];
        // Four of a row at a time: its values are loaded once, and four sums hide each other's latency.
        if let (Some(&four), Some(sums)) = (idx.first_chunk::<4>(), out.first_chunk_mut::<4>())
            && four[3] as usize / inputs == row
        {
            *sums = several(a, four.map(column));
            (idx, out) = (&idx[4..], &mut out[4..]);
        } else {
            [out[0]] = several(a, [column(first)]);
            (idx, out) = (&idx[1..], &mut out[1..]);
        }
    }
}

/// Inner products of one row with several.
#[inline(always)]
fn several<const N: usize>(a: &[f32], b: [&[f32]; N]) -> [f32; N] {
    let mut sums = [[0.0_f32; LANES]; N];
    let (whole, rest) = a.as_chunks::<LANES>();
    let b = b.map(|b| b.as_chunks::<LANES>());
    for (t, a) in whole.iter().enumerate() {
        for n in 0..N {
            let b = &b[n].0[t];
            for l in 0..LANES {
                sums[n][l] += a[l] * b[l];
            }
        }
    }
    std::array::from_fn(|n| {
        let sums = &mut sums[n];
        for (sum, (a, b)) in sums.iter_mut().zip(rest.iter().zip(b[n].1)) {
            *sum += a * b;
        }
        for step in [16, 8, 4, 2, 1] {
            for l in 0..step {
                sums[l] += sums[l + step];
            }
        }
        sums[0]
    })
}
