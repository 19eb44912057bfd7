//! One binary: a module a subject.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod diagnostics;
mod envelope;
#[cfg(feature = "cli")]
mod laws_cli;
mod parametric;
mod prescribe;
mod shape;
mod support;
mod tables;
