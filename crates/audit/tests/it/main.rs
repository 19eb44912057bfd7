//! Integration tests, one binary.

mod exposure;
mod fixture;
mod roc;
#[cfg(feature = "cli")]
mod score_commands;
mod scores;
mod zlib;
