//! What a linear map can do: take vectors in, add sketches up, scale them.

use super::{
    CountSketch, Table, fixed,
    fixed::{power_of_two, quantise},
    insert::{Insert, Places},
    kind, max_abs,
};
use crate::{Error, Result, SparseVec, simd};

impl CountSketch {
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
}
