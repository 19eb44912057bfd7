//! The experts' rows back to their tokens.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape as Dims, Tensor};
use rayon::prelude::*;

use super::{
    Ops,
    product::{Element, elements, on_cpu},
};
use crate::{Error, Result};

impl Ops {
    /// Row t is `Σ weights[i] · y[i]` over the rows i with `tokens[i] = t`: y `[M, d]`, weights `[M]`, result `[n, d]`.
    ///
    /// Rows are added in their order. In half precision a weighted row is rounded to y's dtype before it is added.
    ///
    /// # Errors
    /// Where a token is not below `n`, or the lengths differ.
    pub fn combine_rows(self, y: &Tensor, weights: &Tensor, tokens: &[u32], n: usize) -> Result<Tensor> {
        let (rows, d) = y.dims2()?;
        for (what, found) in [("the weights", weights.elem_count()), ("the tokens", tokens.len())] {
            if found != rows {
                return Err(Error::Length { what, expected: rows, found });
            }
        }
        let real = matches!(y.dtype(), DType::F32 | DType::F64) && weights.dtype() == y.dtype();
        if self == Self::Fused && y.device().is_cpu() && real && tokens.iter().all(|&t| (t as usize) < n) {
            let op = Combine { of: by_token(tokens, n), tokens: tokens.to_vec() };
            return Ok(y.contiguous()?.apply_op2(&weights.contiguous()?, op)?);
        }
        let rows = y.to_dtype(weights.dtype())?.broadcast_mul(&weights.reshape((rows, 1))?)?.to_dtype(y.dtype())?;
        let zeros = Tensor::zeros((n, d), y.dtype(), y.device())?;
        Ok(zeros.index_add(&Tensor::new(tokens, y.device())?, &rows, 0)?)
    }
}

/// Rows of every token, in order.
fn by_token(tokens: &[u32], n: usize) -> Vec<Vec<u32>> {
    let mut of = vec![Vec::new(); n];
    for (row, &token) in tokens.iter().enumerate() {
        of[token as usize].push(row as u32);
    }
    of
}

/// A weighted sum of rows for each token.
struct Combine {
    /// Rows of each token.
    of: Vec<Vec<u32>>,
    /// Token of each row.
    tokens: Vec<u32>,
}

impl Combine {
    fn run<T: Element>(
        &self,
        (y, ly): (&CpuStorage, &Layout),
        (w, lw): (&CpuStorage, &Layout),
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        let (y, w, d) = (elements::<T>(y, ly)?, elements::<T>(w, lw)?, ly.dims()[1]);
        let mut out = vec![T::default(); self.of.len() * d];
        out.par_chunks_mut(d.max(1)).zip(&self.of).with_min_len(64).for_each(|(out, rows)| {
            for &row in rows {
                let (y, w) = (&y[row as usize * d..][..d], w[row as usize]);
                out.iter_mut().zip(y).for_each(|(out, y)| *out += w * *y);
            }
        });
        Ok((T::to_cpu_storage_owned(out), Dims::from((self.of.len(), d))))
    }

    fn gradients<T: Element>(
        &self,
        y: &Tensor,
        w: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, d) = y.dims2()?;
        let grad = grad.contiguous()?;
        let ((ys, ly), (ws, lw), (gs, lg)) =
            (y.storage_and_layout(), w.storage_and_layout(), grad.storage_and_layout());
        let (ys, ws, gs) = (on_cpu::<T>(&ys, ly)?, on_cpu::<T>(&ws, lw)?, on_cpu::<T>(&gs, lg)?);
        let of = |token: u32| &gs[token as usize * d..][..d];
        let dy = y.track_op().then(|| {
            let mut dy = vec![T::default(); rows * d];
            dy.par_chunks_mut(d.max(1)).zip(&self.tokens).zip(ws).with_min_len(64).for_each(|((dy, &token), w)| {
                dy.iter_mut().zip(of(token)).for_each(|(dy, g)| *dy = *w * *g);
            });
            Tensor::from_vec(dy, (rows, d), y.device())
        });
        let dot = |(y, &token): (&[T], &u32)| y.iter().zip(of(token)).map(|(y, g)| *y * *g).sum::<T>();
        let dw = w.track_op().then(|| {
            let dw: Vec<T> = ys.par_chunks(d.max(1)).zip(&self.tokens).with_min_len(64).map(dot).collect();
            Tensor::from_vec(dw, w.dims(), y.device())
        });
        Ok((dy.transpose()?, dw.transpose()?))
    }
}

impl CustomOp2 for Combine {
    fn name(&self) -> &'static str {
        "combine_rows"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        ly: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        match y {
            CpuStorage::F64(_) => self.run::<f64>((y, ly), (w, lw)),
            _ => self.run::<f32>((y, ly), (w, lw)),
        }
    }

    fn bwd(
        &self,
        y: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        match grad.dtype() {
            DType::F64 => self.gradients::<f64>(y, w, grad),
            _ => self.gradients::<f32>(y, w, grad),
        }
    }
}
