//! A frozen projection with a low-rank change that is trained, as one operation.
//!
//! y = W x + b + s·B A x. With g = ∂L/∂y: ∂x = g W + s (g B) A, ∂A = s (g B)ᵀ x, ∂B = s gᵀ (x Aᵀ). x Aᵀ is computed
//! again rather than kept.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape as Dims, Tensor};

use super::{
    Ops,
    linear::with_last,
    product::{Element, elements, on_cpu, product, product_into},
};
use crate::{
    Result,
    matmul::{Real, Shape},
};

impl Ops {
    /// x Wᵀ + b + scale · (x Aᵀ) Bᵀ with A `[r, in]` and B `[out, r]`: a projection and its low-rank change.
    ///
    /// One operation where W and b are frozen, with gradients for those of x, A and B that are tracked.
    ///
    /// # Errors
    /// Where the shapes don't go together.
    pub fn lora_linear(
        self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        lora_a: &Tensor,
        lora_b: &Tensor,
        scale: f64,
    ) -> Result<Tensor> {
        let frozen = !w.track_op() && b.is_none_or(|b| !b.track_op());
        let real = matches!(x.dtype(), DType::F32 | DType::F64);
        // Without a graph a few rows are read once by the two projections.
        let tracked = x.track_op() || lora_a.track_op() || lora_b.track_op();
        let fits = lora_a
            .dims2()
            .is_ok_and(|(r, n)| lora_b.dims2().is_ok_and(|(out, rank)| rank == r && w.dims() == [out, n]));
        if frozen
            && tracked
            && real
            && fits
            && self.has_product(x, &[Some(w), b, Some(lora_a)])
            && lora_b.dtype() == x.dtype()
        {
            let b = b.map(Tensor::contiguous).transpose()?;
            let op = LoraLinear { w: w.contiguous()?, b, scale };
            return Ok(x.contiguous()?.apply_op3(&lora_a.contiguous()?, &lora_b.contiguous()?, op)?);
        }
        let change = self.linear(&self.linear(x, lora_a, None)?, lora_b, None)?;
        Ok((self.linear(x, w, b)? + (change * scale)?)?)
    }
}

/// x Wᵀ + b + scale · (x Aᵀ) Bᵀ with W and b frozen.
struct LoraLinear {
    w: Tensor,
    b: Option<Tensor>,
    scale: f64,
}

impl LoraLinear {
    /// h = scale · x Aᵀ, by which the change is h Bᵀ.
    fn inner<T: Element>(&self, x: (&[T], Shape), a: (&[T], Shape)) -> Vec<T> {
        let mut h = product(x, (a.0, a.1.t()), None);
        let scale = <T as Real>::from_f64(self.scale);
        for h in &mut h {
            *h *= scale;
        }
        h
    }

    fn run<T: Element>(
        &self,
        (x, lx): (&CpuStorage, &Layout),
        (a, la): (&CpuStorage, &Layout),
        (b, lb): (&CpuStorage, &Layout),
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        let (r, width) = la.shape().dims2()?;
        let x = elements::<T>(x, lx)?;
        let (rows, out) = (x.len() / width, lb.dims()[0]);
        let bias = self.b.as_ref().map(Tensor::storage_and_layout);
        let bias = bias.as_ref().map(|(bias, layout)| on_cpu::<T>(bias, layout)).transpose()?;
        let (w, lw) = self.w.storage_and_layout();
        let weight = (on_cpu(&w, lw)?, Shape::row_major(out, width).t());
        let mut y = product((x, Shape::row_major(rows, width)), weight, bias);
        let h = self.inner((x, Shape::row_major(rows, width)), (elements(a, la)?, Shape::row_major(r, width)));
        let b = (elements(b, lb)?, Shape::row_major(out, r).t());
        product_into(&mut y, true, (&h, Shape::row_major(rows, r)), b);
        Ok((T::to_cpu_storage_owned(y), with_last(lx.dims(), out)))
    }

    fn gradients<T: Element>(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let ((r, width), out) = (a.dims2()?, b.dim(0)?);
        let grad = grad.contiguous()?;
        let ((xs, lx), (gs, lg)) = (x.storage_and_layout(), grad.storage_and_layout());
        let ((a_s, la), (bs, lb), (ws, lw)) =
            (a.storage_and_layout(), b.storage_and_layout(), self.w.storage_and_layout());
        let (xs, gs) = (on_cpu::<T>(&xs, lx)?, on_cpu::<T>(&gs, lg)?);
        let (a_s, bs, ws) = (on_cpu::<T>(&a_s, la)?, on_cpu::<T>(&bs, lb)?, on_cpu::<T>(&ws, lw)?);
        let rows = gs.len() / out;
        let (to_x, to_a, to_b) = (x.track_op(), a.track_op(), b.track_op());
        let (g, xs) = ((gs, Shape::row_major(rows, out)), (xs, Shape::row_major(rows, width)));
        let a_s = (a_s, Shape::row_major(r, width));
        // ∂L/∂(x Aᵀ) = scale · g B.
        let inner = if to_x || to_a {
            let mut inner = product(g, (bs, Shape::row_major(out, r)), None);
            let scale = <T as Real>::from_f64(self.scale);
            for x in &mut inner {
                *x *= scale;
            }
            inner
        } else {
            Vec::new()
        };
        let inner_shape = Shape::row_major(rows, r);
        let tensor = |values: Vec<T>, dims: &[usize]| Tensor::from_vec(values, dims, x.device());
        let dx = to_x.then(|| {
            let mut dx = product(g, (ws, Shape::row_major(out, width)), None);
            product_into(&mut dx, true, (&inner, inner_shape), a_s);
            tensor(dx, x.dims())
        });
        let da = to_a.then(|| tensor(product((&inner, inner_shape.t()), xs, None), &[r, width]));
        let db = to_b.then(|| {
            let h = self.inner(xs, a_s);
            tensor(product((gs, g.1.t()), (&h, inner_shape), None), &[out, r])
        });
        Ok([dx.transpose()?, da.transpose()?, db.transpose()?])
    }
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora_linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        match x {
            CpuStorage::F64(_) => self.run::<f64>((x, lx), (a, la), (b, lb)),
            _ => self.run::<f32>((x, lx), (a, la), (b, lb)),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, a, b] = match grad.dtype() {
            DType::F64 => self.gradients::<f64>(x, a, b, grad)?,
            _ => self.gradients::<f32>(x, a, b, grad)?,
        };
        Ok((x, a, b))
    }
}
