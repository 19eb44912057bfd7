#![doc = include_str!("../README.md")]

pub mod bound;
#[cfg(feature = "cli")]
pub mod cli;
pub mod confusion;
mod error;
mod fdp;
pub mod one_run;
mod one_shot;
mod score_set;
pub mod select;

pub use bound::{Adjacency, Bound, Method, Validity};
pub use confusion::{Confusion, ErrorRates};
pub use error::{Error, Result};
pub use one_run::OneRun;
pub use score_set::ScoreSet;
pub use select::{Audit, Plan, Select};
