//! Rows to experts and back.

use candle_core::Tensor;

use super::Ops;
use crate::Result;

impl Ops {
    /// Rows `index` of x `[N, d]`, `[n, d]`; a row may be asked for more than once.
    ///
    /// # Errors
    /// Where a row isn't there.
    pub fn gather_rows(self, x: &Tensor, index: &[u32]) -> Result<Tensor> {
        Ok(x.index_select(&Tensor::new(index, x.device())?, 0)?)
    }

    /// Row t is Σ weights[i] · y[i] over the rows i with `tokens[i] = t`: y `[M, d]`, weights `[M]`, result `[N, d]`.
    ///
    /// A weighted row is rounded to y's dtype before it is added, in the order of the rows.
    ///
    /// # Errors
    /// Where a token is not below `n`, or the lengths differ.
    pub fn combine_rows(self, y: &Tensor, weights: &Tensor, tokens: &[u32], n: usize) -> Result<Tensor> {
        let rows = y.to_dtype(weights.dtype())?.broadcast_mul(&weights.unsqueeze(1)?)?.to_dtype(y.dtype())?;
        let zeros = Tensor::zeros((n, y.dim(1)?), y.dtype(), y.device())?;
        Ok(zeros.index_add(&Tensor::new(tokens, y.device())?, &rows, 0)?)
    }
}
