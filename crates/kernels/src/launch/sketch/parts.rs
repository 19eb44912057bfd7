//! The steps that [`DeviceSketch`] is made of: checks, launches, and what is left to the host.

use super::{DeviceSketch, Table};
use crate::device::DeviceError;
use crate::launch::select::{Selection, Sweep};
use crate::launch::{Arg, Buf, Element, KernelId, Launch, Runtime, Shape, start};
use crate::sketch::CountSketch;
use crate::topk::NanPolicy;
use crate::{Error, Result};

pub(super) const THREADS: u32 = 256;
/// `OWNED` of `sketch.cu`.
pub(super) const OWNED: u64 = 4096;
/// A sum of |q| below this many units of 2³² can't overflow an i64 cell.
const UNITS: u64 = 1 << 31;
/// Dynamic shared memory that a block asks for at most: two blocks fit a multiprocessor.
const MOST_SHARED: u64 = 96 << 10;

/// What is added: values at consecutive coordinates, or at listed ones.
pub(super) struct Items<'a, T: Element> {
    pub x: &'a Buf<T>,
    pub index: Option<&'a Buf<u32>>,
    pub offset: u64,
}

/// The kernels that add values of a type to a fixed-point table.
pub(super) trait Addend: Element {
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
    /// Adds f32 values; false if the host must do it (it finds out what is wrong with them).
    pub(super) fn add(&mut self, rt: &Runtime, items: &Items<f32>) -> Result<bool> {
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
    pub(super) fn add_integers<T: Addend>(&mut self, rt: &Runtime, items: &Items<T>) -> Result<bool> {
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
    pub(super) fn combine(
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
    pub(super) fn on_host(&mut self, rt: &Runtime, work: impl FnOnce(&mut CountSketch) -> Result<()>) -> Result<()> {
        let mut sketch = self.to_host()?;
        work(&mut sketch)?;
        *self = Self::from_host(rt, sketch)?;
        Ok(())
    }

    /// Runs `work` on the table as f32 and the rows' keys.
    pub(super) fn with_values(
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

    pub(super) fn check_finite(&self, rt: &Runtime, launcher: &dyn Launch, table: &Buf<f32>) -> Result<()> {
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
    pub(super) fn select(
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

    pub(super) fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.config.d => Ok(()),
            end => Err(Error::OutOfRange { offset, end: end.unwrap_or(u64::MAX), d: self.config.d }),
        }
    }
}

pub(super) const fn units_of(magnitude: u64) -> u64 {
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

pub(super) fn to_f32(rt: &Runtime, launcher: &dyn Launch, cells: &Buf<i64>, scale_log2: i32) -> Result<Buf<f32>> {
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

pub(super) fn cells_shape(rt: &Runtime, cells: u64) -> Shape {
    Shape::of(cells, THREADS, rt.launcher().map_or(1, Launch::many_blocks))
}

pub(super) fn same_device<T: Element>(rt: &Runtime, left: &Buf<T>, right: &Buf<T>) -> Result<()> {
    rt.check(left)?;
    rt.check(right)
}

pub(super) fn elsewhere(rt: &Runtime) -> Error {
    DeviceError::Elsewhere { device: rt.device() }.into()
}
