//! Count-sketches on a runtime: [`CountSketch`] on a CPU, the kernels of `sketch.cu` elsewhere, with the same bits.

use super::select::{Selection, Sweep};
use super::{Arg, Buf, Element, KernelId, Launch, Runtime, Shape, start};
use crate::device::DeviceError;
use crate::rng::SplitMix64;
use crate::sketch::{CountSketch, HashFamily, SketchConfig, TableKind};
use crate::topk::{Count, NanPolicy};
use crate::{Error, Result, SparseVec};

const THREADS: u32 = 256;
/// `OWNED` of `sketch.cu`.
const OWNED: u64 = 4096;
/// A sum of |q| below this many units of 2³² can't overflow an i64 cell.
const UNITS: u64 = 1 << 31;
/// Dynamic shared memory that a block asks for at most: two blocks fit a multiprocessor.
const MOST_SHARED: u64 = 96 << 10;

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

/// What is added: values at consecutive coordinates, or at listed ones.
struct Items<'a, T: Element> {
    x: &'a Buf<T>,
    index: Option<&'a Buf<u32>>,
    offset: u64,
}

/// The kernels that add values of a type to a fixed-point table.
trait Addend: Element {
    const CHECK: KernelId;
    const ADD: KernelId;
    const ADD_SHARED: KernelId;
}
impl Addend for f32 {
    const CHECK: KernelId = KernelId::SketchCheckQuantised;
    const ADD: KernelId = KernelId::SketchAddQuantised;
    const ADD_SHARED: KernelId = KernelId::SketchAddSharedQuantised;
}
impl Addend for i64 {
    const CHECK: KernelId = KernelId::SketchCheckFixed;
    const ADD: KernelId = KernelId::SketchAddFixed;
    const ADD_SHARED: KernelId = KernelId::SketchAddSharedFixed;
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

/// The parts.
impl DeviceSketch {
    /// Adds f32 values; false if the host must do it (it finds out what is wrong with them).
    fn add(&mut self, rt: &Runtime, items: &Items<f32>) -> Result<bool> {
        let Table::F32 { cells, keys } = &mut self.table else { return self.add_integers(rt, items) };
        let launcher = rt.launcher().ok_or_else(|| elsewhere(rt))?;
        rt.check(cells)?;
        let (rows, cols) = (self.config.rows, self.config.cols);
        // Enough column ranges to fill the device, but not so narrow that hashing is all that a block does.
        let ranges =
            (launcher.many_blocks() as u64 / rows as u64).clamp(1, cols.div_ceil(64)).max(cols.div_ceil(OWNED));
        let width = cols.div_ceil(ranges);
        let shape = Shape { grid: [cols.div_ceil(width) as u32, rows], threads: THREADS, shared: 0 };
        let n = items.x.len() as u64;
        let args = [
            items.x.into(),
            items.index.into(),
            items.offset.into(),
            n.into(),
            (&*keys).into(),
            cols.into(),
            (width as u32).into(),
            cells.into(),
        ];
        // SAFETY: n values (and indices below d); rows keys; a table of rows · cols cells.
        unsafe { start(launcher, KernelId::SketchAddOrdered, shape, args)? };
        Ok(true)
    }

    /// Adds to a fixed-point table; false, with nothing changed, if a value can't be added or a sum might overflow.
    fn add_integers<T: Addend>(&mut self, rt: &Runtime, items: &Items<T>) -> Result<bool> {
        let Table::Fixed { cells, keys, units, scale_log2 } = &mut self.table else { return Ok(false) };
        let launcher = rt.launcher().ok_or_else(|| elsewhere(rt))?;
        rt.check(cells)?;
        let n = items.x.len() as u64;
        if n == 0 {
            return Ok(true);
        }
        let scale: Arg = f64::from_bits(((1023 + *scale_log2) as u64) << 52).into();
        let mut check = rt.zeros::<u64>(2)?;
        let shape = Shape::of(n.div_ceil(4), THREADS, launcher.many_blocks());
        // SAFETY: n values; two counters.
        unsafe { start(launcher, T::CHECK, shape, [items.x.into(), n.into(), scale, (&mut check).into()])? };
        let check = check.to_vec()?;
        if check[0] > 0 {
            return Ok(false);
        }
        if units.saturating_add(check[1]) > UNITS {
            *units = largest_units(rt, launcher, cells)?;
        }
        if units.saturating_add(check[1]) > UNITS {
            return Ok(false);
        }
        *units += check[1];

        let (rows, cols) = (self.config.rows, self.config.cols);
        let (x, index, offset, keys) = (items.x.into(), items.index.into(), items.offset.into(), (&*keys).into());
        let shared = cols.saturating_mul(8);
        let table = cells.into();
        if shared <= MOST_SHARED.min(launcher.shared_limit() as u64) && n >= cols {
            let blocks = (launcher.many_blocks() / rows).clamp(1, n.div_ceil(THREADS as u64).min(1 << 20) as u32);
            let shape = Shape { grid: [blocks, rows], threads: THREADS, shared: shared as u32 };
            // SAFETY: as above; the block's row fits the shared memory that it asks for.
            unsafe {
                start(launcher, T::ADD_SHARED, shape, [x, index, offset, n.into(), scale, keys, cols.into(), table])?;
            }
        } else {
            let args = [x, index, offset, n.into(), scale, keys, rows.into(), cols.into(), table];
            // SAFETY: as above.
            unsafe { start(launcher, T::ADD, shape, args)? };
        }
        Ok(true)
    }

