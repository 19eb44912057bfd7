//! Server optimisers on the pseudo-gradient Δ = mean(w_i − w) (Reddi et al., 2021: Adaptive Federated Optimization).
//!
//! FedAvgM: m = βm + Δ; w ← w + ηm. The adaptive three: m = β₁m + (1 − β₁)Δ and w ← w + η·m/(√v + τ), with v₀ = 0 and
//!
//! - FedAdagrad: v = v + Δ²
//! - FedAdam: v = β₂v + (1 − β₂)Δ²
//! - FedYogi: v = v − (1 − β₂)·Δ²·sign(v − Δ²)
//!
//! `bias_correction` multiplies FedAdam's η by √(1 − β₂^{t+1})/(1 − β₁^{t+1}) with t counted from 1, as Flower does (so
//! the first exponent is 2); the others have none. State: 2·d floats (FedAvgM: d). Cost: one pass.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::server::restore;
use crate::vector::{LEAF, norm};
use crate::{Aggregate, Direction, Error, Lr, Result, RoundReport, ServerAlgo};

/// Which server optimiser, with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Rule {
    /// Averaging with momentum.
    FedAvgM {
        /// β.
        momentum: f32,
    },
    /// Sums of squares.
    FedAdagrad {
        /// β₁ (Flower's strategy has 0).
        #[serde(default)]
        beta1: f32,
        /// τ, which bounds the step where v is small.
        #[serde(default = "default_tau")]
        tau: f32,
    },
    /// Moving averages of squares.
    FedAdam {
        /// β₁.
        #[serde(default = "default_beta1")]
        beta1: f32,
        /// β₂.
        #[serde(default = "default_beta2")]
        beta2: f32,
        /// τ.
        #[serde(default = "default_tau")]
        tau: f32,
        /// Flower's correction of η in the first rounds.
        #[serde(default)]
        bias_correction: bool,
    },
    /// Squares followed by sign, so that v falls slowly.
    FedYogi {
        /// β₁.
        #[serde(default = "default_beta1")]
        beta1: f32,
        /// β₂.
        #[serde(default = "default_beta2")]
        beta2: f32,
        /// τ.
        #[serde(default = "default_tau")]
        tau: f32,
    },
}

const fn default_beta1() -> f32 {
    0.9
}

const fn default_beta2() -> f32 {
    0.99
}

const fn default_tau() -> f32 {
    1e-3
}

impl Rule {
    /// FedAdam with β .9/.99, τ 1e-3, no correction.
    pub const fn adam() -> Self {
        Self::FedAdam { beta1: default_beta1(), beta2: default_beta2(), tau: default_tau(), bias_correction: false }
    }

    /// FedYogi with β .9/.99, τ 1e-3.
    pub const fn yogi() -> Self {
        Self::FedYogi { beta1: default_beta1(), beta2: default_beta2(), tau: default_tau() }
    }

    /// FedAdagrad with β₁ 0, τ 1e-3.
    pub const fn adagrad() -> Self {
        Self::FedAdagrad { beta1: 0.0, tau: default_tau() }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::FedAvgM { .. } => "fedavgm",
            Self::FedAdagrad { .. } => "fedadagrad",
            Self::FedAdam { .. } => "fedadam",
            Self::FedYogi { .. } => "fedyogi",
        }
    }

    /// (field, value) of each constant that must lie in [0, 1), and τ.
    fn check(&self) -> Result<()> {
        let (betas, tau) = match *self {
            Self::FedAvgM { momentum } => ([("momentum", momentum), ("beta2", 0.0)], 1.0),
            Self::FedAdagrad { beta1, tau } => ([("beta1", beta1), ("beta2", 0.0)], tau),
            Self::FedAdam { beta1, beta2, tau, .. } | Self::FedYogi { beta1, beta2, tau } => {
                ([("beta1", beta1), ("beta2", beta2)], tau)
            }
        };
        for (field, beta) in betas {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::setting(field, beta, "a number in [0, 1)"));
            }
        }
        if !(tau > 0.0 && tau.is_finite()) {
            return Err(Error::setting("tau", tau, "a finite number above 0"));
        }
        Ok(())
    }
}

/// A server optimiser with its state.
#[derive(Debug, Clone)]
pub struct ServerOptimizer {
    rule: Rule,
    m: Vec<f32>,
    v: Vec<f32>,
    rounds: u32,
}

