//! Cross-entropy of logits and labels in one operation.
//!
//! With m the row's maximum and lse = m + ln Σ e^(x − m), a row's loss is lse − x\[label\] + z·lse², and its gradient
//! (1 + 2z·lse)·softmax(x) − onehot(label). Row losses are added up in f64. The maximum and the sum of each row stay for the
//! backward pass: 16 bytes a row, not a copy of the logits.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Shape, Tensor, backend::BackendStorage};

use super::{
    Ops,
    float::{Float, largest, sum},
    simd::vectorised,
    tasks::{EXP_TASK, by_dtype, each, elements, part, read},
};
use crate::{Error, Result};

/// What becomes of the rows' losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean over the rows with a label; 0 without any.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// A loss for each row, 0 where there is no label.
    Rows,
}

impl Ops {
    /// Cross-entropy of `logits` `[N, V]` and a label a row in nats; a row without label is ignored.
    ///
    /// `z_loss` times the square of each row's log Σ eˣ is added to its loss (PaLM, section 5). A scalar, or `[N]` with
    /// [`Reduction::Rows`], in the logits' dtype (f32 for half precision).
    ///
    /// # Errors
    /// A label that is not below V, or another number of labels than rows.
    pub fn cross_entropy(
        self,
        logits: &Tensor,
        labels: &[Option<u32>],
        reduction: Reduction,
        z_loss: f64,
    ) -> Result<Tensor> {
        let (rows, classes) = logits.dims2()?;
        crate::error::same_length("the labels", rows, labels.len())?;
        let wrong =
            labels.iter().enumerate().find_map(|(i, label)| label.map(|l| (i, l)).filter(|x| x.1 as usize >= classes));
        if let Some((index, label)) = wrong {
            return Err(Error::Label { index, label, classes });
        }
        if !self.fuses(&[logits]) {
            return composed(logits, labels, reduction, z_loss);
        }
        let op = CrossEntropy { labels: labels.to_vec(), reduction, z_loss, rows: OnceLock::new() };
        Ok(logits.contiguous()?.apply_op1(op)?)
    }
}

/// The same in candle's operations.
fn composed(logits: &Tensor, labels: &[Option<u32>], reduction: Reduction, z_loss: f64) -> Result<Tensor> {
    let (n, device) = (labels.len(), logits.device());
    let logits = if logits.dtype() == DType::F64 { logits.clone() } else { logits.to_dtype(DType::F32)? };
    let real: Vec<f32> = labels.iter().map(|label| f32::from(u8::from(label.is_some()))).collect();
    let count = labels.iter().flatten().count().max(1);
    let real = Tensor::from_vec(real, n, device)?.to_dtype(logits.dtype())?;
    let labels: Vec<u32> = labels.iter().map(|label| label.unwrap_or(0)).collect();
    let max = logits.max_keepdim(D::Minus1)?.detach();
    let total = logits.broadcast_sub(&max)?.exp()?.sum_keepdim(D::Minus1)?.log()?.add(&max)?;
    let losses = (&total - logits.gather(&Tensor::from_vec(labels, (n, 1), device)?, 1)?)?;
    let losses = ((losses + (total.sqr()? * z_loss)?)?.squeeze(1)? * real)?;
    Ok(match reduction {
        Reduction::Rows => losses,
        Reduction::Sum => losses.sum_all()?,
        Reduction::Mean => (losses.sum_all()? / count as f64)?,
    })
}

/// The operation.
struct CrossEntropy {
    labels: Vec<Option<u32>>,
    reduction: Reduction,
    z_loss: f64,
    /// Maximum m and Σ e^(x − m) of each row.
    rows: OnceLock<Vec<[f64; 2]>>,
}

/// Rows of a task, so that tasks are some [`EXP_TASK`] logits.
fn task_rows(classes: usize) -> usize {
    part(classes, EXP_TASK) / classes.max(1)
}

impl CrossEntropy {
    fn count(&self) -> f64 {
        self.labels.iter().flatten().count().max(1) as f64
    }

