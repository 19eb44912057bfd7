//! A few rows times a matrix: every weight is read once, for all rows.
//!
//! Decoding multiplies one row a sequence with every matrix of the model, so that its time is that of reading the
//! weights. bf16 weights are widened in registers: half the bytes, and sums still in f32. An output is one dot product,
//! whoever computes it, so that nothing depends on the number of threads.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, _mm256_loadu_si256, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_loadu_ps, _mm512_slli_epi32,
};

use half::bf16;
use rayon::prelude::*;

use super::simd::{fused, vectorised};
#[cfg(target_arch = "x86_64")]
use super::{simd::Level, tiles};

/// Most rows for which this is faster than a product of matrices.
pub(super) const FEW: usize = 8;
/// Bytes of weights in one task.
const TASK: usize = 1 << 16;
/// Sums of one dot product, added up in a tree at its end.
pub(super) const LANES: usize = 32;

/// What a weight is stored as.
pub(super) trait Weight: Copy + Send + Sync + 'static {
    /// Exact value.
    fn widen(self) -> f32;
    /// Nearest value.
    fn narrow(x: f32) -> Self;
    /// 16 exact values.
    ///
    /// # Safety
    /// 16 weights can be read there, and the machine has AVX-512 F and BW.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(at: *const Self) -> __m512;
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
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(at: *const Self) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(at) }
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
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(at: *const Self) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast())))) }
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
    #[cfg(target_arch = "x86_64")]
    if super::simd::level() == Level::Avx512 {
        // SAFETY: `level` has found these instructions on this machine.
        return unsafe { tiles::dots(x, width, w, out) };
    }
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
        let rest = row[whole..].iter().zip(&w[whole..]);
        *result = rest.fold(sum(sums), |sum, (x, w)| fused::<FMA>(*x, w.widen(), sum));
    }
    result
}

/// The sum of a power of two of lanes: the upper half onto the lower one, again and again.
#[inline(always)]
pub(super) fn sum(lanes: &mut [f32]) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        half /= 2;
    }
    lanes[0]
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

#[cfg(test)]
mod tests {
    use ashlar_kernels::simd::{Level, with_level};

    use super::*;

    /// Every level with a fused multiply-add gives the same bits; the scalar one is within rounding.
    #[test]
    fn dots_at_every_level() {
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 504.5 - 1.0;
        for (width, outs, n) in
            [(1, 1, 1), (31, 3, 2), (32, 4, 3), (33, 5, 4), (64, 9, 5), (100, 7, 8), (257, 6, 11), (768, 2, 1)]
        {
            let x: Vec<f32> = (0..n * width).map(value).collect();
            let w: Vec<f32> = (0..outs * width).map(|i| value(i + 7919)).collect();
            let half: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
            let run = |level| {
                let (mut a, mut b) = (vec![0.0; outs * n], vec![0.0; outs * n]);
                with_level(level, || (dots(&x, width, &w, &mut a), dots(&x, width, &half, &mut b)));
                (a, b)
            };
            let results: Vec<_> = Level::available().map(|level| (level, run(level))).collect();
            for (o, r) in (0..outs).flat_map(|o| (0..n).map(move |r| (o, r))) {
                let exact = |w: &[f64]| -> f64 { (0..width).map(|i| f64::from(x[r * width + i]) * w[i]).sum() };
                let row: Vec<f64> = w[o * width..][..width].iter().map(|&w| f64::from(w)).collect();
                let half_row: Vec<f64> = half[o * width..][..width].iter().map(|&w| f64::from(w)).collect();
                for (level, (a, b)) in &results {
                    let at = o * n + r;
                    assert!((f64::from(a[at]) - exact(&row)).abs() < 1e-5 * width as f64, "{level:?} {width} {o} {r}");
                    assert!(
                        (f64::from(b[at]) - exact(&half_row)).abs() < 1e-5 * width as f64,
                        "{level:?} {width} {o} {r}"
                    );
                    if *level != Level::Scalar {
                        let (_, (c, d)) = &results[results.len() - 1];
                        assert_eq!((a[at].to_bits(), b[at].to_bits()), (c[at].to_bits(), d[at].to_bits()));
                    }
                }
            }
        }
    }
}
