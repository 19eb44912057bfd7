//! What can be wrong with the numbers that a caller hands in.

/// Why a statistic can't be computed from what was given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A statistic needs more values than there are.
    #[error("{what} needs at least {needed} values, found {found}: collect more, or leave the figure out")]
    TooFew {
        /// The statistic.
        what: &'static str,
        /// The least number of values that define it.
        needed: usize,
        /// The number given.
        found: usize,
    },
    /// NaN or an infinity among the values.
    #[error("value {index} of {what} is {value}: remove or replace what is not finite first")]
    NotFinite {
        /// The input that holds it.
        what: &'static str,
        /// Its place, from 0.
        index: usize,
        /// NaN, inf or -inf.
        value: f64,
    },
    /// A setting outside its range.
    #[error("{name} is {found}, it must be {expected}")]
    OutOfRange {
        /// The setting's name.
        name: &'static str,
        /// What was given.
        found: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// More successes than trials.
    #[error("{successes} successes of {trials} trials: a count can't exceed its total")]
    Count {
        /// Successes given.
        successes: u64,
        /// Trials given.
        trials: u64,
    },
    /// Paired samples of different lengths.
    #[error("paired samples differ in length ({left} and {right}): pair them by seed or by item first")]
    Unpaired {
        /// Length of the first sample.
        left: usize,
        /// Length of the second.
        right: usize,
    },
    /// Labels, clusters or a buffer of another length than the values they belong to.
    #[error("{what} has length {found}, expected {expected}")]
    Length {
        /// The input that is too short or too long.
        what: &'static str,
        /// The length needed.
        expected: usize,
        /// The length given.
        found: usize,
    },
    /// The caller's statistic returned NaN or an infinity on a resample.
    #[error(
        "the statistic is {value} on resample {resample}: it must be finite on every sample drawn with replacement"
    )]
    Statistic {
        /// Which resample, from 0.
        resample: usize,
        /// What the statistic returned.
        value: f64,
    },
    /// A root is asked for where none is enclosed.
    #[error("no change of sign between {low} and {high}: the function is {at_low} and {at_high} there")]
    NoSignChange {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// Value at the lower end.
        at_low: f64,
        /// Value at the upper end.
        at_high: f64,
    },
    /// The caller's function has no usable value at a point.
    #[error("the function is {value} at {at}: it must be a number over the whole interval")]
    Undefined {
        /// The point.
        at: f64,
        /// What the function returned.
        value: f64,
    },
    /// An iteration ended before its tolerance was met.
    #[error("{what} did not converge in {limit} steps, {left:e} remains: widen the tolerance")]
    NotConverged {
        /// The iteration.
        what: &'static str,
        /// Its most steps.
        limit: usize,
        /// What it still missed by.
        left: f64,
    },
}

impl Error {
    /// Whether the caller's input is at fault (exit code 2 of a command). Always so here: nothing is read or run.
    pub fn is_input(&self) -> bool {
        true
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses an empty or non-finite sample.
pub(crate) fn check(what: &'static str, x: &[f64], needed: usize) -> Result<()> {
    if x.len() < needed {
        return Err(Error::TooFew { what, needed, found: x.len() });
    }
    match x.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: x[index] }),
        None => Ok(()),
    }
}

/// Refuses a confidence outside (0, 1), NaN included.
pub(crate) fn check_confidence(confidence: f64) -> Result<()> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok(())
    } else {
        Err(Error::OutOfRange { name: "confidence", found: confidence, expected: "inside (0, 1), as 0.95" })
    }
}
