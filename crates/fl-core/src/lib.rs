//! Federated learning: FetchSGD's sketches, SparseFed's defence, Neurotoxin's attack, and the simulator around them.
//!
//! A round is: clients make [`Update`]s, [`exact::reduce`] sums them (in fixed point, so that neither order, thread
//! count nor rank count changes a bit) or an [`aggregate::Aggregator`] replaces the mean, a [`ServerAlgo`] moves the
//! weights, and a [`bytes::Accountant`] counts what it cost. [`sim`] runs whole federations from a
//! [`config::RunConfig`], with attackers, evaluation, checkpoints and resumption.
#![deny(missing_docs)]

pub mod aggregate;
pub mod attack;
pub mod bytes;
pub mod certify;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod config;
pub mod durability;
mod error;
pub mod exact;
pub mod fetchsgd;
pub mod frame;
pub mod local_topk;
pub mod matrix;
pub mod momentum;
pub mod neurotoxin;
pub mod optim;
pub mod server;
pub mod sim;
pub mod sparsefed;
pub mod true_topk;
mod update;
mod vector;

pub use ashlar_kernels::SparseVec;
pub use ashlar_kernels::sketch::{CountSketch, HashFamily, SketchConfig, TableKind};
pub use error::{Error, Result};
pub use server::{Aggregate, Lr, Mode, RoundReport, ServerAlgo, ServerSpec};
pub use update::{Direction, Update, Values};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
