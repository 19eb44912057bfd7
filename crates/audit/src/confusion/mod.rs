//! Bounds from a confusion matrix: n₁ members of which tp were found, n₀ non-members of which fp were flagged.
//!
//! An (ε, δ)-DP mechanism keeps FPR·e^ε + FNR ≥ 1 − δ and FNR·e^ε + FPR ≥ 1 − δ for whoever looks at its output. With
//! upper limits F̄ and N̄ on FPR and FNR, each at level (1 − confidence)/2:
//!
//! | method | bound |
//! |---|---|
//! | [`clopper_pearson`](Confusion::clopper_pearson) | ε ≥ max(0, ln((1 − δ − F̄)/N̄), ln((1 − δ − N̄)/F̄)) |
//! | [`gdp`](Confusion::gdp) | μ ≥ max(0, Φ⁻¹(1 − F̄) − Φ⁻¹(N̄)), ε = ε(μ, δ) (Nasr et al., 2023) |
//! | [`bayes`](Confusion::bayes) | credible interval under Jeffreys' priors on both rates, no confidence bound |
//!
//! The counts must come from independent trials: one canary a run over many runs. The canaries of one run are not, in
//! general; orthogonal ones under the Gaussian mechanism are.

mod bayes;

use ashlar_stats::{interval::clopper_pearson_upper, special::normal_quantile, tradeoff};

use crate::{
    Bound, Error, Method, Result, Validity,
    error::{check_confidence, check_delta, check_gaussian_delta, check_part},
};

/// Outcomes of a membership test on known members and non-members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confusion {
    members: u64,
    nonmembers: u64,
    tp: u64,
    fp: u64,
}

/// Upper confidence limits on a test's two error rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRates {
    /// On the false-positive rate.
    pub fpr_upper: f64,
    /// On the false-negative rate.
    pub fnr_upper: f64,
}

impl Confusion {
    /// `tp` of `members` were found, `fp` of `nonmembers` were flagged.
    ///
    /// # Errors
    /// If a part exceeds its whole, or a side is empty.
    pub fn new(members: u64, nonmembers: u64, tp: u64, fp: u64) -> Result<Self> {
        for (name, count) in [("members", members), ("nonmembers", nonmembers)] {
            if count == 0 {
                return Err(Error::Range { name, value: 0.0, expected: "at least 1" });
            }
        }
        check_part(("tp", tp), ("members", members))?;
        check_part(("fp", fp), ("nonmembers", nonmembers))?;
        Ok(Self { members, nonmembers, tp, fp })
    }

    /// The same trials with every answer right.
    pub fn all_correct(&self) -> Self {
        Self { tp: self.members, fp: 0, ..*self }
    }

    /// Members not found.
    pub fn false_negatives(&self) -> u64 {
        self.members - self.tp
    }

    /// Clopper and Pearson's upper limits on both error rates, which hold together at `confidence`.
    ///
    /// # Errors
    /// The confidence must be inside (0.5, 1).
    pub fn error_rates(&self, confidence: f64) -> Result<ErrorRates> {
        check_confidence(confidence)?;
        self.error_rates_at_level(1.0 - confidence)
    }

    pub(crate) fn error_rates_at_level(&self, level: f64) -> Result<ErrorRates> {
        Ok(ErrorRates {
            fpr_upper: clopper_pearson_upper(self.fp, self.nonmembers, 0.5 * level)?,
            fnr_upper: clopper_pearson_upper(self.false_negatives(), self.members, 0.5 * level)?,
        })
    }

    /// Lower bound on ε that holds for every (ε, δ)-DP mechanism.
    ///
    /// # Errors
    /// δ must be in [0, 1), the one-sided confidence inside (0.5, 1).
    pub fn clopper_pearson(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_delta(delta)?;
        let rates = self.error_rates(confidence)?;
        Ok(bound(Method::ClopperPearson, delta, confidence, rates.epsilon(delta)))
    }

    /// Lower bound on ε of a mechanism whose trade-off curve is a Gaussian's, or above it.
    ///
    /// # Errors
    /// δ must be inside (0, 1), the one-sided confidence inside (0.5, 1).
    pub fn gdp(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_gaussian_delta(delta)?;
        let mu = self.error_rates(confidence)?.mu();
        let of_epsilon = bound(Method::Gdp, delta, confidence, tradeoff::epsilon(mu, delta)?);
        Ok(Bound { mu_lower: Some(mu), ..of_epsilon })
    }

    /// Equal-tailed credible interval of ε: FPR ~ Beta(½ + fp, ½ + tn) and FNR ~ Beta(½ + fn, ½ + tp), independent, and
    /// C(e) the probability that both lie in the (e, δ) region; the ends solve C = (1 − confidence)/2 and
    /// C = (1 + confidence)/2. The lower end is 0 where C(0) is already larger.
    ///
    /// # Errors
    /// δ must be in [0, 1), the mass of the interval inside (0.5, 1).
    pub fn bayes(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_delta(delta)?;
        check_confidence(confidence)?;
        let posterior = self.posterior()?;
        let tail = 0.5 * (1.0 - confidence);
        let lower = posterior.quantile(tail, delta)?;
        Ok(Bound {
            epsilon_upper: Some(posterior.quantile_above(tail, delta)?.max(lower)),
            valid: Validity::Credible,
            ..bound(Method::Bayes, delta, confidence, lower)
        })
    }

    /// The lower end of [`bayes`](Self::bayes) alone, at half of its cost.
    ///
    /// # Errors
    /// As there.
    pub fn bayes_lower(&self, delta: f64, confidence: f64) -> Result<f64> {
        check_delta(delta)?;
        check_confidence(confidence)?;
        self.posterior()?.quantile(0.5 * (1.0 - confidence), delta)
    }

    /// C(e), the posterior probability that the true ε at δ is at most e.
    ///
    /// # Errors
    /// δ must be in [0, 1), e finite and at least 0.
    pub fn posterior_probability(&self, epsilon: f64, delta: f64) -> Result<f64> {
        check_delta(delta)?;
        crate::error::check_epsilon(epsilon)?;
        Ok((1.0 - self.posterior()?.outside(epsilon, delta)?).clamp(0.0, 1.0))
    }

    pub(crate) fn posterior(&self) -> Result<bayes::Posterior> {
        let half = |count: u64| count as f64 + 0.5;
        bayes::Posterior::new(
            [half(self.fp), half(self.nonmembers - self.fp)],
            [half(self.false_negatives()), half(self.tp)],
        )
    }
}

/// A bound with nothing but ε.
fn bound(method: Method, delta: f64, confidence: f64, epsilon_lower: f64) -> Bound {
    Bound { epsilon_lower, epsilon_upper: None, mu_lower: None, delta, confidence, method, valid: Validity::Valid }
}

impl ErrorRates {
    /// The largest ε at δ that these rates refute.
    pub(crate) fn epsilon(&self, delta: f64) -> f64 {
        let term = |covered: f64, missed: f64| {
            let numerator = 1.0 - delta - covered;
            if numerator > 0.0 { (numerator / missed).ln() } else { 0.0 }
        };
        term(self.fpr_upper, self.fnr_upper).max(term(self.fnr_upper, self.fpr_upper)).max(0.0)
    }

    /// The largest μ that these rates refute.
    pub(crate) fn mu(&self) -> f64 {
        // Φ⁻¹(1 − F) = −Φ⁻¹(F), without the rounding of 1 − F.
        (-normal_quantile(self.fpr_upper) - normal_quantile(self.fnr_upper)).max(0.0)
    }
}
