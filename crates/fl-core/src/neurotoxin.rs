//! Neurotoxin (Zhang et al., 2022): a backdoor that lives longer because it stays out of the coordinates that honest
//! clients move. Built to measure defences, together with its baselines ([`attack`](crate::attack)).
//!
//! Each attack round: observe g_obs; let M be 0 on the top fraction of coordinates by |g_obs| and 1 on the rest; train
//! locally on poisoned data with *every gradient* multiplied by M; optionally project w_local − w into the L2 ball after
//! each step. The server's clipping applies to the attacker as to anyone.
//!
//! Where the official code differs from the paper, and what we do:
//! - g_obs is the difference of the last two global models, which every participant sees (paper as remembered; our
//!   default, [`Observe::GlobalDelta`]). The code back-propagates the attacker's own clean chunks without stepping and
//!   accumulates the gradients without zeroing between chunks ([`Observe::CleanGrad`]).
//! - Its `gradmask_ratio` is the share of *bottom* coordinates kept, int(ratio·d) of them, though its README speaks of
//!   "top-ratio weights retained". Ours is `mask_top_fraction` = 1 − ratio; 0 turns the mask off (the baseline).
//! - One global threshold (its `aggregate_all_layer` = 1) or one a tensor ([`Scope`]).
//! - Its optimiser adds weight decay after the gradient was masked, so that the update leaks outside the mask. We mask
//!   the final change again (`mask_delta`, default true; false for parity).
//!
//! Masks are compared with [`top_overlap`]. Ties in |g_obs| mask the lowest index. Cost: one top-k over d numbers a round.

use std::ops::Range;
use std::slice;

use ashlar_kernels::topk::{self, Count};
use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{Error, Result};

/// What the attacker takes for the honest clients' gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observe {
    /// The difference of the last two global models.
    #[default]
    GlobalDelta,
    /// A gradient on the attacker's own clean examples.
    CleanGrad,
}

/// Where the threshold between masked and kept coordinates is taken.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Over all coordinates.
    Global,
    /// Within each tensor, given as its range of coordinates.
    PerTensor(&'a [Range<usize>]),
}

/// Which coordinates an attacker may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    keep: Vec<bool>,
}

impl Mask {
    /// Masks the `mask_top_fraction` (in \[0, 1)) largest |g_obs|; keeps int((1 − fraction)·d) coordinates.
    pub fn from_observed(g_obs: &[f32], mask_top_fraction: f64, scope: Scope<'_>) -> Result<Self> {
        if !(0.0..1.0).contains(&mask_top_fraction) {
            return Err(Error::setting("mask_top_fraction", mask_top_fraction, "a number in [0, 1)"));
        }
        let mut keep = vec![true; g_obs.len()];
        let whole = 0..g_obs.len();
        let tensors = match scope {
            Scope::Global => slice::from_ref(&whole),
            Scope::PerTensor(tensors) => tensors,
        };
        for tensor in tensors {
            let Some(observed) = g_obs.get(tensor.clone()) else {
                return Err(Error::Length {
                    what: "the observed gradient".to_owned(),
                    expected: tensor.end,
                    found: g_obs.len(),
                });
            };
            // A share such as 0.05 is not exact in binary: 0.95·d must not fall below a whole number by rounding.
            let kept = ((1.0 - mask_top_fraction) * observed.len() as f64 + 1e-9).floor() as usize;
            let masked = observed.len() - kept;
            if masked > 0 {
                let (top, _) = topk::select(observed, Count::Exact(masked as u64))?;
                for &i in top.idx() {
                    keep[tensor.start + i as usize] = false;
                }
            }
        }
        Ok(Self { keep })
    }

    /// Zeroes x (a gradient, or the final change with `mask_delta`) where it is masked, NaN included.
    pub fn apply(&self, x: &mut [f32]) -> Result<()> {
        expect_len("the masked vector", x.len(), self.keep.len())?;
        for (x, keep) in x.iter_mut().zip(&self.keep) {
            if !keep {
                *x = 0.0;
            }
        }
        Ok(())
    }

    /// Puts w_local back to w where it is masked: `mask_delta` on weights instead of on their change.
    pub fn restore(&self, local: &mut [f32], global: &[f32]) -> Result<()> {
        expect_len("the local weights", local.len(), self.keep.len())?;
        expect_len("the global weights", global.len(), self.keep.len())?;
        for ((local, global), keep) in local.iter_mut().zip(global).zip(&self.keep) {
            if !keep {
                *local = *global;
            }
        }
        Ok(())
    }

    /// Whether each coordinate may change.
    pub fn keep(&self) -> &[bool] {
        &self.keep
    }

    /// Coordinates that may not change.
    pub fn masked(&self) -> usize {
        self.keep.iter().filter(|keep| !**keep).count()
    }
}

/// The last global step, w_t − w_{t−1}: what [`Observe::GlobalDelta`] observes.
pub fn global_delta(previous: &[f32], current: &[f32]) -> Result<Vec<f32>> {
    expect_len("the previous weights", previous.len(), current.len())?;
    Ok(previous.iter().zip(current).map(|(p, c)| c - p).collect())
}

/// The share of a's top `fraction` (by magnitude, zeros not counted) that is also in b's. 0 when a mask from b with
/// that fraction was applied to a; two independent vectors have about `fraction`.
pub fn top_overlap(a: &[f32], b: &[f32], fraction: f64) -> Result<f64> {
    expect_len("the second vector", b.len(), a.len())?;
    if !(fraction > 0.0 && fraction <= 1.0) {
        return Err(Error::setting("fraction", fraction, "a number in (0, 1]"));
    }
    let count = Count::Exact(((fraction * a.len() as f64).round() as u64).max(1));
    let top = |x: &[f32]| -> Result<Vec<u32>> {
        let (top, _) = topk::select(x, count)?;
        Ok(top.idx().iter().zip(top.val()).filter(|(_, v)| **v != 0.0).map(|(i, _)| *i).collect())
    };
    let (top_a, top_b) = (top(a)?, top(b)?);
    let shared = top_a.iter().filter(|i| top_b.binary_search(i).is_ok()).count();
    Ok(shared as f64 / top_a.len().max(1) as f64)
}
