//! Count-sketches as linear maps on tensors.
//!
//! [`sketch`] is linear in x: `y[r, b]` = Σ over the i with bucketᵣ(i) = b of signᵣ(i)·`x[i]`. Its gradient is the transpose,
//! `x̄[i]` = Σᵣ signᵣ(i)·`ȳ[r, bucketᵣ(i)]`, added in the rows' order. A fixed-point table rounds x to its grid; the
//! gradient takes that rounding for the identity.
//!
//! [`estimate`] is the median of the rows' estimates, linear wherever the median's row does not change: the gradient goes
//! to the cell that the median took (of equal ones, that of the lowest row). It costs a lookup and an ordered sum a row.

use candle_core::{DType, Result, Shape, Tensor};

use super::op::{self, Op1};
use crate::launch::{Buf, DeviceSketch, Runtime, read_estimates, sketch_row, unsketch_row};
use crate::sketch::{CountSketch, SketchConfig, TableKind};

/// A vector's sketch.
pub(super) struct Accumulate {
    pub config: SketchConfig,
    pub offset: u64,
}

impl Op1 for Accumulate {
    const NAME: &'static str = "count-sketch";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from((self.config.rows as usize, self.config.cols as usize))
    }

    fn cpu(&self, x: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut sketch = CountSketch::new(self.config)?;
        sketch.accumulate(x, self.offset)?;
        Ok(sketch.into_values())
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        let mut sketch = DeviceSketch::new(rt, self.config)?;
        sketch.accumulate(rt, x, self.offset)?;
        sketch.into_values(rt)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let n = x.elem_count() as u64;
        let mut sum: Option<Tensor> = None;
        for row in 0..self.config.rows {
            let read = op::apply(Read { config: self.config, row, offset: self.offset, n }, &grad.get(row as usize)?)?;
            sum = Some(match sum {
                None => read,
                Some(sum) => (sum + read)?,
            });
        }
        sum.map(|sum| sum.reshape(x.shape())).transpose()
    }
}

/// One row read back: out[i] = sign(offset + i)·cells[bucket(offset + i)].
pub(super) struct Read {
    pub config: SketchConfig,
    pub row: u32,
    pub offset: u64,
    pub n: u64,
}

impl Op1 for Read {
    const NAME: &'static str = "count-sketch row lookup";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from(self.n as usize)
    }

    fn cpu(&self, cells: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut out = vec![0.0; self.n as usize];
        self.config.read_row(self.row, cells, self.offset, &mut out);
        Ok(out)
    }

    fn device(&self, rt: &Runtime, cells: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        unsketch_row(rt, &self.config, self.row, cells, self.offset, self.n)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(op::apply(Add { config: self.config, row: self.row, offset: self.offset }, grad)?))
    }
}

/// One row's sketch, in index order: the transpose of [`Read`].
pub(super) struct Add {
    pub config: SketchConfig,
    pub row: u32,
    pub offset: u64,
}

impl Op1 for Add {
    const NAME: &'static str = "count-sketch row sum";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from(self.config.cols as usize)
    }

    fn cpu(&self, x: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut cells = vec![0.0; self.config.cols as usize];
        self.config.add_to_row(self.row, x, self.offset, &mut cells);
        Ok(cells)
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        sketch_row(rt, &self.config, self.row, x, self.offset)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let n = x.elem_count() as u64;
        let read = op::apply(Read { config: self.config, row: self.row, offset: self.offset, n }, grad)?;
        Ok(Some(read.reshape(x.shape())?))
    }
}

/// Medians of the rows' estimates.
pub(super) struct Estimate {
    pub config: SketchConfig,
    pub offset: u64,
    pub n: u64,
}

impl Op1 for Estimate {
    const NAME: &'static str = "count-sketch estimate";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from(self.n as usize)
    }

    fn cpu(&self, table: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let sketch = CountSketch::from_table_f32(self.config, table.to_vec())?;
        (self.offset..self.offset + self.n).map(|i| sketch.estimate(i)).collect()
    }

    fn device(&self, rt: &Runtime, table: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        read_estimates(rt, &self.config, table, self.offset, self.n)
    }

    fn bwd(&self, table: &Tensor, estimates: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Self { config, offset, n } = *self;
        let table = table.contiguous()?;
        let mut left = grad.ones_like()?; // 1 where the median's row is still to come
        let rows: Result<Vec<Tensor>> = (0..config.rows)
            .map(|row| {
                let read = op::apply(Read { config, row, offset, n }, &table.get(row as usize)?.detach())?;
                let here = (read.eq(estimates)?.to_dtype(DType::F32)? * &left)?;
                left = (&left - &here)?;
                op::apply(Add { config, row, offset }, &(grad * here)?)
            })
            .collect();
        Ok(Some(Tensor::stack(&rows?, 0)?))
    }
}

/// The sketch `[rows, cols]` of x (any shape, row-major) as the coordinates `offset..` of the sketched vector. Gradient:
/// the transpose.
///
/// With a fixed-point table the values are those of the integers, so the same for every device and order; on a GPU it is
/// also the faster kind. [`CountSketch::from_table_f32`] makes a sketch of an f32 table's values again.
///
/// # Errors
/// As [`CountSketch::accumulate`]; a tensor that isn't f32; on a GPU a hash family other than Fmix64.
pub fn sketch(x: &Tensor, config: &SketchConfig, offset: u64) -> Result<Tensor> {
    config.check().map_err(candle_core::Error::wrap)?;
    op::apply(Accumulate { config: *config, offset }, x)
}

/// Estimates `[n]` of the coordinates `offset..offset + n` from a table `[rows, cols]`. Gradient: to the cell that each
/// median took.
///
/// # Errors
/// As [`CountSketch::estimate`]; a table of another shape or type; on a GPU a hash family other than Fmix64.
pub fn estimate(table: &Tensor, config: &SketchConfig, offset: u64, n: u64) -> Result<Tensor> {
    let config = SketchConfig { table: TableKind::F32, ..*config };
    config.check().map_err(candle_core::Error::wrap)?;
    let (rows, cols) = (config.rows as usize, config.cols as usize);
    if table.dims() != [rows, cols] {
        candle_core::bail!("the sketch table is {:?}, its configuration says [{rows}, {cols}]", table.dims());
    }
    config.check_range(offset, n).map_err(candle_core::Error::wrap)?;
    op::apply(Estimate { config, offset, n }, table)
}
