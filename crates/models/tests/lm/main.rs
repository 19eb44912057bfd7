//! The language models against `transformers` (`scripts/fixtures/models.py`).

#![allow(missing_docs, clippy::unwrap_used)]

mod checkpoint;
mod parity;
