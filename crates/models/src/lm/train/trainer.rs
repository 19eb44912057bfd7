//! Steps of training: shards of a batch side by side, one update.

use std::time::Instant;

use ashlar_train::{
    optim::{AdamW, Group, VarAdamW},
    run::{Array, Checkpoint},
};
use candle_core::{DType, Device};
use serde_json::{Value, json};

use super::{config::TrainConfig, config::TrainSpec, data::Data, threads::Pools};
use crate::{
    Error, Result,
    lm::{
        Batch, Dropout, Gradients, HookSet, LossOptions, LossParts, LossReduction, Model, ModelSpec, ParamKind,
        PassOptions, Recompute, names::parameters,
    },
};

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRecord {
    /// Updates done, this one counted.
    pub step: u64,
    /// Mean cross-entropy of the batch before the update, nats a token.
    pub loss: f64,
    /// Load-balancing loss before its weight, of models with experts.
    pub router_aux: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Labelled columns.
    pub tokens: usize,
}

impl StepRecord {
    /// A record of `metrics.jsonl`.
    pub fn to_json(&self) -> Value {
        let mut record = json!({
            "step": self.step, "train/loss": self.loss, "train/lr": self.lr, "train/grad_norm": self.grad_norm,
        });
        if let Some(aux) = self.router_aux {
            record["train/router_aux"] = json!(aux);
        }
        record
    }
}

/// A model under training with its optimiser, whatever the batches come from.
///
/// A batch is cut into `shards` parts by rows; each has a graph of its own, several are computed at the same time, and
/// their gradients are summed in the order of the parts: the same bits for any number of threads.
///
/// Set `CANDLE_NUM_THREADS=1` in the process's environment (the binaries do): candle's own elementwise operations of more
/// than 65,536 values otherwise go to one pool for the whole process, whose callers wait for each other.
#[derive(Debug)]
pub struct Learner {
    model: Model,
    spec: TrainSpec,
    optimizer: VarAdamW,
    pools: Pools,
    /// Seed of the masks of adapters that drop inputs.
    pub(super) dropout_seed: Option<u64>,
}

impl Learner {
    /// Trains the variables of `model`; if it has none, all its parameters.
    ///
    /// # Errors
    /// Where a variable isn't f32, or a setting is outside its range.
    pub fn new(model: Model, spec: TrainSpec, threads: usize) -> Result<Self> {
        let model = if model.vars().is_empty() { model.trainable(|_| true)? } else { model };
        let vars = model.vars().iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        let options = AdamW {
            beta1: spec.betas[0] as f32,
            beta2: spec.betas[1] as f32,
            eps: spec.eps as f32,
            weight_decay: spec.weight_decay as f32,
            ..AdamW::default()
        };
        let optimizer = VarAdamW::new(vars, options)?
            .with_groups(|name, shape| Group { decay: decays(name, shape), ..Group::default() });
        Ok(Self { model, optimizer, pools: Pools::new(threads, spec.shards)?, spec, dropout_seed: None })
    }

    /// The model; its parameters change with each update.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The optimiser, for its masks.
    pub fn optimizer_mut(&mut self) -> &mut VarAdamW {
        &mut self.optimizer
    }

