//! Projections x Wᵀ + b on a CPU in f32, f64 and bf16.
//!
//! With g = ∂L/∂y the gradients are g·W for x, gᵀ·x for W and the sum of g's rows for b. candle's own product computes
//! and keeps those of both factors; here what isn't trainable costs nothing: a frozen weight saves a third of the work
//! and a copy of the model. Up to [`FEW`] rows go to [`gemv`](super::gemv). In bf16 sums are in f32 and each result is
//! rounded once.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Shape as Dims, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::{
    Ops, composed,
    gemv::{FEW, Matrix, Weight, few_rows},
    product::{Element, elements, on_cpu, product, sum_rows},
};
use crate::{
    Result,
    matmul::{Shape, matmul},
};

impl Ops {
    /// x Wᵀ + b, x `[.., in]`, W `[out, in]`.
    ///
    /// # Errors
    /// Where the shapes don't go together.
    pub fn linear(self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        if !self.has_product(x, &[Some(w), b]) {
            return composed::linear(x, w, b);
        }
        let (x, w) = (x.contiguous()?, w.contiguous()?);
        Ok(match b {
            None => x.apply_op2(&w, Linear)?,
            Some(b) => x.apply_op3(&w, &b.contiguous()?, Linear)?,
        })
    }

    /// Several projections of one x: at decoding, one sweep over all their weights.
    ///
    /// # Errors
    /// As [`linear`](Self::linear).
    pub fn linears<const N: usize>(self, x: &Tensor, all: [(&Tensor, Option<&Tensor>); N]) -> Result<[Tensor; N]> {
        let parts: Vec<Option<&Tensor>> = all.iter().flat_map(|&(w, b)| [Some(w), b]).collect();
        let tracked = x.track_op() || parts.iter().flatten().any(|part| part.track_op());
        let rows = x.elem_count() / x.dims().last().copied().unwrap_or(1).max(1);
        if !tracked && (1..=FEW).contains(&rows) && self.has_product(x, &parts) {
            match x.dtype() {
                DType::F32 => return together::<f32, N>(x, all),
                DType::BF16 => return together::<bf16, N>(x, all),
                _ => {}
            }
        }
        let mut results = all.map(|_| None);
        for (result, (w, b)) in results.iter_mut().zip(all) {
            *result = Some(self.linear(x, w, b)?);
        }
        // Every place was just filled.
        Ok(results.map(|result| result.unwrap_or_else(|| x.clone())))
    }

    /// Whether x and these weights and biases, one after the other, are such as this file computes with.
    pub(super) fn has_product(self, x: &Tensor, parts: &[Option<&Tensor>]) -> bool {
        let width = x.dims().last().copied().unwrap_or(0);
        let mut out = None;
        self == Self::Fused
            && x.device().is_cpu()
            && width > 0
            && matches!(x.dtype(), DType::F32 | DType::F64 | DType::BF16)
            && parts.iter().flatten().all(|part| {
                let fits = match *part.dims() {
                    [rows, cols] => {
                        out = Some(rows);
                        rows > 0 && cols == width
                    }
                    [n] => out == Some(n),
                    _ => false,
                };
                fits && part.dtype() == x.dtype() && part.device().is_cpu()
            })
    }
}

/// The dimensions of x with the last one replaced.
pub(super) fn with_last(dims: &[usize], last: usize) -> Dims {
    let mut dims = dims.to_vec();
    if let Some(width) = dims.last_mut() {
        *width = last;
    }
    Dims::from(dims)
}

/// Several projections of a few rows.
fn together<W: Weight + candle_core::WithDType, const N: usize>(
    x: &Tensor,
    all: [(&Tensor, Option<&Tensor>); N],
) -> Result<[Tensor; N]> {
    let wide = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let width = x.dims().last().copied().unwrap_or(1);
    let parts: Vec<Tensor> = all
        .iter()
        .flat_map(|&(w, b)| [Some(w), b])
        .flatten()
        .map(Tensor::contiguous)
        .collect::<candle_core::Result<_>>()?;
    let guards: Vec<_> = parts.iter().map(Tensor::storage_and_layout).collect();
    let mut slices = guards.iter().map(|(storage, layout)| on_cpu::<W>(storage, layout));
    let mut matrices = Vec::with_capacity(N);
    for (_, b) in all {
        if let Some(w) = slices.next().transpose()? {
            let b = if b.is_some() { slices.next().transpose()? } else { None };
            matrices.push(Matrix { w, b });
        }
    }
    let mut results = few_rows(&wide, width, &matrices).into_iter();
    let mut tensors = all.map(|_| x.clone());
    for (tensor, (w, _)) in tensors.iter_mut().zip(all) {
        let values = results.next().unwrap_or_default();
        *tensor = Tensor::from_vec(values, with_last(x.dims(), w.dim(0)?), x.device())?;
    }
    Ok(tensors)
}

/// x Wᵀ + b.
pub(in crate::lm) struct Linear;

