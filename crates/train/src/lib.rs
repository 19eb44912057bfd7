//! Optimisers, schedules and the crash-safe run folder with bit-exact resume.
//!
//! # Optimisers
//!
//! [`optim`] holds [`Sgd`](optim::Sgd) and [`AdamW`](optim::AdamW) with PyTorch's definitions, on flat slices, so that
//! the same code serves a federated server's vector and a network's parameters ([`optim::VarOptimizer`] walks named
//! candle variables).
//!
//! ```
//! use ashlar_train::optim::{Optimizer, Sgd};
//!
//! let mut w = [1.0_f32, -2.0];
//! let mut sgd = Sgd { momentum: 0.9, ..Sgd::default() };
//! for _ in 0..200 {
//!     let gradient = w; // of |w|²/2
//!     sgd.step(&mut w, &gradient, 0.1)?;
//! }
//! assert!(w.iter().all(|x| x.abs() < 1e-3));
//! # Ok::<(), ashlar_train::Error>(())
//! ```
//!
//! # Schedules
//!
//! [`Schedule`](schedule::Schedule) gives the factor of a step as a closed form of `(step, total)`, so that resuming
//! needs no state.
//!
//! # Run folder
//!
//! [`RunFolder`](run::RunFolder) is where a run keeps what it needs to be repeated, read and resumed:
//!
//! ```text
//! OUT/config.toml        resolved configuration; its SHA-256 is the config hash
//!     env.json           commit, versions, device, threads, seed, config hash (run::Env)
//!     metrics.jsonl      one JSON object a record
//!     log.jsonl          one JSON object an event
//!     checkpoints/step-000040/{*.safetensors, state.json}
//!     latest             name of the newest checkpoint
//!     result.json        the run's answer, written last
//!     LOCK               held while a process works here; the system frees it if the process dies
//! ```
//!
//! A checkpoint is written aside, synced and renamed, so that at any moment the newest complete one is intact; loading
//! checks every byte against SHA-256 sums and falls back to the previous one, with a warning that names the broken one.
//!
//! ```
//! use ashlar_train::run::{Env, RunFolder};
//! use serde_json::json;
//!
//! let tmp = tempfile::tempdir()?;
//! let out = tmp.path().join("run");
//! let config = "rounds = 3\n";
//! let env = Env::collect("cpu", 1, 42, config);
//!
//! let mut run = RunFolder::create(&out, config, &env)?;
//! run.metrics(&json!({"step": 1, "train/loss": 0.5}))?;
//! run.checkpoint(1, &[("w".into(), vec![1.0_f32, 2.0].into())], &json!({"round": 1}))?;
//! drop(run); // the process dies here
//!
//! let run = RunFolder::resume(&out)?;
//! let checkpoint = run.latest()?.expect("one was saved");
//! assert_eq!((checkpoint.step, checkpoint.f32("w")?), (1, &[1.0_f32, 2.0][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod error;
pub mod metrics;
pub mod optim;
pub mod run;
pub mod schedule;

pub use error::{Error, Result};
