//! Simulated federated training: thousands of clients in one process, the same bits for any number of threads.
//!
//! A round: who takes part ([`Federation`], sampler) → honest updates on all threads ([`crate::client`]) → malicious
//! ones → the server's bound → the sum in fixed point, or a robust rule → the server's step → bytes → evaluation.
//! Every random draw comes from a stream named after its purpose and round, so a run can stop and go on anywhere.
//!
//! Memory: the model, W updates of d floats, the server's state, and what the mode lets clients remember
//! (`server.state_limit_mb`).

mod backdoor;
mod evaluate;
mod federation;
mod poison;
mod record;
mod round;
mod run;
mod save;
mod setup;
mod state;

pub use backdoor::Backdoor;
pub use evaluate::{accuracy, logits};
pub use federation::Federation;
pub use record::{Record, hash_weights};
pub use run::{Surroundings, Watcher, run};
pub use save::open_checkpoint;

use ashlar_data::sampler::{EpochExhaust, Uniform};
use ashlar_models::VisionModel;

use crate::{
    Result, ServerAlgo, SketchConfig, Update, aggregate::Aggregator, bytes::Accountant, client::Pool, config::RunConfig,
};
use poison::AttackLog;
use state::ClientStates;

/// A federation, its model and its server, between two rounds.
pub struct Simulation {
    config: RunConfig,
    data: Federation,
    model: VisionModel,
    sampler: Sampler,
    server: Box<dyn ServerAlgo>,
    defence: Option<Box<dyn Aggregator>>,
    accountant: Accountant,
    states: ClientStates,
    /// Rounds done.
    round: usize,
    w: Vec<f32>,
    /// The weights before the last round: what an attacker compares with.
    before: Vec<f32>,
    sketch_each: Option<SketchConfig>,
    backdoor: Option<Backdoor>,
    attack_log: AttackLog,
    /// Test accuracy after the last attack round.
    acc_at_end: Option<f64>,
    dropped: usize,
    /// Rounds without a step.
    skipped: usize,
    pool: Pool,
    spare: Vec<Vec<f32>>,
    tamper: Option<Tamper>,
    last: Record,
}

/// Changes or swallows a client's update on its way to the server: (round, update) → what arrives.
pub type Tamper = Box<dyn Fn(usize, Update) -> Option<Update> + Send + Sync>;

enum Sampler {
    Uniform(Uniform),
    EpochExhaust(EpochExhaust),
}

/// A client in a round, with the examples that it uses.
struct Draw {
    client: u32,
    examples: Vec<u32>,
}

impl Simulation {
    /// The settings, with everything filled in.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Rounds done.
    pub fn round(&self) -> usize {
        self.round
    }

    /// The global weights.
    pub fn weights(&self) -> &[f32] {
        &self.w
    }

    /// The model.
    pub fn model(&self) -> &VisionModel {
        &self.model
    }

    /// The data and its owners.
    pub fn federation(&self) -> &Federation {
        &self.data
    }

    /// Lets `tamper` stand between clients and server, to play clients that fail.
    pub fn tamper_with(&mut self, tamper: Tamper) {
        self.tamper = Some(tamper);
    }

    /// Runs the rounds that are left and gives their records.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run_to_end(&mut self) -> Result<Vec<Record>> {
        (self.round..self.config.server.rounds).map(|_| self.step()).collect()
    }
}
