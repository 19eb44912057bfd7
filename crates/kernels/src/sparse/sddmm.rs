//! Sampled dense-dense product: single entries of `dyᵀ·x`.

use rayon::prelude::*;

use super::Support;
use super::support::same;
use crate::Result;
use crate::simd::{self, vectorised};

const LANES: usize = 32;
/// Fewest and most entries that a thread takes at once: enough rows to use a block of columns often.
const PART: [usize; 2] = [1 << 10, 1 << 14];
/// Side of a square that is transposed at once.
const SIDE: usize = 32;

/// The kept entries of the weight gradient `dW = dyᵀ·x: [outputs, inputs]`, without making it: entry `r·inputs + c` is
/// `Σ_t dy[t, r]·x[t, c]`, where `dy: [positions, outputs]` and `x: [positions, inputs]`.
///
/// Products are added in 32 interleaved lanes (`t`, `t + 32`, …), which then fold by halves, in f32. Both matrices are
/// transposed first (`4·positions·(outputs + inputs)` bytes); the work is `2·positions·nnz` operations, against
/// `2·positions·outputs·inputs` for the whole gradient. As products are not fused with sums, and rows are read for few
/// entries each, an entry costs about four times what it costs in a matmul: above a quarter of the entries, make the dense
/// gradient and [gather](Support::gather).
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
    let part = at.nnz().div_ceil(4 * rayon::current_num_threads()).clamp(PART[0], PART[1]);
    out.par_chunks_mut(part).zip(at.idx().par_chunks(part)).for_each(|(out, idx)| {
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

/// `[columns, rows]` of `[rows, columns]`, a band of columns a thread. Squares are copied first: their rows may lie a power
/// of two apart, where the cache holds few of them.
fn transposed(x: &[f32], columns: usize, rows: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(SIDE * rows).enumerate().for_each(|(band, out)| {
        let (first, width) = (band * SIDE, out.len() / rows);
        let mut square = [[0.0_f32; SIDE]; SIDE];
        for from in (0..rows).step_by(SIDE) {
            let height = SIDE.min(rows - from);
            for (r, to) in square[..height].iter_mut().enumerate() {
                to[..width].copy_from_slice(&x[(from + r) * columns + first..][..width]);
            }
            for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                for (out, row) in out[from..][..height].iter_mut().zip(&square) {
                    *out = row[c];
                }
            }
        }
    });
    out
}

/// Floats of `x` that are worked through at once, so that they stay in a core's second cache.
const BLOCK: usize = 1 << 16;

/// Every entry of the rows that `idx` touches, a block of columns at a time.
#[inline(always)]
fn dots(dy: &[f32], x: &[f32], positions: usize, inputs: usize, idx: &[u32], out: &mut [f32]) {
    let mut spans = Vec::new(); // of each row: its number, and the entries that are left
    let mut from = 0;
    while let Some(&first) = idx.get(from) {
        let row = first as usize / inputs;
        let to = from + idx[from..].partition_point(|&i| i as usize / inputs == row);
        spans.push((row, from, to));
        from = to;
    }
    // So many columns that four entries of a row are among them.
    let columns = (BLOCK / positions).max(4 * inputs * spans.len() / idx.len());
    for end in (0..inputs).step_by(columns).map(|first| first + columns) {
        for (row, from, to) in &mut spans {
            let limit = *row * inputs + end;
            let count = idx[*from..*to].partition_point(|&i| (i as usize) < limit);
            let a = &dy[*row * positions..][..positions];
            row_dots(a, x, *row * inputs, &idx[*from..][..count], &mut out[*from..][..count]);
            *from += count;
        }
    }
}

/// Entries of one row, whose first has number `start`. Four at a time: the row's values are loaded once, and four sums
/// hide each other's latency.
#[inline(always)]
fn row_dots(a: &[f32], x: &[f32], start: usize, idx: &[u32], out: &mut [f32]) {
    let column = |i: u32| &x[(i as usize - start) * a.len()..][..a.len()];
    let (fours, rest) = idx.as_chunks::<4>();
    let (out_fours, out_rest) = out.as_chunks_mut::<4>();
    for (&four, out) in fours.iter().zip(out_fours) {
        *out = several(a, four.map(column));
    }
    for (&i, out) in rest.iter().zip(out_rest) {
        [*out] = several(a, [column(i)]);
    }
}

/// Inner products of one row with several. Plain loops over arrays, which the compiler keeps in registers.
#[inline(always)]
fn several<const N: usize>(a: &[f32], b: [&[f32]; N]) -> [f32; N] {
    let mut sums = [[0.0_f32; LANES]; N];
    let (whole, rest) = a.as_chunks::<LANES>();
    for (t, a) in whole.iter().enumerate() {
        for n in 0..N {
            let b = &b[n][t * LANES..][..LANES];
            for l in 0..LANES {
                sums[n][l] += a[l] * b[l];
            }
        }
    }
    fold(&mut sums, rest, b.map(|b| &b[whole.len() * LANES..]))
}

/// The last products, and the lanes' sum. Not inlined: the compiler would shape the loop above after the additions here.
#[inline(never)]
fn fold<const N: usize>(sums: &mut [[f32; LANES]; N], a: &[f32], b: [&[f32]; N]) -> [f32; N] {
    let mut out = [0.0; N];
    for ((out, sums), b) in out.iter_mut().zip(sums).zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
        for step in [16, 8, 4, 2, 1] {
            for l in 0..step {
                sums[l] += sums[l + step];
            }
        }
        *out = sums[0];
    }
    out
}
