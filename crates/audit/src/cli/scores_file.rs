//! Score files and lists of scores, as flags name them.

use std::path::Path;

use ashlar_cli::Failure;

use crate::ScoreSet;

/// Reads `--scores FILE`: JSON, or Parquet, which its first bytes tell.
pub(super) fn read(path: &Path) -> Result<ScoreSet, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
    let scores = if bytes.starts_with(b"PAR1") { from_parquet(bytes) } else { ScoreSet::from_json(&bytes) };
    scores.map_err(|e| Failure::from(e).within(&path.display().to_string()))
}

#[cfg(feature = "parquet")]
fn from_parquet(bytes: Vec<u8>) -> crate::Result<ScoreSet> {
    ScoreSet::from_parquet(bytes)
}

#[cfg(not(feature = "parquet"))]
fn from_parquet(_bytes: Vec<u8>) -> crate::Result<ScoreSet> {
    Err(crate::Error::unusable(
        "a Parquet file",
        "this program was built without it: build with --features parquet, or write {\"members\": [numbers], \"nonmembers\": [numbers]}",
    ))
}

/// Parses a comma-separated list of numbers; NaN and infinities are left for the library to name with their index.
pub(super) fn parse_list(text: &str) -> Result<Vec<f64>, String> {
    let numbers = text.split(',').map(str::trim).enumerate();
    numbers.map(|(index, word)| word.parse().map_err(|_| format!("value {index}, `{word}`, is not a number"))).collect()
}

/// Parses a count.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a count is a whole number, at least 0".to_owned())
}
