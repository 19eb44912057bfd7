//! Experiment files, claims and commands, mostly against a made-up stage command that computes nothing.

mod claims;
mod command;
mod fake;
mod mistakes;
mod resume;
