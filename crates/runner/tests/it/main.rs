//! Experiment files, claims and commands, mostly against a made-up stage command that computes nothing.
#![allow(clippy::unwrap_used, reason = "a helper that fails is the test's failure")]

mod claims;
mod command;
mod documented;
mod fake;
mod mistakes;
mod mutated;
mod resume;
