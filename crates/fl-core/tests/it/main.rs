//! The simulator from settings to results, and the binary around it.
#![allow(clippy::unwrap_used)]

mod attacks;
#[cfg(feature = "cli")]
mod bad_input;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
mod crash;
mod failing_clients;
mod modes;
mod reference;
mod rules;
mod threads;

use ashlar_fl_core::{
    config::RunConfig,
    sim::{Federation, Record, Simulation},
};

/// A small federation on the procedural pictures: 50 clients of 20 examples.
pub const SMALL: &str = r#"
[data]
train = 1000
test = 300
clients = 50
[model]
arch = "mlp"
hidden = 16
[server]
rounds = 30
per_round = 10
eval_every = 10
lr = 0.3
"#;

/// Settings from TOML, laid over [`SMALL`].
pub fn config(over: &str) -> RunConfig {
    let mut table: toml::Table = SMALL.parse().unwrap();
    merge(&mut table, &over.parse().unwrap());
    table.try_into().unwrap()
}

fn merge(base: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A simulation of these settings.
pub fn simulation(config: RunConfig) -> Simulation {
    let data = Federation::load(&config).unwrap();
    Simulation::new(config, data).unwrap()
}

/// All rounds on a pool of that many threads.
pub fn records(config: &RunConfig, threads: usize) -> Vec<Record> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| simulation(config.clone()).run_to_end().unwrap())
}

/// The weights' hash after each round.
pub fn hashes(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.w_hash.clone()).collect()
}
