//! The mean of items that come in clusters: questions about one text, answers of one user, rows of one client.
//!
//! Items of a cluster resemble each other, so n of them tell less than n independent ones; the plain standard error
//! is too small then, often by a factor of two or three (Miller, 2024).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    describe::{mean, std_error},
    error::{Error, Result, check, check_confidence},
    interval::Interval,
    special::student_t_quantile,
};

/// How the variance between C clusters is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// By C/(C − 1), for few clusters (as Inspect does, and cluster-robust regression up to (n − 1)/n).
    #[default]
    Finite,
    /// Not at all: the form of Miller's paper.
    None,
}

/// A mean with its plain and its clustered standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusteredMean {
    /// Number of items.
    pub n: usize,
    /// Their mean, every item with equal weight.
    pub mean: f64,
    /// s/√n, as if the items were independent.
    pub se: f64,
    /// The clustered standard error; none with a single cluster, which says nothing about others.
    pub se_clustered: Option<f64>,
    /// Number of clusters C.
    pub n_clusters: usize,
    /// Mean ± t(C − 1)·`se_clustered`; none with a single cluster.
    pub interval: Option<Interval>,
}

/// The mean of at least two items with the clustered standard error √(κ·Σ_c(Σ_{i∈c}(xᵢ − x̄))²)/n, κ by `correction`.
///
/// `clusters[i]` names the cluster of `x[i]`; any numbers do. Errors: lengths that differ, values that are not finite, a
/// confidence outside (0, 1).
///
/// ```
/// use ashlar_stats::cluster::{Correction, clustered_mean};
///
/// let right = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
/// let text = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3];
/// let m = clustered_mean(&right, &text, Correction::Finite, 0.95)?;
/// assert!((m.se_clustered.unwrap() - 0.159_571_184_626_056).abs() < 1e-14);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn clustered_mean(x: &[f64], clusters: &[usize], correction: Correction, confidence: f64) -> Result<ClusteredMean> {
    check_confidence(confidence)?;
    if clusters.len() != x.len() {
        return Err(Error::Length { what: "the cluster labels", expected: x.len(), found: clusters.len() });
    }
    check("a clustered mean", x, 2)?;
    let centre = mean(x)?;
    let mut sums = BTreeMap::new();
    for (value, cluster) in x.iter().zip(clusters) {
        *sums.entry(*cluster).or_insert(0.0) += value - centre;
    }
    let n_clusters = sums.len();
    let c = n_clusters as f64;
    let scale = match correction {
        Correction::Finite => c / (c - 1.0),
        Correction::None => 1.0,
    };
    let squares: f64 = sums.values().map(|sum| sum * sum).sum();
    let se_clustered = (n_clusters > 1).then(|| (scale * squares).sqrt() / x.len() as f64);
    let interval = se_clustered.map(|se| {
        let half = student_t_quantile(0.5 + 0.5 * confidence, c - 1.0) * se;
        Interval { low: centre - half, high: centre + half, confidence }
    });
    Ok(ClusteredMean { n: x.len(), mean: centre, se: std_error(x)?, se_clustered, n_clusters, interval })
}
