//! The operations of the forward pass, each with a backward.
//!
//! candle-nn's own fused norms, softmax and rotary embedding cut the graph without a word, so none of them is used here.
//! [`composed`] writes every operation in candle's differentiable ones, for every device and dtype; it is also what the
//! tests hold the fused ones against.

mod cached;
mod composed;
pub(super) mod embedding;
mod experts;
mod gemv;
pub(super) mod linear;
mod lora_linear;
pub(super) mod product;
mod simd;

use candle_core::Tensor;

pub(super) use self::composed::{linear, softmax};
use super::{config::Act, family::RmsWeight};
use crate::Result;

/// Which implementation of the operations runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ops {
    /// One operation of our own each, where there is one for device and dtype; the composed one elsewhere.
    #[default]
    Fused,
    /// candle's operations, always.
    Composed,
}

impl Ops {
    /// x / sqrt(mean(x²) + eps) over the last dimension, times w.
    pub fn rms_norm(self, x: &Tensor, w: &Tensor, eps: f64, weight: RmsWeight) -> Result<Tensor> {
        composed::rms_norm(x, w, eps, weight)
    }

    /// (x − mean) / sqrt(var + eps) over the last dimension, then weight and bias.
    pub fn layer_norm(self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Result<Tensor> {
        composed::layer_norm(x, affine, eps)
    }

    /// Rotates the halves of the last dimension of x [B, H, T, hd] by angles whose cos and sin are [B or 1, 1, T, hd].
    pub fn rope(self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        composed::rope(x, cos, sin)
    }

    /// Softmax of scores [B, H, T, S] over keys, with `mask` [B or 1, 1, T, S] added: 0, or −∞ where a key is unseen.
    pub fn masked_softmax(self, scores: &Tensor, mask: &Tensor) -> Result<Tensor> {
        softmax(&scores.broadcast_add(mask)?)
    }

    /// c · tanh(x / c).
    pub fn softcap(self, x: &Tensor, cap: f64) -> Result<Tensor> {
        composed::softcap(x, cap)
    }

    /// The activation.
    pub fn activate(self, x: &Tensor, act: Act) -> Result<Tensor> {
        composed::activate(x, act)
    }

    /// act(gate) ⊙ up.
    pub fn gated(self, gate: &Tensor, up: &Tensor, act: Act) -> Result<Tensor> {
        Ok((composed::activate(gate, act)? * up)?)
    }
}
