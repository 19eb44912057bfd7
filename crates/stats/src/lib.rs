#![doc = include_str!("../README.md")]

pub mod describe;
mod error;
pub mod interval;
#[cfg(feature = "optim")]
pub mod optim;

pub use describe::{Summary, Welford, mean, median, quantile, quantiles, std_dev, std_error, variance};
pub use error::{Error, Result};
pub use interval::Interval;
