//! Projections.

use candle_core::Tensor;

use super::{Ops, composed};
use crate::Result;

impl Ops {
    /// x Wᵀ + b, x `[.., in]`, W `[out, in]`.
    ///
    /// # Errors
    /// Where the shapes don't go together.
    pub fn linear(self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        composed::linear(x, w, b)
    }

    /// x Wᵀ + b + scale · (x Aᵀ) Bᵀ with A `[r, in]` and B `[out, r]`: a projection and its low-rank change.
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
        let change = self.linear(&self.linear(x, lora_a, None)?, lora_b, None)?;
        Ok((self.linear(x, w, b)? + (change * scale)?)?)
    }
}
