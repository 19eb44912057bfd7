//! Softmax over the last dimension, with a mask added: dx = p ⊙ (g − Σ g·p).

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, backend::BackendStorage};

use super::{
    Ops, composed,
    float::{Float, largest, sum, sum2},
    simd::vectorised,
    tasks::{EXP_TASK, TASK, by_dtype, each, elements, part, read},
};
use crate::Result;

impl Ops {
    /// Softmax over the last dimension.
    pub fn softmax(self, x: &Tensor) -> Result<Tensor> {
        if self.fuses(&[x]) && x.rank() > 0 {
            return Ok(x.contiguous()?.apply_op1(Softmax { mask: None })?);
        }
        composed::softmax(x)
    }

    /// Softmax of scores `[B, H, T, S]` over keys, with `mask` `[B or 1, 1, T, S]` added: 0, or −∞ where a key is unseen.
    pub fn masked_softmax(self, scores: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let fits = matches!((scores.dims(), mask.dims()), (&[b, _, t, s], &[m, 1, u, r])
            if (m == b || m == 1) && (t, s) == (u, r));
        if fits && self.fuses(&[scores, mask]) {
            return Ok(scores.contiguous()?.apply_op1(Softmax { mask: Some(mask.contiguous()?) })?);
        }
        composed::softmax(&scores.broadcast_add(mask)?)
    }
}

/// The operation; of the mask nothing is differentiated.
struct Softmax {
    mask: Option<Tensor>,
}

/// Rows of the mask.
#[derive(Clone, Copy)]
struct MaskRows<'a, T> {
    values: &'a [T],
    width: usize,
    /// Queries T, and H·T rows of scores to a batch row (0: all share one mask).
    queries: usize,
    rows: usize,
}

impl<'a, T> MaskRows<'a, T> {
    #[inline(always)]
    fn of(self, row: usize) -> &'a [T] {
        if self.width == 0 {
            return &[];
        }
        let batch = row.checked_div(self.rows).unwrap_or(0);
        &self.values[(batch * self.queries + row % self.queries) * self.width..][..self.width]
    }
}

impl Softmax {
    fn forward<T: Float>(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let x = elements::<T>(x, layout)?;
        let mut out = vec![T::default(); x.len()];
        let many = part(width, EXP_TASK);
        let tasks = x.chunks(many).zip(out.chunks_mut(many)).enumerate();
        let run = |mask: MaskRows<T>| {
            each(tasks, |(i, (x, out))| {
                let first = i * many / width;
                vectorised!(rows::<T: Float>(x: &[T], out: &mut [T], width: usize, first: usize, mask: MaskRows<'_, T>));
            });
        };
        match &self.mask {
            None => run(MaskRows { values: &[], width: 0, queries: 1, rows: 0 }),
            Some(mask) => {
                let (batch, _, queries, width) = mask.dims4()?;
                let rows = if batch == 1 { 0 } else { layout.dims()[1] * queries };
                read!(T; values = mask);
                run(MaskRows { values, width, queries, rows });
            }
        }
        Ok((T::storage(out), layout.shape().clone()))
    }
}

fn backward<T: Float>(p: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
    let width = p.dims().last().copied().unwrap_or(1);
    let shape = p.shape();
    read!(T; p = p, grad = grad);
    let mut out = vec![T::default(); p.len()];
    let many = part(width, TASK);
    each(p.chunks(many).zip(grad.chunks(many)).zip(out.chunks_mut(many)), |((p, grad), out)| {
        vectorised!(gradients::<T: Float>(p: &[T], grad: &[T], out: &mut [T], width: usize));
    });
    T::tensor(out, shape)
}

#[inline(always)]
fn rows<T: Float, const FMA: bool>(x: &[T], out: &mut [T], width: usize, first: usize, mask: MaskRows<T>) {
    for (i, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        out.copy_from_slice(x);
        out.iter_mut().zip(mask.of(first + i)).for_each(|(x, &mask)| *x += mask);
        softmax_row::<T, FMA>(out);
    }
}

/// Softmax of a row in place; zeros where all is −∞.
#[inline(always)]
pub(super) fn softmax_row<T: Float, const FMA: bool>(row: &mut [T]) {
    let max = largest(row);
    let max = if max.to_f64() == f64::NEG_INFINITY { T::default() } else { max };
    for x in row.iter_mut() {
        *x = (*x - max).fast_exp::<FMA>();
    }
    let total = sum(row, |x| x);
    // NaN is no zero and stays.
    let scale = if total == T::default() { total } else { T::ONE / total };
    for x in row {
        *x *= scale;
    }
}

#[inline(always)]
fn gradients<T: Float, const FMA: bool>(p: &[T], grad: &[T], out: &mut [T], width: usize) {
    let rows = p.chunks_exact(width).zip(grad.chunks_exact(width));
    for ((p, grad), out) in rows.zip(out.chunks_exact_mut(width)) {
        let mean = sum2(p, grad, |p, g| p * g);
        out.iter_mut().zip(p).zip(grad).for_each(|((out, &p), &g)| *out = p * (g - mean));
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "masked_softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => self.forward::<T>(x, layout))
    }

    fn bwd(&self, _: &Tensor, p: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        by_dtype!(p.dtype(), T => backward::<T>(p, grad)).map(Some)
    }
}