    /// `self + factor · other`, or `factor · self` without another; `on_host` does it where a device can't decide.
    fn combine(
        &mut self,
        rt: &Runtime,
        other: Option<&Self>,
        factor: Option<f32>,
        on_host: impl FnOnce(&mut CountSketch, Option<&CountSketch>) -> Result<()>,
    ) -> Result<()> {
        if let Some(other) = other {
            self.config.same_as(&other.config)?;
        }
        let launcher = rt.launcher().ok_or_else(|| elsewhere(rt))?;
        let shape = cells_shape(rt, self.config.cells());
        let n: Arg = self.config.cells().into();
        let (times, scaled): (Arg, Arg) = (factor.unwrap_or(1.0).into(), u32::from(factor.is_some()).into());
        match &mut self.table {
            Table::F32 { cells, .. } => {
                let other = match other.map(|other| &other.table) {
                    None => None,
                    Some(Table::F32 { cells, .. }) => Some(cells),
                    Some(_) => return Err(elsewhere(rt)),
                };
                rt.check(cells)?;
                // SAFETY: tables of n cells.
                unsafe {
                    let args = [cells.into(), other.into(), times, scaled, n];
                    start(launcher, KernelId::SketchCombineF32, shape, args)?;
                }
            }
            Table::Fixed { cells, units, .. } => {
                let other_cells = match other.map(|other| &other.table) {
                    None => None,
                    Some(Table::Fixed { cells, .. }) => Some(cells),
                    Some(_) => return Err(elsewhere(rt)),
                };
                rt.check(cells)?;
                let mut overflows = rt.zeros::<u64>(1)?;
                let finite = factor.is_none_or(f32::is_finite);
                for apply in if finite { 0..2_u32 } else { 0..0 } {
                    let args = [
                        (&mut *cells).into(),
                        other_cells.into(),
                        times,
                        scaled,
                        apply.into(),
                        (&mut overflows).into(),
                        n,
                    ];
                    // SAFETY: tables of n cells, one counter.
                    unsafe { start(launcher, KernelId::SketchCombineFixed, shape, args)? };
                    if apply == 0 && overflows.to_vec()?[0] > 0 {
                        break;
                    }
                    if apply == 1 {
                        *units = largest_units(rt, launcher, cells)?;
                        return Ok(());
                    }
                }
                // An overflow, or a factor that isn't finite: the host words the error.
                let other = other.map(Self::to_host).transpose()?;
                return self.on_host(rt, |sketch| on_host(sketch, other.as_ref()));
            }
            Table::Host(_) => return Err(elsewhere(rt)),
        }
        rt.synchronize()
    }

    /// Does on the host what the device can't decide; the table is unchanged after an error.
    fn on_host(&mut self, rt: &Runtime, work: impl FnOnce(&mut CountSketch) -> Result<()>) -> Result<()> {
        let mut sketch = self.to_host()?;
        work(&mut sketch)?;
        *self = Self::from_host(rt, sketch)?;
        Ok(())
    }

    /// Runs `work` on the table as f32 and the rows' keys.
    fn with_values(
        &self,
        rt: &Runtime,
        launcher: &dyn Launch,
        work: impl FnOnce(&Buf<f32>, &Buf<u64>) -> Result<()>,
    ) -> Result<()> {
        match &self.table {
            Table::Host(_) => Err(elsewhere(rt)),
            Table::F32 { cells, keys } => {
                rt.check(cells)?;
                work(cells, keys)
            }
            Table::Fixed { cells, keys, scale_log2, .. } => {
                rt.check(cells)?;
                work(&to_f32(rt, launcher, cells, *scale_log2)?, keys)
            }
        }
    }

