//! RMS and layer norm over the last dimension.
//!
//! With x̂ the normalised row of d values, r = 1/sqrt(mean square (or variance) + eps) and g = w ⊙ ∂L/∂y:
//! dx = r·(g − x̂·mean(g·x̂)), for the layer norm also − r·mean(g); dw = Σ ∂L/∂y ⊙ x̂ and db = Σ ∂L/∂y over rows.
//! r is computed again in the backward pass: nothing is kept beside x.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Tensor, backend::BackendStorage};

use super::{
    Ops, composed,
    float::{Float, sum, sum2, sum3},
    simd::vectorised,
    tasks::{TASK, by_dtype, each, elements, part, read},
};
use crate::{Result, lm::family::RmsWeight, matmul::Real};

impl Ops {
    /// x / sqrt(mean(x²) + eps) over the last dimension, times w.
    pub fn rms_norm(self, x: &Tensor, w: &Tensor, eps: f64, weight: RmsWeight) -> Result<Tensor> {
        if self.fuses(&[x, w]) && x.dims().last() == Some(&w.elem_count()) {
            // The rules differ only where the weight's product is rounded to half precision.
            let op = RmsNorm { eps, plus_one: weight == RmsWeight::PlusOne };
            return Ok(x.contiguous()?.apply_op2(&w.contiguous()?, op)?);
        }
        composed::rms_norm(x, w, eps, weight)
    }

    /// (x − mean) / sqrt(var + eps) over the last dimension, then weight and bias.
    pub fn layer_norm(self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Result<Tensor> {
        let op = LayerNorm { eps };
        let width = x.dims().last().copied();
        match affine {
            None if self.fuses(&[x]) && width.is_some() => Ok(x.contiguous()?.apply_op1(op)?),
            Some((w, b)) if self.fuses(&[x, w, b]) && [w, b].iter().all(|v| Some(v.elem_count()) == width) => {
                Ok(x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, op)?)
            }
            _ => composed::layer_norm(x, affine, eps),
        }
    }
}

struct RmsNorm {
    eps: f64,
    plus_one: bool,
}

impl RmsNorm {
    /// What the normalised row is multiplied with.
    fn factor<T: Float>(&self, w: &[T]) -> Vec<T> {
        let one = if self.plus_one { T::ONE } else { T::default() };
        w.iter().map(|&w| w + one).collect()
    }

    fn forward<T: Float>(&self, x: &[T], w: &[T]) -> Vec<T> {
        let (w, d, eps) = (self.factor(w), w.len(), self.eps);
        let mut out = vec![T::default(); x.len()];
        let many = part(d, TASK);
        each(x.chunks(many).zip(out.chunks_mut(many)), |(x, out)| {
            let w = w.as_slice();
            vectorised!(rms::<T: Float>(x: &[T], w: &[T], out: &mut [T], eps: f64));
        });
        out
    }

    /// dx and dw.
    fn backward<T: Float>(&self, x: &[T], w: &[T], grad: &[T], weight: bool) -> (Vec<T>, Vec<T>) {
        let (w, d, eps) = (self.factor(w), w.len(), self.eps);
        let mut dx = vec![T::default(); x.len()];
        let many = part(d, TASK);
        let mut sums = vec![T::default(); if weight { x.len().div_ceil(many) * d } else { 0 }];
        let tasks = x.chunks(many).zip(grad.chunks(many)).zip(dx.chunks_mut(many)).zip(shares(&mut sums, d));
        each(tasks, |(((x, grad), dx), dw)| {
            let w = w.as_slice();
            vectorised!(rms_back::<T: Float>(x: &[T], w: &[T], grad: &[T], dx: &mut [T], dw: &mut [T], eps: f64));
        });
        (dx, total(sums, d))
    }
}

/// A row of sums for each task, or empty ones without end where none is wanted.
fn shares<T>(sums: &mut [T], d: usize) -> impl Iterator<Item = &mut [T]> {
    let wanted = !sums.is_empty();
    sums.chunks_mut(d).chain(std::iter::repeat_with(Default::default).take_while(move |_: &&mut [T]| !wanted))
}

/// The tasks' sums in their order.
fn total<T: Float>(mut sums: Vec<T>, d: usize) -> Vec<T> {
    let kept = d.min(sums.len());
    let (first, rest) = sums.split_at_mut(kept);
    for part in rest.chunks_exact(d) {
        first.iter_mut().zip(part).for_each(|(sum, &x)| *sum += x);
    }
    sums.truncate(d);
    sums
}

#[inline(always)]
fn inverse_root<T: Float>(squares: T, d: usize, eps: f64) -> T {
    T::from_f64(1.0 / (squares.to_f64() / d as f64 + eps).sqrt())
}

#[inline(always)]
fn rms<T: Float, const FMA: bool>(x: &[T], w: &[T], out: &mut [T], eps: f64) {
    for (x, out) in x.chunks_exact(w.len()).zip(out.chunks_exact_mut(w.len())) {
        let r = inverse_root(sum(x, |x| x * x), w.len(), eps);
        out.iter_mut().zip(x).zip(w).for_each(|((out, &x), &w)| *out = x * r * w);
    }
}

