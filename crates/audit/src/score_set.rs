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
struct File {
    members: Vec<f64>,
    nonmembers: Vec<f64>,
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
        let file: File = serde_json::from_slice(text).map_err(|e| Error::ScoreFile { reason: e.to_string() })?;
        Self::new(file.members, file.nonmembers)
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