    fn check_finite(&self, rt: &Runtime, launcher: &dyn Launch, table: &Buf<f32>) -> Result<()> {
        let mut first = rt.take(vec![u64::MAX])?;
        let cells = self.config.cells();
        // SAFETY: a table of `cells` cells, one counter.
        unsafe {
            let args = [table.into(), (&mut first).into(), cells.into()];
            start(launcher, KernelId::SketchNonfinite, cells_shape(rt, cells), args)?;
        }
        match first.to_vec()?[0] {
            u64::MAX => Ok(()),
            index => {
                let value = table.to_vec()?[index as usize];
                Err(Error::NonFinite { what: "the sketch table", index, value })
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn select(
        &self,
        rt: &Runtime,
        launcher: &dyn Launch,
        table: &Buf<f32>,
        keys: &Buf<u64>,
        k: u64,
        index: &mut Buf<u32>,
        value: &mut Buf<f32>,
    ) -> Result<()> {
        let d = self.config.d;
        let mut s = Selection::<u32>::new(rt, launcher, d, k, NanPolicy::Largest, None)?;
        let (any, tiles) = (s.histogram_shape(), s.tile_shape());
        let (table, keys): (Arg, Arg) = (table.into(), keys.into());
        let (rows, cols, d): (Arg, Arg, Arg) = (self.config.rows.into(), self.config.cols.into(), d.into());
        for level in 0..3_u32 {
            if level == 1 {
                let words = s.words(Sweep::Gather);
                let state = (&mut s.state).into();
                let (list_index, list_value) = ((&mut s.list_index).into(), (&mut s.list_value).into());
                let args = [table, keys, rows, cols, d, state, words, list_index, list_value];
                // SAFETY: a table and keys of this configuration; working memory for d coordinates.
                unsafe { s.start(KernelId::UnsketchGather, tiles, args)? };
            }
            let (state, bins) = ((&mut s.state).into(), (&mut s.bins).into());
            let args = [table, keys, rows, cols, d, state, bins, level.into(), (&s.list_value).into()];
            // SAFETY: as above.
            unsafe { s.start(KernelId::UnsketchHistogram, any, args)? };
        }
        let words = s.words(Sweep::Write);
        let (state, list_index) = ((&mut s.state).into(), (&s.list_index).into());
        let list_value = (&s.list_value).into();
        let args = [table, keys, rows, cols, d, state, words, list_index, list_value, index.into(), value.into()];
        // SAFETY: as above; k indices and values.
        unsafe { s.start(KernelId::UnsketchWrite, tiles, args)? };
        s.finish().map(|_| ())
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.config.d => Ok(()),
            end => Err(Error::OutOfRange { offset, end: end.unwrap_or(u64::MAX), d: self.config.d }),
        }
    }
}

const fn units_of(magnitude: u64) -> u64 {
    (magnitude >> 32) + 1
}

fn largest_units(rt: &Runtime, launcher: &dyn Launch, cells: &Buf<i64>) -> Result<u64> {
    let mut largest = rt.zeros::<u64>(1)?;
    let n = cells.len() as u64;
    // SAFETY: n cells, one counter.
    unsafe {
        let args = [cells.into(), (&mut largest).into(), n.into()];
        start(launcher, KernelId::SketchMaxFixed, cells_shape(rt, n), args)?;
    }
    let largest = largest.to_vec()?[0];
    Ok(if largest == 0 { 0 } else { units_of(largest) })
}

fn to_f32(rt: &Runtime, launcher: &dyn Launch, cells: &Buf<i64>, scale_log2: i32) -> Result<Buf<f32>> {
    let n = cells.len() as u64;
    let mut out = rt.zeros(cells.len())?;
    let unit = f32::from_bits(((127 - scale_log2) as u32) << 23);
    // SAFETY: n cells on both sides.
    unsafe {
        let args = [cells.into(), unit.into(), (&mut out).into(), n.into()];
        start(launcher, KernelId::SketchToF32, cells_shape(rt, n), args)?;
    }
    Ok(out)
}

fn cells_shape(rt: &Runtime, cells: u64) -> Shape {
    Shape::of(cells, THREADS, rt.launcher().map_or(1, Launch::many_blocks))
}

fn same_device<T: Element>(rt: &Runtime, left: &Buf<T>, right: &Buf<T>) -> Result<()> {
    rt.check(left)?;
    rt.check(right)
}

fn elsewhere(rt: &Runtime) -> Error {
    DeviceError::Elsewhere { device: rt.device() }.into()
}
