//! Tokenizers in the format of Hugging Face: `tokenizer.json` and the files beside it.
//!
//! `tokenizer.json` says how text becomes ids, the special tokens that the post-processor adds included.
//! `tokenizer_config.json` says which special token plays which role (`bos_token`, …; absent ones are looked up in
//! `special_tokens_map.json`). Truncation and padding that a file was saved with are ignored, as transformers does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::files;
use crate::{Error, Result};

/// Texts of the special tokens by role: `bos_token`, `eos_token`, `pad_token`, `unk_token` and whatever else is named.
pub type SpecialTokens = BTreeMap<String, String>;

/// Turns text into token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) special: SpecialTokens,
    /// Whether the decoder turns tokens such as `<0xE4>` into bytes.
    byte_fallback: bool,
}

const REMEDY: &str = "save the tokenizer with transformers (`save_pretrained` of a fast tokenizer)";

impl Tokenizer {
    /// Reads a checkpoint folder.
    ///
    /// # Errors
    /// Where `tokenizer.json` is missing or isn't one, or a file beside it has a field of another form.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(problem(path, "no such file".to_owned()));
            }
            Err(source) => return Err(Error::Io { action: "read", path, source }),
        };
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| problem(path, error.to_string()))?;
        Ok(Self::new(inner, files::special_tokens(folder)?))
    }

    pub(super) fn new(mut inner: tokenizers::Tokenizer, special: SpecialTokens) -> Self {
        // Without truncation there is nothing that could be refused here.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let decoder = inner.get_decoder().and_then(|decoder| serde_json::to_string(decoder).ok()).unwrap_or_default();
        Self { byte_fallback: decoder.contains("\"ByteFallback\""), inner, special }
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`, which [`from_folder`](Self::from_folder) reads.
    ///
    /// # Errors
    /// Where a file can't be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join("tokenizer.json");
        let json = self.inner.to_string(true).map_err(|error| problem(path.clone(), error.to_string()))?;
        files::write(&path, &json)?;
        let config: serde_json::Map<String, Value> =
            self.special.iter().map(|(role, text)| (role.clone(), Value::from(text.as_str()))).collect();
        files::write(&folder.join("tokenizer_config.json"), &format!("{:#}\n", Value::Object(config)))
    }

    /// Number of ids, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Ids of a text as it stands: nothing is added, but special tokens that it spells out are found.
    ///
    /// # Errors
    /// Where a symbol isn't in the vocabulary and the tokenizer has no token for such.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encoded(text, false)
    }

    /// Ids of a text with the special tokens that the tokenizer adds around it, for most families one at the start.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.encoded(text, true)
    }

    fn encoded(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let failed = |source: tokenizers::Error| Error::Encode { text: excerpt(text), problem: source.to_string() };
        Ok(self.inner.encode_fast(text, special).map_err(failed)?.get_ids().to_vec())
    }

    /// Text of ids without special tokens; ids that the tokenizer doesn't know have none.
    ///
    /// # Errors
    /// Where the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, true)
    }

    /// Text of ids, special tokens spelled out.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.decoded(ids, false)
    }

    fn decoded(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let failed = |source: tokenizers::Error| Error::Decode { count: ids.len(), problem: source.to_string() };
        self.inner.decode(ids, skip_special).map_err(failed)
    }

    /// Id of a token by its own text, special or not.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token's own text: as the vocabulary spells it, not as it decodes.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Special tokens by role.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// Id of the special token with this role, for instance `eos_token`.
    pub fn special_id(&self, role: &str) -> Option<u32> {
        self.special.get(role).and_then(|text| self.id(text))
    }

    /// Whether the token is a raw byte, which means text only together with its neighbours.
    pub(super) fn is_byte(&self, id: u32) -> bool {
        let spelled = |token: String| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        self.byte_fallback && self.token(id).is_some_and(spelled)
    }

    /// Whether decoding leaves the token out: a special one, or none of the tokenizer's.
    pub(super) fn is_silent(&self, id: u32) -> bool {
        self.token(id).is_none_or(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }
}

fn problem(path: PathBuf, problem: String) -> Error {
    Error::TokenizerFile { path, problem, remedy: REMEDY.to_owned() }
}

/// The start of a text that a message repeats.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}