    fn forward<T: Float>(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        let x = elements::<T>(x, layout)?;
        let mut rows = vec![[0.0; 2]; n];
        let many = task_rows(classes);
        each(x.chunks(many * classes).zip(rows.chunks_mut(many)), |(x, rows)| {
            vectorised!(totals::<T: Float>(x: &[T], rows: &mut [[f64; 2]]));
        });
        let loss = |(i, label): (usize, &Option<u32>)| {
            let Some(label) = *label else { return 0.0 };
            let [largest, total] = rows[i];
            let total = total.ln();
            let lse = largest + total;
            // Differences first: a large maximum would cost the loss its last digits.
            (largest - x[i * classes + label as usize].to_f64()) + total + self.z_loss * lse * lse
        };
        let losses = self.labels.iter().enumerate().map(loss);
        let (values, shape) = match self.reduction {
            Reduction::Rows => (losses.map(T::from_f64).collect(), Shape::from(n)),
            Reduction::Sum => (vec![T::from_f64(losses.sum())], Shape::from(())),
            Reduction::Mean => (vec![T::from_f64(losses.sum::<f64>() / self.count())], Shape::from(())),
        };
        let _ = self.rows.set(rows);
        Ok((T::storage(values), shape))
    }

    fn backward<T: Float>(&self, x: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
        let classes = x.dims2()?.1;
        let Some(rows) = self.rows.get() else { candle_core::bail!("backward before forward") };
        read!(T; values = x, grad = grad);
        let weight = |i: usize| match self.reduction {
            Reduction::Rows => grad[i].to_f64(),
            Reduction::Sum => grad[0].to_f64(),
            Reduction::Mean => grad[0].to_f64() / self.count(),
        };
        // Of each row: weight of its softmax before the division, of its label, and the label; none if ignored.
        let row = |(i, label): (usize, &Option<u32>)| {
            label.map(|label| {
                let [largest, total] = rows[i];
                let g = weight(i);
                let scale = g * (1.0 + 2.0 * self.z_loss * (largest + total.ln())) / total;
                (T::from_f64(largest), T::from_f64(scale), T::from_f64(g), label as usize)
            })
        };
        let rows: Vec<Row<T>> = self.labels.iter().enumerate().map(row).collect();
        let mut out = vec![T::default(); values.len()];
        let many = task_rows(classes);
        let tasks = values.chunks(many * classes).zip(out.chunks_mut(many * classes)).zip(rows.chunks(many));
        each(tasks, |((x, out), rows)| {
            vectorised!(gradients::<T: Float>(x: &[T], out: &mut [T], rows: &[Row<T>]));
        });
        T::tensor(out, x.shape())
    }
}

/// Maximum, weight of e^(x − maximum), weight of the label, label.
type Row<T> = Option<(T, T, T, usize)>;

#[inline(always)]
fn totals<T: Float, const FMA: bool>(x: &[T], rows: &mut [[f64; 2]]) {
    for (x, row) in x.chunks_exact(x.len() / rows.len()).zip(rows) {
        let max = largest(x);
        // Long rows are added up in f64, block by block.
        let total = x.chunks(4096).map(|x| sum(x, |x| (x - max).fast_exp::<FMA>()).to_f64()).sum();
        *row = [max.to_f64(), total];
    }
}

#[inline(always)]
fn gradients<T: Float, const FMA: bool>(x: &[T], out: &mut [T], rows: &[Row<T>]) {
    let classes = x.len() / rows.len();
    for ((x, out), row) in x.chunks_exact(classes).zip(out.chunks_exact_mut(classes)).zip(rows) {
        if let Some((max, scale, weight, label)) = *row {
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = (x - max).fast_exp::<FMA>() * scale);
            out[label] = out[label] - weight;
        }
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => self.forward::<T>(x, layout))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        by_dtype!(x.dtype(), T => self.backward::<T>(x, grad)).map(Some)
    }
}
