#![doc = include_str!("../README.md")]

pub mod bound;
#[cfg(feature = "cli")]
pub mod cli;
mod error;
mod score_set;

pub use bound::{Bound, Method, Validity};
pub use error::{Error, Result};
pub use score_set::ScoreSet;
