//! What can go wrong.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number is outside the range in which the method is defined.
    #[error("{name} = {value}: it must be {expected}")]
    Range {
        /// Name of the flag or key.
        name: &'static str,
        /// What was given.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// A count is larger than the count that it is a part of.
    #[error("{part} = {part_count} exceeds {whole} = {whole_count}")]
    Exceeds {
        /// Name of the part's flag or key.
        part: &'static str,
        /// The part.
        part_count: u64,
        /// Name of the whole's flag or key.
        whole: &'static str,
        /// The whole.
        whole_count: u64,
    },
    /// A list of scores holds NaN or an infinity; they are never sorted silently.
    #[error("{list}[{index}] is {value}: every score must be finite")]
    NotFinite {
        /// Which list: `members`, `nonmembers`, `log-probs`, …
        list: &'static str,
        /// The place in it, from 0.
        index: usize,
        /// NaN, inf or -inf.
        value: f64,
    },
    /// A list that must hold something holds nothing.
    #[error("{list} is empty: at least one score is needed")]
    Empty {
        /// Which list.
        list: &'static str,
    },
    /// Two lists that belong together differ in length.
    #[error("{left} has {left_len} values and {right} has {right_len}: they must be equally long")]
    Lengths {
        /// One list.
        left: &'static str,
        /// Its length.
        left_len: usize,
        /// The other list.
        right: &'static str,
        /// Its length.
        right_len: usize,
    },
    /// A score file cannot be read as `{"members": […], "nonmembers": […]}`.
    #[error(r#"not a score file {{"members": [numbers], "nonmembers": [numbers]}}: {reason}"#)]
    ScoreFile {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A score file cannot be read as Parquet with `score` and `member`.
    #[error("not a Parquet file of scores (columns `score`: double, `member`: boolean): {reason}")]
    ParquetScores {
        /// What is wrong.
        reason: String,
    },
    /// A setting cannot be used together with another.
    #[error("{what}: {why}")]
    Unusable {
        /// The setting.
        what: String,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// Special functions, intervals, roots.
    #[error(transparent)]
    Stats(#[from] ashlar_stats::Error),
}

impl Error {
    /// Whether the input is at fault (exit code 2) rather than the run (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Stats(error) => error.is_input(),
            _ => true,
        }
    }

    pub(crate) fn unusable(what: impl Into<String>, why: &'static str) -> Self {
        Self::Unusable { what: what.into(), why }
    }
}

/// Refuses a part that is larger than its whole.
pub(crate) fn check_part(part: (&'static str, u64), whole: (&'static str, u64)) -> Result<()> {
    if part.1 <= whole.1 {
        Ok(())
    } else {
        Err(Error::Exceeds { part: part.0, part_count: part.1, whole: whole.0, whole_count: whole.1 })
    }
}

/// Refuses NaN and infinities, naming the list and the place.
pub(crate) fn check_finite(list: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { list, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses a confidence outside (0.5, 1).
pub(crate) fn check_confidence(confidence: f64) -> Result<()> {
    if confidence > 0.5 && confidence < 1.0 {
        Ok(())
    } else {
        Err(Error::Range { name: "confidence", value: confidence, expected: "inside (0.5, 1), as 0.95" })
    }
}

/// Refuses a δ outside [0, 1).
pub(crate) fn check_delta(delta: f64) -> Result<()> {
    if (0.0..1.0).contains(&delta) {
        Ok(())
    } else {
        Err(Error::Range { name: "delta", value: delta, expected: "in [0, 1), as 1e-5" })
    }
}

/// Refuses a δ outside (0, 1): a Gaussian has no pure ε.
pub(crate) fn check_gaussian_delta(delta: f64) -> Result<()> {
    if delta > 0.0 && delta < 1.0 {
        Ok(())
    } else {
        Err(Error::Range {
            name: "delta",
            value: delta,
            expected: "inside (0, 1), as 1e-5: a Gaussian mechanism has no pure epsilon",
        })
    }
}

/// Refuses an ε that is negative, NaN or infinite.
pub(crate) fn check_epsilon(epsilon: f64) -> Result<()> {
    if epsilon >= 0.0 && epsilon.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { name: "epsilon", value: epsilon, expected: "a finite number, at least 0" })
    }
}
