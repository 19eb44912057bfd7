//! The language models against `transformers` (`scripts/fixtures/models.py`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod adapter_files;
mod adapters;
#[cfg(feature = "cli")]
mod capture;
mod checkpoint;
#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "cli")]
mod convert;
mod docs;
mod edits;
mod generation;
mod hooks;
#[path = "../../examples/induction.rs"]
#[expect(dead_code, reason = "the example's own main")]
mod induction;
mod linear;
mod loading;
mod mutations;
mod names;
mod ops;
mod parity;
mod prefix;
mod saving;
mod tape;
mod text;
#[cfg(feature = "cli")]
mod text_command;
mod text_model;
#[cfg(feature = "cli")]
mod train_command;
mod training;
