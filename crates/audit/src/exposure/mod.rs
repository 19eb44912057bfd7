//! Exposure of a canary (Carlini et al. 2019, "The Secret Sharer"): how far above chance a model ranks it, in bits.
//!
//! exposure = log₂|R| − log₂ rank over a set R of candidates, rank = 1 + #{r ∈ R : score(r) > score(canary)}. Where R
//! can't be enumerated, a skew-normal distribution fitted to the scores of some candidates gives the share that the
//! canary doesn't beat: exposure = −log₂ P[score ≥ canary] (the paper's section on approximation by a distribution).

mod skew_normal;

pub use skew_normal::{Fit, SkewNormal};

use std::f64::consts::LN_2;

use crate::{Error, Result, error::check_finite};

/// log₂|R| − log₂ rank, from 0 bits (last) to log₂|R| (first).
///
/// # Errors
/// If the rank is outside 1 … `candidates`.
pub fn exposure(rank: u64, candidates: u64) -> Result<f64> {
    if rank == 0 {
        return Err(Error::Range { name: "rank", value: 0.0, expected: "at least 1: the best candidate has rank 1" });
    }
    crate::error::check_part(("rank", rank), ("candidates", candidates))?;
    Ok((candidates as f64).log2() - (rank as f64).log2())
}

/// 1 + the number of references whose score is larger than the canary's: ties are decided for the canary.
///
/// # Errors
/// If there is no reference, or a score is not finite.
pub fn rank(canary: f64, references: &[f64]) -> Result<u64> {
    check_finite("canary-score", &[canary])?;
    if references.is_empty() {
        return Err(Error::Empty { list: "reference-scores" });
    }
    check_finite("reference-scores", references)?;
    Ok(1 + references.iter().filter(|&&r| r > canary).count() as u64)
}

/// Exposure among the references themselves: R is the list.
///
/// A canary that isn't in the list and loses to all of it has rank |R| + 1, and log₂(|R|/(|R| + 1)) is just below 0.
///
/// # Errors
/// As [`rank`].
pub fn exposure_among(canary: f64, references: &[f64]) -> Result<f64> {
    Ok((references.len() as f64).log2() - (rank(canary, references)? as f64).log2())
}

/// Exposure by a skew-normal distribution fitted to the references, and the fit.
///
/// # Errors
/// As [`rank`] and [`SkewNormal::fit`].
pub fn exposure_by_skew_normal(canary: f64, references: &[f64]) -> Result<(f64, Fit)> {
    check_finite("canary-score", &[canary])?;
    let fit = SkewNormal::fit(references)?;
    // -0 where the canary loses to everything.
    let bits = -fit.distribution.ln_sf(canary) / LN_2 + 0.0;
    if bits.is_finite() {
        Ok((bits, fit))
    } else {
        Err(Error::unusable(format!("canary-score = {canary}"), "too far from the reference scores to be compared"))
    }
}
