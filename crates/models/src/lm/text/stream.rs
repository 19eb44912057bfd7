//! Text while tokens arrive: what is final is handed out, the rest held back.
//!
//! Held back are an incomplete UTF-8 sequence, a run of byte tokens (whose text is settled only by its end: one wrong
//! byte makes replacement characters of them all) and what may become a stop string. The pieces together are the text
//! that [`Tokenizer::decode`] gives for all tokens, cut at the stop.

use super::{
    Tokenizer,
    stop::{Matcher, StopStrings},
};
use crate::Result;

/// Tokens decoded together: from the anchor on. Some decoders treat the first token differently, so that the window
/// moves only where that shows no difference.
const WINDOW: usize = 64;
const KEPT: usize = 8;

/// Decodes the tokens of one text one by one.
#[derive(Clone, Debug)]
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    /// Tokens from the anchor on.
    ids: Vec<u32>,
    /// Bytes of their text that have gone to the matcher.
    sent: usize,
    matcher: Matcher,
}

impl<'t> TextStream<'t> {
    /// A text without tokens so far.
    pub fn new(tokenizer: &'t Tokenizer, stops: StopStrings) -> Self {
        Self { tokenizer, ids: Vec::new(), sent: 0, matcher: Matcher::new(stops) }
    }

    /// Whether a stop string was reached; what comes after it is no text.
    pub fn stopped(&self) -> bool {
        self.matcher.stopped()
    }

