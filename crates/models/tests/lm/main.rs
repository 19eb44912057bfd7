//! The language models against `transformers` (`scripts/fixtures/models.py`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod adapter_files;
mod adapters;
mod checkpoint;
#[cfg(feature = "cli")]
mod command;
mod edits;
mod generation;
#[path = "../../examples/induction.rs"]
#[expect(dead_code, reason = "the example's own main")]
mod induction;
mod loading;
mod mutations;
mod ops;
mod parity;
mod saving;
#[cfg(feature = "cli")]
mod train_command;
mod training;
