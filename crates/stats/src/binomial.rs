//! The binomial distribution B(n, p): its probabilities and both tails, for n up to 1e9 and beyond.
//!
//! The probability in Loader's saddle-point form (2000), the tails through the incomplete beta function. A p outside
//! [0, 1] gives NaN.

use crate::special::{HALF_LN_2PI, beta_inc_pair, deviance, stirling_error};

/// ln P[B = k]; −∞ where that is impossible.
pub fn ln_pmf(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k > n || (p == 0.0 && k > 0) || (p == 1.0 && k < n) {
        return f64::NEG_INFINITY;
    }
    let (successes, failures, trials) = (k as f64, (n - k) as f64, n as f64);
    if p == 0.0 || p == 1.0 {
        return 0.0;
    }
    if k == 0 {
        return trials * (-p).ln_1p();
    }
    if k == n {
        return trials * p.ln();
    }
    let gap = (-trials).mul_add(p, successes);
    stirling_error(trials)
        - stirling_error(successes)
        - stirling_error(failures)
        - deviance(successes, trials * p, gap)
        - deviance(failures, trials * (1.0 - p), -gap)
        + 0.5 * (trials / (successes * failures)).ln()
        - HALF_LN_2PI
}

/// P[B = k].
pub fn pmf(k: u64, n: u64, p: f64) -> f64 {
    ln_pmf(k, n, p).exp()
}

/// The chance of more than k, P\[B > k\].
pub fn sf(k: u64, n: u64, p: f64) -> f64 {
    tails(k, n, p).0
}

/// The chance of at most k, P\[B ≤ k\].
pub fn cdf(k: u64, n: u64, p: f64) -> f64 {
    tails(k, n, p).1
}

/// P[B > k] = I_p(k + 1, n − k), and the rest.
fn tails(k: u64, n: u64, p: f64) -> (f64, f64) {
    if !(0.0..=1.0).contains(&p) {
        return (f64::NAN, f64::NAN);
    }
    if k >= n {
        return (0.0, 1.0);
    }
    beta_inc_pair(k as f64 + 1.0, (n - k) as f64, p, 1.0 - p)
}
