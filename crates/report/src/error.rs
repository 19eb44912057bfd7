//! What can go wrong with a report.

use std::path::PathBuf;

/// Why a report can't be built, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row that does not fit its table.
    #[error("a row of table '{table}' has {found} cells, its columns need {expected}")]
    Row {
        /// The table's title.
        table: String,
        /// Its number of columns.
        expected: usize,
        /// The row's number of cells.
        found: usize,
    },
    /// A comparison that does not exist.
    #[error("unknown comparison '{found}': use one of <, <=, >, >=, ==, !=")]
    Op {
        /// What was given.
        found: String,
    },
    /// A file could not be written.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the caller's input is at fault (exit code 2 of a command) rather than the machine (exit code 1).
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
