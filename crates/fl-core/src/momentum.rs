//! Momentum at the server, without compression there: modes `uncompressed`, `local-topk` and `fedavg`.
//!
//! V = ρV + G; w ← w − ηV. State: d floats.
//!
//! * `uncompressed`: distributed SGD, the baseline of every comparison. G is the mean gradient; each client sends d
//!   numbers.
//! * `local-topk`: G is the sum of what the clients' [`Compressor`](crate::local_topk::Compressor)s kept, over Σn.
//! * `fedavg`: federated averaging (McMahan et al., 2017) with server momentum, as CommEfficient has it. Clients run
//!   local SGD and send n_i·(w − w_local), or the weight change w_local − w with [`Direction::Delta`]. η is the clients':
//!   the server's learning rate is 1, and another value passed to [`ServerAlgo::step`] multiplies V on top of it.
//!   Other server optimisers: [`optim`](crate::optim).

use rayon::prelude::*;

use crate::error::expect_len;
use crate::server::{check_momentum, descend, restore};
use crate::vector::{LEAF, norm};
use crate::{Aggregate, Direction, Lr, Mode, Result, RoundReport, ServerAlgo};

/// V = ρV + G; w ← w − ηV.
#[derive(Debug, Clone)]
pub struct MomentumServer {
    mode: Mode,
    rho: f32,
    v: Vec<f32>,
}

impl MomentumServer {
    /// For d parameters and a momentum in [0, 1); `mode` is what it calls itself.
    pub fn new(mode: Mode, d: usize, momentum: f32) -> Result<Self> {
        Ok(Self { mode, rho: check_momentum(momentum)?, v: vec![0.0; d] })
    }
}

impl ServerAlgo for MomentumServer {
    fn name(&self) -> &'static str {
        self.mode.name()
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
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

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        vec![("v".to_owned(), self.v.clone())]
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        restore(state, "v", &mut self.v)
    }
}
