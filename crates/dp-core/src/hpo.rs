//! What a private hyper-parameter search costs (Panda et al., "A New Linear Scaling Rule for Private Adaptive
//! Hyperparameter Optimization", 2024).
//!
//! Each run is full-batch Gaussian noise, calibrated to its own ε at the common δ, hence μᵢ-GDP, and the search with
//! its final run is √(Σμᵢ²)-GDP **over every run, losers included**. Adding the runs' ε, or their δ, would be wrong in
//! one direction or the other. [`final_epsilon`] solves the other way: what the final run may spend.

use ashlar_stats::tradeoff;

use crate::{Error, Result, convert::open_delta};

/// So many runs, each calibrated to `epsilon`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trials {
    /// ε of each run on its own.
    pub epsilon: f64,
    /// Number of runs.
    pub runs: u64,
}

/// A search's cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// ε of the final run on its own.
    pub final_epsilon: f64,
    /// μ of the final run.
    pub final_mu: f64,
    /// μ of everything.
    pub mu_total: f64,
    /// ε of everything.
    pub epsilon: f64,
}

/// The cost of trials and a final run at `final_epsilon`.
///
/// # Errors
/// [`Error::Range`] unless each ε is positive and finite and δ in (0, 1).
pub fn total(trials: &[Trials], final_epsilon: f64, delta: f64) -> Result<Search> {
    let spent = squared_mu(trials, delta)?;
    let final_mu = mu("final", final_epsilon, delta)?;
    let mu_total = (spent + final_mu * final_mu).sqrt();
    Ok(Search { final_epsilon, final_mu, mu_total, epsilon: tradeoff::epsilon(mu_total, delta)? })
}

/// What the final run may spend so that everything costs `target`: μ_f² = μ(target)² − Σμᵢ².
///
/// # Errors
/// [`Error::Spent`] where the trials alone cost the target; otherwise as [`total`].
pub fn final_epsilon(trials: &[Trials], target: f64, delta: f64) -> Result<Search> {
    let spent = squared_mu(trials, delta)?;
    let mu_total = mu("target", target, delta)?;
    let left = mu_total * mu_total - spent;
    // A remainder of rounding is no budget.
    if left <= 1e-12 * spent {
        let spent = tradeoff::epsilon(spent.sqrt(), delta)?;
        return Err(Error::Spent { what: "the trials", spent, target });
    }
    let final_mu = left.sqrt();
    Ok(Search { final_epsilon: tradeoff::epsilon(final_mu, delta)?, final_mu, mu_total, epsilon: target })
}

fn squared_mu(trials: &[Trials], delta: f64) -> Result<f64> {
    open_delta(delta)?;
    trials
        .iter()
        .map(|trial| {
            let mu = mu("trials", trial.epsilon, delta)?;
            Ok(trial.runs as f64 * mu * mu)
        })
        .sum()
}

fn mu(name: &'static str, epsilon: f64, delta: f64) -> Result<f64> {
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Error::Range { name, value: epsilon, expected: "a positive and finite epsilon" });
    }
    Ok(tradeoff::mu(epsilon, delta)?)
}
