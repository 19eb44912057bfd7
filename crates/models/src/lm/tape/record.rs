//! Operations that record what they see in the backward pass.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape as Dims, Tensor};

use super::{Left, Record, Rows, Tape};
use crate::{
    Error, Result,
    lm::{
        family::NormKind,
        ops::{Ops, linear::Linear, product::on_cpu},
    },
};

/// A frozen copy: the same values outside the graph.
fn frozen(x: Option<&Tensor>) -> Option<Tensor> {
    x.map(Tensor::detach)
}

/// Whether a parameter is to be recorded.
fn trains(x: &Tensor) -> Result<bool> {
    let reason = match x.dtype() {
        _ if !x.track_op() => return Ok(false),
        _ if !x.is_variable() => "it is computed from what is trained",
        DType::F32 | DType::F64 if x.device().is_cpu() => return Ok(true),
        _ => "gradients by example are computed on a CPU in f32 or f64",
    };
    Err(Error::Tape { name: format!("a weight {:?}", x.dims()), reason })
}

impl Tape {
    /// x Wᵀ + b.
    pub(in crate::lm) fn linear(&self, ops: Ops, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let trained = [trains(w)?, b.map_or(Ok(false), trains)?];
        if trained == [false; 2] {
            return ops.linear(x, w, b);
        }
        let rows = self.rows_of(x.elem_count() / x.dims().last().copied().unwrap_or(1).max(1))?;
        let op = Projection { tape: self.clone(), rows, trained };
        let (x, w) = (x.contiguous()?, w.contiguous()?);
        Ok(match b {
            None => x.apply_op2(&w, op)?,
            Some(b) => x.apply_op3(&w, b, op)?,
        })
    }

    /// Rows of a table.
    pub(in crate::lm) fn embedding(&self, ops: Ops, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
        if !trains(table)? {
            return ops.embedding(table, ids);
        }
        let ids = ids.flatten_all()?.to_vec1::<u32>()?;
        let rows = self.rows_of(ids.len())?;
        let values = ops.gather_rows(&table.detach(), &ids)?;
        let op = Lookup { tape: self.clone(), rows, ids: ids.into(), values };
        Ok(table.apply_op1(op)?)
    }

    /// A norm.
    pub(in crate::lm) fn norm(
        &self,
        ops: Ops,
        x: &Tensor,
        [w, b]: [Option<&Tensor>; 2],
        kind: NormKind,
    ) -> Result<Tensor> {
        let (fixed_w, fixed_b) = (frozen(w), frozen(b));
        let y = match (kind, &fixed_w) {
            (NormKind::Rms { eps, weight }, Some(w)) => ops.rms_norm(x, w, eps, weight)?,
            (NormKind::Layer { eps, .. } | NormKind::Rms { eps, .. }, w) => {
                ops.layer_norm(x, w.as_ref().zip(fixed_b.as_ref()), eps)?
            }
        };
        let Some(w) = w else { return Ok(y) };
        let trained = [trains(w)?, b.map_or(Ok(false), trains)?];
        if trained == [false; 2] {
            return Ok(y);
        }
        let examples = self.examples();
        let op = Watch { tape: self.clone(), x: x.detach(), kind, trained, examples };
        let y = y.contiguous()?;
        Ok(match b {
            None => y.apply_op2(w, op)?,
            Some(b) => y.apply_op3(w, b, op)?,
        })
    }

    /// Sums over each example's rows.
    fn push_bias(&self, b: &Tensor, grad: &Tensor, rows: &Rows) -> candle_core::Result<()> {
        let n = b.elem_count().max(1);
        let values = grad.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut sums = vec![0.0; self.examples() * n];
        for (row, values) in values.chunks_exact(n).enumerate() {
            let sums = &mut sums[rows.example(row) * n..][..n];
            sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
        }
        self.push(b.id(), Record::Vector(sums));
        Ok(())
    }
}

/// A projection that records its input and the gradient of its output.
struct Projection {
    tape: Tape,
    rows: Rows,
    /// W and b.
    trained: [bool; 2],
}

