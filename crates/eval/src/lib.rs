#![doc = include_str!("../README.md")]

#[cfg(feature = "cli")]
pub mod cli;
mod error;
pub mod law;
pub mod table;

pub use error::{Error, Result};
pub use table::Table;
