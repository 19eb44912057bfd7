//! The language models against `transformers` (`scripts/fixtures/models.py`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod adapter_files;
mod adapters;
mod checkpoint;
#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "cli")]
mod convert;
mod edits;
mod generation;
mod linear;
mod loading;
mod mutations;
mod parity;
mod prefix;
mod saving;
mod tape;
mod text;
#[cfg(feature = "cli")]
mod text_command;
mod text_model;
