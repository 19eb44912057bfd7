//! `[server]`, `[clip]`, `[defence]`, `[dist]`: how updates become weights.

use std::path::PathBuf;

use ashlar_kernels::sketch::{Coefficients, HashFamily};
use ashlar_train::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::{Mode, fetchsgd::Variant};

/// The rounds and the server's algorithm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTable {
    /// The algorithm.
    pub mode: Mode,
    /// Number of rounds.
    pub rounds: usize,
    /// Clients in a round.
    pub per_round: usize,
    /// Coordinates kept by top-k; absent means 1 % of the parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Rows of the sketch, odd.
    pub rows: u32,
    /// Columns of the sketch; absent means 10·k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cols: Option<u64>,
    /// Hash family of the sketch.
    pub hash: HashName,
    /// FetchSGD as CommEfficient's code does it, or as the paper's algorithm 1.
    pub variant: Variant,
    /// Server momentum ρ.
    pub momentum: f64,
    /// Server learning rate; with local training it multiplies the averaged weight change and has no schedule.
    /// Absent means 0.1 in the gradient modes, 1 with local training; 0.1 for `adam` and `adagrad`, 0.01 for `yogi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Course of the learning rate (with local training: the clients').
    pub schedule: Schedule,
    /// Optimiser on the averaged weight change, in mode `fedavg`.
    pub optimizer: Optimizer,
    /// First moment's decay of the adaptive optimisers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Second moment's decay of `adam` and `yogi`.
    pub beta2: f64,
    /// Floor of the adaptive optimisers' denominator.
    pub tau: f64,
    /// Adam's bias correction as Flower does it.
    pub bias_correction: bool,
    /// Test accuracy is measured after every so many rounds, and after the last.
    pub eval_every: usize,
    /// A checkpoint is written after every so many rounds; 0 writes one at the end and on Ctrl-C only.
    pub checkpoint_every: usize,
    /// Share of a round's updates that may be unusable (not finite, of a wrong length, missing) before the run fails.
    pub max_drop: f64,
    /// Memory for what clients remember between rounds.
    pub state_limit_mb: usize,
    /// Starts from these weights (a `model.safetensors` of an earlier run) instead of fresh ones; no seed
    /// gives these, so a client's first download counts all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Sketches each client's update rather than their sum: W times the work, and with exact sums (`dist.exact`) and
    /// no weight decay at the server the same bits.
    pub sketch_per_client: bool,
    /// Prints SparseFed's one-round certificate for this many malicious clients; absent means the attack's number
    /// (with `attack.fraction`, the most that a round can hold). A rule in place of the mean has no certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certify: Option<usize>,
}

impl Default for ServerTable {
    fn default() -> Self {
        Self {
            mode: Mode::Uncompressed,
            rounds: 100,
            per_round: 10,
            k: None,
            rows: 5,
            cols: None,
            hash: HashName::Fmix64,
            variant: Variant::Code,
            momentum: 0.9,
            lr: None,
            schedule: Schedule::Constant,
            optimizer: Optimizer::Momentum,
            beta1: None,
            beta2: 0.99,
            tau: 1e-3,
            bias_correction: false,
            eval_every: 10,
            checkpoint_every: 0,
            max_drop: 0.5,
            state_limit_mb: 4096,
            init: None,
            sketch_per_client: false,
            certify: None,
        }
    }
}

impl ServerTable {
    /// The schedule's factor in a round. Smooth schedules are taken at the round's middle, so that neither the first
    /// nor the last round of a triangle has a learning rate of 0.
    pub fn factor(&self, round: usize) -> f64 {
        let (round, rounds) = (round as u64, self.rounds as u64);
        match self.schedule {
            Schedule::Constant | Schedule::Step { .. } => self.schedule.at(round, rounds),
            _ => self.schedule.at(2 * round + 1, 2 * rounds),
        }
    }
}

