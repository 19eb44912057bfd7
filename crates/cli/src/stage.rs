//! Commands that an experiment file can run as stages, called in-process by the runner.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use serde_json::Value;

use crate::{DeviceArg, Failure};

/// What a stage gets to know about the run around it.
#[derive(Clone, Debug)]
pub struct StageContext {
    /// The stage's own run folder; it exists only if `resume` is true.
    pub out: PathBuf,
    /// Seed of the stage's random streams.
    pub seed: u64,
    /// Device the user asked for.
    pub device: DeviceArg,
    /// Threads the user asked for; results don't depend on it.
    pub threads: Option<u16>,
    /// Go on from the last checkpoint in `out`, where there is one.
    pub resume: bool,
    /// Name shown with the progress, for instance `fetchsgd [lr 0.3, seed 1]`.
    pub label: String,
    /// Set by Ctrl-C: write a checkpoint and return [`Failure::interrupted`].
    pub interrupt: &'static AtomicBool,
}

/// A command that experiment files name in `run = "…"`.
#[derive(Clone, Copy, Debug)]
pub struct StageCommand {
    /// As the user types it after `ashlar`: `fl-core train`.
    pub name: &'static str,
    /// Checks a configuration without running it: unknown keys and wrong types are reported before anything starts.
    pub check: fn(&toml::Table) -> Result<(), Failure>,
    /// Runs with the stage's table and returns its `result.json`.
    pub run: fn(&toml::Table, &StageContext) -> Result<Value, Failure>,
}
