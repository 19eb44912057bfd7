//! How much a step's loss counts.
//!
//! With R the sum of the other steps, δ depends on a loss l through f(l) = E(1 − e^(ε − l − R))₊, which is linear in U but
//! for a kink at each ε − R. Moving mass within a bin therefore costs what R has opposite the bin: its density at ε − l.
//! The law of all steps, as far as it is known, stands for R.

use super::points::Points;

/// Quantiles of the rest that end pieces of the weights.
const BREAKS: usize = 100;

pub(super) enum Weight {
    /// e^(slope·l) up to e^ceiling, for a first look.
    Tilted { slope: f64, ceiling: f64 },
    Rest {
        losses: Vec<f64>,
        /// Mass from each loss on.
        above: Vec<f64>,
        epsilon: f64,
        breaks: Vec<f64>,
    },
}

impl Weight {
    pub(super) fn tilted(slope: f64, ceiling: f64) -> Self {
        Self::Tilted { slope, ceiling }
    }

    pub(super) fn of_rest(law: &Points, epsilon: f64) -> Self {
        let mut sum = 0.0;
        let mut above: Vec<f64> = law
            .list
            .iter()
            .rev()
            .map(|p| {
                sum += p.mass;
                sum
            })
            .collect();
        above.reverse();
        let losses: Vec<f64> = law.list.iter().map(|p| p.loss).collect();
        let breaks = losses.iter().step_by((losses.len() / BREAKS).max(1)).map(|l| epsilon - l).collect();
        Self::Rest { losses, above, epsilon, breaks }
    }

    /// Losses at which the weight changes.
    pub(super) fn breaks(&self) -> &[f64] {
        match self {
            Self::Tilted { .. } => &[],
            Self::Rest { breaks, .. } => breaks,
        }
    }

    /// The mean weight of the losses between two.
    pub(super) fn over(&self, from: f64, to: f64) -> f64 {
        match self {
            Self::Tilted { slope, ceiling } => (slope * 0.5 * (from + to)).min(*ceiling).exp(),
            Self::Rest { losses, above, epsilon, .. } => {
                let mass_from = |loss: f64| {
                    let k = losses.partition_point(|l| *l < loss);
                    match (k.checked_sub(1), losses.get(k)) {
                        (None, _) => above.first().copied().unwrap_or(0.0),
                        (_, None) => 0.0,
                        (Some(i), Some(next)) => {
                            let part = (next - loss) / (next - losses[i]).max(f64::MIN_POSITIVE);
                            above[k] + part * (above[i] - above[k])
                        }
                    }
                };
                (mass_from(epsilon - to) - mass_from(epsilon - from)).max(0.0) / (to - from)
            }
        }
    }
}
