//! Tables that aren't sketches of their own: what the gradients of candle's functions are made of.

use super::parts::{OWNED, THREADS, elsewhere};
use super::{DeviceSketch, Table};
use crate::device::DeviceError;
use crate::launch::{Arg, Buf, KernelId, Launch, Runtime, Shape, start};
use crate::rng::SplitMix64;
use crate::sketch::{CountSketch, HashFamily, SketchConfig};
use crate::{Error, Result};

impl DeviceSketch {
    /// The table's values as f32, on the device.
    pub(crate) fn into_values(self, rt: &Runtime) -> Result<Buf<f32>> {
        match self.to_f32(rt)?.table {
            Table::Host(sketch) => rt.take(sketch.into_values()),
            Table::F32 { cells, .. } => Ok(cells),
            Table::Fixed { .. } => Err(elsewhere(rt)),
        }
    }
}

/// The keys of the rows, of which the kernels want some.
fn keys(config: &SketchConfig) -> Result<Vec<u64>> {
    if config.hash != HashFamily::Fmix64 {
        let what = format!("the hash family {:?}", config.hash);
        return Err(DeviceError::CpuOnly { what, instead: "use HashFamily::Fmix64" }.into());
    }
    let mut mix = SplitMix64::new(config.seed);
    Ok((0..config.rows).map(|_| mix.next_u64()).collect())
}

fn host<'a>(rt: &Runtime, x: &'a Buf<f32>) -> Result<&'a [f32]> {
    x.host().ok_or_else(|| elsewhere(rt))
}

fn check_cells(config: &SketchConfig, rows: u64, cells: &Buf<f32>) -> Result<()> {
    if cells.len() as u64 == rows * config.cols {
        return Ok(());
    }
    Err(Error::LengthMismatch {
        left_name: "the configuration",
        left: rows * config.cols,
        right_name: "the cells",
        right: cells.len() as u64,
    })
}

/// Estimates of the coordinates `offset..offset + n` from an f32 table of a row for each of these keys.
fn estimates(
    rt: &Runtime,
    launcher: &dyn Launch,
    cols: u64,
    keys: &[u64],
    table: &Buf<f32>,
    offset: u64,
    n: u64,
) -> Result<Buf<f32>> {
    let mut out = rt.zeros(n as usize)?;
    if n == 0 {
        return Ok(out);
    }
    let rows: Arg = (keys.len() as u32).into();
    let keys = rt.upload(keys)?;
    let shape = Shape::of(n, THREADS, launcher.many_blocks());
    let args = [table.into(), (&keys).into(), rows, cols.into(), offset.into(), n.into(), (&mut out).into()];
    // SAFETY: the table has rows times cols cells, there is a key a row, `out` has n elements; all of `rt`.
    unsafe { start(launcher, KernelId::SketchEstimate, shape, args)? };
    Ok(out)
}

/// [`CountSketch::estimate`] of the coordinates `offset..offset + n` of an f32 table's values.
pub(crate) fn read_estimates(
    rt: &Runtime,
    config: &SketchConfig,
    table: &Buf<f32>,
    offset: u64,
    n: u64,
) -> Result<Buf<f32>> {
    rt.check(table)?;
    config.check_range(offset, n)?;
    check_cells(config, config.rows as u64, table)?;
    let Some(launcher) = rt.launcher() else {
        let sketch = CountSketch::from_table_f32(*config, host(rt, table)?.to_vec())?;
        return rt.take((offset..offset + n).map(|i| sketch.estimate(i)).collect::<Result<_>>()?);
    };
    estimates(rt, launcher, config.cols, &keys(config)?, table, offset, n)
}

/// [`SketchConfig::read_row`].
pub(crate) fn unsketch_row(
    rt: &Runtime,
    config: &SketchConfig,
    row: u32,
    cells: &Buf<f32>,
    offset: u64,
    n: u64,
) -> Result<Buf<f32>> {
    rt.check(cells)?;
    config.check_range(offset, n)?;
    check_cells(config, 1, cells)?;
    let Some(launcher) = rt.launcher() else {
        let mut out = vec![0.0; n as usize];
        config.read_row(row, host(rt, cells)?, offset, &mut out);
        return rt.take(out);
    };
    // The median of one row is its estimate.
    estimates(rt, launcher, config.cols, &keys(config)?[row as usize..][..1], cells, offset, n)
}

