//! What n attempts at a problem say about k attempts.

use crate::{
    error::{Error, Result},
    special::stirling_error,
};

/// The unbiased estimate, from c right of n attempts, that at least one of k is right: 1 − C(n − c, k)/C(n, k) (Chen et
/// al., 2021).
///
/// Errors: c > n, a k outside 1…n.
///
/// ```
/// let p = ashlar_stats::combinatorial::pass_at_k(20, 7, 5)?;
/// assert!((p - 0.916_989_164_086_687).abs() < 1e-14);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Result<f64> {
    check(n, c, k)?;
    Ok(-ln_none_of(n, c, k).exp_m1())
}

/// The unbiased estimate that all of k attempts are right: C(c, k)/C(n, k).
pub fn pass_hat_k(n: u64, c: u64, k: u64) -> Result<f64> {
    check(n, c, k)?;
    Ok(ln_none_of(n, n - c, k).exp())
}

fn check(n: u64, c: u64, k: u64) -> Result<()> {
    if c > n {
        return Err(Error::Count { successes: c, trials: n });
    }
    if k == 0 || k > n {
        return Err(Error::OutOfRange { name: "k", found: k as f64, expected: "between 1 and the number of attempts" });
    }
    Ok(())
}

/// ln of C(n − c, k)/C(n, k), the chance that a draw of k of n misses all c: Π(1 − k/i) over i = n − c + 1 … n, in which
/// c and k may change places. Up to a million factors; beyond that Stirling's formula, to about 1e-9.
fn ln_none_of(n: u64, c: u64, k: u64) -> f64 {
    if k > n - c {
        return f64::NEG_INFINITY;
    }
    let (few, many) = (c.min(k), c.max(k));
    if few <= 1_000_000 {
        return (n - few + 1..=n).map(|i| (-(many as f64) / i as f64).ln_1p()).sum();
    }
    let total = n as f64;
    let (u, v, rest) = (c as f64 / total, k as f64 / total, (n - c - k) as f64 / total);
    if rest == 0.0 {
        // 1/C(n, k)
        return -crate::special::ln_binomial(n, k);
    }
    let main = (1.0 - u) * (-u).ln_1p() + (1.0 - v) * (-v).ln_1p() - rest * rest.ln();
    let half = 0.5 * ((-u).ln_1p() + (-v).ln_1p() - rest.ln());
    let error = stirling_error(total * (1.0 - u)) + stirling_error(total * (1.0 - v))
        - stirling_error(total * rest)
        - stirling_error(total);
    (total * main + half + error).min(0.0)
}
