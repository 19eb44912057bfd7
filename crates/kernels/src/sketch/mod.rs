//! Count-sketches: a vector of `d` coordinates in a table of `rows · cols` cells, linear, mergeable.
//!
//! A coordinate i adds `sign_r(i)·x[i]` to cell `bucket_r(i)` of each row r; its estimate is the median over the rows of
//! `sign_r(i)·cell`. Heavy coordinates come back, the rest is noise of size ‖x‖₂/√cols (Charikar, Chen and
//! Farach-Colton, 2002). FetchSGD's server works on such tables alone.
//!
//! ```
//! use ashlar_kernels::sketch::{CountSketch, SketchConfig};
//!
//! let config = SketchConfig::new(10_000, 5, 1_000, 42);
//! let mut gradient = vec![0.0; 10_000];
//! (gradient[7], gradient[5_000]) = (3.0, -2.0);
//!
//! // Two workers sketch a half each; the sum of the sketches is the sketch of the sum.
//! let (mut left, mut right) = (CountSketch::new(config)?, CountSketch::new(config)?);
//! left.accumulate(&gradient[..4_000], 0)?;
//! right.accumulate(&gradient[4_000..], 4_000)?;
//! left.merge(&right)?;
//!
//! let top = left.unsketch(2)?;
//! assert_eq!((top.idx(), top.val()), (&[7, 5_000][..], &[3.0, -2.0][..]));
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```

mod config;
mod estimate;
mod fixed;
mod hash;
mod insert;
mod linear;
mod recover;
#[cfg(any(feature = "candle", all(test, feature = "simt")))]
mod rows;

use std::borrow::Cow;

pub use config::{SketchConfig, TableKind};
pub use fixed::{ceil_log2, power_of_two, quantise, scale_for, scale_for_log2};
pub use hash::{Coefficients, HashFamily, fmix_place};

use crate::{Error, Result};

/// A count-sketch.
#[derive(Clone, Debug)]
pub struct CountSketch {
    config: SketchConfig,
    hasher: hash::Hasher,
    table: Table,
}

#[derive(Clone, Debug)]
enum Table {
    F32(Vec<f32>),
    Fixed {
        cells: Vec<i64>,
        /// No |cell| exceeds it, so that most sums need no overflow check.
        bound: u64,
        scale_log2: i32,
    },
}

impl CountSketch {
    /// A sketch of the zero vector.
    ///
    /// # Errors
    /// A configuration that can't work ([`SketchConfig::check`]).
    pub fn new(config: SketchConfig) -> Result<Self> {
        config.check()?;
        let table = match config.table {
            TableKind::F32 => Table::F32(zeroes(&config)?),
            TableKind::Fixed { scale_log2 } => Table::Fixed { cells: zeroes(&config)?, bound: 0, scale_log2 },
        };
        Ok(Self::with_table(config, table))
    }

    /// From an f32 table, row after row.
    ///
    /// # Errors
    /// As [`Self::new`]; a table of another size, or a configuration that says `Fixed`.
    pub fn from_table_f32(config: SketchConfig, table: Vec<f32>) -> Result<Self> {
        config.check()?;
        if config.table != TableKind::F32 {
            return Err(kind("from_table_f32", "F32", config.table.name()));
        }
        check_cells(&config, table.len())?;
        Ok(Self::with_table(config, Table::F32(table)))
    }

    /// From a fixed-point table, row after row.
    ///
    /// # Errors
    /// As [`Self::new`]; a table of another size, or a configuration that says `F32`.
    pub fn from_table_fixed(config: SketchConfig, table: Vec<i64>) -> Result<Self> {
        config.check()?;
        let TableKind::Fixed { scale_log2 } = config.table else {
            return Err(kind("from_table_fixed", "Fixed", config.table.name()));
        };
        check_cells(&config, table.len())?;
        let bound = max_abs(&table);
        Ok(Self::with_table(config, Table::Fixed { cells: table, bound, scale_log2 }))
    }

    fn with_table(config: SketchConfig, table: Table) -> Self {
        let hasher = hash::Hasher::new(config.hash, config.d, config.rows, config.cols, config.seed);
        Self { config, hasher, table }
    }

    /// What makes this sketch addable to others.
    pub fn config(&self) -> &SketchConfig {
        &self.config
    }

    /// The f32 table, row after row; empty when the table is fixed-point.
    pub fn table_f32(&self) -> &[f32] {
        match &self.table {
            Table::F32(table) => table,
            Table::Fixed { .. } => &[],
        }
    }

    /// The fixed-point table, row after row; empty when the table is f32.
    pub fn table_fixed(&self) -> &[i64] {
        match &self.table {
            Table::F32(_) => &[],
            Table::Fixed { cells, .. } => cells,
        }
    }

    /// Bucket and sign (true for −) of coordinate `i` in `row`.
    ///
    /// # Errors
    /// A coordinate or row that isn't there.
    pub fn place(&self, row: u32, i: u64) -> Result<(u64, bool)> {
        self.check_range(i, 1)?;
        if row >= self.config.rows {
            return Err(Error::OutOfRange { offset: row as u64, end: row as u64 + 1, d: self.config.rows as u64 });
        }
        Ok(self.hasher.place(row as usize, i, self.config.cols))
    }

    /// Sets every cell to 0.
    pub fn clear(&mut self) {
        match &mut self.table {
            Table::F32(table) => table.fill(0.0),
            Table::Fixed { cells, bound, .. } => {
                cells.fill(0);
                *bound = 0;
            }
        }
    }

    /// The same sketch with an f32 table: fixed-point cells rounded to f32 and divided by 2^`scale_log2`.
    pub fn to_f32(&self) -> Self {
        let config = SketchConfig { table: TableKind::F32, ..self.config };
        Self { config, hasher: self.hasher.clone(), table: Table::F32(self.values().into_owned()) }
    }

    fn values(&self) -> Cow<'_, [f32]> {
        match &self.table {
            Table::F32(table) => Cow::Borrowed(table),
            Table::Fixed { cells, scale_log2, .. } => {
                let unit = power_of_two(-scale_log2) as f32;
                Cow::Owned(cells.iter().map(|&cell| cell as f32 * unit).collect())
            }
        }
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.config.d => Ok(()),
            end => Err(Error::OutOfRange { offset, end: end.unwrap_or(u64::MAX), d: self.config.d }),
        }
    }
}

fn max_abs(cells: &[i64]) -> u64 {
    cells.iter().map(|cell| cell.unsigned_abs()).max().unwrap_or(0)
}

fn kind(operation: &'static str, expected: &'static str, found: &'static str) -> Error {
    Error::TableKind { operation, expected, found }
}

/// A table of zeroes, or an error where there is no memory for it (`vec!` alone would abort the process).
fn zeroes<T: Clone + Default>(config: &SketchConfig) -> Result<Vec<T>> {
    let cells = config.cells() as usize;
    let mut probe: Vec<T> = Vec::new();
    let bytes = config.cells().saturating_mul(size_of::<T>() as u64);
    let refuse = |_| Error::SketchMemory { rows: config.rows, cols: config.cols, bytes };
    probe.try_reserve_exact(cells).map_err(refuse)?;
    // An allocation that nobody looks at may be optimised away.
    drop(std::hint::black_box(probe));
    Ok(vec![T::default(); cells])
}

fn check_cells(config: &SketchConfig, len: usize) -> Result<()> {
    if config.cells() == len as u64 {
        return Ok(());
    }
    Err(Error::LengthMismatch {
        left_name: "the configuration (rows · cols)",
        left: config.cells(),
        right_name: "the table",
        right: len as u64,
    })
}
