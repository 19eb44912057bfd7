//! What poison can do to one top-k step, and what share of test points no small change of the logits can flip.
//!
//! *One-step certificate* (ours; the paper's multi-round constants are not reproduced here and none is printed under
//! its name). x is the server's memory before top-k, T_k keeps its k largest magnitudes, and attackers change x by δ with
//! ‖δ‖₂ ≤ R. With m of the round's W slots malicious, every update clipped to L and the mean taken over W slots,
//! R = 2mL/W (mL/W where those slots would otherwise be empty). Let A be the t smallest kept and B the t largest dropped
//! magnitudes, both descending, and s the largest t with ½·Σ_{q≤t}(A_q − B_q)² ≤ R². Then
//!
//! ‖T_k(x) − T_k(x + δ)‖₁ ≤ (√k + √(2s))·R + 2·Σ_{q≤s} B_q.
//!
//! Proof. That i leaves for j needs |δ_i| + |δ_j| ≥ |x_i| − |x_j|, hence δ_i² + δ_j² ≥ gap²/2, and the gaps of t swaps
//! are smallest in sum of squares for A against B: at most s swaps fit into R². Coordinates kept in both, and the new
//! ones, cost at most √k·R in all beside what the leavers cost, Σ|x_j| + Σgap ≤ ΣB + √(2s)·R. ∎
//!
//! A dense mean moves by up to √d·R in L1; [`Certificate::gain`] is that over our bound. It covers one server step
//! with the honest updates held fixed. The observed memory may stand for the honest one: each lies within R of the
//! other. It is no guarantee over several rounds.
//!
//! *Certified accuracy* ([`certified_accuracy`]): the published script counts test points whose two largest logits are
//! at least `bound` apart, right or wrong; we report that count and the share that is also right.
//! Cost: O(d) to find the 2k largest magnitudes, then O(k log k).

use serde::Serialize;

use crate::server::check_k;
use crate::{Error, Result};

/// A bound on what poison of norm R can do to one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Certificate {
    /// ‖T_k(x) − T_k(x + δ)‖₁ is at most this.
    pub l1: f64,
    /// s: coordinates that could be exchanged at most.
    pub swaps: usize,
    /// √d·R over the bound: how much less than a dense mean the step can move (above 1 is better).
    pub gain: f64,
}

/// R: how far `malicious` of `slots` updates of norm at most `clip` can move their mean over slots. With
/// `otherwise_empty` the slots would have held nothing, not an honest update.
pub fn poison_radius(malicious: usize, clip: f64, slots: usize, otherwise_empty: bool) -> Result<f64> {
    if slots == 0 || malicious > slots {
        return Err(Error::setting("per_round", slots, format!("at least the {malicious} malicious clients")));
    }
    if !(clip > 0.0 && clip.is_finite()) {
        return Err(Error::setting("clip.l2", clip, "a finite number above 0"));
    }
    let per_slot = if otherwise_empty { clip } else { 2.0 * clip };
    Ok(per_slot * malicious as f64 / slots as f64)
}

/// The one-step certificate for the memory `x`, k kept coordinates and poison of norm `radius`.
pub fn one_step(x: &[f32], k: usize, radius: f64) -> Result<Certificate> {
    let d = x.len();
    check_k(k, d)?;
    if !(radius >= 0.0 && radius.is_finite()) {
        return Err(Error::setting("radius", radius, "a finite number of at least 0"));
    }
    if x.iter().any(|x| !x.is_finite()) {
        return Err(Error::Diverged { what: "the server's memory before top-k" });
    }
    let mut magnitudes: Vec<f32> = x.iter().map(|x| x.abs()).collect();
    let descending = |a: &f32, b: &f32| b.total_cmp(a);
    let most = k.min(d - k);
    // The k + most largest, then the k largest of them.
    if k + most < d {
        magnitudes.select_nth_unstable_by(k + most, descending);
        magnitudes.truncate(k + most);
    }
    magnitudes.sort_unstable_by(descending);
    let (kept, dropped) = magnitudes.split_at(k);
    let cost = |t: usize| -> f64 {
        let smallest_kept = &kept[k - t..];
        smallest_kept.iter().zip(dropped).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / 2.0
    };
    // cost grows with t (each gap of t stays or grows in t + 1), so the largest affordable t is found by halving.
    // A rounding error must not make the bound too small.
    let budget = radius * radius * (1.0 + 1e-12);
    let (mut affordable, mut too_dear) = (0, most + 1);
    while too_dear - affordable > 1 {
        let t = affordable.midpoint(too_dear);
        if cost(t) <= budget { affordable = t } else { too_dear = t }
    }
    let swaps = affordable;
    let newcomers: f64 = dropped[..swaps].iter().map(|b| f64::from(*b)).sum();
    let l1 = ((k as f64).sqrt() + (2.0 * swaps as f64).sqrt()) * radius + 2.0 * newcomers;
    let dense = (d as f64).sqrt() * radius;
    Ok(Certificate { l1, swaps, gain: if l1 > 0.0 { dense / l1 } else { 1.0 } })
}

/// How many test points keep their answer under a change of the logits' gap by less than `bound`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CertifiedAccuracy {
    /// The gap that is asked for.
    pub bound: f64,
    /// The share of points that are right and have that gap.
    pub accuracy: f64,
    /// Points with that gap, right or wrong (what the published script counts).
    pub wide_gap: usize,
    /// Points in all.
    pub points: usize,
}

/// Counts points by the gap between their two largest logits; `logits` is \[points, classes\], row-major.
pub fn certified_accuracy(logits: &[f32], labels: &[u32], classes: usize, bound: f64) -> Result<CertifiedAccuracy> {
    if classes < 2 {
        return Err(Error::setting("classes", classes, "at least 2"));
    }
    crate::error::expect_len("logits", logits.len(), labels.len() * classes)?;
    if bound.is_nan() || bound < 0.0 {
        return Err(Error::setting("bound", bound, "a number of at least 0"));
    }
    let (mut wide_gap, mut certified) = (0, 0);
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let (mut best, mut first, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
        for (class, &logit) in row.iter().enumerate() {
            if logit > first {
                (best, first, second) = (class, logit, first);
            } else if logit > second {
                second = logit;
            }
        }
        // A NaN among the logits certifies nothing.
        if row.iter().all(|l| !l.is_nan()) && f64::from(first) - f64::from(second) >= bound {
            wide_gap += 1;
            certified += usize::from(best == label as usize);
        }
    }
    let points = labels.len();
    Ok(CertifiedAccuracy { bound, accuracy: certified as f64 / points.max(1) as f64, wide_gap, points })
}
