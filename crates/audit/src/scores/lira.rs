//! LiRA: the likelihood-ratio attack with shadow models (Carlini et al. 2022, "Membership Inference Attacks From First
//! Principles", algorithm 1 and section VI).
//!
//! The observed statistic is the scaled logit φ = log p_y − log Σ_{c≠y} p_c of the target model. Shadow models trained
//! with ("in") and without ("out") the example give two normal distributions; standard deviations are of the population
//! (ddof 0).

use ashlar_stats::special::{ln_sum_exp, normal_cdf};

use super::{check_list, finished, mean};
use crate::{Error, Result};

/// Shadow models a side from which on each example's own spread is steadier than the pooled one.
pub const PER_EXAMPLE_MODELS: usize = 64;

/// φ = log p_y − log Σ_{c≠y} p_c from the log-probabilities of all classes; logits give the same number.
///
/// # Errors
/// If there are fewer than two classes, `label` is none of them, or an entry is not finite.
pub fn scaled_logit(log_probs: &[f64], label: usize) -> Result<f64> {
    check_list("class log-probs", log_probs)?;
    if label >= log_probs.len() || log_probs.len() < 2 {
        let what = format!("label {label} of {} classes", log_probs.len());
        return Err(Error::unusable(what, "it must be one of at least two classes"));
    }
    let others: Vec<f64> = log_probs.iter().enumerate().filter(|(c, _)| *c != label).map(|(_, &l)| l).collect();
    finished("scaled logit", log_probs[label] - ln_sum_exp(&others))
}

/// Mean and spread of the shadow models' statistics for one example.
fn moments(list: &'static str, values: &[f64]) -> Result<(f64, f64)> {
    check_list(list, values)?;
    let centre = mean(values);
    Ok((centre, mean(&values.iter().map(|v| (v - centre) * (v - centre)).collect::<Vec<_>>()).sqrt()))
}

fn check_sigma(list: &'static str, sigma: f64) -> Result<f64> {
    if sigma > 0.0 && sigma.is_finite() {
        Ok(sigma)
    } else {
        Err(Error::unusable(
            format!("spread of {list} = {sigma}"),
            "a density needs a positive spread: give more shadow models, or pool the spread over examples",
        ))
    }
}

/// The spread pooled over examples: √(Σᵢ Σⱼ (φᵢⱼ − φ̄ᵢ)² / Σᵢ nᵢ), for fewer than [`PER_EXAMPLE_MODELS`] shadow models a
/// side. `examples` holds one list of shadow statistics an example.
///
/// Each example is centred on its own mean. The published code takes the spread of all values at once, which adds the
/// differences between examples to it.
///
/// # Errors
/// If there is nothing, a list is empty, or a value is not finite.
pub fn pooled_sigma(examples: &[Vec<f64>]) -> Result<f64> {
    let list = "shadow statistics";
    let (mut squares, mut count) = (0.0, 0usize);
    for values in examples {
        let (_, sigma) = moments(list, values)?;
        squares += sigma * sigma * values.len() as f64;
        count += values.len();
    }
    if count == 0 {
        return Err(Error::Empty { list });
    }
    finished("pooled spread", (squares / count as f64).sqrt())
}

/// log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out): shadow models on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiraOnline {
    /// Mean and standard deviation with the example in training.
    pub inside: (f64, f64),
    /// Mean and standard deviation without it.
    pub outside: (f64, f64),
}

impl LiraOnline {
    /// Fits both sides to one example's own shadow statistics.
    ///
    /// # Errors
    /// If a side is empty, not finite, or has no spread.
    pub fn fit(inside: &[f64], outside: &[f64]) -> Result<Self> {
        let (inside, outside) = (moments("in", inside)?, moments("out", outside)?);
        Self { inside, outside }.checked()
    }

    /// Fits the means to one example and takes spreads pooled over examples ([`pooled_sigma`]).
    ///
    /// # Errors
    /// As [`LiraOnline::fit`].
    pub fn with_sigma(inside: &[f64], outside: &[f64], sigma_in: f64, sigma_out: f64) -> Result<Self> {
        let (inside, outside) = ((moments("in", inside)?.0, sigma_in), (moments("out", outside)?.0, sigma_out));
        Self { inside, outside }.checked()
    }

    fn checked(self) -> Result<Self> {
        check_sigma("in", self.inside.1)?;
        check_sigma("out", self.outside.1)?;
        Ok(self)
    }

    /// The score of an observed φ.
    ///
    /// # Errors
    /// If φ is not finite or the densities leave the finite numbers.
    pub fn score(&self, observed: f64) -> Result<f64> {
        check_list("observed", &[observed])?;
        let z = |(mu, sigma): (f64, f64)| (observed - mu) / sigma;
        let (inside, outside) = (z(self.inside), z(self.outside));
        // (a² − b²)/2 as a product, so that two far tails keep their difference.
        let squares = 0.5 * (outside - inside) * (outside + inside);
        finished("lira-online", squares + (self.outside.1.ln() - self.inside.1.ln()))
    }
}

/// Φ((φ − μ_out)/σ_out): shadow models without the example only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiraOffline {
    /// Mean and standard deviation without the example.
    pub outside: (f64, f64),
}

impl LiraOffline {
    /// Fits to one example's own shadow statistics.
    ///
    /// # Errors
    /// If the list is empty, not finite, or has no spread.
    pub fn fit(outside: &[f64]) -> Result<Self> {
        let outside = moments("out", outside)?;
        check_sigma("out", outside.1)?;
        Ok(Self { outside })
    }

    /// Fits the mean to one example and takes a spread pooled over examples ([`pooled_sigma`]).
    ///
    /// # Errors
    /// As [`LiraOffline::fit`].
    pub fn with_sigma(outside: &[f64], sigma: f64) -> Result<Self> {
        let centre = moments("out", outside)?.0;
        check_sigma("out", sigma)?;
        Ok(Self { outside: (centre, sigma) })
    }

    /// The score of an observed φ, in [0, 1]. Ties at 1 begin about 8 standard deviations above the mean.
    ///
    /// # Errors
    /// If φ is not finite.
    pub fn score(&self, observed: f64) -> Result<f64> {
        check_list("observed", &[observed])?;
        finished("lira-offline", normal_cdf((observed - self.outside.0) / self.outside.1))
    }
}
