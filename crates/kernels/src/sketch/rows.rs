//! One row of a table by itself: the two halves of a gradient.

use super::{CountSketch, SketchConfig, hash::Hasher};
use crate::{Error, Result};

impl CountSketch {
    /// The table's values as f32, row after row.
    pub(crate) fn into_values(self) -> Vec<f32> {
        self.values().into_owned()
    }
}

impl SketchConfig {
    pub(crate) fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.d => Ok(()),
            end => Err(Error::OutOfRange { offset, end: end.unwrap_or(u64::MAX), d: self.d }),
        }
    }

    fn hasher(&self) -> Hasher {
        Hasher::new(self.hash, self.d, self.rows, self.cols, self.seed)
    }

    /// `out[i] = sign(offset + i) · cells[bucket(offset + i)]` of a row's `cells` `[cols]`.
    pub(crate) fn read_row(&self, row: u32, cells: &[f32], offset: u64, out: &mut [f32]) {
        let hasher = self.hasher();
        for (i, out) in (offset..).zip(out) {
            let (bucket, minus) = hasher.place(row as usize, i, self.cols);
            let cell = cells[bucket as usize];
            *out = if minus { -cell } else { cell };
        }
    }

    /// `cells[bucket(offset + i)] += sign(offset + i) · x[i]`, in index order.
    pub(crate) fn add_to_row(&self, row: u32, x: &[f32], offset: u64, cells: &mut [f32]) {
        let hasher = self.hasher();
        for (i, &x) in (offset..).zip(x) {
            let (bucket, minus) = hasher.place(row as usize, i, self.cols);
            cells[bucket as usize] += if minus { -x } else { x };
        }
    }
}
