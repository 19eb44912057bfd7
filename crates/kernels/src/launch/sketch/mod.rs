//! Count-sketches on a runtime: [`CountSketch`] on a CPU, the kernels of `sketch.cu` elsewhere, with the same bits.

mod parts;
#[cfg(any(feature = "candle", all(test, feature = "simt")))]
mod rows;

use parts::{Items, THREADS, cells_shape, elsewhere, same_device, to_f32, units_of};

#[cfg(feature = "candle")]
pub(crate) use rows::{read_estimates, sketch_row, unsketch_row};

use super::{Buf, KernelId, Runtime, Shape, start};
use crate::device::DeviceError;
use crate::rng::SplitMix64;
use crate::sketch::{CountSketch, HashFamily, SketchConfig, TableKind};
use crate::topk::Count;
use crate::{Error, Result, SparseVec};

/// A count-sketch whose table lives on a runtime's device.
///
/// Every method is that of [`CountSketch`] with the runtime in front, gives the same bits, and has finished when it
/// returns. Only [`HashFamily::Fmix64`] exists outside the CPU.
///
/// ```
/// use ashlar_kernels::launch::{DeviceSketch, Runtime};
/// use ashlar_kernels::sketch::SketchConfig;
///
/// let rt = Runtime::cpu();
/// let mut sketch = DeviceSketch::new(&rt, SketchConfig::new(1_000, 5, 200, 42).fixed(40))?;
/// let mut gradient = vec![0.0; 1_000];
/// (gradient[7], gradient[500]) = (3.0, -2.0);
/// sketch.accumulate(&rt, &rt.upload(&gradient)?, 0)?;
/// assert_eq!(sketch.unsketch(&rt, 2)?.idx(), [7, 500]);
/// # Ok::<(), ashlar_kernels::Error>(())
/// ```
#[derive(Debug)]
pub struct DeviceSketch {
    config: SketchConfig,
    table: Table,
}

#[derive(Debug)]
enum Table {
    Host(CountSketch),
    F32 {
        cells: Buf<f32>,
        keys: Buf<u64>,
    },
    /// No |cell| reaches `units` · 2³².
    Fixed {
        cells: Buf<i64>,
        keys: Buf<u64>,
        units: u64,
        scale_log2: i32,
    },
}

impl DeviceSketch {
    /// A sketch of the zero vector.
    ///
    /// # Errors
    /// As [`CountSketch::new`]; a hash family that the device doesn't have; what the driver reports.
    pub fn new(rt: &Runtime, config: SketchConfig) -> Result<Self> {
        Self::from_host(rt, CountSketch::new(config)?)
    }

