//! Scores of a text from its token log-probabilities ℓ₁ … ℓ_T (natural logarithms; a first token without context has
//! none).
//!
//! | score | formula | source |
//! | --- | --- | --- |
//! | [`Loss`] | mean ℓ | Yeom et al. 2018 |
//! | [`Ratio`] | mean ℓ − mean ℓ of a reference model | Carlini et al. 2021 |
//! | [`Zlib`] | mean ℓ ÷ zlib bytes of the text | Carlini et al. 2021 |
//! | [`MinK`] | mean of the max(1, ⌊k·T⌋) smallest ℓ | Shi et al. 2024 |
//! | [`MinKPlusPlus`] | the same over (ℓ_t − μ_t)/σ_t | Zhang et al. 2024 |
//! | [`Neighbourhood`] | mean ℓ − average over perturbed texts | Mattern et al. 2023 |
//! | [`Recall`] | mean ℓ given a non-member prefix ÷ mean ℓ | Xie et al. 2024 |

use super::{Score, check_list, finished, mean};
use crate::{Error, Result};

/// What a model said about one text, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenStats {
    /// ℓ_t: natural log-probability of each token, at most 0.
    pub log_probs: Vec<f64>,
    /// μ_t = Σ_v p_v·log p_v over the vocabulary at each token (see [`vocabulary_moments`]).
    pub mu: Option<Vec<f64>>,
    /// σ_t, the standard deviation of log p_v under p at each token, at least 0.
    pub sigma: Option<Vec<f64>>,
    /// Log-probabilities of the same text under a reference model; its tokens may be others.
    pub reference_log_probs: Option<Vec<f64>>,
    /// Log-probabilities of the same tokens after a prefix of non-members.
    pub conditional_log_probs: Option<Vec<f64>>,
    /// Mean log-probability of each perturbed text.
    pub neighbour_means: Option<Vec<f64>>,
    /// Length of the text under stock zlib at level 6, in bytes (see [`compressed_len`](super::zlib::compressed_len)).
    pub zlib_bytes: Option<u64>,
}

/// The slack that rounding in half precision gives a log-probability above 0.
const ROUNDING: f64 = 1e-2;

impl TokenStats {
    /// What is known from log-probabilities alone.
    pub fn new(log_probs: Vec<f64>) -> Self {
        Self { log_probs, ..Self::default() }
    }

    fn mean_log_prob(&self) -> Result<f64> {
        check_log_probs("log-probs", &self.log_probs)?;
        Ok(mean(&self.log_probs))
    }
}

/// Refuses what is no list of log-probabilities: losses have the other sign, and would turn every score around.
fn check_log_probs(list: &'static str, values: &[f64]) -> Result<()> {
    check_list(list, values)?;
    match values.iter().position(|&l| l > ROUNDING) {
        Some(index) => Err(Error::unusable(
            format!("{list}[{index}] = {}", values[index]),
            "a log-probability is at most 0 (a loss has the other sign)",
        )),
        None => Ok(()),
    }
}

fn needed<'a, T>(value: Option<&'a T>, score: &'static str, why: &'static str) -> Result<&'a T> {
    value.ok_or_else(|| Error::unusable(score, why))
}

/// Mean log-probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss;

impl Score for Loss {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        finished("loss", stats.mean_log_prob()?)
    }
}

/// Mean log-probability beyond a reference model's: what the text's own difficulty explains is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio;

impl Score for Ratio {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        let target = stats.mean_log_prob()?;
        let reference =
            needed(stats.reference_log_probs.as_ref(), "ratio", "it needs the log-probabilities of a reference model")?;
        check_log_probs("reference-log-probs", reference)?;
        finished("ratio", target - mean(reference))
    }
}

/// Mean log-probability divided by the number of bytes that zlib makes of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Zlib;

impl Score for Zlib {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        let target = stats.mean_log_prob()?;
        let bytes = *needed(stats.zlib_bytes.as_ref(), "zlib", "it needs the text's length under zlib at level 6")?;
        if bytes == 0 {
            return Err(Error::Range { name: "zlib-bytes", value: 0.0, expected: "at least 1" });
        }
        finished("zlib", target / bytes as f64)
    }
}

/// How many of `tokens` tokens Min-K% takes: max(1, ⌊k·T⌋), the floor of the double-precision product.
///
/// # Errors
/// If k is outside (0, 1].
pub fn min_k_count(k: f64, tokens: usize) -> Result<usize> {
    if k > 0.0 && k <= 1.0 {
        // Published programs take ⌊k·T⌋ alone, and the mean of no token is NaN on short texts.
        Ok(((k * tokens as f64).floor() as usize).max(1))
    } else {
        Err(Error::Range { name: "k", value: k, expected: "in (0, 1], as 0.2" })
    }
}

/// Mean of the smallest values, as many as [`min_k_count`] says.
fn mean_of_smallest(k: f64, mut values: Vec<f64>) -> Result<f64> {
    let count = min_k_count(k, values.len())?;
    values.sort_unstable_by(f64::total_cmp);
    Ok(mean(&values[..count]))
}

