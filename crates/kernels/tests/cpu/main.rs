//! The CPU kernels against their oracles, laws and bad inputs.
#![allow(clippy::unwrap_used)]

mod clip_laws;
mod clip_opacus;
#[cfg(feature = "cli")]
mod commands;
mod common;
mod dequant;
mod hostile_files;
mod noise_laws;
mod prefetch_random;
mod prefetch_sim;
mod prefetch_threads;
mod recall;
mod sketch_laws;
mod sketch_oracles;
mod sparse;
mod sparse_code;
mod sparse_ops;
mod topk_laws;
mod topk_oracles;
