//! The server's side of a round: what it receives, what it reports, and the modes it can run in.
//!
//! All modes follow CommEfficient's order of operations; each has its module, with its equations at the head.

mod received;

use std::str::FromStr;

use ashlar_kernels::SparseVec;
use ashlar_kernels::sketch::{HashFamily, SketchConfig, TableKind};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::certify::Certificate;
use crate::error::expect_len;
use crate::fetchsgd::{FetchSgd, Variant};
use crate::momentum::MomentumServer;
use crate::optim::{Rule, ServerOptimizer};
use crate::vector::LEAF;
use crate::{Error, Result, sparsefed, true_topk};

pub use received::Aggregate;

/// A learning rate: one number, or one a coordinate (parameter groups).
#[derive(Debug, Clone, Copy)]
pub enum Lr<'a> {
    /// The same for all coordinates.
    Scalar(f32),
    /// One a coordinate.
    PerCoordinate(&'a [f32]),
}

impl From<f32> for Lr<'static> {
    fn from(lr: f32) -> Self {
        Self::Scalar(lr)
    }
}

impl Lr<'_> {
    pub(crate) fn check(&self, d: usize) -> Result<()> {
        match self {
            Self::Scalar(_) => Ok(()),
            Self::PerCoordinate(lr) => expect_len("the learning rate", lr.len(), d),
        }
    }

    pub(crate) fn at(&self, i: usize) -> f32 {
        match self {
            Self::Scalar(lr) => *lr,
            Self::PerCoordinate(lr) => lr[i],
        }
    }
}

/// w −= lr·v.
pub(crate) fn descend(w: &mut [f32], v: &[f32], lr: Lr<'_>) {
    w.par_chunks_mut(LEAF).zip(v.par_chunks(LEAF)).enumerate().for_each(|(leaf, (w, v))| match lr {
        Lr::Scalar(lr) => w.iter_mut().zip(v).for_each(|(w, v)| *w -= lr * v),
        Lr::PerCoordinate(lr) => {
            let lr = &lr[leaf * LEAF..];
            w.iter_mut().zip(v).zip(lr).for_each(|((w, v), lr)| *w -= lr * v);
        }
    });
}

/// w −= lr·Δ on the coordinates of Δ.
pub(crate) fn descend_sparse(w: &mut [f32], delta: &SparseVec, lr: Lr<'_>) {
    for (&i, &value) in delta.idx().iter().zip(delta.val()) {
        let i = i as usize;
        w[i] -= lr.at(i) * value;
    }
}

/// What a server step did.
#[derive(Debug, Clone, Default)]
pub struct RoundReport {
    /// Coordinates of the update that are not 0.
    pub update_nnz: usize,
    /// FetchSGD, variant code: the share of the table's cells that the momentum and error mask wiped.
    pub masked_fraction: Option<f64>,
    /// ‖V‖₂ after the step (estimated from the table in mode sketch).
    pub v_norm: f64,
    /// ‖E‖₂ after the step (likewise; 0 without error feedback).
    pub e_norm: f64,
    /// The sparse update Δ, before the learning rate (in FetchSGD's variant paper it contains it).
    pub delta: Option<SparseVec>,
    /// SparseFed's bound for this step, when asked for.
    pub certificate: Option<Certificate>,
}

/// A server algorithm: moves the weights by one aggregate a round.
pub trait ServerAlgo: Send {
    /// The mode, as in TOML.
    fn name(&self) -> &'static str;

    /// One step on the weights. On an error neither weights nor state are to be used any further.
    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport>;

    /// The state, bit for bit, as named vectors.
    fn save(&self) -> Vec<(String, Vec<f32>)>;

    /// Takes a saved state up; names and lengths must be those of [`save`](Self::save).
    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()>;
}

/// Copies the named vector of a saved state into `into`.
pub(crate) fn restore(state: &[(String, Vec<f32>)], name: &str, into: &mut [f32]) -> Result<()> {
    let error = |found: String, expected: String| Error::State { tensor: name.to_owned(), found, expected };
    let Some((_, saved)) = state.iter().find(|(found, _)| found == name) else {
        return Err(error("is missing".to_owned(), format!("{} numbers are needed", into.len())));
    };
    if saved.len() != into.len() {
        return Err(error(format!("has {} numbers", saved.len()), format!("this model needs {}", into.len())));
    }
    into.copy_from_slice(saved);
    Ok(())
}

