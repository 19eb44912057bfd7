//! Models on candle: decoder-only language models ([`lm`]) and the vision networks of the federated experiments.
//!
//! [`VisionModel`] is an image classifier whose weights are one flat `f32` vector, as federated learning wants them:
//! parameters in name order, gradients into a slice of the same layout. [`ModelSpec`] is the table `[model]` of a
//! configuration, [`Arch`] lists the networks.
//!
//! ```
//! use ashlar_models::{ModelSpec, VisionModel};
//! use candle_core::Device;
//!
//! let model = VisionModel::new(&ModelSpec::mlp([64]), [1, 28, 28], 10, &Device::Cpu, 42)?;
//! assert_eq!(model.num_params(), 50_890);
//!
//! let mut w = model.init_flat();
//! let mut gradient = vec![0.0; model.num_params()];
//! let images = vec![0.5; 2 * model.features()]; // two grey images
//! let labels = [3, 3];
//! let before = model.loss_and_grad(&model.bind(&w)?, &images, &labels, &mut gradient)?;
//! for (w, g) in w.iter_mut().zip(&gradient) {
//!     *w -= 0.1 * g;
//! }
//! let after = model.loss_and_grad(&model.bind(&w)?, &images, &labels, &mut gradient)?;
//! assert!(after < before);
//! # Ok::<(), ashlar_models::Error>(())
//! ```
//!
//! # How it computes
//!
//! On a CPU, forward and backward are this crate's own: a list of layers on slices, matrix products by the crate
//! `gemm`, no tape, and no allocation once a thread is warm. A call stays on its thread; clients, or batches of an
//! evaluation, are what runs in parallel, so that results don't depend on the number of threads. On another device the
//! same list of layers becomes a graph of candle operations. The tests hold the two against each other, against finite
//! differences in f64, and against PyTorch.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/models/hooks.md")]
struct HooksPage;

#[cfg(feature = "cli")]
pub mod cli;
mod error;
mod graph;
pub mod lm;
mod matmul;
mod net;
mod spec;
mod vision;

pub use error::{Error, Result};
pub use net::Param;
pub use spec::{Arch, Hidden, ModelSpec};
pub use vision::{VisionModel, Weights};
