#![doc = include_str!("../README.md")]

pub mod bound;
#[cfg(feature = "cli")]
pub mod cli;
pub mod confusion;
mod error;
pub mod exposure;
mod fdp;
pub mod one_run;
mod one_shot;
#[cfg(feature = "parquet")]
mod parquet_scores;
pub mod roc;
mod score_set;
pub mod scores;
pub mod select;

pub use bound::{Adjacency, Bound, Method, Validity};
pub use confusion::{Confusion, ErrorRates};
pub use error::{Error, Result};
pub use one_run::OneRun;
pub use roc::Roc;
pub use score_set::ScoreSet;
pub use scores::{Score, TokenStats};
pub use select::{Audit, Plan, Select};