/// Hash family of the sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum HashName {
    /// SplitMix64 row keys and a 64-bit mixer: no tables, the same on every device.
    #[default]
    Fmix64,
    /// Exact polynomials modulo 2⁶¹ − 1.
    Poly61,
    /// As csvec computes them, wrapping products included.
    Csvec,
}

impl HashName {
    /// The family, csvec's with one block and its own coefficients.
    pub fn family(self) -> HashFamily {
        match self {
            Self::Fmix64 => HashFamily::Fmix64,
            Self::Poly61 => HashFamily::Poly61,
            Self::Csvec => HashFamily::Csvec { blocks: 1, coef: Coefficients::default() },
        }
    }
}

/// Optimiser on the averaged weight change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Averaging with momentum ρ.
    #[default]
    Momentum,
    /// FedAdagrad.
    Adagrad,
    /// FedAdam.
    Adam,
    /// FedYogi.
    Yogi,
}

/// The server's bound on every update.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipTable {
    /// L2 bound L on each update. In mode `sketch` the client applies it, before it sketches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l2: Option<f64>,
    /// With local training, whether the bound is L times the clients' learning rate (weight changes contain it);
    /// absent means true in mode `sparsefed` and false elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_lr: Option<bool>,
}

/// What replaces the mean of the updates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefenceTable {
    /// The rule.
    pub name: DefenceName,
    /// Malicious updates that the rule shall withstand.
    pub f: usize,
    /// Multi-Krum: updates averaged; absent means n − f.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub m: Option<usize>,
    /// Weak DP: standard deviation of the noise on the mean.
    pub sigma: f64,
}

impl Default for DefenceTable {
    fn default() -> Self {
        Self { name: DefenceName::None, f: 1, m: None, sigma: 0.001 }
    }
}

/// A rule that replaces the mean of the updates; the names are those of [`crate::aggregate::AGGREGATORS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefenceName {
    /// The mean.
    #[default]
    #[serde(alias = "mean")]
    None,
    /// Clipping alone (`clip.l2`).
    #[serde(alias = "norm_clip", alias = "clip")]
    NormClip,
    /// Clipping, and Gaussian noise on the mean.
    #[serde(alias = "weak_dp")]
    WeakDp,
    /// Coordinate-wise median.
    Median,
    /// Coordinate-wise mean without the f largest and f smallest.
    #[serde(alias = "trimmed_mean")]
    TrimmedMean,
    /// The update nearest to its neighbours.
    Krum,
    /// The mean of the m best by Krum's score.
    #[serde(alias = "multi_krum")]
    MultiKrum,
    /// Krum's selection, then each coordinate's mean around its median.
    Bulyan,
}

impl DefenceName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::NormClip,
        Self::WeakDp,
        Self::Median,
        Self::TrimmedMean,
        Self::Krum,
        Self::MultiKrum,
        Self::Bulyan,
    ];

    /// By a name that TOML takes too, the other spellings included.
    pub fn parse(name: &str) -> Option<Self> {
        use serde::de::{IntoDeserializer, value::StrDeserializer};
        let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// Whether something else than the mean of (clipped) updates comes out.
    pub const fn replaces_the_mean(self) -> bool {
        !matches!(self, Self::None | Self::NormClip)
    }

    /// Its name in TOML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NormClip => "norm-clip",
            Self::WeakDp => "weak-dp",
            Self::Median => "median",
            Self::TrimmedMean => "trimmed-mean",
            Self::Krum => "krum",
            Self::MultiKrum => "multi-krum",
            Self::Bulyan => "bulyan",
        }
    }
}

/// How the sum over clients is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistTable {
    /// What carries sums between processes.
    pub collective: Collective,
    /// Sums in fixed point: the same bits for any order, thread count and split.
    pub exact: bool,
}

impl Default for DistTable {
    fn default() -> Self {
        Self { collective: Collective::Local, exact: true }
    }
}

/// What carries sums between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collective {
    /// Threads of one process.
    #[default]
    Local,
}
