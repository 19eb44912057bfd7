//! Distributed SGD with momentum at the server, without compression: the baseline of every comparison.
//!
//! V = ρV + G; w ← w − ηV. Each client sends d numbers. State: d floats.

use rayon::prelude::*;

use crate::error::expect_len;
use crate::server::{check_momentum, descend, restore};
use crate::vector::{LEAF, norm};
use crate::{Aggregate, Direction, Lr, Result, RoundReport, ServerAlgo};

/// V = ρV + G; w ← w − ηV.
#[derive(Debug, Clone)]
pub struct Uncompressed {
    velocity: Momentum,
}

impl Uncompressed {
    /// For d parameters and a momentum in [0, 1).
    pub fn new(d: usize, momentum: f32) -> Result<Self> {
        Ok(Self { velocity: Momentum::new(d, momentum)? })
    }
}

impl ServerAlgo for Uncompressed {
    fn name(&self) -> &'static str {
        "uncompressed"
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        self.velocity.step(aggregate, lr, w)
    }

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        self.velocity.save()
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        self.velocity.load(state)
    }
}

/// The server side that dense modes share: momentum without masking.
#[derive(Debug, Clone)]
pub(crate) struct Momentum {
    rho: f32,
    v: Vec<f32>,
}

impl Momentum {
    pub(crate) fn new(d: usize, momentum: f32) -> Result<Self> {
        Ok(Self { rho: check_momentum(momentum)?, v: vec![0.0; d] })
    }

    pub(crate) fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        let g = aggregate.dense_as(Direction::Gradient)?;
        expect_len("the aggregate", g.len(), self.v.len())?;
        expect_len("w", w.len(), self.v.len())?;
        lr.check(w.len())?;
        let rho = self.rho;
        let update_nnz = self
            .v
            .par_chunks_mut(LEAF)
            .zip(g.par_chunks(LEAF))
            .map(|(v, g)| {
                v.iter_mut().zip(g).for_each(|(v, g)| *v = rho * *v + g);
                v.iter().filter(|v| **v != 0.0).count()
            })
            .sum();
        descend(w, &self.v, lr);
        Ok(RoundReport { update_nnz, v_norm: norm(&self.v), ..RoundReport::default() })
    }

    pub(crate) fn save(&self) -> Vec<(String, Vec<f32>)> {
        vec![("v".to_owned(), self.v.clone())]
    }

    pub(crate) fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        restore(state, "v", &mut self.v)
    }
}
