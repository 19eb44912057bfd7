//! Rotary embedding of queries and keys `[B, T, H, hd]`; its backward turns the gradient back.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, backend::BackendStorage};

use super::{
    Ops, composed,
    float::Float,
    simd::vectorised,
    tasks::{TASK, by_dtype, each, elements, part, read},
};
use crate::Result;

impl Ops {
    /// Rotates the halves of the last dimension of x `[B, T, H, hd]` by angles whose cos and sin are `[B or 1, T, 1, hd]`.
    pub fn rope(self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let fits = matches!((x.dims(), cos.dims()), (&[b, t, _, hd], &[c, u, 1, e])
            if (c == b || c == 1) && (t, hd) == (u, e) && hd % 2 == 0);
        if fits && cos.dims() == sin.dims() && self.fuses(&[x, cos, sin]) {
            return Ok(x.contiguous()?.apply_op1(Rope { cos: cos.contiguous()?, sin: sin.contiguous()? })?);
        }
        composed::rope(x, cos, sin)
    }
}

/// The operation; the angles are constants.
struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    fn turn<T: Float>(&self, x: &[T], dims: (usize, usize, usize, usize), back: bool) -> candle_core::Result<Vec<T>> {
        let (_, t, heads, hd) = dims;
        // Rows of angles: those of one batch row serve all, or each has its own.
        let angles = self.cos.dims4()?.0 * t;
        read!(T; cos = self.cos, sin = self.sin);
        let mut out = vec![T::default(); x.len()];
        let many = part(heads * hd, TASK);
        each(x.chunks(many).zip(out.chunks_mut(many)).enumerate(), |(i, (x, out))| {
            let first = i * many / (heads * hd);
            let places = x.chunks_exact(heads * hd).zip(out.chunks_exact_mut(heads * hd)).enumerate();
            for (row, (x, out)) in places {
                let at = (first + row) % angles * hd;
                let (cos, sin) = (&cos[at..at + hd], &sin[at..at + hd]);
                vectorised!(heads_of_one::<T: Float>(x: &[T], out: &mut [T], cos: &[T], sin: &[T], back: bool));
            }
        });
        Ok(out)
    }
}

/// All heads of one place.
#[inline(always)]
fn heads_of_one<T: Float, const FMA: bool>(x: &[T], out: &mut [T], cos: &[T], sin: &[T], back: bool) {
    let (hd, half) = (cos.len(), cos.len() / 2);
    let ((cos1, cos2), (sin1, sin2)) = (cos.split_at(half), sin.split_at(half));
    for (x, out) in x.chunks_exact(hd).zip(out.chunks_exact_mut(hd)) {
        let ((x1, x2), (y1, y2)) = (x.split_at(half), out.split_at_mut(half));
        let first = y1.iter_mut().zip(x1).zip(x2);
        let second = y2.iter_mut().zip(x1).zip(x2);
        if back {
            first.zip(cos1).zip(sin2).for_each(|((((y, &a), &b), &cos), &sin)| *y = a * cos + b * sin);
            second.zip(cos2).zip(sin1).for_each(|((((y, &a), &b), &cos), &sin)| *y = b * cos - a * sin);
        } else {
            first.zip(cos1).zip(sin1).for_each(|((((y, &a), &b), &cos), &sin)| *y = a * cos - b * sin);
            second.zip(cos2).zip(sin2).for_each(|((((y, &a), &b), &cos), &sin)| *y = b * cos + a * sin);
        }
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let dims = layout.shape().dims4()?;
        let out = by_dtype!(x.dtype(), T => T::storage(self.turn::<T>(elements(x, layout)?, dims, false)?));
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        by_dtype!(x.dtype(), T => {
            read!(T; grad = grad);
            Ok(Some(T::tensor(self.turn::<T>(grad, x.dims4()?, true)?, x.shape())?))
        })
    }
}