impl Linear {
    pub(in crate::lm) fn run(
        (x, lx): (&CpuStorage, &Layout),
        (w, lw): (&CpuStorage, &Layout),
        b: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        let (out, width) = lw.shape().dims2()?;
        let values = match x {
            CpuStorage::F32(_) => {
                let (x, w) = (elements::<f32>(x, lx)?, elements(w, lw)?);
                let b = b.map(|(b, layout)| elements(b, layout)).transpose()?;
                CpuStorage::F32(apply(x, w, b, width))
            }
            CpuStorage::F64(_) => {
                let (x, w) = (elements::<f64>(x, lx)?, elements(w, lw)?);
                let b = b.map(|(b, layout)| elements(b, layout)).transpose()?;
                let (rows, out) = (x.len() / width, w.len() / width);
                CpuStorage::F64(product((x, Shape::row_major(rows, width)), (w, Shape::row_major(out, width).t()), b))
            }
            CpuStorage::BF16(_) => {
                let (x, w) = (elements::<bf16>(x, lx)?, elements(w, lw)?);
                let b = b.map(|(b, layout)| elements(b, layout)).transpose()?;
                CpuStorage::BF16(apply_half(x, w, b, width))
            }
            _ => candle_core::bail!("no product of this dtype"),
        };
        Ok((values, with_last(lx.dims(), out)))
    }

    /// Gradients of those of x, W and b that are tracked, from that of the result.
    pub(in crate::lm) fn gradients(
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let wanted = [x.track_op(), w.track_op(), b.is_some_and(Tensor::track_op)];
        match grad.dtype() {
            DType::F32 => gradients_in::<f32>(x, w, grad, wanted),
            DType::F64 => gradients_in::<f64>(x, w, grad, wanted),
            dtype => {
                let wide = |x: &Tensor| x.to_dtype(DType::F32);
                let all = gradients_in::<f32>(&wide(x)?, &wide(w)?, &wide(grad)?, wanted)?;
                let [x, w, b] = all.map(|x| x.map(|x| x.to_dtype(dtype)).transpose());
                Ok([x?, w?, b?])
            }
        }
    }
}

/// In f32.
fn apply(x: &[f32], w: &[f32], b: Option<&[f32]>, width: usize) -> Vec<f32> {
    let (rows, out) = (x.len() / width, w.len() / width);
    if (1..=FEW).contains(&rows) {
        return few_rows(x, width, &[Matrix { w, b }]).pop().unwrap_or_default();
    }
    product((x, Shape::row_major(rows, width)), (w, Shape::row_major(out, width).t()), b)
}

/// In bf16: weights are widened part by part, sums are f32.
fn apply_half(x: &[bf16], w: &[bf16], b: Option<&[bf16]>, width: usize) -> Vec<bf16> {
    const PART: usize = 128;
    let x: Vec<f32> = x.iter().map(|x| x.widen()).collect();
    let (rows, out) = (x.len() / width, w.len() / width);
    if (1..=FEW).contains(&rows) {
        return few_rows(&x, width, &[Matrix { w, b }]).pop().unwrap_or_default();
    }
    let parts: Vec<Vec<bf16>> = w
        .par_chunks(PART * width)
        .enumerate()
        .map(|(i, w)| {
            let n = w.len() / width;
            let wide: Vec<f32> = w.iter().map(|w| w.widen()).collect();
            let mut y = match b {
                Some(b) => b[i * PART..][..n].iter().map(|b| b.widen()).collect::<Vec<_>>().repeat(rows),
                None => vec![0.0; rows * n],
            };
            let (x, w) = ((&*x, Shape::row_major(rows, width)), (&*wide, Shape::row_major(n, width).t()));
            matmul((&mut y, Shape::row_major(rows, n)), true, x, w);
            y.into_iter().map(bf16::from_f32).collect()
        })
        .collect();
    let mut y = Vec::with_capacity(rows * out);
    for row in 0..rows {
        for part in &parts {
            let n = part.len() / rows;
            y.extend_from_slice(&part[row * n..][..n]);
        }
    }
    y
}

fn gradients_in<T: Element>(
    x: &Tensor,
    w: &Tensor,
    grad: &Tensor,
    wanted: [bool; 3],
) -> candle_core::Result<[Option<Tensor>; 3]> {
    let (out, width) = w.dims2()?;
    let grad = grad.contiguous()?;
    let ((xs, lx), (ws, lw), (gs, lg)) = (x.storage_and_layout(), w.storage_and_layout(), grad.storage_and_layout());
    let (xs, ws, gs) = (on_cpu::<T>(&xs, lx)?, on_cpu::<T>(&ws, lw)?, on_cpu::<T>(&gs, lg)?);
    let rows = gs.len() / out;
    let g = (gs, Shape::row_major(rows, out));
    let tensor = |values: Vec<T>, dims: &[usize]| Tensor::from_vec(values, dims, x.device());
    let [to_x, to_w, to_b] = wanted;
    let dx = to_x.then(|| tensor(product(g, (ws, Shape::row_major(out, width)), None), x.dims()));
    let dw = to_w.then(|| tensor(product((gs, g.1.t()), (xs, Shape::row_major(rows, width)), None), &[out, width]));
    let db = to_b.then(|| tensor(sum_rows(gs, out), &[out]));
    Ok([dx.transpose()?, dw.transpose()?, db.transpose()?])
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Self::run((x, lx), (w, lw), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, w, _] = Self::gradients(x, w, None, grad)?;
        Ok((x, w))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Self::run((x, lx), (w, lw), Some((b, lb)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, w, b] = Self::gradients(x, w, Some(b), grad)?;
        Ok((x, w, b))
    }
}
