//! Integration tests.

#[cfg(feature = "cli")]
mod bad_input;
#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "cli")]
mod oracles;
mod pitfalls;
mod renyi;