    /// Updates done.
    pub fn steps_done(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Threads at work.
    pub fn threads(&self) -> usize {
        self.pools.threads()
    }

    /// One update along the mean gradient of the batches, which are computed one after the other.
    ///
    /// # Errors
    /// As [`Model::loss`]; [`Error::Diverged`] where the gradient isn't finite, with the parameters as they were.
    pub fn update(&mut self, batches: &[Batch], hooks: &HookSet) -> Result<StepRecord> {
        let tokens: usize = batches.iter().map(Batch::tokens).sum();
        let (mut loss, mut router_aux) = (0.0, None);
        // Every shard of every batch has masks of its own.
        let mut drawn = self.optimizer.steps() * (batches.len() * self.spec.shards) as u64;
        for batch in batches {
            let shards: Vec<(u64, Batch)> = (drawn..).zip(batch.split(self.spec.shards)).collect();
            drawn += shards.len() as u64;
            let work = |(draw, shard): (u64, Batch)| self.gradients(&shard, hooks, draw);
            for (parts, gradients) in self.pools.each(shards, work)? {
                let share = parts.tokens as f64 / tokens as f64;
                loss += share * parts.cross_entropy;
                if let Some(aux) = parts.router_aux {
                    *router_aux.get_or_insert(0.0) += share * aux;
                }
                let optimizer = &mut self.optimizer;
                self.pools.install(|| optimizer.accumulate(|name| gradients.get(name), share as f32))?;
            }
        }
        let step = self.optimizer.steps();
        let lr = self.spec.lr * self.spec.rates().at(step, self.spec.steps);
        let clip = (self.spec.clip > 0.0).then_some(self.spec.clip as f32);
        let optimizer = &mut self.optimizer;
        let grad_norm = self.pools.install(|| optimizer.step(lr as f32, clip))?;
        if !grad_norm.is_finite() || !loss.is_finite() {
            return Err(Error::Diverged { step: step + 1 });
        }
        Ok(StepRecord { step: step + 1, loss, router_aux, lr, grad_norm, tokens })
    }

    fn gradients(&self, batch: &Batch, hooks: &HookSet, draw: u64) -> Result<(LossParts, Gradients)> {
        let options = LossOptions { z_loss: self.spec.z_loss, router_z: self.spec.router_z, ..LossOptions::default() };
        let recompute = self.spec.recompute.then(Recompute::new);
        let dropout = self.dropout_seed.map(|seed| Dropout { seed, step: draw });
        let pass = PassOptions { recompute, dropout, ..PassOptions::default() };
        let loss = self.model.loss_with(batch, hooks, &options, &pass)?;
        let gradients = loss.backward(&self.model)?;
        Ok((loss.parts, gradients))
    }

    /// Mean cross-entropy of rows of a stream, nats a token; records no graph.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn evaluate(&self, rows: &[Vec<u32>]) -> Result<f64> {
        let model = self.model.frozen()?;
        // No router loss is wanted, and sums are exact to add.
        let options = LossOptions { reduction: LossReduction::Sum, router_aux: Some(0.0), ..LossOptions::default() };
        let sums = self.pools.each(rows.chunks(16).collect(), |rows: &[Vec<u32>]| {
            let batch = Batch::stream(rows)?;
            let parts = model.loss_with(&batch, &HookSet::new(), &options, &PassOptions::default())?.parts;
            Ok((parts.cross_entropy, parts.tokens))
        })?;
        let (sum, tokens) = sums.iter().fold((0.0, 0), |(sum, n), (ce, tokens)| (sum + ce, n + tokens));
        if tokens == 0 { Err(Error::NoLabel) } else { Ok(sum / tokens as f64) }
    }
}

/// A [`Learner`] on a text: batches drawn by seed and step.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    data: Data,
    learner: Learner,
    progress: Progress,
}

/// What a run has come to; saved with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Progress {
    pub loss_first: Option<f64>,
    pub loss_last: Option<f64>,
    /// Tokens and seconds since this process started.
    pub tokens: u64,
    pub seconds: f64,
}

impl Trainer {
    /// Loads or makes the model, with all cores.
    ///
    /// # Errors
    /// Where settings, checkpoint and data don't go together.
    pub fn new(config: &TrainConfig, data: Data) -> Result<Self> {
        Self::with_threads(config, data, 0)
    }

