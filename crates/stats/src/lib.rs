#![doc = include_str!("../README.md")]

pub mod binomial;
pub mod describe;
mod error;
pub mod interval;
pub mod quad;
pub mod root;
pub mod special;
pub mod tradeoff;

pub use describe::{Summary, Welford, mean, median, quantile, quantiles, std_dev, std_error, variance};
pub use error::{Error, Result};
pub use interval::Interval;
