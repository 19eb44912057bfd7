#![doc = include_str!("../README.md")]

pub mod bound;
#[cfg(feature = "cli")]
pub mod cli;
mod error;
pub mod exposure;
pub mod roc;
mod score_set;
pub mod scores;

pub use bound::{Bound, Method, Validity};
pub use error::{Error, Result};
pub use roc::Roc;
pub use score_set::ScoreSet;
pub use scores::{Score, TokenStats};