    /// With `threads` threads; 0: all cores.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_threads(config: &TrainConfig, data: Data, threads: usize) -> Result<Self> {
        config.check()?;
        let model = match (&config.model.path, &config.model.init) {
            (Some(folder), _) => Model::load(folder, DType::F32, &Device::Cpu)?,
            (None, Some(init)) => Model::init(init.spec(data.vocab())?, init.seed.unwrap_or(config.seed))?,
            (None, None) => return config.check().and(Err(Error::EmptyBatch)),
        };
        if config.train.seq > model.spec().max_pos {
            let expected = format!("at most the {} positions of the model", model.spec().max_pos);
            return Err(Error::Setting { name: "seq", found: config.train.seq.to_string(), expected });
        }
        if data.vocab() > model.spec().vocab {
            let expected = format!("at most the model's {} tokens", model.spec().vocab);
            return Err(Error::Setting { name: "tokenizer", found: format!("{} tokens", data.vocab()), expected });
        }
        let model = match &config.lora {
            Some(lora) => model.inject_lora(&lora.adapter(), config.seed)?,
            None => model,
        };
        let mut learner = Learner::new(model, config.train.clone(), threads)?;
        learner.dropout_seed = config.lora.as_ref().filter(|lora| lora.dropout > 0.0).map(|_| config.seed);
        Ok(Self { config: config.clone(), data, learner, progress: Progress::default() })
    }

    /// The model; its parameters change with each step.
    pub fn model(&self) -> &Model {
        self.learner.model()
    }

    /// Model and optimiser.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The tokens.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Updates done.
    pub fn steps_done(&self) -> u64 {
        self.learner.steps_done()
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The next update.
    ///
    /// # Errors
    /// As [`Learner::update`].
    pub fn step(&mut self) -> Result<StepRecord> {
        let start = Instant::now();
        let step = self.steps_done();
        let batches =
            (0..self.config.train.accum).map(|micro| Batch::stream(&self.data.rows(&self.config, step, micro)));
        let record = self.learner.update(&batches.collect::<Result<Vec<_>>>()?, &HookSet::new())?;
        let progress = &mut self.progress;
        progress.loss_first.get_or_insert(record.loss);
        progress.loss_last = Some(record.loss);
        progress.tokens += record.tokens as u64;
        progress.seconds += start.elapsed().as_secs_f64();
        Ok(record)
    }

    /// Mean cross-entropy on the held-out part, nats a token.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn validate(&self) -> Result<f64> {
        self.learner.evaluate(&self.data.windows(self.config.train.seq))
    }

    /// Arrays and state of a checkpoint.
    pub(super) fn save(&self) -> Result<(Vec<(String, Array<'static>)>, Value)> {
        let mut arrays = Vec::new();
        for (name, var) in self.model().vars() {
            arrays.push((name.clone(), var.flatten_all()?.to_vec1::<f32>()?.into()));
        }
        let moments = self.learner.optimizer.state();
        arrays.extend(moments.into_iter().map(|(name, values)| (format!("optim/{name}"), values.into())));
        let state = json!({ "loss_first": self.progress.loss_first, "loss_last": self.progress.loss_last });
        Ok((arrays, state))
    }

    /// Goes on where a checkpoint was saved.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, var) in self.model().vars() {
            let values = checkpoint.f32(name)?;
            crate::error::same_length("a parameter of the checkpoint", var.elem_count(), values.len())?;
            var.set(&candle_core::Tensor::from_slice(values, var.shape(), var.device())?)?;
        }
        let moments =
            checkpoint.tensors.iter().filter_map(|(name, array)| match (name.strip_prefix("optim/"), array) {
                (Some(name), Array::F32(values)) => Some((name.to_owned(), values.to_vec())),
                _ => None,
            });
        self.learner.optimizer.load_state(&moments.collect::<Vec<_>>())?;
        let number = |key: &str| checkpoint.state.get(key).and_then(Value::as_f64);
        (self.progress.loss_first, self.progress.loss_last) = (number("loss_first"), number("loss_last"));
        Ok(())
    }
}

/// Whether weight decay acts on a parameter: matrices that aren't tables.
pub fn decays(name: &str, shape: &[usize]) -> bool {
    const TABLES: [&str; 3] = ["embed_tokens.weight", "wte.weight", "wpe.weight"];
    shape.len() >= 2 && !TABLES.iter().any(|table| name.ends_with(table))
}

/// Useful operations a token, forward and backward: 6 for each weight of a projection that the token passes.
pub fn flops_per_token(spec: &ModelSpec) -> f64 {
    let moe = spec.moe.iter().flatten().next();
    let used = |param: &crate::lm::ParamInfo| {
        let share = match moe {
            Some(moe) if param.name.contains(".experts.") => moe.top_k as f64 / moe.experts as f64,
            _ => 1.0,
        };
        share * param.shape.iter().product::<usize>() as f64
    };
    let params = parameters(spec);
    let matrices = params.iter().filter(|p| matches!(p.kind, ParamKind::Linear | ParamKind::ResidualOut));
    let head = if spec.tied { (spec.vocab * spec.d_model) as f64 } else { 0.0 };
    6.0 * (matrices.map(used).sum::<f64>() + head)
}
