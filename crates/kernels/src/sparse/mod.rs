//! Sparse vectors, bit masks and index sets, and the work that touches only the kept coordinates.
//!
//! | what | bytes a kept value |
//! |---|---|
//! | [`Support::gather`] | 12: index, source, copy |
//! | [`Support::scatter_add`], [`Support::axpy`] | 16: index, value, destination read and written |
//! | [`AdamWStep::apply`] | 32: index, gradient, and weight and two moments read and written |
//! | [`SgdStep::apply`] | 24: index, gradient, and weight and momentum read and written |
//! | [`sddmm`] | `8·T` |
//!
//! A [`Support`] is checked once, when it is made: its indices increase strictly and lie below its length. So no kernel
//! needs atomics, threads own disjoint parts of the destination, and the bits are the same for any number of threads.
//! Products and sums are rounded separately.

pub mod code;
mod optim;
mod sddmm;
mod support;
mod vector;

pub(crate) use optim::check as check_step;
pub use optim::{AdamWStep, SgdStep};
pub(crate) use sddmm::check as check_sddmm;
pub use sddmm::sddmm;
pub use support::Support;
pub(crate) use support::same;
pub use vector::{BitMask, SparseVec};
