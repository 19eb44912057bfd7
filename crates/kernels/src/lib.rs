//! Kernels of compressed, private, sparse and offloaded training, with the same bits on CPU and GPU.
//!
//! Keep the k largest of a gradient, or squeeze it into a table that can be added to others; clip the gradients of single
//! examples and add noise; train a tenth of the weights; bring experts before they are needed. All of it gives the same
//! bits on every machine, for every number of threads and every instruction set, so that a run can be repeated and
//! compared to the byte.
//!
//! | you want | call | cost on one core |
//! |---|---|---|
//! | the k largest magnitudes | [`topk::select`] | one read of the input up to some 15 % kept, then two |
//! | the same each step | [`topk::TopK::hint`], [`topk::TopK::select_into`] | without the sample, without fresh memory |
//! | `e ← e + lr·g`, take the top, zero it | [`topk::TopK::error_feedback`] | one sweep |
//! | only which ones | [`topk::TopK::mask`] | two reads, n/8 bytes out |
//! | a mergeable summary | [`sketch::CountSketch`] | one hash and one add a row and coordinate |
//! | sums free of order | [`sketch::TableKind::Fixed`] | 8 bytes a cell |
//! | clipped sums of per-example gradients | [`clip::Clipper`] | 8 bytes an element read |
//! | their norms without them | [`clip::ghost`] | flops of a table there |
//! | noise for private sums | [`noise::NoiseKey`] | no bytes but the output's |
//! | exact integer noise | [`noise::DiscreteGaussian`] | |
//! | work on kept coordinates alone | [`sparse::Support`], [`sparse::AdamWStep`], [`sparse::sddmm`] | bytes of a table there |
//! | index lists as bytes | [`sparse::code`] | 1 to 2 bytes an index |
//! | 4-bit and 8-bit weights to floats | [`dequant::Format`] | 0.5 or 1.06 bytes an element in, 4 or 2 out |
//! | experts brought before they are needed | [`prefetch::ExpertSlots`] | each byte read and written once |
//! | random numbers | [`rng::stream`] | |
//! | safetensors in and out | [`files`] | |
//!
//! # Top-k
//!
//! ```
//! use ashlar_kernels::topk::{self, Count, NanPolicy, TopK};
//!
//! let gradient: Vec<f32> = (0..100_000).map(|i| ((i * 7919) % 10_007) as f32 - 5_000.0).collect();
//! let (top, stats) = topk::select(&gradient, Count::Fraction(0.01))?;
//! assert_eq!((top.nnz() as u64, stats.k), (1000, 1000));
//!
//! // The next step: the threshold as a hint, the memory again, a NaN refused.
//! let mut kept = top;
//! let topk = TopK::new(Count::Exact(1000)).hint(stats.threshold).nan(NanPolicy::Error);
//! topk.select_into(&gradient, &mut kept)?;
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # Sketches whose bits don't depend on the order
//!
//! ```
//! use ashlar_kernels::sketch::{CountSketch, SketchConfig, scale_for};
//!
//! let x: Vec<f32> = (0..5000).map(|i| 1.0 / (i + 1) as f32).collect();
//! let l1: f64 = x.iter().map(|x| x.abs() as f64).sum();
//! let config = SketchConfig::new(5000, 5, 500, 7).fixed(scale_for(l1, 2));
//!
//! let mut whole = CountSketch::new(config)?;
//! whole.accumulate(&x, 0)?;
//! let (mut late, mut early) = (CountSketch::new(config)?, CountSketch::new(config)?);
//! late.accumulate(&x[1234..], 1234)?;
//! early.accumulate(&x[..1234], 0)?;
//! late.merge(&early)?;
//! assert_eq!(late.table_fixed(), whole.table_fixed());
//! assert_eq!(late.unsketch(3)?.idx(), [0, 1, 2]);
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # A private mean
//!
//! ```
//! use ashlar_kernels::clip::{ClipRule, Clipper, Finish};
//! use ashlar_kernels::noise::NoiseKey;
//!
//! let clipper = Clipper::new(ClipRule::Flat, 1.0, 1000)?;
//! let gradients = vec![0.1_f32; 8 * 1000]; // [N, D]
//! let noise = NoiseKey::secure()?.gaussian(0, 0); // parameter 0, step 0
//! let scale = 1.1 * clipper.sensitivity() as f32; // noise multiplier times sensitivity
//! let mut mean = vec![0.0; 1000];
//! clipper.finish(&gradients, &mut mean, &Finish { noise, scale, divisor: 256.0 })?;
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # Bits
//!
//! Sums are in index order, products and sums rounded separately, medians in the floats' total order (−0 below +0).
//! The vector paths are chosen at run time; [`simd::with_level`] forces one, as the tests do to compare them.
//!
//! # Features
//!
//! none: this library on a CPU · `cuda`: the same kernels as PTX through the driver, loaded at run time · `simt`: the CUDA
//! sources on a CPU, for tests · `candle`: the kernels on candle's tensors, with gradients · `candle-cuda`: both, on candle's
//! GPU · `cli`: the command `ashlar-kernels`.
#![warn(missing_docs)]

#[cfg(feature = "candle")]
pub mod candle;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clip;
#[cfg(feature = "cuda")]
mod cuda;
pub mod dequant;
pub mod device;
mod error;
pub mod files;
pub mod launch;
pub mod noise;
pub mod prefetch;
pub mod ptx;
pub mod rng;
pub mod simd;
#[cfg(feature = "simt")]
pub mod simt;
pub mod sketch;
pub mod sparse;
pub mod topk;

pub use error::{Error, Result};
pub use sketch::quantise;
pub use sparse::{BitMask, SparseVec};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
