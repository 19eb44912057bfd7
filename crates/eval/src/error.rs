//! What can go wrong.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number is outside the range in which the method is defined.
    #[error("{name} = {value}: it must be {expected}")]
    Range {
        /// Name of the flag or key.
        name: &'static str,
        /// What was given.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// A word that is none of those known.
    #[error("unknown {noun} `{found}`: valid are {}", valid.join(", "))]
    Unknown {
        /// What it should name: "variable", "score".
        noun: &'static str,
        /// What was given.
        found: String,
        /// Every valid word.
        valid: Vec<&'static str>,
    },
    /// A file of the user's can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A result can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text that is no JSONL, JSON or CSV.
    #[error("{file}, line {line}{}: {message}", at_column(*column))]
    Syntax {
        /// The file's name as given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1; 0 where it isn't known.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A row (or the header) lacks a column.
    #[error("{file}, line {line}: no column `{column}`; the columns are {}", present.join(", "))]
    MissingColumn {
        /// The file's name as given.
        file: String,
        /// Line of the row that lacks it, from 1.
        line: usize,
        /// The column asked for.
        column: String,
        /// The columns that this row has.
        present: Vec<String>,
    },
    /// A cell holds something else than its column needs.
    #[error("{file}, line {line} (row {row}), column `{column}`: {found} is not {expected}")]
    Cell {
        /// The file's name as given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Number of the data row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// What the cell holds.
        found: String,
        /// What it must be, with its article: "a finite number".
        expected: &'static str,
    },
    /// There are fewer rows, points or groups than the method needs.
    #[error("{what}: {found}, at least {needed} are needed")]
    TooFew {
        /// What is counted.
        what: String,
        /// How many there must be.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The data are well formed, but the method has no answer on them.
    #[error("{0}")]
    Undefined(String),
    /// A statistic refuses its input.
    #[error(transparent)]
    Stats(#[from] ashlar_stats::Error),
}

impl Error {
    /// Whether the input is at fault (exit code 2) rather than the run (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Write { .. } => false,
            Self::Stats(error) => error.is_input(),
            _ => true,
        }
    }
}

fn at_column(column: usize) -> String {
    if column == 0 { String::new() } else { format!(", column {column}") }
}