impl Projection {
    fn record(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (out, width) = w.dims2()?;
        if self.trained[0] {
            let a = x.detach().reshape(((), width))?;
            let b = Left::Dense(grad.detach().contiguous()?.reshape(((), out))?);
            self.tape.push(w.id(), Record::Outer { a, b, rows: self.rows.clone() });
        }
        if let Some(b) = b.filter(|_| self.trained[1]) {
            self.tape.push_bias(b, grad, &self.rows)?;
        }
        let [x, _, _] = Linear::gradients(x, &w.detach(), None, grad)?;
        Ok(x)
    }
}

impl CustomOp2 for Projection {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Linear::run((x, lx), (w, lw), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.record(x, w, None, grad)?, None))
    }
}

impl CustomOp3 for Projection {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Linear::run((x, lx), (w, lw), Some((b, lb)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.record(x, w, Some(b), grad)?, None, None))
    }
}

/// A lookup that records the gradients of its rows.
struct Lookup {
    tape: Tape,
    rows: Rows,
    ids: std::sync::Arc<[u32]>,
    values: Tensor,
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Dims)> {
        Ok((copy(&self.values)?, self.values.shape().clone()))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let a = grad.detach().contiguous()?;
        self.tape.push(table.id(), Record::Outer { a, b: Left::Token(self.ids.clone()), rows: self.rows.clone() });
        Ok(None)
    }
}

fn copy(x: &Tensor) -> candle_core::Result<CpuStorage> {
    let (storage, layout) = x.storage_and_layout();
    Ok(match x.dtype() {
        DType::F64 => CpuStorage::F64(on_cpu::<f64>(&storage, layout)?.to_vec()),
        _ => CpuStorage::F32(on_cpu::<f32>(&storage, layout)?.to_vec()),
    })
}

/// Passes a norm's result on and records what its weight and bias get.
struct Watch {
    tape: Tape,
    /// The norm's input.
    x: Tensor,
    kind: NormKind,
    /// w and b.
    trained: [bool; 2],
    examples: usize,
}

impl Watch {
    fn pass(y: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Dims)> {
        let values = match y {
            CpuStorage::F64(_) => CpuStorage::F64(crate::lm::ops::product::elements::<f64>(y, layout)?.to_vec()),
            _ => CpuStorage::F32(crate::lm::ops::product::elements::<f32>(y, layout)?.to_vec()),
        };
        Ok((values, layout.shape().clone()))
    }

    fn record(&self, w: &Tensor, b: Option<&Tensor>, grad: &Tensor) -> candle_core::Result<()> {
        let wide = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (x, g, n) = (wide(&self.x)?, wide(grad)?, w.elem_count().max(1));
        let each = x.len() / n / self.examples.max(1);
        let mut sums = vec![0.0; self.examples * n];
        for (row, (x, g)) in x.chunks_exact(n).zip(g.chunks_exact(n)).enumerate() {
            let of = |x: &mut dyn Iterator<Item = f64>| x.sum::<f64>() / n as f64;
            let (mean, eps) = match self.kind {
                NormKind::Rms { eps, .. } => (0.0, eps),
                NormKind::Layer { eps, .. } => (of(&mut x.iter().copied()), eps),
            };
            let scale = (of(&mut x.iter().map(|x| (x - mean) * (x - mean))) + eps).sqrt().recip();
            let sums = &mut sums[row / each.max(1) * n..][..n];
            for ((sum, x), g) in sums.iter_mut().zip(x).zip(g) {
                *sum += (x - mean) * scale * g;
            }
        }
        if self.trained[0] {
            self.tape.push(w.id(), Record::Vector(sums));
        }
        if let Some(b) = b.filter(|_| self.trained[1]) {
            self.tape.push_bias(b, grad, &Rows::Each(each))?;
        }
        Ok(())
    }
}

impl CustomOp2 for Watch {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        ly: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Self::pass(y, ly)
    }

    fn bwd(
        &self,
        y: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.record(w, None, grad)?;
        Ok((y.track_op().then(|| grad.clone()), None))
    }
}

impl CustomOp3 for Watch {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        ly: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        Self::pass(y, ly)
    }

    fn bwd(
        &self,
        y: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.record(w, Some(b), grad)?;
        Ok((y.track_op().then(|| grad.clone()), None, None))
    }
}