#[inline(always)]
fn rms_back<T: Float, const FMA: bool>(x: &[T], w: &[T], grad: &[T], dx: &mut [T], dw: &mut [T], eps: f64) {
    let d = w.len();
    for ((x, grad), dx) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
        let r = inverse_root(sum(x, |x| x * x), d, eps);
        let along = sum3(x, w, grad, |x, w, g| x * w * g) * r * r / T::from_f64(d as f64);
        dx.iter_mut().zip(x).zip(w).zip(grad).for_each(|(((dx, &x), &w), &g)| *dx = r * (g * w - x * along));
        dw.iter_mut().zip(x).zip(grad).for_each(|((dw, &x), &g)| *dw += g * x * r);
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = by_dtype!(x.dtype(), T => T::storage(self.forward::<T>(elements(x, lx)?, elements(w, lw)?)));
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let shapes = (x.shape(), w.shape());
            let trainable = w.track_op();
            read!(T; x = x, w = w, grad = grad);
            let (dx, dw) = self.backward::<T>(x, w, grad, trainable);
            Ok((Some(T::tensor(dx, shapes.0)?), trainable.then(|| T::tensor(dw, shapes.1)).transpose()?))
        })
    }
}

struct LayerNorm {
    eps: f64,
}

impl LayerNorm {
    fn forward<T: Float>(&self, x: &[T], w: &[T], b: &[T]) -> Vec<T> {
        let eps = self.eps;
        let mut out = vec![T::default(); x.len()];
        let many = part(w.len(), TASK);
        each(x.chunks(many).zip(out.chunks_mut(many)), |(x, out)| {
            vectorised!(layer::<T: Float>(x: &[T], w: &[T], b: &[T], out: &mut [T], eps: f64));
        });
        out
    }

    /// dx, and dw and db one after the other.
    fn backward<T: Float>(&self, x: &[T], w: &[T], grad: &[T], affine: bool) -> (Vec<T>, Vec<T>) {
        let (d, eps) = (w.len(), self.eps);
        let mut dx = vec![T::default(); x.len()];
        let many = part(d, TASK);
        let mut sums = vec![T::default(); if affine { x.len().div_ceil(many) * 2 * d } else { 0 }];
        let tasks = x.chunks(many).zip(grad.chunks(many)).zip(dx.chunks_mut(many)).zip(shares(&mut sums, 2 * d));
        each(tasks, |(((x, grad), dx), dw)| {
            vectorised!(layer_back::<T: Float>(x: &[T], w: &[T], grad: &[T], dx: &mut [T], dw: &mut [T], eps: f64));
        });
        (dx, total(sums, 2 * d))
    }
}

#[inline(always)]
fn layer<T: Float, const FMA: bool>(x: &[T], w: &[T], b: &[T], out: &mut [T], eps: f64) {
    let d = w.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mean = sum(x, |x| x) / T::from_f64(d as f64);
        let r = inverse_root(sum(x, |x| (x - mean) * (x - mean)), d, eps);
        out.iter_mut().zip(x).zip(w).zip(b).for_each(|(((out, &x), &w), &b)| *out = (x - mean) * r * w + b);
    }
}

#[inline(always)]
fn layer_back<T: Float, const FMA: bool>(x: &[T], w: &[T], grad: &[T], dx: &mut [T], dw: &mut [T], eps: f64) {
    let d = w.len();
    let n = T::from_f64(d as f64);
    let (dw, db) = dw.split_at_mut(dw.len() / 2);
    for ((x, grad), dx) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
        let mean = sum(x, |x| x) / n;
        let r = inverse_root(sum(x, |x| (x - mean) * (x - mean)), d, eps);
        let level = sum2(w, grad, |w, g| w * g) / n;
        let along = sum3(x, w, grad, |x, w, g| (x - mean) * w * g) * r * r / n;
        dx.iter_mut()
            .zip(x)
            .zip(w)
            .zip(grad)
            .for_each(|(((dx, &x), &w), &g)| *dx = r * (g * w - level - (x - mean) * along));
        dw.iter_mut().zip(x).zip(grad).for_each(|((dw, &x), &g)| *dw += g * (x - mean) * r);
        db.iter_mut().zip(grad).for_each(|(db, &g)| *db += g);
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let d = layout.dims().last().copied().unwrap_or(1);
        let out = by_dtype!(x.dtype(), T => {
            T::storage(self.forward::<T>(elements(x, layout)?, &vec![T::ONE; d], &vec![T::default(); d]))
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let shape = x.shape();
        let d = x.dims().last().copied().unwrap_or(1);
        by_dtype!(x.dtype(), T => {
            read!(T; x = x, grad = grad);
            Ok(Some(T::tensor(self.backward::<T>(x, &vec![T::ONE; d], grad, false).0, shape)?))
        })
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = by_dtype!(x.dtype(), T => {
            T::storage(self.forward::<T>(elements(x, lx)?, elements(w, lw)?, elements(b, lb)?))
        });
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (shape, width) = (x.shape(), w.shape());
        let affine = w.track_op() || b.track_op();
        by_dtype!(x.dtype(), T => {
            read!(T; x = x, values = w, grad = grad);
            let (dx, mut dw) = self.backward::<T>(x, values, grad, affine);
            let dx = Some(T::tensor(dx, shape)?);
            if !affine {
                return Ok((dx, None, None));
            }
            let db = dw.split_off(values.len());
            Ok((dx, Some(T::tensor(dw, width)?), Some(T::tensor(db, b.shape())?)))
        })
    }
}
