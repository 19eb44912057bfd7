//! The CPU kernels against their oracles, laws and bad inputs.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "cli")]
mod commands;
mod common;
mod hostile_files;
mod recall;
mod sketch_laws;
mod sketch_oracles;
mod sparse;
mod topk_laws;
mod topk_oracles;
