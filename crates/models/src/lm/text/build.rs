//! Small tokenizers made here, for models trained from scratch and for tests.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use tokenizers::{
    AddedToken,
    models::{TrainerWrapper, bpe::BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::{SpecialTokens, Tokenizer};
use crate::{Error, Result};

/// Alphabet of byte-level vocabularies, one printable character a byte, in the order of GPT-2's `bytes_to_unicode`.
fn byte_alphabet() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 256;
    let letter = |byte: u32| {
        let code = if printable(&byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).unwrap_or('?')
    };
    (0..256).map(letter).collect()
}

impl Tokenizer {
    /// One token a character: character i has id i. A text with another character is refused.
    ///
    /// # Errors
    /// Where there are none or one is there twice.
    pub fn chars(chars: &[char]) -> Result<Self> {
        let mut vocab = Map::new();
        for (id, c) in chars.iter().enumerate() {
            if vocab.insert(c.to_string(), json!(id)).is_some() {
                let expected = "different characters".to_owned();
                return Err(Error::Setting { name: "chars", found: format!("{c:?} twice"), expected });
            }
        }
        if vocab.is_empty() {
            let expected = "at least one character".to_owned();
            return Err(Error::Setting { name: "chars", found: "none".to_owned(), expected });
        }
        // No token has this text: what isn't in the vocabulary is an error.
        let model = json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "<unknown character>" });
        let each =
            json!({ "type": "Split", "pattern": { "Regex": "[\\s\\S]" }, "behavior": "Isolated", "invert": false });
        from_parts(model, each, json!({ "type": "Fuse" }))
    }

    /// The characters that occur in a text, in order of their code points, as [`chars`](Self::chars).
    ///
    /// # Errors
    /// Where the text is empty.
    pub fn chars_of(text: &str) -> Result<Self> {
        let mut chars: Vec<char> = text.chars().collect::<HashSet<_>>().into_iter().collect();
        chars.sort_unstable();
        Self::chars(&chars)
    }

    /// One token a byte: byte b has id b.
    ///
    /// # Errors
    /// Never, unless the library refuses its own format.
    pub fn bytes() -> Result<Self> {
        byte_level(&byte_alphabet())
    }

    /// Byte-level BPE with GPT-2's splitting into words, learned from texts: at most `vocab` ids, of which 256 are bytes.
    ///
    /// # Errors
    /// Where `vocab` is below 256.
    pub fn train_bpe<T: AsRef<str>>(texts: &[T], vocab: usize) -> Result<Self> {
        if vocab < 256 {
            let expected = "at least 256, the bytes".to_owned();
            return Err(Error::Setting { name: "vocab", found: vocab.to_string(), expected });
        }
        let mut inner = byte_level(&[])?.inner;
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        inner.train(&mut TrainerWrapper::from(trainer), texts.into_iter()).map_err(refused)?;
        Ok(Self::new(inner, SpecialTokens::new()))
    }

    /// The same with special tokens by role, for instance `("eos_token", "</s>")`; new ones get the next ids.
    ///
    /// # Errors
    /// Where one is empty.
    pub fn with_special(mut self, tokens: &[(&str, &str)]) -> Result<Self> {
        for (role, text) in tokens {
            if text.is_empty() {
                let expected = format!("a text for {role}");
                return Err(Error::Setting { name: "special token", found: "an empty text".to_owned(), expected });
            }
            self.inner.add_special_tokens([AddedToken::from(*text, true)]).map_err(refused)?;
            self.special.insert((*role).to_owned(), (*text).to_owned());
        }
        Ok(self)
    }

    /// The same, and [`encode_with_special`](Self::encode_with_special) puts `bos_token` in front.
    ///
    /// # Errors
    /// Where there is no `bos_token`.
    pub fn adding_bos(self) -> Result<Self> {
        let Some((text, id)) = self.special.get("bos_token").zip(self.special_id("bos_token")) else {
            let expected = "among the special tokens".to_owned();
            return Err(Error::Setting { name: "bos_token", found: "none".to_owned(), expected });
        };
        let post = json!({
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": text, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [
                { "SpecialToken": { "id": text, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } },
            ],
            "special_tokens": { (text): { "id": text, "ids": [id], "tokens": [text] } },
        });
        let mut json: Value = serde_json::to_value(&self.inner).map_err(|error| refused(error.into()))?;
        json["post_processor"] = post;
        Ok(Self::new(parsed(&json)?, self.special))
    }
}

