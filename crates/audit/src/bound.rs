//! What a bound is worth: the numbers with the assumptions that they stand on.

use serde::{Serialize, Serializer};

/// How a bound is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Method {
    /// One training run, binomial tail (Steinke, Nasr, Jagielski 2023).
    OneRun,
    /// One training run, recursion for Gaussian trade-off curves (Mahloujifar, Melis, Chaudhuri 2024).
    OneRunFdp,
    /// Exact binomial limits on both error rates.
    ClopperPearson,
    /// The same limits, read as a Gaussian trade-off curve (Nasr et al. 2023).
    Gdp,
    /// Equal-tailed credible interval under Jeffreys' priors on both error rates.
    Bayes,
    /// Standardised mean difference of the scores of one run (after Andrew et al. 2023).
    OneShotGaussian,
}

impl Method {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneRun => "one-run",
            Self::OneRunFdp => "one-run-fdp",
            Self::ClopperPearson => "clopper-pearson",
            Self::Gdp => "gdp",
            Self::Bayes => "bayes",
            Self::OneShotGaussian => "one-shot-gaussian",
        }
    }

    /// What must be true of the mechanism or of the data for the bound to hold.
    pub fn assumes(self) -> &'static str {
        match self {
            Self::OneRun => "none",
            Self::OneRunFdp => "gaussian-dp",
            Self::ClopperPearson => "independent-runs",
            Self::Gdp => "gaussian-dp, independent-runs",
            Self::Bayes => "independent-runs, jeffreys-prior",
            Self::OneShotGaussian => "gaussian-dp, gaussian-scores",
        }
    }

    /// Whether δ enters through a Gaussian curve, which has no pure ε: δ = 0 is refused.
    pub fn is_gaussian(self) -> bool {
        matches!(self, Self::OneRunFdp | Self::Gdp | Self::OneShotGaussian)
    }

    /// Whether the method counts guesses of one run (with abstentions) rather than a confusion matrix.
    pub fn is_one_run(self) -> bool {
        matches!(self, Self::OneRun | Self::OneRunFdp)
    }

    pub(crate) fn check_delta(self, delta: f64) -> crate::Result<()> {
        if self.is_gaussian() { crate::error::check_gaussian_delta(delta) } else { crate::error::check_delta(delta) }
    }
}

/// Which datasets the audit told apart: what a canary's coin decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Adjacency {
    /// The canary's record was present or absent (or zeroed out).
    #[default]
    AddRemove,
    /// The canary's record was one of a pair, as with gradients ±g.
    ReplaceOne,
}

impl Adjacency {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddRemove => "add-remove",
            Self::ReplaceOne => "replace-one",
        }
    }
}

/// Whether a number may be called a bound at its confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It holds at the stated confidence, given what [`Method::assumes`] names.
    Valid,
    /// It holds for many canaries; a finite number of them exceeds the confidence slightly.
    Asymptotic,
    /// Its assumption is known to fail in general, and no proof covers the use at hand.
    Heuristic,
    /// A posterior probability, not a confidence statement.
    Credible,
    /// The largest of several bounds without a correction: no bound at all.
    Invalid,
}

impl Validity {
    /// In words; JSON has `true` and `false` for the first and the last.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Asymptotic => "asymptotic",
            Self::Heuristic => "heuristic",
            Self::Credible => "credible",
            Self::Invalid => "invalid",
        }
    }
}

impl Serialize for Validity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid => serializer.serialize_bool(true),
            Self::Invalid => serializer.serialize_bool(false),
            other => serializer.serialize_str(other.name()),
        }
    }
}

/// A bound on ε, with what it stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Lower bound on ε, at least 0; infinite where the data refute every ε.
    pub epsilon_lower: f64,
    /// Upper end of the interval, where the method has one (Bayes).
    pub epsilon_upper: Option<f64>,
    /// Lower bound on μ of Gaussian DP, where the method goes through it.
    pub mu_lower: Option<f64>,
    /// The δ at which ε is stated.
    pub delta: f64,
    /// One-sided confidence of `epsilon_lower`; mass of the whole interval for Bayes.
    pub confidence: f64,
    /// How it was computed.
    pub method: Method,
    /// Whether it is a bound.
    pub valid: Validity,
}

impl Bound {
    /// What must be true for the bound to hold.
    pub fn assumes(&self) -> &'static str {
        self.method.assumes()
    }
}
