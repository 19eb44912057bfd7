//! A whole run: steps, metrics, checkpoints, the trained model.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use ashlar_train::run::{Env, RunFolder};
use serde_json::{Value, json};

use super::{
    config::TrainConfig,
    data::Data,
    trainer::{StepRecord, Trainer, flops_per_token},
};
use crate::{Error, Result, lm::SaveOptions};

/// Where a run keeps its files, and who may stop it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Run folder, which also becomes the trained checkpoint; none keeps nothing.
    pub out: Option<&'a Path>,
    /// The resolved configuration as text: what the folder keeps, and what resuming compares.
    pub resolved: &'a str,
    /// Go on from the folder's last checkpoint.
    pub resume: bool,
    /// Threads; 0 takes all cores.
    pub threads: usize,
    /// Set by Ctrl-C.
    pub interrupt: Option<&'a AtomicBool>,
}

/// Trains as configured and returns the result: `steps`, `loss_first`, `loss_last`, `val_loss` (nats a token),
/// `tokens_per_s`, `gflops_useful`, `seconds` of the steps, and what it takes to repeat the run.
///
/// A run folder ends as a checkpoint folder (`config.json`, `model.safetensors`, `tokenizer.json`), or with `[lora]` as
/// an adapter's.
///
/// # Errors
/// [`Error::Interrupted`] after a checkpoint, when `interrupt` is set; whatever data, model and disk report.
pub fn train(config: &TrainConfig, around: &Around<'_>, watch: &mut dyn FnMut(&StepRecord)) -> Result<Value> {
    let start = Instant::now();
    config.check()?;
    let mut trainer = Trainer::with_threads(config, Data::load(config)?, around.threads)?;
    let env = Env::collect("cpu", trainer.learner().threads(), config.seed, around.resolved);
    let mut folder = match around.out {
        None => None,
        Some(path) => Some(RunFolder::open(path, around.resolved, &env, around.resume)?),
    };
    if let Some(folder) = &folder
        && let Some(checkpoint) = folder.latest()?
    {
        trainer.restore(&checkpoint)?;
    }
    let (steps, every) = (config.train.steps, config.train.checkpoint_every);
    while trainer.steps_done() < steps {
        let record = trainer.step()?;
        watch(&record);
        let done = record.step;
        let stop = around.interrupt.is_some_and(|flag| flag.load(Ordering::SeqCst));
        let mut line = record.to_json();
        if config.train.eval_every > 0 && done.is_multiple_of(config.train.eval_every) && done < steps {
            line["val/loss"] = json!(trainer.validate()?);
        }
        if let Some(folder) = &mut folder {
            folder.metrics(&line)?;
            if stop || done == steps || (every > 0 && done.is_multiple_of(every)) {
                let (arrays, state) = trainer.save()?;
                folder.checkpoint(done, &arrays, &state)?;
            }
        }
        if stop && done < steps {
            return Err(Error::Interrupted { step: done, saved: folder.is_some() });
        }
    }
    let mut result = result(&trainer, config)?;
    result["config_hash"] = json!(env.config_hash);
    result["git"] = json!(env.git);
    result["wall_s"] = json!(start.elapsed().as_secs_f64());
    if let Some(folder) = &mut folder {
        save_into(&trainer, config, folder.path())?;
        folder.result(&result)?;
    }
    Ok(result)
}

/// Makes the run folder a checkpoint folder: written beside it, then moved in file by file.
fn save_into(trainer: &Trainer, config: &TrainConfig, folder: &Path) -> Result<()> {
    let aside = folder.join(".aside-model");
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    // What a killed process left.
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(io("remove", &aside))?;
    }
    if config.lora.is_some() {
        trainer.model().save_adapter(&aside)?;
    } else {
        trainer.model().save(&aside, &SaveOptions::default())?;
    }
    if !aside.join("tokenizer.json").exists() {
        trainer.data().tokenizer.save(&aside)?;
    }
    for entry in fs::read_dir(&aside).map_err(io("list", &aside))? {
        let from = entry.map_err(io("list", &aside))?.path();
        if let Some(name) = from.file_name() {
            fs::rename(&from, folder.join(name)).map_err(io("move", &from))?;
        }
    }
    fs::remove_dir(&aside).map_err(io("remove", &aside))
}

fn result(trainer: &Trainer, config: &TrainConfig) -> Result<Value> {
    let (spec, progress) = (trainer.model().spec(), trainer.progress());
    // A resumed run that had nothing left to do has no speed.
    let speed = (progress.seconds > 0.0).then(|| progress.tokens as f64 / progress.seconds);
    Ok(json!({
        "steps": trainer.steps_done(),
        "loss_first": progress.loss_first,
        "loss_last": progress.loss_last,
        "val_loss": trainer.validate()?,
        "tokens_per_s": speed,
        "gflops_useful": speed.map(|speed| speed * flops_per_token(spec) / 1e9),
        "seconds": progress.seconds,
        "family": spec.family.model_type(),
        "params": spec.num_params(),
        "params_trained": trainer.model().vars().values().map(|var| var.elem_count()).sum::<usize>(),
        "vocab": spec.vocab,
        "train_tokens": trainer.data().train.len(),
        "val_tokens": trainer.data().valid.len(),
        "batch": config.train.batch,
        "seq": config.train.seq,
        "seed": config.seed,
        "device": "cpu",
        "threads": trainer.learner().threads(),
    }))
}
