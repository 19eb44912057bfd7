//! Exact binomial bounds (Clopper and Pearson, 1934).

use super::Interval;
use crate::{
    error::{Error, Result, check_confidence},
    special::beta_inc_inv_pair,
};

/// The exact interval for a proportion: each end excludes its side at (1 − confidence)/2. It never covers less often
/// than it says, and more often where n is small; [`wilson`](super::wilson) is shorter.
///
/// ```
/// let i = ashlar_stats::interval::clopper_pearson(0, 20, 0.95)?;
/// assert!(i.low == 0.0 && (i.high - 0.168_433_470_983_085).abs() < 1e-14);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Result<Interval> {
    check_confidence(confidence)?;
    let alpha = 0.5 * (1.0 - confidence);
    let low = clopper_pearson_lower(successes, trials, alpha)?;
    let high = clopper_pearson_upper(successes, trials, alpha)?;
    Ok(Interval { low, high, confidence })
}

/// The p at which `successes` or fewer of `trials` have probability `alpha`: an upper bound with confidence 1 − alpha.
/// It is BetaInv(1 − alpha; k + 1, n − k), and 1 where every trial succeeded.
pub fn clopper_pearson_upper(successes: u64, trials: u64, alpha: f64) -> Result<f64> {
    check(successes, trials, alpha)?;
    if successes == trials {
        return Ok(1.0);
    }
    let (k, rest) = (successes as f64, (trials - successes) as f64);
    Ok(beta_inc_inv_pair(k + 1.0, rest, 1.0 - alpha, alpha).0)
}

/// The p at which `successes` or more of `trials` have probability `alpha`: a lower bound with confidence 1 − alpha.
/// It is BetaInv(alpha; k, n − k + 1), and 0 where no trial succeeded.
pub fn clopper_pearson_lower(successes: u64, trials: u64, alpha: f64) -> Result<f64> {
    check(successes, trials, alpha)?;
    if successes == 0 {
        return Ok(0.0);
    }
    let (k, rest) = (successes as f64, (trials - successes) as f64);
    Ok(beta_inc_inv_pair(k, rest + 1.0, alpha, 1.0 - alpha).0)
}

fn check(successes: u64, trials: u64, alpha: f64) -> Result<()> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::OutOfRange { name: "alpha", found: alpha, expected: "inside (0, 1), as 0.025" });
    }
    if trials == 0 {
        return Err(Error::TooFew { what: "a proportion", needed: 1, found: 0 });
    }
    if successes > trials {
        return Err(Error::Count { successes, trials });
    }
    Ok(())
}
