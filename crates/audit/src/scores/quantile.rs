//! Quantile regression attack (Bertran et al. 2023): φ(x) − q̂(x), where q̂ predicts the (1 − α)-quantile of a
//! non-member's statistic from the example itself. Positive means "above what a non-member like this would reach".

use super::{check_list, finished, mean};
use crate::{Error, Result};

/// φ − q̂.
///
/// # Errors
/// If either is not finite.
pub fn quantile_score(observed: f64, quantile: f64) -> Result<f64> {
    check_list("observed", &[observed])?;
    check_list("quantile", &[quantile])?;
    finished("quantile", observed - quantile)
}

fn check_pairs(observed: &[f64], predicted: &[f64], alpha: f64) -> Result<()> {
    check_list("observed", observed)?;
    check_list("quantile", predicted)?;
    if observed.len() != predicted.len() {
        return Err(Error::Lengths {
            left: "observed",
            left_len: observed.len(),
            right: "quantile",
            right_len: predicted.len(),
        });
    }
    if alpha > 0.0 && alpha < 1.0 {
        Ok(())
    } else {
        Err(Error::Range { name: "alpha", value: alpha, expected: "inside (0, 1), as 0.01" })
    }
}

/// Mean pinball loss of predicted (1 − α)-quantiles on non-members: (1 − α)·(φ − q̂) above, α·(q̂ − φ) below. The true
/// quantiles minimise it, so a regressor is worth something only if it beats the best constant.
///
/// # Errors
/// If the lists are empty, differ in length or are not finite, or α is outside (0, 1).
pub fn pinball_loss(observed: &[f64], predicted: &[f64], alpha: f64) -> Result<f64> {
    check_pairs(observed, predicted, alpha)?;
    let one = |(y, q): (&f64, &f64)| if y >= q { (1.0 - alpha) * (y - q) } else { alpha * (q - y) };
    finished("pinball loss", mean(&observed.iter().zip(predicted).map(one).collect::<Vec<_>>()))
}

/// Share of non-members at or below their predicted quantile; a calibrated regressor has 1 − α.
///
/// # Errors
/// If the lists are empty, differ in length or are not finite.
pub fn coverage(observed: &[f64], predicted: &[f64]) -> Result<f64> {
    check_pairs(observed, predicted, 0.5)?;
    let below = observed.iter().zip(predicted).filter(|(y, q)| y <= q).count();
    Ok(below as f64 / observed.len() as f64)
}
