//! How a fused operation reads its tensors, and how it splits rows among threads.
//!
//! The parts depend on the shape alone, and what is added up over rows is added part by part in their order: the same
//! bits for any number of threads. Small operations stay on the caller's thread, since waking another takes longer.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};
use rayon::prelude::*;

use super::{Ops, float::Float};

/// Values that one task of a cheap operation handles.
pub(super) const TASK: usize = 1 << 15;
/// The same where every value costs an exponential.
pub(super) const EXP_TASK: usize = 1 << 13;

impl Ops {
    /// Whether the fused operations can have these.
    pub(super) fn fuses(self, tensors: &[&Tensor]) -> bool {
        let dtype = tensors[0].dtype();
        self == Self::Fused
            && matches!(dtype, DType::F32 | DType::F64)
            && tensors.iter().all(|x| x.dtype() == dtype && x.device().is_cpu() && x.elem_count() > 0)
    }
}

/// Values of whole rows that a task takes.
pub(super) fn part(width: usize, values: usize) -> usize {
    (values / width.max(1)).max(1) * width.max(1)
}

/// Does every task, the last ones possibly on other threads.
pub(super) fn each<T: Send>(tasks: impl IntoIterator<Item = T>, run: impl Fn(T) + Sync) {
    let mut tasks: Vec<T> = tasks.into_iter().collect();
    if tasks.len() > 1 {
        tasks.into_par_iter().for_each(&run);
    } else if let Some(task) = tasks.pop() {
        run(task);
    }
}

/// The elements of a contiguous tensor.
pub(super) fn elements<'a, T: Float>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&T::slice(storage)?[from..to]),
        None => candle_core::bail!("a tensor of strides {:?} isn't contiguous", layout.stride()),
    }
}

/// The storage of a tensor on a CPU.
pub(super) fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => candle_core::bail!("the tensor isn't on a CPU"),
    }
}

/// Binds names to the elements of contiguous tensors.
macro_rules! read {
    ($T:ty; $($name:ident = $tensor:expr),+ $(,)?) => {
        $(
            let tensor = $tensor.contiguous()?;
            let (storage, layout) = tensor.storage_and_layout();
            let $name: &[$T] = $crate::lm::ops::tasks::elements(
                $crate::lm::ops::tasks::cpu(&storage)?, layout)?;
        )+
    };
}
pub(super) use read;

/// `$body` with `$T` as f32 or f64.
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            dtype => candle_core::bail!("no fused operation of {dtype:?}"),
        }
    };
}
pub(super) use by_dtype;
