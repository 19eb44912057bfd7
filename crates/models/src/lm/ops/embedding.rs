//! Lookup in a table, whose gradient adds rows up.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape as Dims, Tensor, WithDType};
use half::bf16;
use rayon::prelude::*;

use super::{
    Ops,
    product::{Element, elements, on_cpu},
};
use crate::Result;

impl Ops {
    /// Rows `ids` `[N]` of a table `[V, d]`, `[N, d]`.
    ///
    /// # Errors
    /// Where an id isn't in the table.
    pub fn embedding(self, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
        if self == Self::Fused && ids.dtype() == DType::U32 && ids.device().is_cpu() {
            return self.gather_rows(table, &ids.flatten_all()?.to_vec1::<u32>()?);
        }
        Ok(table.index_select(ids, 0)?)
    }

    /// Rows `index` of x `[N, d]`, `[n, d]`; a row may be asked for more than once.
    ///
    /// # Errors
    /// Where a row isn't there.
    pub fn gather_rows(self, x: &Tensor, index: &[u32]) -> Result<Tensor> {
        let known = matches!(x.dtype(), DType::F32 | DType::F64 | DType::BF16);
        if self == Self::Fused && x.device().is_cpu() && known && x.rank() == 2 {
            return Ok(x.contiguous()?.apply_op1(Gather { index: index.to_vec() })?);
        }
        Ok(x.index_select(&Tensor::new(index, x.device())?, 0)?)
    }
}

/// Values that one task copies or adds.
const TASK: usize = 1 << 16;

/// Rows of a matrix.
struct Gather {
    index: Vec<u32>,
}

impl Gather {
    fn run<T: WithDType + Sync>(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Dims)> {
        let (rows, d) = layout.shape().dims2()?;
        let x = elements::<T>(x, layout)?;
        if let Some(&row) = self.index.iter().find(|&&row| row as usize >= rows) {
            candle_core::bail!("row {row} of a matrix of {rows} rows");
        }
        let mut out = Vec::with_capacity(self.index.len() * d);
        for &row in &self.index {
            out.extend_from_slice(&x[row as usize * d..][..d]);
        }
        Ok((T::to_cpu_storage_owned(out), Dims::from((self.index.len(), d))))
    }

    fn scatter<T: Element>(&self, x: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
        let (rows, d) = x.dims2()?;
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let sums = scatter_add(on_cpu::<T>(&storage, layout)?, &self.index, rows, d);
        Tensor::from_vec(sums, (rows, d), x.device())
    }
}

/// Row r is the sum of the rows i of x `[n, d]` with `index[i] = r`, in their order, `[rows, d]`.
pub(in crate::lm) fn scatter_add<T: Element>(x: &[T], index: &[u32], rows: usize, d: usize) -> Vec<T> {
    let mut sums = vec![T::default(); rows * d];
    if d == 0 {
        return sums;
    }
    // Every task owns some rows and looks at all indices, so that a sum is in order whoever computes it.
    let owned = if x.len() < TASK { rows.max(1) } else { rows.div_ceil(16).max(1) };
    sums.par_chunks_mut(owned * d).enumerate().for_each(|(task, sums)| {
        let first = task * owned;
        for (x, &row) in x.chunks_exact(d).zip(index) {
            let row = row as usize;
            if row >= first && row < first + owned {
                let sum = &mut sums[(row - first) * d..][..d];
                sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += *x);
            }
        }
    });
    sums
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Dims)> {
        match x {
            CpuStorage::F64(_) => self.run::<f64>(x, layout),
            CpuStorage::BF16(_) => self.run::<bf16>(x, layout),
            _ => self.run::<f32>(x, layout),
        }
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(match x.dtype() {
            DType::F64 => self.scatter::<f64>(x, grad)?,
            DType::F32 => self.scatter::<f32>(x, grad)?,
            dtype => self.scatter::<f32>(x, &grad.to_dtype(DType::F32)?)?.to_dtype(dtype)?,
        }))
    }
}
