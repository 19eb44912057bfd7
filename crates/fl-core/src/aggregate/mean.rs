//! The weighted mean, and what norm clipping and weak differential privacy make of it.

use rayon::prelude::*;

use super::{Aggregator, UpdateMatrix, add_noise};
use crate::vector::{LEAF, norm_sq};
use crate::{Error, Result};

/// Σ w_i·u_i / Σ w_i, added in f64 in row order. The oracle of every other aggregator; it withstands nobody.
#[derive(Debug, Clone, Copy)]
pub struct Mean;

impl Aggregator for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, _f: usize) -> Result<Vec<f32>> {
        weighted(updates, updates.weights())
    }
}

/// The mean of the rows, each scaled down to an L2 norm of at most L (Sun et al., 2019).
#[derive(Debug, Clone, Copy)]
pub struct NormClip {
    l2: f64,
}

impl NormClip {
    /// With the bound L > 0.
    pub fn new(l2: f64) -> Result<Self> {
        if l2 > 0.0 && l2.is_finite() {
            Ok(Self { l2 })
        } else {
            Err(Error::setting("clip.l2", l2, "a finite number above 0"))
        }
    }
}

impl Aggregator for NormClip {
    fn name(&self) -> &'static str {
        "norm-clip"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, _f: usize) -> Result<Vec<f32>> {
        let clipped = |(row, weight): (&&[f32], &f64)| weight * (self.l2 / norm_sq(row).sqrt()).min(1.0);
        let factors: Vec<f64> = updates.rows().par_iter().zip(updates.weights()).map(clipped).collect();
        weighted(updates, &factors)
    }
}

/// [`NormClip`], then N(0, σ²) on every coordinate of the mean (weak in that no budget is accounted for).
#[derive(Debug, Clone, Copy)]
pub struct WeakDp {
    clip: NormClip,
    sigma: f64,
    seed: u64,
}

impl WeakDp {
    /// With the bound L > 0, σ ≥ 0 and the seed of the noise, which also depends on the round.
    pub fn new(l2: f64, sigma: f64, seed: u64) -> Result<Self> {
        if !(sigma >= 0.0 && sigma.is_finite()) {
            return Err(Error::setting("defence.sigma", sigma, "a finite number of at least 0"));
        }
        Ok(Self { clip: NormClip::new(l2)?, sigma, seed })
    }
}

impl Aggregator for WeakDp {
    fn name(&self) -> &'static str {
        "weak-dp"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>> {
        let mut mean = self.clip.aggregate(updates, f)?;
        add_noise(&mut mean, self.sigma, self.seed, updates.round);
        Ok(mean)
    }
}

/// Σ factor_i·u_i / Σ weight_i.
fn weighted(updates: &UpdateMatrix<'_>, factors: &[f64]) -> Result<Vec<f32>> {
    let total: f64 = updates.weights().iter().sum();
    if total <= 0.0 {
        return Err(Error::setting("weights", total, "a sum above 0"));
    }
    Ok(sum(updates.rows(), factors, total, updates.d()))
}

/// Σ factor_i·u_i / total, in f64 in row order.
pub(super) fn sum(rows: &[&[f32]], factors: &[f64], total: f64, d: usize) -> Vec<f32> {
    let mut mean = vec![0.0f32; d];
    mean.par_chunks_mut(LEAF).enumerate().for_each(|(leaf, out)| {
        let mut sums = vec![0.0f64; out.len()];
        let start = leaf * LEAF;
        for (row, factor) in rows.iter().zip(factors) {
            let row = &row[start..start + out.len()];
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * f64::from(*x));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / total) as f32);
    });
    mean
}
