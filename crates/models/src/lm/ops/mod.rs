//! The operations of the forward pass, each with a backward.
//!
//! candle-nn's own fused norms, softmax and rotary embedding cut the graph without a word, so none of them is used here.
//! [`composed`] writes every operation in candle's differentiable ones, for every device and dtype; it is also what the
//! tests hold the fused ones against.
//!
//! The fused ones run on a CPU in f32 and f64. Each reads what its backward needs from its arguments and computes the rest
//! again, so that the graph holds no intermediate tensors; each gives the same bits for any number of threads.

mod attention;
mod cached;
mod composed;
mod cross_entropy;
pub(super) mod embedding;
mod experts;
mod float;
mod gemv;
pub(super) mod linear;
mod lora_linear;
mod norm;
mod pointwise;
pub(super) mod product;
mod rope;
mod simd;
mod softmax;
mod tasks;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub(super) use self::composed::{linear, mix, scores, softmax};
pub use self::cross_entropy::Reduction;

/// Which implementation of the operations runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ops {
    /// One operation of our own each, where there is one for device and dtype; the composed one elsewhere.
    #[default]
    Fused,
    /// candle's operations, always.
    Composed,
}
