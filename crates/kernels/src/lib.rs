//! Deterministic top-k sparsification and count-sketches with the same bits on CPU and GPU.
#![warn(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
mod error;
pub mod files;
pub mod rng;
pub mod simd;
pub mod sketch;
mod sparse;
pub mod topk;

pub use error::{Error, Result};
pub use sketch::quantise;
pub use sparse::{BitMask, SparseVec};
