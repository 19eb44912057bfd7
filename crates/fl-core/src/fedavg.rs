//! Federated averaging (McMahan et al., 2017) with server momentum, as CommEfficient has it.
//!
//! Clients run local SGD and send n_i·(w − w_local), or the weight change w_local − w with [`Direction::Delta`];
//! the server does V = ρV + mean; w ← w − V. η is the clients': the server's learning rate is 1, and another value
//! passed to [`ServerAlgo::step`] multiplies V on top of it. Other server optimisers: [`optim`](crate::optim).
//! State: d floats; a client sends d numbers.
//!
//! [`Direction::Delta`]: crate::Direction::Delta

use crate::uncompressed::Momentum;
use crate::{Aggregate, Lr, Result, RoundReport, ServerAlgo};

/// V = ρV + mean(w − w_local); w ← w − V.
#[derive(Debug, Clone)]
pub struct FedAvg {
    velocity: Momentum,
}

impl FedAvg {
    /// For d parameters and a momentum in [0, 1).
    pub fn new(d: usize, momentum: f32) -> Result<Self> {
        Ok(Self { velocity: Momentum::new(d, momentum)? })
    }
}

impl ServerAlgo for FedAvg {
    fn name(&self) -> &'static str {
        "fedavg"
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
