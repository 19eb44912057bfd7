//! From loss to benchmarks: average top-1 error = ε − k·exp(−γ·L), by non-linear least squares (Gemstones; Gadre et al.
//! 2024, equation 5).
//!
//! For a given γ the law is linear in (ε, k), so one variable is left: the residual sum is scanned over γ on a log grid
//! and the best valley narrowed by golden section.

use ashlar_stats::ols;

use super::power::residual_sum;
use crate::{Error, Result};

/// A fitted relation of loss and error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossToError {
    /// Error at infinite loss (chance).
    pub epsilon: f64,
    /// Factor.
    pub k: f64,
    /// Rate.
    pub gamma: f64,
    /// Sum of squared residuals.
    pub rss: f64,
}

impl LossToError {
    /// Fits losses and errors of the same length.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer than 4 points; [`Error::Undefined`] where losses don't vary or a number is not finite.
    pub fn fit(loss: &[f64], error: &[f64]) -> Result<Self> {
        if loss.len() < 4 || error.len() != loss.len() {
            let found = loss.len().min(error.len());
            return Err(Error::TooFew { what: "pairs of loss and error".to_owned(), needed: 4, found });
        }
        if loss.iter().chain(error).any(|v| !v.is_finite()) {
            return Err(Error::Undefined("a loss or error is not finite".to_owned()));
        }
        let low = loss.iter().copied().fold(f64::INFINITY, f64::min);
        let spread = loss.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
        if spread <= 0.0 {
            return Err(Error::Undefined("every loss is the same: no relation in it can be seen".to_owned()));
        }
        // γ·spread from nearly linear to a step.
        let (from, to, steps) = ((1e-4 / spread).ln(), (1e3 / spread).ln(), 400);
        let rss = |log_gamma: f64| at(loss, error, log_gamma.exp(), low).map_or(f64::INFINITY, |fit| fit.rss);
        let grid = |i: usize| from + (to - from) * i as f64 / f64::from(steps);
        let best = (0..=steps as usize).min_by(|&a, &b| rss(grid(a)).total_cmp(&rss(grid(b)))).unwrap_or(0);
        let (mut a, mut b) = (grid(best.saturating_sub(1)), grid((best + 1).min(steps as usize)));
        let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
        while b - a > 1e-10 {
            let (left, right) = (b - ratio * (b - a), a + ratio * (b - a));
            if rss(left) <= rss(right) { b = right } else { a = left }
        }
        at(loss, error, f64::midpoint(a, b).exp(), low)
    }

    /// The error at a loss.
    pub fn predict(&self, loss: f64) -> f64 {
        self.epsilon - self.k * (-self.gamma * loss).exp()
    }
}

/// The best (ε, k) for a γ. Losses count from `low`, so that the exponential stays within range.
fn at(loss: &[f64], error: &[f64], gamma: f64, low: f64) -> Result<LossToError> {
    let x: Vec<f64> = loss.iter().map(|l| (-gamma * (l - low)).exp()).collect();
    let line = ols::simple(&x, error)?;
    let rss = residual_sum(&line, &x, error);
    Ok(LossToError { epsilon: line.intercept, k: -line.slope * (gamma * low).exp(), gamma, rss })
}