    /// A sketch moved to the device.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_host(rt: &Runtime, sketch: CountSketch) -> Result<Self> {
        let config = *sketch.config();
        if rt.launcher().is_none() {
            return Ok(Self { config, table: Table::Host(sketch) });
        }
        if config.hash != HashFamily::Fmix64 {
            let what = format!("the hash family {:?}", config.hash);
            return Err(DeviceError::CpuOnly { what, instead: "use HashFamily::Fmix64" }.into());
        }
        let mut mix = SplitMix64::new(config.seed);
        let keys: Vec<u64> = (0..config.rows).map(|_| mix.next_u64()).collect();
        let keys = rt.take(keys)?;
        let table = match config.table {
            TableKind::F32 => Table::F32 { cells: rt.upload(sketch.table_f32())?, keys },
            TableKind::Fixed { scale_log2 } => {
                let cells = sketch.table_fixed();
                let most = cells.iter().map(|cell| cell.unsigned_abs()).max().unwrap_or(0);
                let units = if most == 0 { 0 } else { units_of(most) };
                Table::Fixed { cells: rt.upload(cells)?, keys, units, scale_log2 }
            }
        };
        Ok(Self { config, table })
    }

    /// A copy on the host.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn to_host(&self) -> Result<CountSketch> {
        match &self.table {
            Table::Host(sketch) => Ok(sketch.clone()),
            Table::F32 { cells, .. } => CountSketch::from_table_f32(self.config, cells.to_vec()?),
            Table::Fixed { cells, .. } => CountSketch::from_table_fixed(self.config, cells.to_vec()?),
        }
    }

    /// What makes this sketch addable to others.
    pub const fn config(&self) -> &SketchConfig {
        &self.config
    }

    /// [`CountSketch::accumulate`].
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn accumulate(&mut self, rt: &Runtime, x: &Buf<f32>, offset: u64) -> Result<()> {
        rt.check(x)?;
        if let Table::Host(sketch) = &mut self.table {
            return sketch.accumulate(x.host().unwrap_or_default(), offset);
        }
        self.check_range(offset, x.len() as u64)?;
        if !self.add(rt, &Items { x, index: None, offset })? {
            let x = x.to_vec()?;
            self.on_host(rt, |sketch| sketch.accumulate(&x, offset))?;
        }
        rt.synchronize()
    }

    /// [`CountSketch::accumulate_sparse`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn accumulate_sparse(&mut self, rt: &Runtime, x: &SparseVec) -> Result<()> {
        if let Table::Host(sketch) = &mut self.table {
            return sketch.accumulate_sparse(x);
        }
        if x.len() != self.config.d {
            return Err(Error::LengthMismatch {
                left_name: "the sketched vector",
                left: self.config.d,
                right_name: "the sparse vector",
                right: x.len(),
            });
        }
        let (index, values) = (rt.upload(x.idx())?, rt.upload(x.val())?);
        if !self.add(rt, &Items { x: &values, index: Some(&index), offset: 0 })? {
            self.on_host(rt, |sketch| sketch.accumulate_sparse(x))?;
        }
        rt.synchronize()
    }

    /// [`CountSketch::accumulate_fixed`].
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn accumulate_fixed(&mut self, rt: &Runtime, x: &Buf<i64>, offset: u64) -> Result<()> {
        rt.check(x)?;
        if let Table::Host(sketch) = &mut self.table {
            return sketch.accumulate_fixed(x.host().unwrap_or_default(), offset);
        }
        self.check_range(offset, x.len() as u64)?;
        if !matches!(self.table, Table::Fixed { .. }) {
            return Err(Error::TableKind { operation: "accumulate_fixed", expected: "Fixed", found: "F32" });
        }
        if !self.add_integers(rt, &Items { x, index: None, offset })? {
            let x = x.to_vec()?;
            self.on_host(rt, |sketch| sketch.accumulate_fixed(&x, offset))?;
        }
        rt.synchronize()
    }

    /// [`CountSketch::merge`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn merge(&mut self, rt: &Runtime, other: &Self) -> Result<()> {
        if let (Table::Host(sketch), Table::Host(other)) = (&mut self.table, &other.table) {
            return sketch.merge(other);
        }
        self.combine(rt, Some(other), None, |sketch, other| other.map_or(Ok(()), |other| sketch.merge(other)))
    }

    /// [`CountSketch::scale`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn scale(&mut self, rt: &Runtime, factor: f32) -> Result<()> {
        if let Table::Host(sketch) = &mut self.table {
            return sketch.scale(factor);
        }
        self.combine(rt, None, Some(factor), |sketch, _| sketch.scale(factor))
    }

    /// [`CountSketch::add_scaled`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn add_scaled(&mut self, rt: &Runtime, other: &Self, factor: f32) -> Result<()> {
        if let (Table::Host(sketch), Table::Host(other)) = (&mut self.table, &other.table) {
            return sketch.add_scaled(other, factor);
        }
        self.combine(rt, Some(other), Some(factor), |sketch, other| {
            other.map_or(Ok(()), |other| sketch.add_scaled(other, factor))
        })
    }

    /// [`CountSketch::zero_where_nonzero`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn zero_where_nonzero(&mut self, rt: &Runtime, other: &Self) -> Result<u64> {
        self.config.same_as(&other.config)?;
        let shape = cells_shape(rt, self.config.cells());
        let n = self.config.cells().into();
        let mut masked = rt.zeros::<u64>(1)?;
        match (&mut self.table, &other.table, rt.launcher()) {
            (Table::Host(sketch), Table::Host(other), _) => return sketch.zero_where_nonzero(other),
            (Table::F32 { cells, .. }, Table::F32 { cells: other, .. }, Some(launcher)) => {
                same_device(rt, cells, other)?;
                let args = [cells.into(), other.into(), (&mut masked).into(), n];
                // SAFETY: both tables have this configuration's cells.
                unsafe { start(launcher, KernelId::SketchZeroF32, shape, args)? };
            }
            (Table::Fixed { cells, .. }, Table::Fixed { cells: other, .. }, Some(launcher)) => {
                same_device(rt, cells, other)?;
                let args = [cells.into(), other.into(), (&mut masked).into(), n];
                // SAFETY: as above.
                unsafe { start(launcher, KernelId::SketchZeroFixed, shape, args)? };
            }
            _ => return Err(elsewhere(rt)),
        }
        Ok(masked.to_vec()?[0])
    }

    /// [`CountSketch::estimate`] of the coordinates `offset..offset + n`.
    ///
    /// # Errors
    /// Coordinates past `d`; what the driver reports.
    pub fn estimates(&self, rt: &Runtime, offset: u64, n: u64) -> Result<Buf<f32>> {
        self.check_range(offset, n)?;
        let Some(launcher) = rt.launcher() else {
            let Table::Host(sketch) = &self.table else { return Err(elsewhere(rt)) };
            let estimates: Vec<f32> = (offset..offset + n).map(|i| sketch.estimate(i)).collect::<Result<_>>()?;
            return rt.take(estimates);
        };
        let mut out = rt.zeros(n as usize)?;
        if n == 0 {
            return Ok(out);
        }
        self.with_values(rt, launcher, |table, keys| {
            let shape = Shape::of(n, THREADS, launcher.many_blocks());
            let (rows, cols) = (self.config.rows.into(), self.config.cols.into());
            let args = [table.into(), keys.into(), rows, cols, offset.into(), n.into(), (&mut out).into()];
            // SAFETY: the table has this configuration's cells and rows keys, `out` n elements.
            unsafe { start(launcher, KernelId::SketchEstimate, shape, args) }
        })?;
        rt.synchronize()?;
        Ok(out)
    }

    /// [`CountSketch::unsketch`].
    ///
    /// # Errors
    /// As there; what the driver reports.
    pub fn unsketch(&self, rt: &Runtime, k: u64) -> Result<SparseVec> {
        let Some(launcher) = rt.launcher() else {
            let Table::Host(sketch) = &self.table else { return Err(elsewhere(rt)) };
            return sketch.unsketch(k);
        };
        let d = self.config.d;
        if d >= 1 << 32 {
            return Err(Error::TooLong { len: d, call: "CountSketch::estimate" });
        }
        let k = Count::Exact(k).resolve(d).map_err(|error| match error {
            Error::KTooLarge { k, len, .. } => Error::KTooLarge { k, len, of: "the sketched vector".to_owned() },
            other => other,
        })?;
        let mut index = rt.zeros::<u32>(k as usize)?;
        let mut value = rt.zeros::<f32>(k as usize)?;
        self.with_values(rt, launcher, |table, keys| {
            self.check_finite(rt, launcher, table)?;
            self.select(rt, launcher, table, keys, k, &mut index, &mut value)
        })?;
        Ok(SparseVec::from_sorted(d, index.into_vec()?, value.into_vec()?))
    }

    /// [`CountSketch::to_f32`].
    ///
    /// # Errors
    /// What the driver reports.
    pub fn to_f32(&self, rt: &Runtime) -> Result<Self> {
        let config = SketchConfig { table: TableKind::F32, ..self.config };
        let table = match (&self.table, rt.launcher()) {
            (Table::Host(sketch), None) => Table::Host(sketch.to_f32()),
            (Table::F32 { cells, keys }, Some(_)) => {
                Table::F32 { cells: rt.take(cells.to_vec()?)?, keys: rt.take(keys.to_vec()?)? }
            }
            (Table::Fixed { cells, keys, scale_log2, .. }, Some(launcher)) => {
                Table::F32 { cells: to_f32(rt, launcher, cells, *scale_log2)?, keys: rt.take(keys.to_vec()?)? }
            }
            _ => return Err(elsewhere(rt)),
        };
        rt.synchronize()?;
        Ok(Self { config, table })
    }

    /// [`CountSketch::l2`], computed on the host: one copy of the table.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn l2(&self) -> Result<f64> {
        Ok(self.to_host()?.l2())
    }

    /// Sets every cell to 0.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn clear(&mut self, rt: &Runtime) -> Result<()> {
        match &mut self.table {
            Table::Host(sketch) => sketch.clear(),
            Table::F32 { cells, .. } => *cells = rt.zeros(cells.len())?,
            Table::Fixed { cells, units, .. } => {
                *cells = rt.zeros(cells.len())?;
                *units = 0;
            }
        }
        Ok(())
    }
}
