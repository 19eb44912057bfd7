//! Datasets, partitions and samplers for trustworthy-learning experiments, with procedural sets that need no download.
//!
//! # From a configuration to examples
//!
//! A [`DataSpec`] is the `[data]` table of a configuration; [`load`] gives a [`Split`] of two [`LabelledSet`]s and
//! [`load_text`] a [`TextSplit`] of two [`TextSet`]s.
//!
//! ```
//! let spec = ashlar_data::DataSpec { seed: 1, train: Some(500), test: Some(100), ..Default::default() };
//! let split = ashlar_data::load(&spec)?;
//! assert_eq!(split.train.shape(), [1, 16, 16]);
//! # Ok::<(), ashlar_data::Error>(())
//! ```
//!
//! | `name` | what | needs |
//! |---|---|---|
//! | `procedural-images` (default) | [10 classes of shapes and textures](procedural::images) | nothing |
//! | `procedural-text` | [users of a made-up language of known entropy](procedural::text) | nothing |
//! | `mnist`, `mnist10k`, `fashion-mnist`, `cifar10`, `cifar100`, `tinyshakespeare`, `names` | published sets | files |
//! | `idx`, `cifar-binary`, `csv`, `jsonl`, `text`, `image-folder` | your own files | `path` |
//!
//! Published sets are looked for at `path`, else in the folder `ASHLAR_DATA` (default `../shared/data` from the current
//! folder or the workspace), else in the cache folder (`ASHLAR_CACHE`, default the platform's). What is missing is
//! named with every path tried; `ashlar data fetch NAME` brings it (module `fetch`, feature `http`; the addresses are
//! `https`, so also `tls`). `mnist10k` is MNIST's test images in file order: 8,000 to train on, 2,000 to test.
//! `cifar10` takes as many training batches as it finds.
//!
//! # How hard the default set is
//!
//! On `procedural-images` with 6,000 pictures, ten epochs of SGD: an MLP with 64 hidden units reaches about .91, a
//! linear model about .33; classes are balanced, so guessing gives .10. `examples/learnability.rs` measures it.
//!
//! # Clients
//!
//! [`partition::split`] divides examples among clients; [`sampler`] says who takes part in a round. Both depend on
//! their arguments and the seed alone, through [`ashlar_kernels::rng::stream`].
//!
//! # Bad input
//!
//! Every reader answers a file that it cannot take with one [`Error`] that names file, place and remedy. Sizes in
//! headers are checked against the length of the file before memory is taken; compressed data may not grow past what
//! its header announces. [`Error::is_input`] tells a caller's mistake (exit code 2) from a failing disk or network (1).
//!
//! # Features
//!
//! `http` (`fetch` over HTTP), `tls` (HTTPS), `cli` (the command `ashlar data`); none is on by default.

pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
mod error;
#[cfg(feature = "http")]
pub mod fetch;
#[cfg(test)]
mod fuzz;
mod load;
pub mod partition;
mod paths;
pub mod procedural;
pub mod read;
pub mod sampler;
mod set;
mod spec;
mod text;

pub use error::{Error, Place, Result};
pub use load::load;
pub use paths::{cache_dir, shared_data_dir};
pub use set::{LabelledSet, Scaling, Split};
pub use spec::{Column, DataSpec, Fit};
pub use text::{TextSet, TextSplit, load_text};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
