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
        /// Name of the field.
        name: &'static str,
        /// What was given.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// δ = 0 asked of noise whose privacy loss has no bound.
    #[error(
        "delta = 0: {mechanism} noise has no finite epsilon without a delta: give a delta above 0, or use Laplace \
         noise with the accountant pure"
    )]
    NoFiniteEpsilon {
        /// The noise.
        mechanism: crate::Mechanism,
    },
    /// An accountant has no analysis of a mechanism under a relation.
    #[error("the accountant {accountant} has no bound for {what}: use {instead}")]
    Unsupported {
        /// The accountant asked.
        accountant: &'static str,
        /// What it was asked to account, in words.
        what: String,
        /// An accountant that has a bound, or what else to change.
        instead: &'static str,
    },
    /// No noise multiplier in range brings ε down to the target.
    #[error(
        "epsilon = {target} can't be reached: the smallest epsilon is {smallest}, at a noise multiplier of \
         {noise_multiplier}"
    )]
    Unreachable {
        /// The ε asked for.
        target: f64,
        /// The smallest ε found.
        smallest: f64,
        /// The noise multiplier that gives it.
        noise_multiplier: f64,
    },
    /// Part of a budget is spent already and leaves nothing.
    #[error("{what} cost epsilon = {spent}, which leaves nothing of epsilon = {target}")]
    Spent {
        /// What was spent, in words.
        what: &'static str,
        /// Its ε.
        spent: f64,
        /// The ε asked for.
        target: f64,
    },
    /// A computation that should have converged did not.
    #[error("{what} did not converge: {why}")]
    Numeric {
        /// The computation.
        what: &'static str,
        /// What was seen.
        why: String,
    },
    /// From the shared statistics.
    #[error(transparent)]
    Stats(#[from] ashlar_stats::Error),
}

impl Error {
    /// Whether the input is at fault (exit code 2) rather than the run (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Range { .. } | Self::NoFiniteEpsilon { .. } | Self::Unsupported { .. } => true,
            Self::Unreachable { .. } | Self::Spent { .. } | Self::Numeric { .. } => false,
            Self::Stats(error) => error.is_input(),
        }
    }
}
