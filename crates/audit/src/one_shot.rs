//! Auditing from the distribution of the scores of one run, after Andrew et al. (2023).
//!
//! If the scores of canaries left out are N(0, σ²) and those of canaries trained on N(μσ, σ²), as for orthogonal canaries
//! under the Gaussian mechanism, then μ̂ = (mean_in − mean_out)/sd_out estimates the mechanism's μ, with
//!
//! se² = var_in/(n_in·sd_out²) + 1/n_out + μ̂²/(2·n_out),
//!
//! and μ̂ − z·se, z = Φ⁻¹(confidence), is an asymptotic lower bound. Variances have the divisor n − 1.

use ashlar_stats::{describe, special::normal_quantile, tradeoff};

use crate::{
    Bound, Error, Method, Result, ScoreSet, Validity,
    error::{check_confidence, check_gaussian_delta},
};

impl ScoreSet {
    /// Lower bound on μ from the standardised difference of the mean scores, at least 0; infinite where the non-members'
    /// scores are all equal and the members' are higher.
    ///
    /// # Errors
    /// Fewer than two scores on a side, or a confidence outside (0.5, 1).
    pub fn mu_lower_one_shot(&self, confidence: f64) -> Result<f64> {
        check_confidence(confidence)?;
        for (list, scores) in [("members", self.members()), ("nonmembers", self.nonmembers())] {
            if scores.len() < 2 {
                return Err(Error::unusable(
                    format!("{list} holds 1 score"),
                    "one-shot-gaussian needs two a side for the variances",
                ));
            }
        }
        // Squares of very large or small scores leave the range of f64; a power of two changes no digit.
        let largest = self.members().iter().chain(self.nonmembers()).fold(0.0_f64, |max, s| max.max(s.abs()));
        let scale = if largest > 0.0 { (-largest.log2().floor()).clamp(-1022.0, 1022.0).exp2() } else { 1.0 };
        let scaled = |scores: &[f64]| scores.iter().map(|s| s * scale).collect::<Vec<_>>();
        let (members, nonmembers) = (scaled(self.members()), scaled(self.nonmembers()));
        let difference = describe::mean(&members)? - describe::mean(&nonmembers)?;
        // Not by a computed variance of 0: rounding leaves 1e-34 of it.
        if nonmembers.iter().all(|&s| s == nonmembers[0]) {
            let above = members.iter().all(|&s| s == members[0]).then(|| members[0] > nonmembers[0]);
            return Ok(if above.unwrap_or(difference > 0.0) { f64::INFINITY } else { 0.0 });
        }
        let (n_in, n_out) = (members.len() as f64, nonmembers.len() as f64);
        let (var_in, var_out) = (describe::variance(&members)?, describe::variance(&nonmembers)?);
        let mu = difference / var_out.sqrt();
        let se = (var_in / (n_in * var_out) + 1.0 / n_out + mu * mu / (2.0 * n_out)).sqrt();
        let lower = mu - normal_quantile(confidence) * se;
        // Underflow of the variance leaves infinities over each other.
        Ok(if lower.is_nan() { 0.0 } else { lower.max(0.0) })
    }

    /// ε at δ of [`mu_lower_one_shot`](Self::mu_lower_one_shot).
    ///
    /// # Errors
    /// As there, and a δ outside (0, 1).
    pub fn epsilon_lower_one_shot(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_gaussian_delta(delta)?;
        let mu = self.mu_lower_one_shot(confidence)?;
        Ok(Bound {
            epsilon_lower: tradeoff::epsilon(mu, delta)?,
            epsilon_upper: None,
            mu_lower: Some(mu),
            delta,
            confidence,
            method: Method::OneShotGaussian,
            valid: Validity::Asymptotic,
        })
    }
}