/// [`SketchConfig::add_to_row`], from zeros.
pub(crate) fn sketch_row(rt: &Runtime, config: &SketchConfig, row: u32, x: &Buf<f32>, offset: u64) -> Result<Buf<f32>> {
    rt.check(x)?;
    config.check_range(offset, x.len() as u64)?;
    let Some(launcher) = rt.launcher() else {
        let mut cells = vec![0.0; config.cols as usize];
        config.add_to_row(row, host(rt, x)?, offset, &mut cells);
        return rt.take(cells);
    };
    let mut cells = rt.zeros(config.cols as usize)?;
    let keys = rt.upload(&keys(config)?[row as usize..][..1])?;
    let cols = config.cols;
    let ranges = (launcher.many_blocks() as u64).clamp(1, cols.div_ceil(64)).max(cols.div_ceil(OWNED));
    let width = cols.div_ceil(ranges);
    let shape = Shape { grid: [cols.div_ceil(width) as u32, 1], threads: THREADS, shared: 0 };
    let args = [
        x.into(),
        Arg::NULL,
        offset.into(),
        (x.len() as u64).into(),
        (&keys).into(),
        cols.into(),
        (width as u32).into(),
        (&mut cells).into(),
    ];
    // SAFETY: x holds its elements, there is one key for the one row of `cols` cells; all of `rt`.
    unsafe { start(launcher, KernelId::SketchAddOrdered, shape, args)? };
    Ok(cells)
}

#[cfg(all(test, feature = "simt"))]
mod tests {
    use super::*;
    use crate::device::Device;

    fn numbers(n: u64, seed: u64) -> Vec<f32> {
        let mut random = SplitMix64::new(seed);
        (0..n).map(|_| (random.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    #[test]
    fn rows_have_the_bits_of_the_cpu() {
        let (here, there) = (Runtime::cpu(), Runtime::new(&Device::Simt).expect("the shim is built in"));
        let vec = |buffer: Result<Buf<f32>>| buffer.and_then(Buf::into_vec).expect("a result");
        for (rows, cols, offset, n) in [(5, 100, 5000, 3000), (3, 9001, 0, 700), (1, 1, 0, 10), (3, 64, 8999, 0)] {
            let config = SketchConfig::new(9000, rows, cols, 7);
            let (x, table) = (numbers(n, 1), numbers(config.cells(), 2));
            let on = |rt: &Runtime| {
                let (x, table) = (rt.upload(&x).expect("upload"), rt.upload(&table).expect("upload"));
                let mut all = vec![vec(read_estimates(rt, &config, &table, offset, n))];
                for row in 0..rows {
                    let cells = rt.upload(&numbers(cols, row as u64)).expect("upload");
                    all.push(vec(unsketch_row(rt, &config, row, &cells, offset, n)));
                    all.push(vec(sketch_row(rt, &config, row, &x, offset)));
                }
                all
            };
            assert_eq!(on(&there), on(&here));
        }
        for config in [SketchConfig::new(900, 3, 50, 1), SketchConfig::new(900, 3, 50, 1).fixed(30)] {
            let on = |rt: &Runtime| {
                let mut sketch = DeviceSketch::new(rt, config).expect("a configuration that works");
                sketch.accumulate(rt, &rt.upload(&numbers(900, 1)).expect("upload"), 0).expect("coordinates");
                vec(sketch.into_values(rt))
            };
            assert_eq!(on(&there), on(&here));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let rt = Runtime::new(&Device::Simt).expect("the shim is built in");
        let config = SketchConfig::new(100, 3, 10, 1);
        let cells = rt.zeros(10).expect("memory");
        assert!(unsketch_row(&rt, &config, 0, &cells, 90, 11).is_err());
        assert!(read_estimates(&rt, &config, &cells, 0, 10).is_err());
        assert!(sketch_row(&rt, &config, 0, &rt.zeros(101).expect("memory"), 0).is_err());
        let other = config.hash(HashFamily::Poly61);
        let error = unsketch_row(&rt, &other, 0, &cells, 0, 10).expect_err("CPU only");
        assert!(error.to_string().contains("exists on the CPU only"), "{error}");
    }
}
