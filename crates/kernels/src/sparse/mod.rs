//! Sparse vectors, bit masks and index sets, and the work that touches only the kept coordinates.
//!
//! A [`Support`] says which coordinates of a vector are kept: strictly increasing 32-bit indices below a length of at most
//! 2³², checked once, when it is made. [`BitMask`] says the same in one bit a coordinate, [`code`] in about a byte a kept
//! one, and [`SparseVec`] is a support with a value each.
//!
//! # Sparse training in four calls
//!
//! Weights `w: [outputs, inputs]` of which a tenth is trained, as LoRI's B or a LoTA ticket: gradients, moments and the
//! update are `nnz` values each.
//!
//! ```
//! use ashlar_kernels::sparse::{AdamWStep, Support, sddmm};
//!
//! let (positions, outputs, inputs) = (2, 2, 3);
//! let kept = Support::new(6, vec![0, 5])?; // entries (0, 0) and (1, 2)
//! let (dy, x) = ([1.0, 2.0, 0.0, -1.0], [1.0, 0.0, 2.0, 3.0, 1.0, -1.0]);
//! let g = sddmm(&kept, &dy, &x, positions, outputs, inputs)?; // of dyᵀ·x only those two
//! assert_eq!(g, [1.0, 5.0]);
//!
//! let mut w = [0.5_f32; 6];
//! let (mut m, mut v) = (vec![0.0; kept.nnz()], vec![0.0; kept.nnz()]);
//! let step = AdamWStep::new(1, 0.1, [0.9, 0.999], 1e-8, 0.0, 1.0)?;
//! step.apply(&kept, &mut w, &g, &mut m, &mut v)?;
//! assert!((w[0] - 0.4).abs() < 1e-6 && w[1] == 0.5);
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # Cost
//!
//! Bytes a kept value. What shares a cache line with it moves too: of a dense f32 array a random 10 % touch 81 % of a CPU's
//! 64-byte lines and 57 % of a GPU's 32-byte sectors, 1 % touch 15 % and 8 %.
//!
//! | what | bytes a kept value | dense work of equal result, bytes a coordinate |
//! |---|---|---|
//! | [`Support::gather`] | 12: index, source, copy | 8 |
//! | [`Support::scatter_add`], [`Support::axpy`] | 16: index, value, destination read and written | 12 |
//! | [`AdamWStep::apply`] | 32: index, gradient, and weight and two moments read and written | 28 |
//! | [`SgdStep::apply`] | 24: index, gradient, and weight and momentum read and written | 20 |
//! | [`sddmm`] | `8·T` from the cache, `2·T` operations | `2·T` operations |
//! | [`Support::to_mask`], [`Support::from_mask`] | 4, and 1/8 a coordinate | |
//! | [`code::push_gaps`], [`code::read_gaps`] | 4, and 1 to 2 of code | |
//!
//! Memory: 4 bytes a kept coordinate for the support, 8 for AdamW's moments, 4 for momentum, against 8 and 4 a coordinate
//! of the dense optimisers. The steps take indices, not bits: at 10 % those are 0.4 bytes a coordinate where bits would be
//! 0.125, of 3.2 that the step moves in all, and each thread finds its moments without counting bits first.
//!
//! Times as shares of the dense work, one thread of a shared Zen 4 server, 2²⁴ coordinates kept at random (`cargo bench -p
//! ashlar-benches --bench sparse`): what is bound by memory gains as lines are left alone, hence little at 10 %.
//!
//! | kept | gather against a whole copy | axpy against a dense add | AdamW, kept / dense gradients | [`sddmm`], 1024² by 512, against matmul |
//! |---|---|---|---|---|
//! | 10 % | 0.8 | 0.8 to 1.3 | 0.30 / 0.5 | 0.45 |
//! | 1 % | 0.05 | 0.06 | 0.05 / 0.15 | 0.13 |
//! | 0.1 % | 0.01 | 0.01 | | 0.06: the transposes |
//!
//! # Determinism
//!
//! As indices increase strictly, no kernel needs atomics and threads own disjoint parts of the destination. Products and
//! sums are rounded separately, in the order that each function states. So the bits are the same for any number of
//! threads, with any vector instructions, on a CPU and on a GPU ([`DeviceSupport`](crate::launch::DeviceSupport)); and a
//! step gives kept coordinates the bits that the dense optimiser gives them.
//!
//! # Sources
//!
//! Masked steps: LoRI (Zhang et al. 2025, W_B ← W_B − lr·(m ∘ AdamStep)) and Lottery Ticket Adaptation (Panda et al.
//! 2024); where their published code keeps dense state and zeroes gradients, this keeps none for masked coordinates. AdamW:
//! Loshchilov and Hutter (2019), as in PyTorch. Codes: LEB128 over gaps.

pub mod code;
mod mask;
mod optim;
mod sddmm;
mod support;
mod vector;

pub use mask::BitMask;
pub(crate) use optim::check as check_step;
pub use optim::{AdamWStep, SgdStep};
pub(crate) use sddmm::check as check_sddmm;
pub use sddmm::sddmm;
pub use support::Support;
pub(crate) use support::same;
pub use vector::SparseVec;
