//! The kernels as functions on candle's tensors, with gradients where they flow (feature `candle`).
//!
//! | function | result | gradient |
//! |---|---|---|
//! | [`topk::sparsify`] | x with all but the k largest set to 0 | passes at the places kept |
//! | [`topk::top_k`] | places and values of the k largest | the values' goes where they came from |
//! | [`topk::indices`], [`topk::sparse`] | places; a sparse vector on the host | none: integers, host values |
//! | [`topk::error_feedback`] | e ← e + lr·g in place, winners taken out | refuses a tensor on the tape |
//! | [`sketch::sketch`] | the count-sketch `[rows, cols]` of x | the transpose |
//! | [`sketch::estimate`] | estimates from a table | to the cell that each median took |
//! | [`clip::sum`] | Σ cᵢ·gᵢ of per-example gradients | an error that names it |
//! | [`clip::accumulate`], [`clip::finish`] | the same in place, with noise and division | refuse tensors on the tape |
//! | [`ghost::linear_squared_norms`], [`ghost::embedding_squared_norms`] | squared norms `[N]` on the host | none: host values |
//! | [`ghost::linear_weighted_sum`], [`ghost::embedding_weighted_sum`] | Σ cᵢ·gᵢ of a layer | an error that names it |
//! | [`ghost::channel_gradients`] | per-example gradients of a scale or bias | exact |
//! | [`sparse::Kept::gather`], [`sparse::Kept::scatter`] | values at kept places, and back into zeros | each other |
//! | [`sparse::Kept::scatter_add`], [`sparse::Kept::axpy`] | x + a·v at the kept places | identity; a times gather |
//! | [`sparse::Kept::axpy_in_place`], [`steps::MaskedAdamW`], [`steps::MaskedSgd`] | in place; state of `nnz` values | refuse tensors on the tape |
//! | [`sparse::Kept::sddmm`] | the kept entries of dyᵀ·x | two products with the sparse matrix |
//! | [`dequant::dequantise`] | f32, bf16 or f16 from packed bytes | none: codes are integers |
//! | [`noise::add`], [`noise::add_and_divide`], [`noise::fill`] | x plus Gaussian or Laplace noise | the identity, over the divisor |
//!
//! ```
//! use ashlar_kernels::candle::{noise, topk};
//! use ashlar_kernels::noise::NoiseKey;
//! use ashlar_kernels::topk::{Count, TopK};
//! use candle_core::{Device, Var};
//!
//! let x = Var::new(&[5.0_f32, -3.0, 0.5, 8.0], &Device::Cpu)?;
//! let (kept, stats) = topk::sparsify(&x, &TopK::new(Count::Exact(2)))?;
//! assert_eq!(kept.to_vec1::<f32>()?, [5.0, 0.0, 0.0, 8.0]);
//! assert_eq!(stats.threshold, 5.0);
//!
//! let noisy = noise::add(&kept, &NoiseKey::philox(42).gaussian(0, 0), 0, 0.1)?;
//! let gradients = noisy.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>()?, [1.0, 0.0, 0.0, 1.0]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! # What goes in
//!
//! f32 tensors (u32 for ids, u8 for packed weights); another type is an error that names the conversion, not a silent cast. A function that makes
//! a new tensor takes any layout: where the elements lie in order they are read where they are, a narrowed tensor's from
//! its offset; a transposed, strided or broadcast one is copied first, as `.contiguous()` would. A function that works in
//! place refuses what isn't contiguous, and any tensor on the tape, since candle can't see the change.
//!
//! # Where it runs
//!
//! On a CPU device: the Rust twins, on the tensor's own memory. On a CUDA device (feature `candle-cuda`): our PTX, which
//! candle loads into its cache of modules on first use and which runs on candle's own stream, so in order with candle's
//! operations, without a synchronisation of ours; memory is lent and taken without a copy. A tensor that another stream
//! wrote is waited for, through cudarc's events. What returns numbers to the host (norms, factors, statistics) waits for
//! the GPU. The bits are those of the CPU. The GPU side is type-checked on every push (`cargo xtask stub`) and shares
//! every launch with [`Runtime`](crate::launch::Runtime), which the SIMT shim tests; it has not run on a GPU yet.
//!
//! # Errors
//!
//! Everything returns candle's `Result`, so that it can be used between candle's own operations; the message is that of
//! [`Error`](crate::Error).

pub mod clip;
pub mod dequant;
#[cfg(all(test, feature = "simt"))]
mod device_test;
pub mod ghost;
#[cfg(feature = "candle-cuda")]
mod gpu;
mod inplace;
pub mod noise;
mod op;
pub mod sketch;
pub mod sparse;
pub mod steps;
pub mod topk;
