#![doc = include_str!("../README.md")]

#[cfg(feature = "cli")]
pub mod cli;
mod error;

pub use error::{Error, Result};
