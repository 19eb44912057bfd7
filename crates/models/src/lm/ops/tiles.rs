//! Dot products of a few rows with every row of a matrix, in AVX-512 registers.
//!
//! A row of weights meets up to eight rows of x at once, with the [`LANES`] sums of each in two registers, so that it is
//! read once for all of them. The compiler leaves such sums in memory when they are written as loops over arrays, at a
//! fifth of the rate. While one row is multiplied, the next is fetched: without that, reading and multiplying take turns.
//! A single row of x needs no such help. Several rows of weights at a time would save loads of x, but are read at half
//! the rate of one after the other (measured on an EPYC of family 25).

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use super::gemv::{LANES, Weight, sum};

/// Values of a register.
const REGISTER: usize = 16;
/// Registers of one row of x.
const HALVES: usize = LANES / REGISTER;
/// Bytes of a line of a cache.
const LINE: usize = 64;

/// `[rows of w, rows of x]` of w and x, rows of `width`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn dots<W: Weight>(x: &[f32], width: usize, w: &[W], out: &mut [f32]) {
    let n = x.len() / width;
    for (w, out) in w.chunks_exact(width).zip(out.chunks_exact_mut(n)) {
        let mut ahead = n > 1;
        for (x, out) in x.chunks(8 * width).zip(out.chunks_mut(8)) {
            match out.len() {
                1 => tile::<W, 1>(x, w, out, ahead),
                2 => tile::<W, 2>(x, w, out, ahead),
                3 => tile::<W, 3>(x, w, out, ahead),
                4 => tile::<W, 4>(x, w, out, ahead),
                5 => tile::<W, 5>(x, w, out, ahead),
                6 => tile::<W, 6>(x, w, out, ahead),
                7 => tile::<W, 7>(x, w, out, ahead),
                _ => tile::<W, 8>(x, w, out, ahead),
            }
            ahead = false;
        }
    }
}

/// One row of weights with R rows of x.
#[inline(always)]
fn tile<W: Weight, const R: usize>(x: &[f32], w: &[W], out: &mut [f32], ahead: bool) {
    let width = w.len();
    assert!(x.len() >= R * width && out.len() >= R, "a tile's slices");
    let whole = width - width % LANES;
    // SAFETY: rows r < R of x lie inside their slice, as just asserted, and at + LANES ≤ width. The instructions are
    // there: every caller is compiled into `dots`. Fetching ahead touches no memory in the language's sense, wherever
    // the address points.
    let sums = unsafe {
        let mut sums = [[_mm512_setzero_ps(); HALVES]; R];
        let mut at = 0;
        while at < whole {
            if ahead {
                let next = w.as_ptr().wrapping_add(width + at).cast::<i8>();
                _mm_prefetch::<_MM_HINT_T0>(next);
                if size_of::<W>() * LANES > LINE {
                    _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(LINE));
                }
            }
            for half in 0..HALVES {
                let at = at + half * REGISTER;
                let wide = W::load(w.as_ptr().add(at));
                for r in 0..R {
                    let x = _mm512_loadu_ps(x.as_ptr().add(r * width + at));
                    sums[r][half] = _mm512_fmadd_ps(wide, x, sums[r][half]);
                }
            }
            at += LANES;
        }
        sums
    };
    for ((x, sums), out) in x.chunks_exact(width).zip(&sums).zip(out) {
        let rest = x[whole..].iter().zip(&w[whole..]);
        *out = rest.fold(fold(sums), |sum, (x, w)| x.mul_add(w.widen(), sum));
    }
}

/// The sum of all lanes, in [`sum`]'s order.
#[inline(always)]
fn fold(halves: &[__m512; HALVES]) -> f32 {
    let mut lanes = [0.0; REGISTER];
    // SAFETY: the array has a register's values; the instructions are there, as in `tile`.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), _mm512_add_ps(halves[0], halves[1])) };
    sum(&mut lanes)
}
