//! Tables: typed cells, so that CSV and JSON keep full precision while people see rounded numbers.

use serde::{Deserialize, Serialize};

use crate::{Error, Format, Result, number};

/// A table with a caption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// The caption, also the name of the exported file.
    pub title: String,
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
    /// A remark below. May be empty.
    pub note: String,
}

/// A column's heading and how its numbers are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// How numbers in this column are shown.
    #[serde(default)]
    pub format: Format,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, format: Format) -> Self {
        Self { name: name.into(), format }
    }
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Self::new(name, Format::default())
    }
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Nothing was measured here.
    #[default]
    Empty,
    /// Words.
    Text(String),
    /// A number, shown in its column's format.
    Number(#[serde(with = "number::exact::one")] f64),
    /// A number with an interval or a range over seeds.
    Range {
        /// The middle.
        #[serde(with = "number::exact::one")]
        value: f64,
        /// The lower end.
        #[serde(with = "number::exact::one")]
        low: f64,
        /// The upper end.
        #[serde(with = "number::exact::one")]
        high: f64,
    },
    /// A verdict: a tick or a cross.
    Verdict(bool),
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Cell {
    fn from(holds: bool) -> Self {
        Self::Verdict(holds)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// How people read it.
    pub fn show(&self, format: Format) -> String {
        match self {
            Self::Empty => "–".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(v) => format.show(*v),
            Self::Range { value, low, high } => format!("{} {}", format.show(*value), format.show_range(*low, *high)),
            Self::Verdict(true) => "✓".to_owned(),
            Self::Verdict(false) => "✗".to_owned(),
        }
    }

    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Range { .. })
    }
}

impl Table {
    /// An empty table with its columns (names, or [`Column`]s with a format).
    pub fn new<C: Into<Column>>(title: impl Into<String>, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { title: title.into(), columns, ..Self::default() }
    }

    /// Adds a row, which must be as long as the columns.
    pub fn push<C: Into<Cell>>(&mut self, row: impl IntoIterator<Item = C>) -> Result<()> {
        let row: Vec<Cell> = row.into_iter().map(Into::into).collect();
        if row.len() != self.columns.len() {
            return Err(Error::Row { table: self.title.clone(), expected: self.columns.len(), found: row.len() });
        }
        self.rows.push(row);
        Ok(())
    }

    /// Adds a remark below the table.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Whether a column holds numbers, and is therefore set flush right.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|r| r.get(column)).filter(|c| **c != Cell::Empty).peekable();
        cells.peek().is_some() && cells.all(Cell::is_numeric)
    }
}
