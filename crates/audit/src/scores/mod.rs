//! Membership scores from given numbers: token log-probabilities, shadow models, reference probabilities.
//!
//! One convention everywhere: **higher = more likely a member**. Published programs mix signs (some return losses, some
//! the negated mean for Min-K%); whoever compares numbers has to negate theirs, not ours.
//!
//! Nothing here returns NaN: what a formula cannot score is an error that says why.

mod lira;
mod quantile;
mod rmia;
mod text;
pub mod zlib;

pub use lira::{LiraOffline, LiraOnline, PER_EXAMPLE_MODELS, pooled_sigma, scaled_logit};
pub use quantile::{coverage, pinball_loss, quantile_score};
pub use rmia::{Rmia, Signals, Tuned};
pub use text::{
    Loss, MinK, MinKPlusPlus, Neighbourhood, Ratio, Recall, TokenStats, Zlib, min_k_count, vocabulary_moments,
};

use crate::{Error, Result};

/// A membership score of one text.
pub trait Score {
    /// The score of a text; higher = more likely a member. Always finite.
    ///
    /// # Errors
    /// If a number that the score needs is missing or outside its range.
    fn score(&self, stats: &TokenStats) -> Result<f64>;
}

/// A score, or an error where its arithmetic left the finite numbers.
fn finished(what: &str, score: f64) -> Result<f64> {
    if score.is_finite() {
        Ok(score)
    } else {
        Err(Error::unusable(format!("{what} = {score}"), "the numbers given are too large or too small to be scored"))
    }
}

/// The arithmetic mean; the caller has checked that there is at least one value.
fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Refuses an empty list, NaN and infinities.
fn check_list(list: &'static str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::Empty { list });
    }
    crate::error::check_finite(list, values)
}
