//! The area under the ROC curve, by ranks.

use serde::{Deserialize, Serialize};

use crate::{
    describe::variance,
    error::{Error, Result},
    special::normal_quantile,
};

/// An AUROC with DeLong's standard error and the 95 % interval from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auroc {
    /// P[a positive scores above a negative], ties half.
    pub auroc: f64,
    /// DeLong's standard error.
    pub se: f64,
    /// Lower end of the 95 % interval, at least 0.
    pub low: f64,
    /// Upper end, at most 1.
    pub high: f64,
    /// Number of positives.
    pub n_pos: usize,
    /// Number of negatives.
    pub n_neg: usize,
}

/// P[a positive scores above a negative], ties half, from at least one of each. Infinite scores are ranked; NaN is an
/// error. O(n log n).
pub fn auc(scores: &[f64], labels: &[bool]) -> Result<f64> {
    let placements = Placements::of(scores, labels, 1)?;
    Ok(placements.auc())
}

/// [`auc`] with the standard error of DeLong, DeLong and Clarke-Pearson (1988) and a 95 % interval, from at least two of
/// each.
///
/// A perfect separation has a standard error of 0: the interval then says nothing, whatever n.
///
/// ```
/// let scores = [0.1, 0.4, 0.35, 0.8, 0.65, 0.4, 0.9, 0.2];
/// let labels = [false, false, true, true, true, true, true, false];
/// let a = ashlar_stats::rank::auroc(&scores, &labels)?;
/// assert!((a.auroc - 0.9).abs() < 1e-15 && (a.se - 0.120_185_042_515_466).abs() < 1e-14);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<Auroc> {
    let placements = Placements::of(scores, labels, 2)?;
    let (n_pos, n_neg) = (placements.positives.len(), placements.negatives.len());
    let auroc = placements.auc();
    let var = variance(&placements.positives)? / n_pos as f64 + variance(&placements.negatives)? / n_neg as f64;
    let se = var.max(0.0).sqrt();
    let half = normal_quantile(0.975) * se;
    Ok(Auroc { auroc, se, low: (auroc - half).max(0.0), high: (auroc + half).min(1.0), n_pos, n_neg })
}

/// For each positive the share of negatives below it, for each negative the share of positives above it, ties half.
struct Placements {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Placements {
    fn of(scores: &[f64], labels: &[bool], needed: usize) -> Result<Self> {
        if labels.len() != scores.len() {
            return Err(Error::Length { what: "the labels", expected: scores.len(), found: labels.len() });
        }
        if let Some(index) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::NotFinite { what: "the scores", index, value: scores[index] });
        }
        let n_pos = labels.iter().filter(|positive| **positive).count();
        let n_neg = labels.len() - n_pos;
        for (what, found) in [("an AUROC, of the positives,", n_pos), ("an AUROC, of the negatives,", n_neg)] {
            if found < needed {
                return Err(Error::TooFew { what, needed, found });
            }
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&i, &j| scores[i].partial_cmp(&scores[j]).unwrap_or(std::cmp::Ordering::Equal));
        let (mut positives, mut negatives) = (Vec::with_capacity(n_pos), Vec::with_capacity(n_neg));
        let (mut pos_below, mut neg_below) = (0, 0);
        for tied in order.chunk_by(|&i, &j| scores[i] == scores[j]) {
            let pos = tied.iter().filter(|i| labels[**i]).count();
            let neg = tied.len() - pos;
            let below = (neg_below as f64 + 0.5 * neg as f64) / n_neg as f64;
            let above = ((n_pos - pos_below - pos) as f64 + 0.5 * pos as f64) / n_pos as f64;
            positives.resize(positives.len() + pos, below);
            negatives.resize(negatives.len() + neg, above);
            pos_below += pos;
            neg_below += neg;
        }
        Ok(Self { positives, negatives })
    }

    fn auc(&self) -> f64 {
        self.positives.iter().sum::<f64>() / self.positives.len() as f64
    }
}
