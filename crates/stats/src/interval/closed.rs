//! Intervals in closed form.

use super::Interval;
use crate::{
    describe::{mean, std_error},
    error::{Error, Result, check, check_confidence},
    special::{normal_quantile, student_t_quantile},
};

/// Wilson's score interval for a proportion: the p that a score test at this confidence does not reject.
///
/// Centre (p̂ + z²/2n) / (1 + z²/n), half width z·√(p̂(1−p̂)/n + z²/4n²) / (1 + z²/n). It never leaves [0, 1] and keeps
/// its coverage near 0 and 1, where p̂ ± z·se does not.
///
/// ```
/// let i = ashlar_stats::interval::wilson(37, 50, 0.95)?;
/// assert!((i.low - 0.604468427351512).abs() < 1e-12 && (i.high - 0.841284725064476).abs() < 1e-12);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Result<Interval> {
    check_confidence(confidence)?;
    if trials == 0 {
        return Err(Error::TooFew { what: "a proportion", needed: 1, found: 0 });
    }
    if successes > trials {
        return Err(Error::Count { successes, trials });
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let z = normal_quantile(0.5 + confidence / 2.0);
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // The ends are exactly 0 and 1 at the borders; rounding would leave 1e-17 there.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Ok(Interval { low, high, confidence })
}

/// Student's interval for a mean: x̄ ± t(n−1)·s/√n, of at least two values.
pub fn t_mean(x: &[f64], confidence: f64) -> Result<Interval> {
    check_confidence(confidence)?;
    check("a t interval", x, 2)?;
    let centre = mean(x)?;
    let half = student_t_quantile(0.5 + confidence / 2.0, (x.len() - 1) as f64) * std_error(x)?;
    Ok(Interval { low: centre - half, high: centre + half, confidence })
}
