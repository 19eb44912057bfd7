//! The configuration of a training run.

use std::{path::PathBuf, str::FromStr};

use ashlar_train::schedule;
use serde::{Deserialize, Serialize};

use super::tokens::TokenizerKind;
use crate::{
    Error, Result,
    lm::{AdapterSpec, InitSpec, Targets},
};

/// A training run: tables `[model]`, `[data]`, `[train]` and a seed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of every random stream.
    #[serde(default)]
    pub seed: u64,
    /// The model, loaded or made.
    pub model: ModelTable,
    /// The text.
    pub data: DataSpec,
    /// The optimisation.
    #[serde(default)]
    pub train: TrainSpec,
    /// Trains a low-rank adapter in place of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraTable>,
}

/// A low-rank adapter: the table `[lora]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraTable {
    /// Rank.
    pub r: usize,
    /// α: the change is α/r · B A.
    pub alpha: f64,
    /// Regular expression that a module's whole path must match; left out, all projections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Probability with which an input of A is dropped.
    pub dropout: f64,
    /// Scale α/√r (rsLoRA).
    pub rs: bool,
}

impl Default for LoraTable {
    fn default() -> Self {
        Self { r: 16, alpha: 32.0, targets: None, dropout: 0.0, rs: false }
    }
}

impl LoraTable {
    /// What [`Model::inject_lora`](crate::lm::Model::inject_lora) takes.
    pub(super) fn adapter(&self) -> AdapterSpec {
        let targets = self.targets.clone().map_or(Targets::AllLinear, Targets::Regex);
        let (r, alpha, dropout, rs) = (self.r, self.alpha, self.dropout, self.rs);
        AdapterSpec { r, alpha, targets, dropout, rs, ..AdapterSpec::default() }
    }
}

impl FromStr for LoraTable {
    type Err = Error;

    /// `r=8,alpha=16`, with `targets`, `dropout` and `rs` likewise.
    fn from_str(text: &str) -> Result<Self> {
        let mut table = Self::default();
        for part in text.split(',') {
            let wrong = || Error::Setting {
                name: "lora",
                found: part.to_owned(),
                expected: "r=N, alpha=X, targets=REGEX, dropout=P or rs=true".to_owned(),
            };
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            match key.trim() {
                "r" => table.r = value.parse().map_err(|_| wrong())?,
                "alpha" => table.alpha = value.parse().map_err(|_| wrong())?,
                "targets" => table.targets = Some(value.to_owned()),
                "dropout" => table.dropout = value.parse().map_err(|_| wrong())?,
                "rs" => table.rs = value.parse().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(table)
    }
}

/// Where the model comes from: a checkpoint, or a shape to fill with fresh weights.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTable {
    /// Checkpoint folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Shape of a model to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitSpec>,
}

/// What is read.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// A text file, read as one stream, or the name of a text set.
    pub text: String,
    /// Share at the end of the file that is held out for validation, in (0, 1).
    #[serde(default = "tenth")]
    pub valid: f64,
    /// How a model made from scratch reads text; a checkpoint has its own tokenizer.
    #[serde(default)]
    pub tokenizer: TokenizerKind,
}

impl Default for DataSpec {
    fn default() -> Self {
        Self { text: "procedural-text".to_owned(), valid: 0.1, tokenizer: TokenizerKind::Char }
    }
}

fn tenth() -> f64 {
    0.1
}

