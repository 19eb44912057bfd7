//! Tokenizers that are made from the text itself.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, lm::Tokenizer};

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
    /// The tokenizer of a text to train on; `held_out` only adds its characters.
    ///
    /// # Errors
    /// Where the text is empty.
    pub fn build(self, text: &str, held_out: &str) -> Result<Tokenizer> {
        match self {
            Self::Char => Tokenizer::chars_of(&[text, held_out].concat()),
            Self::Byte => Tokenizer::bytes(),
            // Pieces end at lines, so that a merge never reaches over one.
            Self::Bpe(size) => Tokenizer::train_bpe(&text.split_inclusive('\n').collect::<Vec<_>>(), size),
        }
    }
}

/// Ids of a text, nothing added.
///
/// # Errors
/// Where the tokenizer doesn't know something.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    // Line by line: an encoding of a whole text takes some hundred bytes a token.
    for line in text.split_inclusive('\n') {
        ids.extend(tokenizer.encode(line)?);
    }
    Ok(ids)
}

/// One id a character: what [`encode`] gives for a tokenizer of characters, without its detours.
pub(super) fn encode_characters(tokenizer: &Tokenizer, text: &str) -> Option<Vec<u32>> {
    let known: BTreeSet<char> = text.chars().collect();
    let table = known.into_iter().map(|c| Some((c, tokenizer.id(c.encode_utf8(&mut [0; 4]))?)));
    let table: HashMap<char, u32> = table.collect::<Option<_>>()?;
    Some(text.chars().filter_map(|c| table.get(&c).copied()).collect())
}