    /// Adds a token; returns the text that is final now, often empty.
    ///
    /// # Errors
    /// Where the tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.stopped() {
            return Ok(String::new());
        }
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids)?;
        let run = self.byte_run();
        let settled = match run {
            Some(start) => self.tokenizer.decode(&self.ids[..start])?.len(),
            None => text.trim_end_matches('\u{FFFD}').len(),
        };
        let piece = text.get(self.sent..settled).unwrap_or_default().to_owned();
        self.sent += piece.len();
        if run.is_none() && self.ids.len() > WINDOW {
            self.move_anchor(&text)?;
        }
        Ok(self.matcher.push(&piece))
    }

    /// Returns what was held back, once no token follows.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<String> {
        if self.stopped() {
            return Ok(String::new());
        }
        let text = self.tokenizer.decode(&self.ids)?;
        let mut piece = self.matcher.push(text.get(self.sent..).unwrap_or_default());
        self.sent = text.len();
        piece.push_str(&self.matcher.finish());
        Ok(piece)
    }

    /// Where the run of byte tokens begins that the text ends with; special tokens don't end a run, since none is shown.
    fn byte_run(&self) -> Option<usize> {
        let mut start = None;
        for (at, &id) in self.ids.iter().enumerate().rev() {
            if self.tokenizer.is_byte(id) {
                start = Some(at);
            } else if !self.tokenizer.is_silent(id) {
                break;
            }
        }
        start
    }

    /// Forgets all but the last tokens, if these decode to the end of the same text.
    fn move_anchor(&mut self, text: &str) -> Result<()> {
        let at = self.ids.len() - KEPT;
        // A token with a text of its own ends a run of bytes before it.
        if self.tokenizer.is_byte(self.ids[at]) || self.tokenizer.is_silent(self.ids[at]) {
            return Ok(());
        }
        let tail = self.tokenizer.decode(&self.ids[at..])?;
        let pending = text.len() - self.sent;
        // A tail that begins inside a character shows a replacement for it.
        if tail.len() > pending && !tail.starts_with('\u{FFFD}') && text.ends_with(&tail) {
            self.ids.drain(..at);
            self.sent = tail.len() - pending;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Llama-2's kind: words with ▁, what isn't in the vocabulary in bytes.
    fn byte_fallback() -> Tokenizer {
        let mut vocab: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
        vocab.extend(["<unk>", "▁", "a", "b", "▁a", "▁the", "猫"].map(str::to_owned));
        let vocab: serde_json::Map<_, _> =
            vocab.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
        let json = json!({
            "version": "1.0", "added_tokens": [
                { "id": 263, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
                  "normalized": false, "special": true },
            ],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": { "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " }, { "type": "ByteFallback" },
                { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
            ] },
            "model": { "type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": vocab, "merges": [] },
        });
        Tokenizer::new(tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap(), [].into())
    }

    fn pieces(tokenizer: &Tokenizer, ids: &[u32], stops: &[String]) -> (Vec<String>, bool) {
        let mut stream = TextStream::new(tokenizer, StopStrings::new(stops).unwrap());
        let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        pieces.push(stream.finish().unwrap());
        (pieces, stream.stopped())
    }

    fn check(tokenizer: &Tokenizer, ids: &[u32], stops: &[String]) {
        let (pieces, stopped) = pieces(tokenizer, ids, stops);
        let whole = tokenizer.decode(ids).unwrap();
        let (expected, expected_stop) = StopStrings::new(stops).unwrap().cut(&whole);
        assert_eq!((pieces.concat().as_str(), stopped), (expected, expected_stop), "{ids:?}");
    }

    #[test]
    fn incomplete_characters_wait() {
        let bytes = Tokenizer::bytes().unwrap();
        let ids: Vec<u32> = "é猫!".bytes().map(u32::from).collect();
        assert_eq!(pieces(&bytes, &ids, &[]).0, ["", "é", "", "", "猫", "!", ""]);
        // A byte that begins nothing is replaced as soon as that is sure.
        assert_eq!(pieces(&bytes, &[0xE7, 0x61], &[]).0, ["", "\u{FFFD}a", ""]);
        assert_eq!(pieces(&bytes, &[0xE7, 0x8C], &[]).0, ["", "", "\u{FFFD}"]);
        let fallback = byte_fallback();
        // "A" as a byte, then a broken one: both are replaced, so "A" must not have been shown.
        assert_eq!(pieces(&fallback, &[0x41, 0xE7, 258], &[]).0, ["", "", "\u{FFFD}\u{FFFD}a", ""]);
        // A special token shows nothing and doesn't end the run.
        assert_eq!(pieces(&fallback, &[0x41, 263, 0xE7], &[]).0, ["", "", "", "\u{FFFD}\u{FFFD}"]);
        assert_eq!(pieces(&fallback, &[261, 0xE7, 0x8C, 0xAB, 258], &[]).0, ["the", "", "", "", "猫a", ""]);
    }

    #[test]
    fn a_stop_string_across_token_borders() {
        let bytes = Tokenizer::bytes().unwrap();
        let ids: Vec<u32> = "one\n\ntwo".bytes().map(u32::from).collect();
        let (pieces, stopped) = pieces(&bytes, &ids, &["\n\nt".to_owned()]);
        assert_eq!((pieces.concat().as_str(), stopped), ("one", true));
        assert_eq!(pieces[3], "", "held back");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn bytes_of_any_kind(
            text in "[ab猫😺 \n]{0,80}", noise in prop::collection::vec((0_usize..200, 0_u32..256), 0..6),
            stops in prop::collection::vec("[ab猫]{1,3}", 0..3),
        ) {
            let mut ids: Vec<u32> = text.bytes().map(u32::from).collect();
            for (at, byte) in noise {
                ids.insert(at.min(ids.len()), byte);
            }
            check(&Tokenizer::bytes().unwrap(), &ids, &stops);
        }

        #[test]
        fn merged_tokens(ids in prop::collection::vec(0_u32..300, 0..160), stops in prop::collection::vec("[a-z ]{1,2}", 0..2)) {
            let text = "the 猫 and the 😺 sat on thé mat, the end. ".repeat(5);
            check(&Tokenizer::train_bpe(&[text], 300).unwrap(), &ids, &stops);
        }

        #[test]
        fn byte_fallback_runs(
            ids in prop::collection::vec(prop_oneof![
                4 => 256_u32..264, 1 => 0_u32..256, 1 => Just(0xE7_u32), 1 => Just(0x8C), 1 => Just(0xAB), 1 => Just(0x61),
            ], 0..200),
            stops in prop::collection::vec("[ab猫 ]{1,3}", 0..2),
        ) {
            check(&byte_fallback(), &ids, &stops);
        }
    }
}
