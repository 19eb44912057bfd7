//! Text on both sides of a model: tokenizers, chat templates, decoding while tokens arrive, stop strings.

mod build;
mod chat;
mod files;
mod stop;
mod stream;
mod tokenizer;

pub use chat::{ChatOptions, ChatTemplates};
pub use files::effective_eos;
pub use stop::StopStrings;
pub use stream::TextStream;
pub use tokenizer::{SpecialTokens, Tokenizer};
