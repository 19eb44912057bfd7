//! Experiment files, claims and commands, mostly against a made-up stage command that computes nothing.
#![allow(clippy::unwrap_used, clippy::format_collect, reason = "a test may fail loudly")]

mod claims;
mod command;
mod documented;
mod fake;
mod mistakes;
mod resume;