impl ServerOptimizer {
    /// For d parameters; constants outside their ranges are refused.
    pub fn new(d: usize, rule: Rule) -> Result<Self> {
        rule.check()?;
        let second = if matches!(rule, Rule::FedAvgM { .. }) { 0 } else { d };
        Ok(Self { rule, m: vec![0.0; d], v: vec![0.0; second], rounds: 0 })
    }

    /// What bias correction multiplies η by in this round (counted from 1).
    fn correction(&self) -> f32 {
        match self.rule {
            Rule::FedAdam { beta1, beta2, bias_correction: true, .. } => {
                let exponent = self.rounds as i32 + 1;
                let left = 1.0 - f64::from(beta2).powi(exponent);
                (left.sqrt() / (1.0 - f64::from(beta1).powi(exponent))) as f32
            }
            _ => 1.0,
        }
    }

    /// The adaptive rules: m, v and the step, in one pass.
    fn adaptive(
        &mut self,
        delta: &[f32],
        lr: Lr<'_>,
        w: &mut [f32],
        (beta1, tau): (f32, f32),
        second: impl Fn(f32, f32) -> f32 + Sync,
    ) {
        let correction = self.correction();
        let state = self.m.par_chunks_mut(LEAF).zip(self.v.par_chunks_mut(LEAF));
        state.zip(w.par_chunks_mut(LEAF)).zip(delta.par_chunks(LEAF)).enumerate().for_each(
            |(leaf, (((m, v), w), delta))| {
                for (i, (((m, v), w), &x)) in m.iter_mut().zip(v).zip(w).zip(delta).enumerate() {
                    *m = beta1 * *m + (1.0 - beta1) * x;
                    *v = second(*v, x * x);
                    *w += correction * lr.at(leaf * LEAF + i) * *m / (v.sqrt() + tau);
                }
            },
        );
    }
}

impl ServerAlgo for ServerOptimizer {
    fn name(&self) -> &'static str {
        self.rule.name()
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        let delta = aggregate.dense_as(Direction::Delta)?;
        expect_len("the aggregate", delta.len(), self.m.len())?;
        expect_len("w", w.len(), self.m.len())?;
        lr.check(w.len())?;
        self.rounds += 1;
        match self.rule {
            Rule::FedAvgM { momentum } => {
                let state = self.m.par_chunks_mut(LEAF).zip(w.par_chunks_mut(LEAF)).zip(delta.par_chunks(LEAF));
                state.enumerate().for_each(|(leaf, ((m, w), delta))| {
                    for (i, ((m, w), x)) in m.iter_mut().zip(w).zip(delta).enumerate() {
                        *m = momentum * *m + x;
                        *w += lr.at(leaf * LEAF + i) * *m;
                    }
                });
            }
            Rule::FedAdagrad { beta1, tau } => self.adaptive(&delta, lr, w, (beta1, tau), |v, sq| v + sq),
            Rule::FedAdam { beta1, beta2, tau, .. } => {
                self.adaptive(&delta, lr, w, (beta1, tau), |v, sq| beta2 * v + (1.0 - beta2) * sq);
            }
            Rule::FedYogi { beta1, beta2, tau } => self.adaptive(&delta, lr, w, (beta1, tau), |v, sq| {
                // sign(0) is 0, unlike f32::signum's.
                let sign = f32::from(i8::from(v > sq) - i8::from(v < sq));
                v - (1.0 - beta2) * sq * sign
            }),
        }
        let update_nnz = self.m.iter().filter(|m| **m != 0.0).count();
        Ok(RoundReport { update_nnz, v_norm: norm(&self.m), ..RoundReport::default() })
    }

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        // A count of rounds is exact in f32 up to 2²⁴.
        vec![
            ("m".to_owned(), self.m.clone()),
            ("v".to_owned(), self.v.clone()),
            ("rounds".to_owned(), vec![self.rounds as f32]),
        ]
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let mut rounds = [0.0f32];
        restore(state, "rounds", &mut rounds)?;
        if !(rounds[0] >= 0.0 && rounds[0].fract() == 0.0) {
            return Err(Error::State {
                tensor: "rounds".to_owned(),
                found: format!("is {}", rounds[0]),
                expected: "a whole number is needed".to_owned(),
            });
        }
        restore(state, "m", &mut self.m)?;
        restore(state, "v", &mut self.v)?;
        self.rounds = rounds[0] as u32;
        Ok(())
    }
}
