//! Checkpoints and results.

use std::path::Path;

use ashlar_data::sampler::ExhaustState;
use ashlar_train::run::{Array, Checkpoint};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Record, Sampler, Simulation, hash_weights, poison::AttackLog};
use crate::{Error, Result, bytes::Column, local_topk::ClientState};

/// What a checkpoint holds beside arrays.
#[derive(Serialize, Deserialize)]
struct State {
    dropped: usize,
    #[serde(default)]
    skipped: usize,
    sampler: Option<ExhaustState>,
    clients: Vec<u32>,
    attack: AttackLog,
    acc_at_end: Option<f64>,
    last: Record,
}

impl Simulation {
    /// The arrays and the rest of a checkpoint. The weights are `model.safetensors`, one tensor a parameter.
    ///
    /// # Errors
    /// If the state can't be turned into JSON.
    pub fn save(&self) -> Result<(Vec<(String, Array<'_>)>, Value)> {
        let mut arrays: Vec<(String, Array<'_>)> = Vec::new();
        for param in self.model.params() {
            arrays.push((param.name.clone(), self.w[param.range()].into()));
        }
        arrays.push(("sim/before".to_owned(), self.before.as_slice().into()));
        for (name, values) in self.server.save() {
            arrays.push((format!("server/{name}"), values.into()));
        }
        for (name, values) in self.accountant.save() {
            arrays.push((format!("bytes/{name}"), values.into()));
        }
        for (client, state) in &self.states.of {
            for (name, values) in [("v", &state.velocity), ("e", &state.error)] {
                if !values.is_empty() {
                    arrays.push((format!("clients/{client}.{name}"), values.as_slice().into()));
                }
            }
        }
        let state = State {
            dropped: self.dropped,
            skipped: self.skipped,
            sampler: match &self.sampler {
                Sampler::Uniform(_) => None,
                Sampler::EpochExhaust(sampler) => Some(sampler.state().clone()),
            },
            clients: self.states.of.keys().copied().collect(),
            attack: self.attack_log.clone(),
            acc_at_end: self.acc_at_end,
            last: self.last.clone(),
        };
        let state = serde_json::to_value(state)
            .map_err(|error| Error::setting("checkpoint", error, "a state that JSON can hold"))?;
        Ok((arrays, state))
    }

    /// Takes a checkpoint up.
    ///
    /// # Errors
    /// A checkpoint of another model, mode or federation.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let damaged = |error: serde_json::Error| Error::State {
            tensor: "state.json".to_owned(),
            found: error.to_string(),
            expected: "the state of a federated run is needed".to_owned(),
        };
        let state: State = serde_json::from_value(checkpoint.state.clone()).map_err(damaged)?;
        let before = checkpoint.f32("sim/before")?;
        if before.len() != self.w.len() {
            return Err(Error::State {
                tensor: "model".to_owned(),
                found: format!("has d = {} parameters", before.len()),
                expected: format!("this run's has d = {}", self.w.len()),
            });
        }
        for param in self.model.params() {
            let values = checkpoint.f32(&param.name)?;
            copy(&param.name, values, &mut self.w[param.range()])?;
        }
        self.before.copy_from_slice(before);
        let server: Vec<(String, Vec<f32>)> = self
            .server
            .save()
            .into_iter()
            .map(|(name, _)| Ok((name.clone(), checkpoint.f32(&format!("server/{name}"))?.to_vec())))
            .collect::<Result<_>>()?;
        self.server.load(&server)?;
        let bytes: Vec<(String, Vec<i64>)> = self
            .accountant
            .save()
            .into_iter()
            .map(|(name, _)| Ok((name.clone(), checkpoint.i64(&format!("bytes/{name}"))?.to_vec())))
            .collect::<Result<_>>()?;
        self.accountant.load(&bytes)?;
        self.states.of.clear();
        for client in state.clients {
            let array = |name| checkpoint.f32(&format!("clients/{client}.{name}")).map_or(Vec::new(), <[f32]>::to_vec);
            self.states.of.insert(client, ClientState { velocity: array("v"), error: array("e") });
        }
        if let (Sampler::EpochExhaust(sampler), Some(saved)) = (&mut self.sampler, state.sampler) {
            sampler.restore(saved)?;
        }
        self.dropped = state.dropped;
        self.skipped = state.skipped;
        self.attack_log = state.attack;
        self.acc_at_end = state.acc_at_end;
        self.last = state.last;
        self.round = checkpoint.step as usize;
        Ok(())
    }

    /// The run's result so far.
    ///
    /// # Errors
    /// As the model's.
    pub fn result(&self) -> Result<Value> {
        let config = &self.config;
        let totals = self.accountant.totals();
        let compression = totals.compression(self.w.len(), Column::Paper);
        let wire = totals.compression(self.w.len(), Column::Wire);
        let mut result = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": config.server.mode.name(),
            "d": self.w.len(),
            "rounds": self.round,
            "seed": config.seed,
            "ranks": 1,
            "collective": "local",
            "exact": config.dist.exact,
            "final_acc": self.last.test_acc,
            "val_acc": self.last.val_acc,
            "train_loss": self.last.train_loss,
            "bytes_up": totals.up.paper,
            "bytes_down": totals.down.paper,
            "bytes_total": totals.up.paper + totals.down.paper,
            "bytes_up_wire": totals.up.wire,
            "bytes_down_wire": totals.down.wire,
            "bytes_total_wire": totals.up.wire + totals.down.wire,
            "compression": {
                "up": compression.up, "down": compression.down, "total": compression.total,
            },
            "compression_wire": { "up": wire.up, "down": wire.down, "total": wire.total },
            "dropped_nonfinite": self.dropped,
            "skipped_rounds": self.skipped,
            "w_hash": format!("{:016x}", hash_weights(&self.w)),
        });
        if let (Value::Object(result), Some(attack)) = (&mut result, self.attack_result()?) {
            result.extend(attack);
        }
        Ok(result)
    }
}

fn copy(name: &str, from: &[f32], into: &mut [f32]) -> Result<()> {
    crate::error::expect_len(&format!("the checkpoint's `{name}`"), from.len(), into.len())?;
    into.copy_from_slice(from);
    Ok(())
}

/// Weights of an earlier run: a `model.safetensors`, or the checkpoint folder or run folder that holds one.
pub(super) fn read_weights(path: &Path, model: &ashlar_models::VisionModel) -> Result<Vec<f32>> {
    let in_checkpoint = path.parent().is_some_and(|folder| folder.join("state.json").is_file());
    if path.is_file() && !in_checkpoint {
        return Ok(model.load(path)?);
    }
    if !path.exists() {
        let expected = "a folder or file that exists: a run's, a checkpoint's, or weights as .safetensors";
        return Err(Error::setting("server.init", path.display(), expected));
    }
    let checkpoint = open_checkpoint(path)?;
    let mut w = vec![0.0; model.num_params()];
    for param in model.params() {
        copy(&param.name, checkpoint.f32(&param.name)?, &mut w[param.range()])?;
    }
    Ok(w)
}

/// The checkpoint in a checkpoint folder, the newest of a run folder, or that around a file.
///
/// # Errors
/// If there is none or it is damaged.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
    if folder.join("checkpoints").is_dir() {
        let latest = std::fs::read_to_string(folder.join("latest")).unwrap_or_default();
        return Ok(Checkpoint::load(folder.join(latest.trim()))?);
    }
    Ok(Checkpoint::load(folder)?)
}