/// The optimisation: AdamW on random windows of the text.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSpec {
    /// Updates.
    pub steps: u64,
    /// Rows of an update.
    pub batch: usize,
    /// Columns of a row, T.
    pub seq: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// λ, on matrices of projections only: not on norms, biases and embeddings.
    pub weight_decay: f64,
    /// β₁ and β₂.
    pub betas: [f64; 2],
    /// ε.
    pub eps: f64,
    /// Share of the run over which the rate rises.
    pub warmup: f64,
    /// How the rate falls.
    pub schedule: Schedule,
    /// Bound of the gradient's norm; 0 for none.
    pub clip: f64,
    /// Batches whose gradients are averaged into one update.
    pub accum: usize,
    /// Parts of a batch that are computed side by side; part of the result's definition, whatever the threads.
    pub shards: usize,
    /// Weight of the mean of lse(logits)².
    pub z_loss: f64,
    /// Weight of the mean of lse(router logits)².
    pub router_z: f64,
    /// Keep only each block's input and compute the block again in the backward pass.
    pub recompute: bool,
    /// Updates between two validations; 0: at the end only.
    pub eval_every: u64,
    /// Updates between two checkpoints; 0: at the end only.
    pub checkpoint_every: u64,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 8,
            seq: 64,
            lr: 3e-3,
            weight_decay: 0.1,
            betas: [0.9, 0.95],
            eps: 1e-8,
            warmup: 0.05,
            schedule: Schedule::Cosine,
            clip: 1.0,
            accum: 1,
            shards: 2,
            z_loss: 0.0,
            router_z: 0.0,
            recompute: false,
            eval_every: 0,
            checkpoint_every: 0,
        }
    }
}

/// How the learning rate falls after its warm-up.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Half a cosine to 10 %.
    #[default]
    Cosine,
    /// A straight line to 10 %.
    Linear,
    /// Constant, then a straight line to 10 % over the last fifth.
    Wsd,
}

impl TrainConfig {
    /// The defaults for a model from scratch.
    pub fn from_scratch(init: InitSpec) -> Self {
        Self { model: ModelTable { path: None, init: Some(init) }, ..Self::default() }
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// With the first setting that is outside its range.
    pub fn check(&self) -> Result<()> {
        let t = &self.train;
        let wrong =
            |name, found: String, expected: &str| Err(Error::Setting { name, found, expected: expected.into() });
        if self.model.path.is_some() == self.model.init.is_some() {
            let found = if self.model.path.is_some() { "path and init" } else { "neither" };
            return wrong("model", found.into(), "either path (a checkpoint) or init (a shape)");
        }
        if !(self.data.valid > 0.0 && self.data.valid < 1.0) {
            return wrong("data.valid", self.data.valid.to_string(), "a share in (0, 1)");
        }
        for (name, value) in [("batch", t.batch), ("seq", t.seq), ("accum", t.accum), ("shards", t.shards)] {
            if value == 0 || value > 1 << 20 {
                return wrong(name, value.to_string(), "from 1 to 1048576");
            }
        }
        if t.steps == 0 {
            return wrong("steps", "0".into(), "at least 1");
        }
        if !(t.lr > 0.0 && t.lr.is_finite()) {
            return wrong("lr", t.lr.to_string(), "above 0");
        }
        let not_negative =
            [("weight_decay", t.weight_decay), ("clip", t.clip), ("z_loss", t.z_loss), ("router_z", t.router_z)];
        for (name, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(name, value.to_string(), "finite and not negative");
            }
        }
        for beta in t.betas {
            if !(0.0..1.0).contains(&beta) {
                return wrong("betas", beta.to_string(), "at least 0 and below 1");
            }
        }
        if !(t.eps > 0.0 && t.eps.is_finite()) {
            return wrong("eps", t.eps.to_string(), "above 0");
        }
        t.rates().check().map_err(|error| Error::Setting {
            name: "warmup",
            found: t.warmup.to_string(),
            expected: error.to_string(),
        })
    }
}

impl TrainSpec {
    /// The factor of the learning rate over the run.
    pub(super) fn rates(&self) -> schedule::Schedule {
        let (warmup, floor) = (self.warmup, 0.1);
        match self.schedule {
            Schedule::Constant => schedule::Schedule::Wsd { warmup, decay: 0.0, floor },
            Schedule::Cosine => schedule::Schedule::WarmupCosine { warmup, floor },
            Schedule::Linear => schedule::Schedule::WarmupLinear { warmup, floor },
            Schedule::Wsd => schedule::Schedule::Wsd { warmup, decay: 0.2, floor },
        }
    }
}
