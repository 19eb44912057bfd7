//! Two methods on the same items: the difference, whether it is real, and how many items would show it.

use serde::{Deserialize, Serialize};

use crate::{
    binomial,
    cluster::{Correction, clustered_mean},
    describe::{mean, std_error},
    error::{Error, Result, check, check_confidence},
    special::{normal_quantile, student_t_quantile},
};

/// What paired samples tell about a − b.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Number of pairs.
    pub n: usize,
    /// The mean of `a[i] − b[i]`.
    pub diff: f64,
    /// Its standard error, clustered if clusters were given; none with a single cluster.
    pub se: Option<f64>,
    /// Lower end of diff ± t·se, with n − 1 degrees of freedom, or clusters − 1.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Pearson's correlation of a and b; none where either is constant.
    pub corr: Option<f64>,
    /// Items that only a has right, where all values are 0 or 1.
    pub b: Option<u64>,
    /// Items that only b has right, where all values are 0 or 1.
    pub c: Option<u64>,
    /// [`mcnemar_exact`] of those, where all values are 0 or 1.
    pub p_mcnemar: Option<f64>,
}

/// Compares two methods item by item. At least two pairs.
///
/// `clusters[i]`, if given, names the cluster of pair i (see [`clustered_mean`]). Pairing pays when the methods find the
/// same items hard: the variance of the difference falls by 2·corr·s_a·s_b.
///
/// Errors: lengths that differ, values that are not finite, a confidence outside (0, 1).
///
/// ```
/// let a = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0];
/// let b = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0];
/// let p = ashlar_stats::paired::paired(&a, &b, None, 0.95)?;
/// assert_eq!((p.b, p.c), (Some(5), Some(1)));
/// assert!((p.p_mcnemar.unwrap() - 0.21875).abs() < 1e-15);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn paired(a: &[f64], b: &[f64], clusters: Option<&[usize]>, confidence: f64) -> Result<Paired> {
    check_confidence(confidence)?;
    if a.len() != b.len() {
        return Err(Error::Unpaired { left: a.len(), right: b.len() });
    }
    check("the first paired sample", a, 2)?;
    check("the second paired sample", b, 2)?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let diff = mean(&differences)?;
    let (se, dof) = match clusters {
        None => (Some(std_error(&differences)?), a.len() as f64 - 1.0),
        Some(clusters) => {
            let m = clustered_mean(&differences, clusters, Correction::Finite, confidence)?;
            (m.se_clustered, m.n_clusters as f64 - 1.0)
        }
    };
    let half = se.map(|se| student_t_quantile(0.5 + 0.5 * confidence, dof) * se);
    let counts = discordant(a, b);
    Ok(Paired {
        n: a.len(),
        diff,
        se,
        lo: half.map(|half| diff - half),
        hi: half.map(|half| diff + half),
        corr: correlation(a, b)?,
        b: counts.map(|(b, _)| b),
        c: counts.map(|(_, c)| c),
        p_mcnemar: counts.map(|(b, c)| mcnemar_exact(b, c)),
    })
}

/// Items only a has, and items only b has; none if some value is neither 0 nor 1.
fn discordant(a: &[f64], b: &[f64]) -> Option<(u64, u64)> {
    if !a.iter().chain(b).all(|v| *v == 0.0 || *v == 1.0) {
        return None;
    }
    let count = |x: &[f64], y: &[f64]| x.iter().zip(y).filter(|(x, y)| x > y).count() as u64;
    Some((count(a, b), count(b, a)))
}

/// Pearson's correlation of samples of one length; none where either is constant.
fn correlation(a: &[f64], b: &[f64]) -> Result<Option<f64>> {
    let (centre_a, centre_b) = (mean(a)?, mean(b)?);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - centre_a, b - centre_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let r = ab / (aa.sqrt() * bb.sqrt());
    Ok(r.is_finite().then(|| r.clamp(-1.0, 1.0)))
}

/// McNemar's exact two-sided p-value from the discordant counts: 2·P[B(b + c, ½) ≤ min(b, c)], at most 1.
///
/// It conditions on the items where the methods differ; the others say nothing about which is better.
pub fn mcnemar_exact(b: u64, c: u64) -> f64 {
    if b == c {
        return 1.0;
    }
    (2.0 * binomial::cdf(b.min(c), b.saturating_add(c), 0.5)).min(1.0)
}

/// How many pairs a two-sided test at level `alpha` needs to find a true mean difference with probability `power`, if
/// the pairs' differences have standard deviation `sd`: ⌈((z₁₋α/₂ + z_power)·sd/difference)²⌉, at least 1.
///
/// Errors: a negative sd, a difference of 0, a power or alpha outside (0, 1), a count beyond 2⁶³.
///
/// ```
/// // Differences of 0/1 items with sd 0.6: three points at 80 % power need 3,140 items.
/// assert_eq!(ashlar_stats::paired::items_needed(0.6, 0.03, 0.8, 0.05), Ok(3140));
/// ```
pub fn items_needed(sd: f64, difference: f64, power: f64, alpha: f64) -> Result<u64> {
    let range = |name, found, inside, expected| {
        if inside { Ok(()) } else { Err(Error::OutOfRange { name, found, expected }) }
    };
    range("the standard deviation", sd, sd >= 0.0 && sd.is_finite(), "at least 0, and finite")?;
    range("the difference", difference, difference != 0.0 && difference.is_finite(), "finite, and not 0")?;
    range("the power", power, power > 0.0 && power < 1.0, "inside (0, 1), as 0.8")?;
    range("alpha", alpha, alpha > 0.0 && alpha < 1.0, "inside (0, 1), as 0.05")?;
    let z = (normal_quantile(power) - normal_quantile(0.5 * alpha)).max(0.0);
    let items = (z * sd / difference).powi(2).ceil().max(1.0);
    range("the number of items needed", items, items < 9.2e18, "below 2⁶³: aim at a larger difference")?;
    Ok(items as u64)
}