fn byte_level(alphabet: &[char]) -> Result<Tokenizer> {
    let vocab: Map<String, Value> = alphabet.iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
    let model = json!({ "type": "BPE", "vocab": vocab, "merges": [] });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    from_parts(model, bytes.clone(), bytes)
}

fn from_parts(model: Value, pre_tokenizer: Value, decoder: Value) -> Result<Tokenizer> {
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    });
    Ok(Tokenizer::new(parsed(&json)?, SpecialTokens::new()))
}

fn parsed(json: &Value) -> Result<tokenizers::Tokenizer> {
    tokenizers::Tokenizer::from_bytes(json.to_string()).map_err(refused)
}

fn refused(error: tokenizers::Error) -> Error {
    Error::Setting { name: "tokenizer", found: "parts that don't fit".to_owned(), expected: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_the_librarys() {
        let ours: HashSet<char> = byte_alphabet().into_iter().collect();
        assert_eq!(ours, ByteLevel::alphabet().into_iter().collect());
        assert_eq!((byte_alphabet()[b'a' as usize], byte_alphabet()[b' ' as usize]), ('a', 'Ġ'));
    }

    #[test]
    fn characters() {
        let text = "To be,\nor not é";
        let tokenizer = Tokenizer::chars_of(text).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids.len(), text.chars().count());
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert_eq!(tokenizer.id("\n"), Some(0));
        let error = tokenizer.encode("To ø").unwrap_err();
        assert!(error.to_string().contains("To ø") && error.is_input(), "{error}");
        assert!(Tokenizer::chars(&['a', 'a']).is_err());
        assert!(Tokenizer::chars(&[]).is_err());
    }

    #[test]
    fn bytes_and_words() {
        let text = "the cat, the hat; the 猫 😺\n\tthe end";
        let bytes = Tokenizer::bytes().unwrap();
        let ids = bytes.encode(text).unwrap();
        assert!(ids.iter().zip(text.bytes()).all(|(&id, byte)| id == u32::from(byte)));
        assert_eq!(bytes.decode(&ids).unwrap(), text);
        let bpe = Tokenizer::train_bpe(&[text; 3], 270).unwrap();
        let fewer = bpe.encode(text).unwrap();
        assert!(fewer.len() < ids.len(), "{fewer:?}");
        assert_eq!(bpe.decode(&fewer).unwrap(), text);
        assert_eq!(bpe.vocab_size(), 270);
        assert_eq!(Tokenizer::train_bpe(&[text; 3], 270).unwrap().encode(text).unwrap(), fewer);
        assert!(Tokenizer::train_bpe(&[text], 255).is_err());
    }

    #[test]
    fn saved_and_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let special = [("bos_token", "<s>"), ("eos_token", "</s>")];
        for tokenizer in [Tokenizer::chars_of("abc de").unwrap(), Tokenizer::train_bpe(&["abc de abc"], 260).unwrap()] {
            let tokenizer = tokenizer.with_special(&special).unwrap().adding_bos().unwrap();
            tokenizer.save(folder.path()).unwrap();
            let loaded = Tokenizer::from_folder(folder.path()).unwrap();
            let bos = tokenizer.special_id("bos_token").unwrap();
            let ids = loaded.encode_with_special("abc</s>").unwrap();
            assert_eq!(ids, tokenizer.encode_with_special("abc</s>").unwrap());
            assert_eq!((ids[0], ids.last().copied()), (bos, loaded.special_id("eos_token")));
            assert_eq!(loaded.decode(&ids).unwrap(), "abc");
            assert_eq!(loaded.decode_with_special(&ids).unwrap().replace(' ', ""), "<s>abc</s>");
            assert_eq!(loaded.special(), tokenizer.special());
        }
    }
}
