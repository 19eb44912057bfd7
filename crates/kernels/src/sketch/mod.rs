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

use std::borrow::Cow;

use estimate::Estimator;
use insert::{Insert, Places};

pub use config::{SketchConfig, TableKind};
pub use fixed::{ceil_log2, power_of_two, quantise, scale_for, scale_for_log2};
pub use hash::{Coefficients, HashFamily, fmix_place};

use crate::{
    Error, Result, SparseVec, simd,
    topk::{self, select::Ask, sweep::Pairs},
};

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

    /// Adds the coordinates `offset..offset + x.len()` of a vector.
    ///
    /// # Errors
    /// Coordinates past `d`. On a fixed-point table also NaN, infinity and overflow; the table is then unchanged.
    /// (An f32 table takes NaN and infinity; [`Self::unsketch`] refuses them.)
    pub fn accumulate(&mut self, x: &[f32], offset: u64) -> Result<()> {
        self.check_range(offset, x.len() as u64)?;
        self.add_values(x, Places::From(offset))
    }

    /// Adds a sparse vector of length `d`.
    ///
    /// # Errors
    /// As [`Self::accumulate`]; a vector of another length.
    pub fn accumulate_sparse(&mut self, x: &SparseVec) -> Result<()> {
        if x.len() != self.config.d {
            return Err(Error::LengthMismatch {
                left_name: "the sketched vector",
                left: self.config.d,
                right_name: "the sparse vector",
                right: x.len(),
            });
        }
        self.add_values(x.val(), Places::At(x.idx()))
    }

    /// Adds coordinates that are quantised already ([`quantise`] with the table's scale).
    ///
    /// # Errors
    /// Coordinates past `d`, overflow (the table is then unchanged), an f32 table.
    pub fn accumulate_fixed(&mut self, x: &[i64], offset: u64) -> Result<()> {
        self.check_range(offset, x.len() as u64)?;
        let Table::Fixed { cells, bound, .. } = &mut self.table else {
            return Err(kind("accumulate_fixed", "Fixed", "F32"));
        };
        let upper = x.iter().fold(*bound, |sum, x| sum.saturating_add(x.unsigned_abs()));
        if i64::try_from(upper).is_err() {
            return self.add_checked(x, Places::From(offset));
        }
        *bound = upper;
        let (hasher, cols) = (&self.hasher, self.config.cols as usize);
        Insert { hasher, cols, places: Places::From(offset), level: simd::level() }.integers(x, cells);
        Ok(())
    }

    fn add_values(&mut self, x: &[f32], places: Places<'_>) -> Result<()> {
        let insert = Insert { hasher: &self.hasher, cols: self.config.cols as usize, places, level: simd::level() };
        match &mut self.table {
            Table::F32(table) => insert.f32(x, table),
            Table::Fixed { cells, bound, scale_log2 } => {
                let upper = bound.saturating_add(fixed::check(x, *scale_log2, |at| places.index(at))?);
                if i64::try_from(upper).is_err() {
                    let mut integers = vec![0; x.len()];
                    quantise(x, *scale_log2, &mut integers)?;
                    return self.add_checked(&integers, places);
                }
                *bound = upper;
                insert.quantised(x, power_of_two(*scale_log2), cells);
            }
        }
        Ok(())
    }

    /// Near overflow: on a copy of the table, each sum checked.
    fn add_checked(&mut self, x: &[i64], places: Places<'_>) -> Result<()> {
        let (rows, cols) = (self.config.rows as usize, self.config.cols as usize);
        let Table::Fixed { cells, bound, scale_log2 } = &mut self.table else { return Ok(()) };
        let mut sum = cells.clone();
        for row in 0..rows {
            let cells = &mut sum[row * cols..(row + 1) * cols];
            for (at, &x) in x.iter().enumerate() {
                let index = places.index(at);
                let (bucket, minus) = self.hasher.place(row, index, cols as u64);
                let cell = &mut cells[bucket as usize];
                let next = if minus { cell.checked_sub(x) } else { cell.checked_add(x) };
                *cell = next.ok_or(Error::Overflow { what: "the sum", index, scale_log2: *scale_log2 })?;
            }
        }
        *bound = max_abs(&sum);
        *cells = sum;
        Ok(())
    }

    /// Adds another sketch's vector.
    ///
    /// # Errors
    /// Another configuration (the field and both values), overflow (this sketch is then unchanged).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.config.same_as(&other.config)?;
        match (&mut self.table, &other.table) {
            (Table::F32(table), Table::F32(other)) => {
                for (cell, other) in table.iter_mut().zip(other) {
                    *cell += other;
                }
                Ok(())
            }
            (Table::Fixed { .. }, Table::Fixed { cells: other, .. }) => {
                self.map_cells(|at, cell| cell.checked_add(other[at]))
            }
            _ => Err(kind("merge", "the other sketch's kind", "another")),
        }
    }

    /// Multiplies the vector by `factor`. Fixed-point cells are rounded half to even, exactly.
    ///
    /// # Errors
    /// On a fixed-point table: overflow, or a factor that isn't finite (the table is then unchanged).
    pub fn scale(&mut self, factor: f32) -> Result<()> {
        if let Table::F32(table) = &mut self.table {
            for cell in table {
                *cell *= factor;
            }
            return Ok(());
        }
        self.map_cells(|_, cell| fixed::scale_cell(cell, factor))
    }

    /// Adds `factor` times another sketch's vector; product and sum are each rounded.
    ///
    /// # Errors
    /// As [`Self::merge`] and [`Self::scale`].
    pub fn add_scaled(&mut self, other: &Self, factor: f32) -> Result<()> {
        self.config.same_as(&other.config)?;
        match (&mut self.table, &other.table) {
            (Table::F32(table), Table::F32(other)) => {
                for (cell, other) in table.iter_mut().zip(other) {
                    *cell += factor * other;
                }
                Ok(())
            }
            (Table::Fixed { .. }, Table::Fixed { cells: other, .. }) => {
                self.map_cells(|at, cell| fixed::scale_cell(other[at], factor).and_then(|x| cell.checked_add(x)))
            }
            _ => Err(kind("add_scaled", "the other sketch's kind", "another")),
        }
    }

    /// Sets every cell to 0 in which the other sketch is not 0 (FetchSGD's masking); returns how many cells that were.
    ///
    /// # Errors
    /// Another configuration.
    pub fn zero_where_nonzero(&mut self, other: &Self) -> Result<u64> {
        self.config.same_as(&other.config)?;
        let mut masked = 0;
        match (&mut self.table, &other.table) {
            (Table::F32(table), Table::F32(other)) => {
                for (cell, other) in table.iter_mut().zip(other) {
                    if *other != 0.0 {
                        *cell = 0.0;
                        masked += 1;
                    }
                }
            }
            (Table::Fixed { cells, .. }, Table::Fixed { cells: other, .. }) => {
                for (cell, other) in cells.iter_mut().zip(other) {
                    if *other != 0 {
                        *cell = 0;
                        masked += 1;
                    }
                }
            }
            _ => return Err(kind("zero_where_nonzero", "the other sketch's kind", "another")),
        }
        Ok(masked)
    }

    /// The estimate of coordinate `i`: the median over the rows (of an even number of rows, which only csvec has, the
    /// lower middle one), in the total order of floats (−0 below +0).
    ///
    /// # Errors
    /// A coordinate past `d`.
    pub fn estimate(&self, i: u64) -> Result<f32> {
        self.check_range(i, 1)?;
        let mut value = [0.0];
        match &self.table {
            Table::F32(table) => self.estimator(table).at(&[i], &mut value),
            Table::Fixed { cells, scale_log2, .. } => {
                // Only the row's cells are needed.
                let unit = power_of_two(-scale_log2) as f32;
                let mut signed: Vec<f32> = Vec::with_capacity(self.config.rows as usize);
                for row in 0..self.config.rows as usize {
                    let (bucket, minus) = self.hasher.place(row, i, self.config.cols);
                    let cell = cells[row * self.config.cols as usize + bucket as usize] as f32;
                    signed.push(if minus { -cell } else { cell } * unit);
                }
                let middle = (signed.len() - 1) / 2;
                value[0] = *signed.select_nth_unstable_by(middle, f32::total_cmp).1;
            }
        }
        Ok(value[0])
    }

    /// The `k` coordinates of the largest estimated magnitude, with their estimates; ties keep the lowest index.
    ///
    /// Estimates are never stored for all coordinates.
    ///
    /// # Errors
    /// k = 0 or above `d`; 2³² coordinates or more; NaN or infinity in the table.
    pub fn unsketch(&self, k: u64) -> Result<SparseVec> {
        let d = self.config.d;
        if d >= 1 << 32 {
            return Err(Error::TooLong { len: d, call: "CountSketch::estimate" });
        }
        let k = topk::Count::Exact(k).resolve(d).map_err(|error| match error {
            Error::KTooLarge { k, len, .. } => Error::KTooLarge { k, len, of: "the sketched vector".to_owned() },
            other => other,
        })?;
        let table = self.values();
        if let Some((at, &value)) = table.iter().enumerate().find(|(_, cell)| !cell.is_finite()) {
            return Err(Error::NonFinite { what: "the sketch table", index: at as u64, value });
        }
        let estimator = self.estimator(&table);
        let ask = Ask { k, nan_zero: false, level: estimator.level };
        let mut pairs = Pairs::default();
        topk::select::select(&estimator, &ask, None, &mut pairs);
        Ok(SparseVec::from_sorted(d, pairs.idx, pairs.val))
    }

    fn estimator<'a>(&'a self, table: &'a [f32]) -> Estimator<'a> {
        Estimator {
            table,
            hasher: &self.hasher,
            rows: self.config.rows as usize,
            cols: self.config.cols as usize,
            d: self.config.d as usize,
            level: simd::level(),
        }
    }

    /// Estimate of the vector's Euclidean norm: the square root of the median over the rows of Σ cell².
    pub fn l2(&self) -> f64 {
        let table = self.values();
        let mut sums: Vec<f64> = table
            .chunks(self.config.cols as usize)
            .map(|row| row.iter().map(|&cell| cell as f64 * cell as f64).sum())
            .collect();
        let middle = (sums.len() - 1) / 2;
        let (_, median, _) = sums.select_nth_unstable_by(middle, f64::total_cmp);
        median.sqrt()
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

    /// Replaces every fixed-point cell, or none if one overflows.
    fn map_cells(&mut self, next: impl Fn(usize, i64) -> Option<i64>) -> Result<()> {
        let Table::Fixed { cells, bound, scale_log2 } = &mut self.table else { return Ok(()) };
        let mut mapped = Vec::with_capacity(cells.len());
        for (at, &cell) in cells.iter().enumerate() {
            let overflow = Error::Overflow { what: "the table", index: at as u64, scale_log2: *scale_log2 };
            mapped.push(next(at, cell).ok_or(overflow)?);
        }
        *bound = max_abs(&mapped);
        *cells = mapped;
        Ok(())
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
