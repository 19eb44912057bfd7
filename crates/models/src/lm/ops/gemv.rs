//! A few rows times a matrix: every weight is read once, for all rows.
//!
//! Decoding multiplies one row a sequence with every matrix of the model, so that its time is that of reading the
//! weights. bf16 weights are widened in registers: half the bytes, and sums still in f32. An output is one dot product,
//! whoever computes it, so that nothing depends on the number of threads.

use half::bf16;
use rayon::prelude::*;

use super::simd::{fused, vectorised};

/// Most rows for which this is faster than a product of matrices.
pub(super) const FEW: usize = 8;
/// Bytes of weights in one task.
const TASK: usize = 1 << 16;
/// Sums of one dot product, added up in a tree at its end.
const LANES: usize = 32;

/// What a weight is stored as.
pub(super) trait Weight: Copy + Send + Sync + 'static {
    /// Exact value.
    fn widen(self) -> f32;
    /// Nearest value.
    fn narrow(x: f32) -> Self;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }
}

impl Weight for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        bf16::from_f32(x)
    }
}

/// One of the matrices that share x: W `[out, in]` and b `[out]`.
pub(super) struct Matrix<'a, W> {
    pub w: &'a [W],
    pub b: Option<&'a [W]>,
}

/// x Wᵀ + b of every matrix, x `[n, width]`, each result `[n, out]`.
pub(super) fn few_rows<W: Weight>(x: &[f32], width: usize, matrices: &[Matrix<W>]) -> Vec<Vec<W>> {
    let n = x.len() / width;
    // [out, n]: what a task computes stands together.
    let mut columns: Vec<Vec<f32>> = matrices.iter().map(|m| vec![0.0; m.w.len() / width * n]).collect();
    let rows = (TASK / (width * size_of::<W>())).max(1);
    let mut tasks: Vec<(&[W], &mut [f32])> = matrices
        .iter()
        .zip(&mut columns)
        .flat_map(|(m, columns)| m.w.chunks(rows * width).zip(columns.chunks_mut(rows * n)))
        .collect();
    let run = |(w, out): &mut (&[W], &mut [f32])| dots(x, width, w, out);
    if tasks.len() < 3 {
        tasks.iter_mut().for_each(run);
    } else {
        tasks.par_iter_mut().for_each(run);
    }
    matrices.iter().zip(&columns).map(|(m, columns)| finish(columns, n, m.b)).collect()
}

/// `[out, n]` to `[n, out]`, with the bias.
fn finish<W: Weight>(columns: &[f32], n: usize, b: Option<&[W]>) -> Vec<W> {
    let out = columns.len() / n;
    let bias = |o: usize| b.map_or(0.0, |b| b[o].widen());
    (0..n)
        .flat_map(|row| (0..out).map(move |o| (row, o)))
        .map(|(row, o)| W::narrow(columns[o * n + row] + bias(o)))
        .collect()
}

/// Dot products of every row of w with every row of x, both of `width`: `[rows of w, rows of x]`.
pub(super) fn dots<W: Weight>(x: &[f32], width: usize, w: &[W], out: &mut [f32]) {
    vectorised!(dots_at::<W: Weight>(x: &[f32], width: usize, w: &[W], out: &mut [f32]));
}

#[inline(always)]
fn dots_at<W: Weight, const FMA: bool>(x: &[f32], width: usize, w: &[W], out: &mut [f32]) {
    let n = x.len() / width;
    for (w, out) in w.chunks_exact(width).zip(out.chunks_exact_mut(n)) {
        // Four rows at a time, for whose sums there are registers.
        for (x, out) in x.chunks(4 * width).zip(out.chunks_mut(4)) {
            match *out {
                [ref mut a] => *a = dot::<W, 1, FMA>(x, w)[0],
                [ref mut a, ref mut b] => [*a, *b] = dot::<W, 2, FMA>(x, w),
                [ref mut a, ref mut b, ref mut c] => [*a, *b, *c] = dot::<W, 3, FMA>(x, w),
                [ref mut a, ref mut b, ref mut c, ref mut d] => [*a, *b, *c, *d] = dot::<W, 4, FMA>(x, w),
                _ => {}
            }
        }
    }
}

#[inline(always)]
fn dot<W: Weight, const R: usize, const FMA: bool>(x: &[f32], w: &[W]) -> [f32; R] {
    let mut sums = [[0.0; LANES]; R];
    let mut rows = [x; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = &x[r * w.len()..][..w.len()];
    }
    let whole = w.len() - w.len() % LANES;
    let mut at = 0;
    while at < whole {
        let chunk = &w[at..at + LANES];
        let mut wide = [0.0; LANES];
        for (wide, w) in wide.iter_mut().zip(chunk) {
            *wide = w.widen();
        }
        for (sums, row) in sums.iter_mut().zip(&rows) {
            for ((sum, wide), x) in sums.iter_mut().zip(&wide).zip(&row[at..at + LANES]) {
                *sum = fused::<FMA>(*wide, *x, *sum);
            }
        }
        at += LANES;
    }
    let mut result = [0.0; R];
    for ((result, sums), row) in result.iter_mut().zip(&mut sums).zip(&rows) {
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = sums.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                *low += *high;
            }
            half /= 2;
        }
        let rest = row[whole..].iter().zip(&w[whole..]);
        *result = rest.fold(sums[0], |sum, (x, w)| fused::<FMA>(*x, w.widen(), sum));
    }
    result
}

/// out += Σ_j p[j] · v[j], v rows of `out.len()` values.
pub(super) fn mix<W: Weight>(p: &[f32], v: &[W], out: &mut [f32]) {
    vectorised!(mix_at::<W: Weight>(p: &[f32], v: &[W], out: &mut [f32]));
}

#[inline(always)]
fn mix_at<W: Weight, const FMA: bool>(p: &[f32], v: &[W], out: &mut [f32]) {
    let width = out.len();
    let mut from = 0;
    while from < width {
        // A part of the result stays in registers while all rows pass.
        let part = LANES.min(width - from);
        if part == LANES {
            let mut sums = [0.0; LANES];
            for (&p, v) in p.iter().zip(v.chunks_exact(width)) {
                for (sum, v) in sums.iter_mut().zip(&v[from..from + LANES]) {
                    *sum = fused::<FMA>(p, v.widen(), *sum);
                }
            }
            for (out, sum) in out[from..from + LANES].iter_mut().zip(&sums) {
                *out += *sum;
            }
        } else {
            for (&p, v) in p.iter().zip(v.chunks_exact(width)) {
                for (out, v) in out[from..].iter_mut().zip(&v[from..]) {
                    *out = fused::<FMA>(p, v.widen(), *out);
                }
            }
        }
        from += part;
    }
}
