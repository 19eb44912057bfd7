#![doc = include_str!("../README.md")]

pub mod binomial;
pub mod cluster;
pub mod combinatorial;
pub mod describe;
mod error;
#[cfg(feature = "fft")]
pub mod fft;
pub mod interval;
pub mod multiple;
pub mod ols;
#[cfg(feature = "optim")]
pub mod optim;
pub mod paired;
pub mod quad;
pub mod rank;
pub mod root;
pub mod special;
pub mod tradeoff;

pub use describe::{Summary, Welford, mean, median, quantile, quantiles, std_dev, std_error, variance};
pub use error::{Error, Result};
pub use interval::Interval;
