#![doc = include_str!("../README.md")]

pub mod attn;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clusters;
pub mod em;
mod error;
pub mod guard;
pub mod heads;
pub mod law;
pub mod lm_eval;
pub mod markov;
mod py_random;
pub mod resample;
pub mod table;
pub mod tensors;

pub use error::{Error, Result};
pub use py_random::PyRandom;
pub use table::Table;
