//! What makes two sketches the same kind of sketch.

use serde::{Deserialize, Serialize};

use super::HashFamily;
use crate::{Error, Result};

/// Identity of a sketch: sketches add up only when all of it is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SketchConfig {
    /// Length of the sketched vector.
    pub d: u64,
    /// Rows: each gives one estimate, the median is taken. Odd, except for csvec.
    pub rows: u32,
    /// Columns of a row, at most 2³².
    pub cols: u64,
    /// Seed of the hashes.
    pub seed: u64,
    /// How coordinates are hashed.
    #[serde(default)]
    pub hash: HashFamily,
    /// What the table's cells are.
    #[serde(default)]
    pub table: TableKind,
}

/// What the table's cells are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// f32 sums, in index order.
    #[default]
    F32,
    /// i64 sums of round-half-even(x · 2^`scale_log2`): exact, so the same bits for any split and order of the parts.
    Fixed {
        /// See [`scale_for`](super::scale_for); −126 to 126.
        scale_log2: i32,
    },
}

impl TableKind {
    /// `F32` or `Fixed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Fixed { .. } => "Fixed",
        }
    }
}

impl SketchConfig {
    /// A sketch with the default hash and an f32 table.
    pub const fn new(d: u64, rows: u32, cols: u64, seed: u64) -> Self {
        Self { d, rows, cols, seed, hash: HashFamily::Fmix64, table: TableKind::F32 }
    }

    /// The same sketch with a fixed-point table.
    #[must_use]
    pub const fn fixed(mut self, scale_log2: i32) -> Self {
        self.table = TableKind::Fixed { scale_log2 };
        self
    }

    /// The same sketch with another hash.
    #[must_use]
    pub const fn hash(mut self, hash: HashFamily) -> Self {
        self.hash = hash;
        self
    }

    /// Cells of the table.
    pub const fn cells(&self) -> u64 {
        (self.rows as u64).saturating_mul(self.cols)
    }

    /// The most rows that a sketch can have: the median's scratch space.
    pub const MAX_ROWS: u32 = 64;
    /// The most columns.
    pub const MAX_COLS: u64 = 1 << 32;

    /// Whether a sketch can be made of it.
    ///
    /// # Errors
    /// The first field that can't work.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, value: String, expected| Err(Error::SketchConfig { field, value, expected });
        let csvec = matches!(self.hash, HashFamily::Csvec { .. });
        if self.d == 0 {
            return refuse("d", "0".to_owned(), "the sketched vector needs at least 1 element");
        }
        if self.rows == 0 {
            return refuse("rows", "0".to_owned(), "at least 1 row is needed");
        }
        if self.rows > Self::MAX_ROWS {
            return refuse("rows", self.rows.to_string(), "at most 64 rows");
        }
        if self.rows.is_multiple_of(2) && !csvec {
            let rule =
                "rows must be odd, so that the median is one of the estimates (only the csvec family takes even rows)";
            return refuse("rows", self.rows.to_string(), rule);
        }
        if self.cols == 0 || self.cols > Self::MAX_COLS {
            return refuse("cols", self.cols.to_string(), "1 to 2^32 columns");
        }
        if self.cells() > isize::MAX as u64 / 8 {
            return refuse("cols", self.cols.to_string(), "the table exceeds the address space");
        }
        if let HashFamily::Csvec { blocks, .. } = self.hash
            && (blocks == 0 || blocks as u64 > self.d.min(1 << 20))
        {
            return refuse("hash.blocks", blocks.to_string(), "1 to d blocks, at most 2^20");
        }
        if let TableKind::Fixed { scale_log2 } = self.table
            && !(-126..=126).contains(&scale_log2)
        {
            return refuse("table.scale_log2", scale_log2.to_string(), "-126 to 126");
        }
        Ok(())
    }

    /// Whether sketches of the two can be added.
    ///
    /// # Errors
    /// The first field that differs, with both values.
    pub fn same_as(&self, other: &Self) -> Result<()> {
        let pairs = [
            ("d", self.d.to_string(), other.d.to_string()),
            ("rows", self.rows.to_string(), other.rows.to_string()),
            ("cols", self.cols.to_string(), other.cols.to_string()),
            ("seed", self.seed.to_string(), other.seed.to_string()),
            ("hash", format!("{:?}", self.hash), format!("{:?}", other.hash)),
            ("table", format!("{:?}", self.table), format!("{:?}", other.table)),
        ];
        for (field, left, right) in pairs {
            if left != right {
                return Err(Error::SketchMismatch { field, left, right });
            }
        }
        Ok(())
    }
}
