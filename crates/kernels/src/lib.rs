//! Deterministic top-k sparsification and count-sketches with the same bits on CPU and GPU.
#![warn(missing_docs)]

#[cfg(feature = "cuda")]
mod cuda;
pub mod device;
mod error;
pub mod launch;
pub mod ptx;
pub mod rng;
pub mod simd;
#[cfg(feature = "simt")]
pub mod simt;
pub mod sketch;
mod sparse;
pub mod topk;

pub use error::{Error, Result};
pub use sketch::quantise;
pub use sparse::{BitMask, SparseVec};
