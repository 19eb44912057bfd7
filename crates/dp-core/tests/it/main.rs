//! Integration tests.
#![allow(clippy::unwrap_used, reason = "a helper that fails is the test's failure")]

#[cfg(feature = "cli")]
mod bad_input;
mod calibration;
mod certified;
#[cfg(feature = "cli")]
mod command;
mod lists;
mod losses;
#[cfg(feature = "cli")]
mod oracles;
mod pitfalls;
mod renyi;
