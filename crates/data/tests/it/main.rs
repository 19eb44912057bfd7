//! What the crate promises, from outside.

// Clippy takes only `#[test]` functions for tests, not their helpers.
#![allow(clippy::format_collect, clippy::needless_for_each, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "http")]
mod fetch;
mod files;
mod partitions;
mod procedural;
mod real;
mod samplers;
