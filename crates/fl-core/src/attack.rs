//! What an attacker does to its update before sending it. Built to measure defences; see [`sparsefed`](crate::sparsefed)
//! for the threat model and [`neurotoxin`](crate::neurotoxin) for the masked attack.
//!
//! - [`Shaping::ScaleUpTo`]: scale to norm L when below it. A server that clips to L gives that strength away for free.
//! - [`Shaping::Boost`]: multiply, usually by W/m for model replacement (Bagdasaryan et al., 2020). (CommEfficient's
//!   `mal_boost` multiplies the malicious *loss* instead; that is the client's to do.)
//! - [`Shaping::Project`]: project into the L2 ball of radius L, as after every local step of a PGD attack.
//! - [`Shaping::PerfectKnowledge`]: knowing the round's honest updates, keep only the coordinates in which they are
//!   largest (supp topk(mean honest update, k)), where top-k lets an update through; then project. (CommEfficient
//!   computes the restricted vector and does not use it: this is re-derived.)
//!
//! Cost: one or two passes over d numbers.

use ashlar_kernels::topk::{self, Count};

use crate::error::expect_len;
use crate::sparsefed::clip_l2;
use crate::vector::norm_sq;
use crate::{Error, Result};

/// One thing that an attacker does to its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shaping {
    /// Multiply up to this norm when below it.
    ScaleUpTo {
        /// L.
        l2: f64,
    },
    /// Multiply.
    Boost {
        /// By what.
        factor: f32,
    },
    /// Project into the ball of this radius.
    Project {
        /// L.
        l2: f64,
    },
    /// Restrict to the k largest coordinates of the honest mean, then project.
    PerfectKnowledge {
        /// How many coordinates the server keeps.
        k: usize,
        /// L.
        l2: f64,
    },
}

impl Shaping {
    /// Refuses what cannot be done: bounds and factors that are not finite numbers above 0, k = 0.
    pub fn check(&self) -> Result<()> {
        let positive = |field, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(Error::setting(field, value, "a finite number above 0"))
            }
        };
        match *self {
            Self::Boost { factor } => positive("attack.boost", f64::from(factor)),
            Self::PerfectKnowledge { k: 0, .. } => Err(Error::setting("attack.k", 0, "at least 1")),
            Self::ScaleUpTo { l2 } | Self::Project { l2 } | Self::PerfectKnowledge { l2, .. } => {
                positive("attack.l2", l2)
            }
        }
    }

    /// Applies it to the update; `honest_mean` is the mean of the round's honest updates, pointing the same way.
    pub fn apply(&self, update: &mut [f32], honest_mean: Option<&[f32]>) -> Result<()> {
        self.check()?;
        match *self {
            Self::ScaleUpTo { l2 } => scale_up_to(update, l2),
            Self::Boost { factor } => update.iter_mut().for_each(|x| *x *= factor),
            Self::Project { l2 } => {
                clip_l2(update, l2);
            }
            Self::PerfectKnowledge { k, l2 } => {
                let honest = honest_mean.ok_or_else(|| {
                    Error::setting(
                        "perfect_knowledge",
                        "without honest updates",
                        "the mean of the round's honest updates",
                    )
                })?;
                restrict_to_top(update, honest, k)?;
                clip_l2(update, l2);
            }
        }
        Ok(())
    }
}

/// Model replacement's boost: W slots over m colluding attackers.
pub fn replacement_boost(slots: usize, attackers: usize) -> Result<f32> {
    if attackers == 0 || attackers > slots {
        return Err(Error::setting("attackers", attackers, format!("between 1 and the {slots} clients of a round")));
    }
    Ok(slots as f32 / attackers as f32)
}

/// Scales x up to norm `l2` when it is shorter; the zero vector stays.
pub fn scale_up_to(x: &mut [f32], l2: f64) {
    let norm = norm_sq(x).sqrt();
    if norm > 0.0 && norm < l2 {
        let factor = l2 / norm;
        for x in x {
            *x = (f64::from(*x) * factor) as f32;
        }
    }
}

/// Projects w_local − w into the L2 ball by moving w_local: the step after each step of a PGD attack. Says whether it
/// had to.
pub fn project_weights(local: &mut [f32], global: &[f32], l2: f64) -> Result<bool> {
    expect_len("the local weights", local.len(), global.len())?;
    let mut delta: Vec<f32> = local.iter().zip(global).map(|(l, g)| l - g).collect();
    let outside = clip_l2(&mut delta, l2);
    if outside {
        local.iter_mut().zip(global).zip(delta).for_each(|((l, g), delta)| *l = g + delta);
    }
    Ok(outside)
}

/// Zeroes x outside the k largest magnitudes of `honest`.
pub fn restrict_to_top(x: &mut [f32], honest: &[f32], k: usize) -> Result<()> {
    expect_len("the honest mean", honest.len(), x.len())?;
    let (top, _) = topk::select(honest, Count::Exact(k.min(x.len()) as u64))?;
    let mut next = top.idx().iter().copied().peekable();
    for (i, x) in x.iter_mut().enumerate() {
        if next.next_if_eq(&(i as u32)).is_none() {
            *x = 0.0;
        }
    }
    Ok(())
}
