//! Scores of members and non-members: what an audit starts from.

use serde::Deserialize;

use crate::{Error, Result, error::check_finite};

/// Scores of canaries that were trained on and of canaries that were not; higher = more likely a member.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSet {
    members: Vec<f64>,
    nonmembers: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<S> {
    members: Vec<S>,
    nonmembers: Vec<S>,
}

/// A score as programs write it that have numbers JSON hasn't.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Number(f64),
    Word(String),
    Null(()),
}

impl Entry {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Word(word) => word.parse().ok().filter(|number: &f64| !number.is_finite()),
            Self::Null(()) => Some(f64::NAN),
        }
    }
}

impl ScoreSet {
    /// Takes the scores of both sides.
    ///
    /// # Errors
    /// If a side is empty, or holds NaN or an infinity (named with its index).
    pub fn new(members: Vec<f64>, nonmembers: Vec<f64>) -> Result<Self> {
        for (list, scores) in [("members", &members), ("nonmembers", &nonmembers)] {
            if scores.is_empty() {
                return Err(Error::Empty { list });
            }
            check_finite(list, scores)?;
        }
        Ok(Self { members, nonmembers })
    }

    /// Reads `{"members": […], "nonmembers": […]}`.
    ///
    /// # Errors
    /// If the text is not of that form, or as [`ScoreSet::new`].
    pub fn from_json(text: &[u8]) -> Result<Self> {
        match serde_json::from_slice::<File<f64>>(text) {
            Ok(file) => Self::new(file.members, file.nonmembers),
            Err(error) => Err(not_finite_in(text).unwrap_or_else(|| Error::ScoreFile { reason: error.to_string() })),
        }
    }

    /// Scores of the canaries that were trained on.
    pub fn members(&self) -> &[f64] {
        &self.members
    }

    /// Scores of the canaries that were not.
    pub fn nonmembers(&self) -> &[f64] {
        &self.nonmembers
    }

    /// Canaries in all.
    pub fn canaries(&self) -> u64 {
        (self.members.len() + self.nonmembers.len()) as u64
    }

    /// Whether every score is the same number, so that no guess can be better than a coin.
    pub fn is_constant(&self) -> bool {
        let first = self.members[0];
        self.members.iter().chain(&self.nonmembers).all(|&score| score == first)
    }
}

/// The first score that is no finite number, in a file that is otherwise as it should be: `NaN` and `Infinity` as Python
/// writes them, `null` as pandas does, "inf" as we do, 1e999.
fn not_finite_in(text: &[u8]) -> Option<Error> {
    let file: File<Entry> = serde_json::from_slice(&quoted(text)).ok()?;
    for (list, entries) in [("members", &file.members), ("nonmembers", &file.nonmembers)] {
        let scores: Vec<f64> = entries.iter().map(Entry::value).collect::<Option<_>>()?;
        if let Err(error) = check_finite(list, &scores) {
            return Some(error);
        }
    }
    None
}

/// The text with bare words and numbers that no f64 holds in quotes.
fn quoted(text: &[u8]) -> Vec<u8> {
    let (mut out, mut at, mut in_string) = (Vec::with_capacity(text.len() + 64), 0, false);
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    while at < text.len() {
        let word = if in_string { 0 } else { text[at..].iter().take_while(|byte| is_word(byte)).count() };
        if word > 0 {
            let word = &text[at..at + word];
            let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
            if number.is_some_and(|number| !number.is_finite()) {
                out.extend([b"\"", word, b"\""].concat());
            } else {
                out.extend(word);
            }
            at += word.len();
        } else {
            // A backslash in a string takes the next byte with it.
            let taken = if in_string && text[at] == b'\\' { 2 } else { 1 };
            in_string ^= text[at] == b'"';
            out.extend(&text[at..(at + taken).min(text.len())]);
            at += taken;
        }
    }
    out
}