/// The server's mode, `true-topk` or `true_topk` alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Dense gradients.
    Uncompressed,
    /// Top-k of the aggregate at the server.
    #[serde(alias = "true_topk")]
    TrueTopk,
    /// Top-k at each client.
    #[serde(alias = "local_topk")]
    LocalTopk,
    /// Local SGD, mean of the weight changes.
    #[serde(rename = "fedavg")]
    FedAvg,
    /// FetchSGD.
    Sketch,
    /// Clipping, mean over slots, true top-k.
    #[serde(rename = "sparsefed")]
    SparseFed,
}

impl Mode {
    /// All modes, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Uncompressed, Self::TrueTopk, Self::LocalTopk, Self::FedAvg, Self::Sketch, Self::SparseFed];

    /// The mode's name on the command line and in TOML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uncompressed => "uncompressed",
            Self::TrueTopk => "true-topk",
            Self::LocalTopk => "local-topk",
            Self::FedAvg => "fedavg",
            Self::Sketch => "sketch",
            Self::SparseFed => "sparsefed",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let dashed = name.replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == dashed)
            .ok_or_else(|| Error::setting("mode", name, Self::ALL.map(Self::name).join(", ")))
    }
}

/// Where error feedback lives (CommEfficient's `error_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFeedback {
    /// Nowhere.
    None,
    /// At the server.
    #[default]
    Virtual,
    /// At each client (d floats a client).
    Local,
}

/// Everything from which a server algorithm is built.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Which algorithm.
    pub mode: Mode,
    /// Parameters of the model.
    pub d: usize,
    /// Kept coordinates (sketch, true-topk, sparsefed).
    pub k: usize,
    /// ρ, the server's momentum.
    pub momentum: f32,
    /// Rows of the sketch.
    pub rows: u32,
    /// Columns of the sketch.
    pub cols: u64,
    /// Hash family of the sketch.
    pub hash: HashFamily,
    /// Seed of the sketch's hashes.
    pub seed: u64,
    /// FetchSGD as in CommEfficient or as in the paper.
    pub variant: Variant,
    /// Mode fedavg: another optimiser than averaging with momentum.
    pub optimizer: Option<Rule>,
    /// Mode sparsefed: certify each step against poison of this L2 norm at the server ([`certify::poison_radius`](crate::certify::poison_radius)).
    pub certify_radius: Option<f64>,
}

impl ServerSpec {
    /// The defaults for a model of d parameters: k = d/100, 5 rows of 10·k columns, Fmix64, ρ = 0.9, variant code.
    pub fn new(mode: Mode, d: usize) -> Self {
        let k = (d / 100).max(1);
        Self {
            mode,
            d,
            k,
            momentum: 0.9,
            rows: 5,
            cols: 10 * k as u64,
            hash: HashFamily::Fmix64,
            seed: 0,
            variant: Variant::Code,
            optimizer: None,
            certify_radius: None,
        }
    }

    /// The shape of the sketch, with an f32 table.
    pub fn sketch_config(&self) -> SketchConfig {
        SketchConfig {
            d: self.d as u64,
            rows: self.rows,
            cols: self.cols,
            seed: self.seed,
            hash: self.hash,
            table: TableKind::F32,
        }
    }

    /// Builds the algorithm, or says which setting cannot work.
    pub fn build(&self) -> Result<Box<dyn ServerAlgo>> {
        if self.optimizer.is_some() && self.mode != Mode::FedAvg {
            return Err(Error::Conflict {
                first: "optimizer",
                second: "mode",
                why: "server optimisers belong to mode fedavg; the other modes have their own momentum",
            });
        }
        Ok(match self.mode {
            Mode::Uncompressed | Mode::LocalTopk => Box::new(MomentumServer::new(self.mode, self.d, self.momentum)?),
            Mode::TrueTopk => Box::new(true_topk::TrueTopk::new(self.d, self.k, self.momentum)?),
            Mode::FedAvg => match self.optimizer {
                None => Box::new(MomentumServer::new(self.mode, self.d, self.momentum)?),
                Some(rule) => Box::new(ServerOptimizer::new(self.d, rule)?),
            },
            Mode::Sketch => Box::new(FetchSgd::new(self.sketch_config(), self.k, self.momentum, self.variant)?),
            Mode::SparseFed => Box::new(sparsefed::SparseFed::new(self.d, self.k, self.momentum, self.certify_radius)?),
        })
    }
}

pub(crate) fn check_momentum(momentum: f32) -> Result<f32> {
    if (0.0..1.0).contains(&momentum) {
        Ok(momentum)
    } else {
        Err(Error::setting("momentum", momentum, "a number in [0, 1)"))
    }
}

pub(crate) fn check_k(k: usize, d: usize) -> Result<usize> {
    if k == 0 || k > d { Err(Error::KeepCount { k: k as u64, d: d as u64 }) } else { Ok(k) }
}
