//! The run's settings, as TOML has them.
//!
//! Each table is one struct; its `Default` is the specification of the defaults, and a key that isn't there is an
//! error. [`RunConfig::validate`] checks what types can't, [`RunConfig::resolve`] fills in what depends on the model
//! (k, the sketch's columns), so that the run folder's `config.toml` says everything.

mod attack;
mod client;
mod data;
mod server;
mod validate;

pub use attack::{AttackKind, AttackTable, Observe, PoisonFrom, Trigger};
pub use client::{ClientTable, LocalError};
pub use data::{DataTable, PartitionName, Sampling};
pub use server::{ClipTable, Collective, DefenceName, DefenceTable, DistTable, HashName, Optimizer, ServerTable};

pub use crate::fetchsgd::Variant;

use ashlar_models::ModelSpec;
use serde::{Deserialize, Serialize};

/// Everything that decides a run's numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Seed of every random stream: initial weights, partition, sampling, attack.
    pub seed: u64,
    /// What is learnt, and how it is spread over clients.
    pub data: DataTable,
    /// The model.
    pub model: ModelSpec,
    /// What a client does with its examples.
    pub client: ClientTable,
    /// How updates become weights, and how long.
    pub server: ServerTable,
    /// The server's bound on every update.
    pub clip: ClipTable,
    /// What replaces the mean of the updates.
    pub defence: DefenceTable,
    /// Who tries to plant a backdoor.
    pub attack: AttackTable,
    /// How the sum over clients is made.
    pub dist: DistTable,
}

impl RunConfig {
    /// Whether clients train locally and send weight changes, rather than one gradient.
    pub fn local_training(&self) -> bool {
        match self.server.mode {
            crate::Mode::FedAvg => true,
            crate::Mode::SparseFed => self.client.epochs > 1 || self.client.lr.is_some(),
            _ => false,
        }
    }

    /// The server's bound on an update: `clip.l2`, times the clients' learning rate where `clip.times_lr` says so.
    /// `factor` is the schedule's.
    pub fn clip_bound(&self, l2: f64, factor: f64) -> f64 {
        let times_lr = self.clip.times_lr.unwrap_or(self.server.mode == crate::Mode::SparseFed);
        let lr = self.client.lr.filter(|_| times_lr && self.local_training());
        crate::sparsefed::clip_bound(l2, lr.map(|lr| lr * factor))
    }

    /// The settings as TOML, defaults written out.
    ///
    /// # Errors
    /// None in practice: every table serialises.
    pub fn to_toml(&self) -> crate::Result<String> {
        toml::to_string(self).map_err(|error| crate::Error::setting("config", error, "tables that TOML can hold"))
    }
}
