//! Integration tests, one binary.

// Clippy takes only `#[test]` functions for tests, not their helpers.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "cli")]
mod bad_input;
mod bounds;
#[cfg(feature = "cli")]
mod command;
mod exposure;
mod fixture;
mod laws;
mod mutations;
#[cfg(feature = "cli")]
mod oracles;
#[cfg(feature = "parquet")]
mod parquet;
mod roc;
#[cfg(feature = "cli")]
mod score_commands;
mod scores;
mod selection;
mod zlib;
