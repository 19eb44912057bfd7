//! A whole run: rounds, metrics, checkpoints, result.

use std::sync::atomic::{AtomicBool, Ordering};

use ashlar_train::run::{Env, RunFolder};
use serde_json::{Value, json};

use super::{Federation, Record, Simulation};
use crate::{Error, Result, config::RunConfig};

/// What a run reports to whoever started it.
pub trait Watcher {
    /// After each round.
    fn round(&mut self, record: &Record, of: usize);
}

impl Watcher for () {
    fn round(&mut self, _: &Record, _: usize) {}
}

impl<F: FnMut(&Record, usize)> Watcher for F {
    fn round(&mut self, record: &Record, of: usize) {
        self(record, of);
    }
}

/// Where a run keeps its files, and who may stop it.
pub struct Surroundings<'a> {
    /// Run folder; none keeps nothing.
    pub out: Option<&'a std::path::Path>,
    /// Go on from the folder's last checkpoint.
    pub resume: bool,
    /// Threads; none takes all cores.
    pub threads: Option<usize>,
    /// Set by Ctrl-C.
    pub interrupt: Option<&'a AtomicBool>,
}

/// Runs `config` to its end and returns its result. A run folder then also holds the final `model.safetensors`.
///
/// # Errors
/// [`Error::Interrupted`] after a checkpoint, when `interrupt` is set; whatever data, model, server and disk report.
pub fn run(config: RunConfig, around: &Surroundings<'_>, watcher: &mut (dyn Watcher + Send)) -> Result<Value> {
    let threads = around.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
        Error::setting("threads", threads, format!("a number of threads that can be had ({error})"))
    })?;
    pool.install(|| run_here(config, around, watcher))
}

fn run_here(config: RunConfig, around: &Surroundings<'_>, watcher: &mut (dyn Watcher + Send)) -> Result<Value> {
    config.validate()?;
    let data = Federation::load(&config)?;
    let mut simulation = Simulation::new(config, data)?;
    let text = simulation.config().to_toml()?;
    let env = Env::collect("cpu", rayon::current_num_threads(), simulation.config().seed, &text);
    let mut folder = match around.out {
        None => None,
        Some(path) => Some(RunFolder::open(path, &text, &env, around.resume)?),
    };
    if let Some(folder) = &folder
        && let Some(checkpoint) = folder.latest()?
    {
        simulation.restore(&checkpoint)?;
    }

    let start = std::time::Instant::now();
    let (rounds, every) = (simulation.config().server.rounds, simulation.config().server.checkpoint_every);
    let mut saved = simulation.round();
    while simulation.round() < rounds {
        let record = simulation.step()?;
        watcher.round(&record, rounds);
        let Some(folder) = &mut folder else {
            if asked(around) {
                return Err(Error::Interrupted { round: simulation.round(), saved: false });
            }
            continue;
        };
        folder.metrics(&record.to_json())?;
        if record.dropped_nonfinite > 0 {
            folder.log(&json!({
                "event": "updates dropped", "round": record.round, "dropped_nonfinite": record.dropped_nonfinite,
            }))?;
        }
        let stop = asked(around);
        if stop || simulation.round() == rounds || (every > 0 && simulation.round().is_multiple_of(every)) {
            save(&simulation, folder)?;
            saved = simulation.round();
        }
        if stop && saved < rounds {
            return Err(Error::Interrupted { round: saved, saved: true });
        }
    }
    let mut result = simulation.result()?;
    if let Value::Object(result) = &mut result {
        result.insert("config_hash".to_owned(), env.config_hash.clone().into());
        result.insert("git".to_owned(), env.git.clone().into());
        result.insert("device".to_owned(), "cpu".into());
        result.insert("threads".to_owned(), rayon::current_num_threads().into());
        result.insert("wall_s".to_owned(), start.elapsed().as_secs_f64().into());
    }
    if let Some(folder) = &mut folder {
        simulation.model().save(folder.path().join("model.safetensors"), simulation.weights())?;
        folder.result(&result)?;
    }
    Ok(result)
}

fn asked(around: &Surroundings<'_>) -> bool {
    around.interrupt.is_some_and(|flag| flag.load(Ordering::SeqCst))
}

fn save(simulation: &Simulation, folder: &mut RunFolder) -> Result<()> {
    let (arrays, state) = simulation.save()?;
    folder.checkpoint(simulation.round() as u64, &arrays, &state)?;
    Ok(())
}
