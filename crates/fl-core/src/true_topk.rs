//! Top-k of the dense aggregate at the server, with error feedback (CommEfficient's `true_topk`).
//!
//! V = ρV + G; E = E + V; Δ = topk(E, k); E and V are zeroed where Δ is not 0; w ← w − ηΔ. η stays outside E, so a
//! schedule does not rescale the accumulated error. With momentum at the clients the participating ones zero their
//! v_i on Δ's support too ([`mask_client_velocity`]).
//!
//! Clients send d numbers and receive k a round. State: 2·d floats. Cost: two passes and one top-k over d numbers.

use ashlar_kernels::SparseVec;
use ashlar_kernels::topk::{self, Count};
use rayon::prelude::*;

use crate::certify::{self, Certificate};
use crate::error::expect_len;
use crate::local_topk::zero_at;
use crate::server::{check_k, check_momentum, descend_sparse, restore};
use crate::vector::{LEAF, norm};
use crate::{Aggregate, Direction, Error, Lr, Result, RoundReport, ServerAlgo};

/// Error feedback and momentum at the server, k coordinates applied a round.
#[derive(Debug, Clone)]
pub struct TrueTopk {
    k: usize,
    rho: f32,
    v: Vec<f32>,
    e: Vec<f32>,
}

impl TrueTopk {
    /// For d parameters, k applied coordinates and a momentum in [0, 1).
    pub fn new(d: usize, k: usize, momentum: f32) -> Result<Self> {
        Ok(Self { k: check_k(k, d)?, rho: check_momentum(momentum)?, v: vec![0.0; d], e: vec![0.0; d] })
    }

    /// The error memory E.
    pub fn error(&self) -> &[f32] {
        &self.e
    }

    /// One step that also bounds what poison of norm `radius` could have changed (see [`certify`]).
    pub(crate) fn step_certified(
        &mut self,
        aggregate: &Aggregate,
        lr: Lr<'_>,
        w: &mut [f32],
        radius: Option<f64>,
    ) -> Result<RoundReport> {
        let g = aggregate.dense_as(Direction::Gradient)?;
        expect_len("the aggregate", g.len(), self.v.len())?;
        expect_len("w", w.len(), self.v.len())?;
        lr.check(w.len())?;
        let rho = self.rho;
        let memory = self.v.par_chunks_mut(LEAF).zip(self.e.par_chunks_mut(LEAF));
        memory.zip(g.par_chunks(LEAF)).for_each(|((v, e), g)| {
            for ((v, e), g) in v.iter_mut().zip(e).zip(g) {
                *v = rho * *v + g;
                *e += *v;
            }
        });
        let certificate: Option<Certificate> =
            radius.map(|radius| certify::one_step(&self.e, self.k, radius)).transpose()?;
        let (delta, stats) = topk::select(&self.e, Count::Exact(self.k as u64))?;
        if stats.nan_count > 0 {
            return Err(Error::Diverged { what: "the server's error memory" });
        }
        zero_at(&mut self.e, &delta);
        zero_at(&mut self.v, &delta);
        descend_sparse(w, &delta, lr);
        Ok(RoundReport {
            update_nnz: delta.val().iter().filter(|v| **v != 0.0).count(),
            masked_fraction: None,
            v_norm: norm(&self.v),
            e_norm: norm(&self.e),
            delta: Some(delta),
            certificate,
        })
    }
}

impl ServerAlgo for TrueTopk {
    fn name(&self) -> &'static str {
        "true-topk"
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        self.step_certified(aggregate, lr, w, None)
    }

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        vec![("v".to_owned(), self.v.clone()), ("e".to_owned(), self.e.clone())]
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        restore(state, "v", &mut self.v)?;
        restore(state, "e", &mut self.e)
    }
}

/// Zeroes a participating client's momentum where the server's update is not 0 (true top-k with local momentum).
pub fn mask_client_velocity(velocity: &mut [f32], delta: &SparseVec) -> Result<()> {
    expect_len("the client's velocity", velocity.len(), delta.len() as usize)?;
    zero_at(velocity, delta);
    Ok(())
}
