//! One binary: parity with reference implementations, and laws.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

#[cfg(feature = "bootstrap")]
mod bootstrap;
mod common;
mod comparisons;
mod intervals;
mod laws;
mod numeric;
mod special;
