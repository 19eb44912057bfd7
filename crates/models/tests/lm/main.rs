//! The language models against `transformers` (`scripts/fixtures/models.py`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod adapter_files;
mod adapters;
mod checkpoint;
#[cfg(feature = "cli")]
mod command;
mod edits;
mod generation;
mod linear;
mod loading;
mod mutations;
mod parity;
mod saving;
mod tape;
