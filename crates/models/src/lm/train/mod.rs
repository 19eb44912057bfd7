//! Training of language models on a text: from a configuration to a checkpoint that loads again.
//!
//! ```text
//! text → tokens → step s: B rows of T + 1 tokens, places drawn from the stream ("train", "batch", s)
//!      → `shards` graphs side by side → gradients summed in the order of the shards → clip → AdamW
//! ```
//!
//! Every draw is a function of seed and step, and sums are taken in a fixed order, so that a run has the same bits for
//! any number of threads and, after a break, goes on as if there had been none.
//!
//! ```
//! use ashlar_models::lm::train::{Data, TrainConfig, TrainSpec, Trainer};
//!
//! let config = TrainConfig {
//!     train: TrainSpec { steps: 20, batch: 4, seq: 16, ..TrainSpec::default() },
//!     ..TrainConfig::from_scratch("tiny:llama:1x32x2".parse()?)
//! };
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(40);
//! let mut trainer = Trainer::new(&config, Data::from_text(&config, &text)?)?;
//! let first = trainer.step()?.loss;
//! while trainer.steps_done() < 20 {
//!     trainer.step()?;
//! }
//! assert!(trainer.validate()? < first);
//! # Ok::<(), ashlar_models::Error>(())
//! ```

mod config;
mod data;
mod run;
mod threads;
mod tokens;
mod trainer;

pub use config::{DataSpec, LoraTable, ModelTable, Schedule, TrainConfig, TrainSpec};
pub use data::Data;
pub use run::{Around, train};
pub use threads::on_deep_stack;
pub use tokens::TokenizerKind;
pub use trainer::{Learner, StepRecord, Trainer, decays, flops_per_token};
