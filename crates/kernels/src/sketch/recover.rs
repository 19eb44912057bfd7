//! What comes back out of a sketch: estimates, heavy coordinates, the norm.

use super::{CountSketch, Table, estimate::Estimator, fixed::power_of_two};
use crate::{
    Error, Result, SparseVec, simd,
    topk::{self, select::Ask, sweep::Pairs},
};

impl CountSketch {
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
}