/// Min-K%: mean log-probability of the least likely tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinK {
    /// Share of tokens that count, in (0, 1].
    pub k: f64,
}

impl Default for MinK {
    fn default() -> Self {
        Self { k: 0.2 }
    }
}

impl Score for MinK {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        check_log_probs("log-probs", &stats.log_probs)?;
        finished("min-k", mean_of_smallest(self.k, stats.log_probs.clone())?)
    }
}

/// Min-K%++: the same over log-probabilities standardised by their mean and spread over the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinKPlusPlus {
    /// Share of tokens that count, in (0, 1].
    pub k: f64,
}

impl Default for MinKPlusPlus {
    fn default() -> Self {
        Self { k: 0.2 }
    }
}

/// The least variance over the vocabulary; a model that is sure of a token has none, and 0/0 is no score.
const LEAST_VARIANCE: f64 = 1e-12;

impl Score for MinKPlusPlus {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        let log_probs = &stats.log_probs;
        check_log_probs("log-probs", log_probs)?;
        let why = "it needs mu and sigma, the mean and the spread of log p over the vocabulary at each token";
        let mu = needed(stats.mu.as_ref(), "min-k-pp", why)?;
        let sigma = needed(stats.sigma.as_ref(), "min-k-pp", why)?;
        for (list, values) in [("mu", mu), ("sigma", sigma)] {
            check_list(list, values)?;
            if values.len() != log_probs.len() {
                return Err(Error::Lengths {
                    left: "log-probs",
                    left_len: log_probs.len(),
                    right: list,
                    right_len: values.len(),
                });
            }
        }
        if let Some(index) = sigma.iter().position(|&s| s < 0.0) {
            let what = format!("sigma[{index}] = {}", sigma[index]);
            return Err(Error::unusable(what, "a standard deviation is at least 0"));
        }
        let z = |((l, m), s): ((&f64, &f64), &f64)| (l - m) / s.max(LEAST_VARIANCE.sqrt());
        finished("min-k-pp", mean_of_smallest(self.k, log_probs.iter().zip(mu).zip(sigma).map(z).collect())?)
    }
}

/// μ = Σ p·log p and σ of one next-token distribution, given all its log-probabilities; σ² is at least 1e-12.
///
/// Costs one pass over the vocabulary. A token of probability 0 (log-probability −∞) adds nothing to either.
///
/// # Errors
/// If there is no entry, or one is NaN or above 0.
pub fn vocabulary_moments(log_probs: &[f64]) -> Result<(f64, f64)> {
    let list = "vocabulary";
    if log_probs.is_empty() {
        return Err(Error::Empty { list });
    }
    if let Some(index) = log_probs.iter().position(|l| l.is_nan() || *l > ROUNDING) {
        return Err(Error::unusable(
            format!("{list}[{index}] = {}", log_probs[index]),
            "a log-probability is at most 0 (a logit needs a log-softmax first)",
        ));
    }
    let possible = || log_probs.iter().filter(|l| l.exp() > 0.0).map(|&l| (l.exp(), l));
    let mu: f64 = possible().map(|(p, l)| p * l).sum();
    // Around the mean: Σp·log²p − μ² cancels where the model is nearly sure.
    let variance: f64 = possible().map(|(p, l)| p * (l - mu) * (l - mu)).sum();
    Ok((mu, variance.max(LEAST_VARIANCE).sqrt()))
}

/// Mean log-probability beyond that of perturbed texts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Neighbourhood;

impl Neighbourhood {
    /// Perturbed texts that an average must have at least.
    pub const LEAST: usize = 25;
}

impl Score for Neighbourhood {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        let target = stats.mean_log_prob()?;
        let why = "it needs the mean log-probability of at least 25 perturbed texts";
        let means = needed(stats.neighbour_means.as_ref(), "neighbourhood", why)?;
        check_log_probs("neighbour-means", means)?;
        if means.len() < Self::LEAST {
            return Err(Error::unusable(format!("neighbourhood with {} perturbed texts", means.len()), why));
        }
        finished("neighbourhood", target - mean(means))
    }
}

/// How much less likely a prefix of non-members makes the text: both means are negative, a member loses more, so the
/// plain quotient has our sign (programs in which low means member negate it).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recall;

impl Score for Recall {
    fn score(&self, stats: &TokenStats) -> Result<f64> {
        let alone = stats.mean_log_prob()?;
        let why = "it needs the log-probabilities after a prefix of non-members";
        let conditional = needed(stats.conditional_log_probs.as_ref(), "recall", why)?;
        check_log_probs("conditional-log-probs", conditional)?;
        if alone == 0.0 {
            return Err(Error::unusable("recall", "the text alone has probability 1: nothing can be compared with it"));
        }
        finished("recall", mean(conditional) / alone)
    }
}
