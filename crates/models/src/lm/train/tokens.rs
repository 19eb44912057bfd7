//! Tokenizers that are made from the text itself.

use std::{collections::BTreeSet, fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokenizers::{
    Model as _, Tokenizer, TokenizerBuilder,
    decoders::byte_level::ByteLevel as ByteDecoder,
    models::bpe::{BPE, BpeTrainerBuilder},
    normalizers::NormalizerWrapper,
    pre_tokenizers::byte_level::ByteLevel,
    processors::PostProcessorWrapper,
};

use crate::{Error, Result};

/// How a model from scratch reads text; in TOML `"char"`, `"byte"` or `"bpe:512"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum TokenizerKind {
    /// One token a character that occurs in the text, in their order.
    #[default]
    Char,
    /// One token a byte.
    Byte,
    /// Byte-level pairs merged by frequency up to this many tokens, at least 257.
    Bpe(usize),
}

impl fmt::Display for TokenizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char => f.write_str("char"),
            Self::Byte => f.write_str("byte"),
            Self::Bpe(n) => write!(f, "bpe:{n}"),
        }
    }
}

impl From<TokenizerKind> for String {
    fn from(kind: TokenizerKind) -> Self {
        kind.to_string()
    }
}

impl TryFrom<String> for TokenizerKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for TokenizerKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "char" => Ok(Self::Char),
            "byte" => Ok(Self::Byte),
            _ => text
                .strip_prefix("bpe:")
                .and_then(|n| n.parse().ok())
                .filter(|n| (257..=65_536).contains(n))
                .map(Self::Bpe)
                .ok_or_else(|| Error::Setting {
                    name: "tokenizer",
                    found: text.to_owned(),
                    expected: "char, byte or bpe:N with N from 257 to 65536".to_owned(),
                }),
        }
    }
}

impl TokenizerKind {
    /// The tokenizer of a text.
    ///
    /// # Errors
    /// Where the text is empty.
    pub fn build(self, text: &str) -> Result<Tokenizer> {
        if text.is_empty() {
            return Err(Error::Tokenizer { action: "make", reason: "the text is empty".to_owned() });
        }
        match self {
            Self::Char => characters(text),
            // The 256 bytes are there before the first merge.
            Self::Byte => merged(text, 256),
            Self::Bpe(size) => merged(text, size),
        }
    }
}

/// A word-level model whose words are the text's characters.
fn characters(text: &str) -> Result<Tokenizer> {
    let known: BTreeSet<char> = text.chars().collect();
    let vocab: Map<String, Value> = (0u32..).zip(known).map(|(id, c)| (c.to_string(), json!(id))).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {
            "type": "Split", "pattern": { "Regex": "(?s:.)" }, "behavior": "Isolated", "invert": false,
        },
        "post_processor": null, "decoder": { "type": "Fuse" },
        // A name that no character has: what isn't in the text is refused rather than taken for something else.
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" },
    });
    Tokenizer::from_bytes(json.to_string()).map_err(failed("make"))
}

fn merged(text: &str, size: usize) -> Result<Tokenizer> {
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet())
        .build();
    let bytes = ByteLevel::new(false, true, true);
    let mut tokenizer = TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, ByteDecoder>::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(bytes))
        .with_decoder(Some(ByteDecoder::default()))
        .build()
        .map_err(failed("make"))?;
    // Pieces end at lines, so that a word never holds more than one.
    tokenizer.train(&mut trainer, text.split_inclusive('\n')).map_err(failed("make"))?;
    let json = tokenizer.to_string(false).map_err(failed("make"))?;
    Tokenizer::from_bytes(json).map_err(failed("make"))
}

/// Ids of a text, nothing added.
///
/// # Errors
/// Where the tokenizer doesn't know something.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    // Line by line: an encoding of a whole text takes some hundred bytes a token.
    for line in text.split_inclusive('\n') {
        ids.extend_from_slice(tokenizer.encode_fast(line, false).map_err(failed("use"))?.get_ids());
    }
    Ok(ids)
}

/// One id a character; what [`encode`] gives for a tokenizer of characters, without its detours.
pub(super) fn encode_characters(tokenizer: &Tokenizer, text: &str) -> Option<Vec<u32>> {
    let model = tokenizer.get_model();
    let mut buffer = [0; 4];
    let table: std::collections::HashMap<char, u32> = text
        .chars()
        .collect::<BTreeSet<char>>()
        .into_iter()
        .map(|c| Some((c, model.token_to_id(c.encode_utf8(&mut buffer))?)))
        .collect::<Option<_>>()?;
    Some(text.chars().filter_map(|c| table.get(&c).copied()).collect())
}

/// Reads `tokenizer.json` of a checkpoint.
pub(super) fn read(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Err(Error::NoCheckpoint { path });
    }
    Tokenizer::from_file(path).map_err(failed("read"))
}

/// What is written as `tokenizer.json`.
pub(super) fn to_json(tokenizer: &Tokenizer) -> Result<String> {
    tokenizer.to_string(false).map_err(failed("write"))
}

fn failed(action: &'static str) -> impl Fn(tokenizers::Error) -> Error {
    move |error| Error::Tokenizer { action, reason: error.to_string() }
}
