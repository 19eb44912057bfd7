//! Tables that users hand in: JSONL (one object a line) or CSV (a header line), every mistake with its place.
//!
//! The layout is told by the first character that is no space: `{` begins JSONL, anything else CSV. Cells stay as they
//! were written until a column is asked for, so a column nobody asks for may hold anything.

use std::{collections::HashMap, path::Path};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A table of rows, each with the line it stands on.
#[derive(Clone, Debug)]
pub struct Table {
    file: String,
    names: Vec<String>,
    index: HashMap<String, usize>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    line: usize,
    // By column; `None` where the row doesn't have the key.
    cells: Vec<Option<Value>>,
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Syntax`] with the place; [`Error::TooFew`] for a table without rows.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Reads from memory; `file` names the table in messages.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|&b| b == b'\n').count();
            let column = before.rsplit(|&b| b == b'\n').next().map_or(0, <[u8]>::len) + 1;
            Error::Syntax { file: file.to_owned(), line, column, message: "not UTF-8".to_owned() }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut table = Self { file: file.to_owned(), names: Vec::new(), index: HashMap::new(), rows: Vec::new() };
        if text.trim_start().starts_with('{') {
            table.parse_jsonl(text)?;
        } else {
            table.parse_csv(text)?;
        }
        if table.rows.is_empty() {
            return Err(Error::TooFew { what: format!("rows in {file}"), needed: 1, found: 0 });
        }
        // Columns that came up in later rows.
        for row in &mut table.rows {
            row.cells.resize(table.names.len(), None);
        }
        Ok(table)
    }

    fn parse_jsonl(&mut self, text: &str) -> Result<()> {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| Error::Syntax {
                file: self.file.clone(),
                line: at + 1,
                column: error.column(),
                message: strip_place(&error.to_string()).to_owned(),
            })?;
            let mut cells = vec![None; self.names.len()];
            for (name, value) in object {
                let column = self.column_index(name);
                if column == cells.len() {
                    cells.push(Some(value));
                } else {
                    cells[column] = Some(value);
                }
            }
            self.rows.push(Row { line: at + 1, cells });
        }
        Ok(())
    }

    fn parse_csv(&mut self, text: &str) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let syntax = |file: &str, error: &csv::Error| Error::Syntax {
            file: file.to_owned(),
            line: error.position().map_or(1, |at| usize::try_from(at.line()).unwrap_or(usize::MAX)),
            column: 0,
            message: match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{len} cells in a table of {expected_len} columns")
                }
                _ => error.to_string(),
            },
        };
        let header = reader.headers().map_err(|error| syntax(&self.file, &error))?.clone();
        for name in &header {
            if self.index.contains_key(name) {
                let message = format!("two columns are called `{name}`");
                return Err(Error::Syntax { file: self.file.clone(), line: 1, column: 0, message });
            }
            self.column_index(name.to_owned());
        }
        for record in reader.records() {
            let record = record.map_err(|error| syntax(&self.file, &error))?;
            let line = record.position().map_or(0, |at| usize::try_from(at.line()).unwrap_or(usize::MAX));
            let cells = record.iter().map(|cell| Some(Value::String(cell.to_owned()))).collect();
            self.rows.push(Row { line, cells });
        }
        Ok(())
    }

    fn column_index(&mut self, name: String) -> usize {
        let next = self.names.len();
        *self.index.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }

    /// The file's name as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True only where [`Table::keep`] kept nothing: a file without rows is refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every column's name, in the order of first appearance.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// The rows for which `keep` says so, each with the line it stood on.
    #[must_use]
    pub fn keep(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows = self.rows.iter().enumerate().filter(|(row, _)| keep(*row)).map(|(_, row)| row.clone()).collect();
        Self { rows, ..self.clone() }
    }

    /// Whether any row has the column.
    pub fn has(&self, column: &str) -> bool {
        self.index.contains_key(column)
    }

    /// Line of a row, from 1 (0 for a row that isn't there).
    pub fn line(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |row| row.line)
    }

    /// An error about one cell.
    pub fn cell_error(&self, row: usize, column: &str, found: impl Into<String>, expected: &'static str) -> Error {
        Error::Cell {
            file: self.file.clone(),
            line: self.line(row),
            row: row + 1,
            column: column.to_owned(),
            found: found.into(),
            expected,
        }
    }

    /// A column's cells as they stand in the file; absent keys, JSON `null` and empty CSV cells are `None`.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if no row has it.
    pub fn column_optional(&self, column: &str) -> Result<Vec<Option<&Value>>> {
        let at = *self.index.get(column).ok_or_else(|| self.missing(column, 0))?;
        Ok(self
            .rows
            .iter()
            .map(|row| match row.cells.get(at)? {
                Some(Value::Null) => None,
                Some(Value::String(text)) if text.is_empty() => None,
                value => value.as_ref(),
            })
            .collect())
    }

    /// A column's cells, none missing.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] naming the first row without it; [`Error::Cell`] for a null.
    pub fn column(&self, column: &str) -> Result<Vec<&Value>> {
        let at = self.index.get(column).copied();
        let cells = self.column_optional(column)?;
        cells
            .into_iter()
            .enumerate()
            .map(|(row, cell)| {
                cell.ok_or_else(|| {
                    let absent = at.is_none_or(|at| self.rows[row].cells.get(at).is_none_or(Option::is_none));
                    if absent { self.missing(column, row) } else { self.cell_error(row, column, "null", "a value") }
                })
            })
            .collect()
    }

    /// A column of finite numbers.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] or [`Error::Cell`] naming the first row that has no finite number there.
    pub fn column_f64(&self, column: &str) -> Result<Vec<f64>> {
        let cells = self.column(column)?;
        cells.into_iter().enumerate().map(|(row, cell)| self.number(row, column, cell)).collect()
    }

    /// A column of finite numbers with gaps.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if no row has it, [`Error::Cell`] for what is neither empty nor a finite number.
    pub fn column_f64_optional(&self, column: &str) -> Result<Vec<Option<f64>>> {
        let cells = self.column_optional(column)?;
        let number = |(row, cell): (usize, Option<&Value>)| cell.map(|cell| self.number(row, column, cell)).transpose();
        cells.into_iter().enumerate().map(number).collect()
    }

    /// A column of finite numbers above 0.
    ///
    /// # Errors
    /// As [`Table::column_f64`], and [`Error::Cell`] for 0 and below.
    pub fn column_positive(&self, column: &str) -> Result<Vec<f64>> {
        let values = self.column_f64(column)?;
        match values.iter().position(|&v| v <= 0.0) {
            Some(row) => Err(self.cell_error(row, column, values[row].to_string(), "above 0")),
            None => Ok(values),
        }
    }

    /// A column of 0 and 1 (or false and true).
    ///
    /// # Errors
    /// As [`Table::column_f64`], and [`Error::Cell`] for any other value.
    pub fn column_bool(&self, column: &str) -> Result<Vec<bool>> {
        let one = |(row, cell): (usize, &Value)| match cell {
            Value::Bool(value) => Ok(*value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => match self.number(row, column, cell) {
                Ok(0.0) => Ok(false),
                Ok(1.0) => Ok(true),
                _ => Err(self.cell_error(row, column, shown(cell), "0 or 1")),
            },
        };
        self.column(column)?.into_iter().enumerate().map(one).collect()
    }

    /// A column as text: strings as they are, numbers and truth values as written.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] or [`Error::Cell`] naming the first row without a text.
    pub fn column_text(&self, column: &str) -> Result<Vec<String>> {
        let cells = self.column(column)?;
        cells.into_iter().enumerate().map(|(row, cell)| self.text(row, column, cell)).collect()
    }

    /// A column as text with gaps.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if no row has it, [`Error::Cell`] for an array or object.
    pub fn column_text_optional(&self, column: &str) -> Result<Vec<Option<String>>> {
        let cells = self.column_optional(column)?;
        let text = |(row, cell): (usize, Option<&Value>)| cell.map(|cell| self.text(row, column, cell)).transpose();
        cells.into_iter().enumerate().map(text).collect()
    }

    fn number(&self, row: usize, column: &str, cell: &Value) -> Result<f64> {
        let value = match cell {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if value.is_finite() => Ok(value),
            _ => Err(self.cell_error(row, column, shown(cell), "a finite number")),
        }
    }

    fn text(&self, row: usize, column: &str, cell: &Value) -> Result<String> {
        match cell {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(cell.to_string()),
            _ => Err(self.cell_error(row, column, shown(cell), "a text")),
        }
    }

    fn missing(&self, column: &str, row: usize) -> Error {
        let cells = self.rows.get(row).map_or(&[][..], |row| &row.cells);
        let present = self.names.iter().zip(cells).filter(|(_, cell)| cell.is_some()).map(|(name, _)| name.clone());
        Error::MissingColumn {
            file: self.file.clone(),
            line: self.line(row),
            column: column.to_owned(),
            present: present.collect(),
        }
    }
}

/// A cell in a message, cut where it is long.
fn shown(cell: &Value) -> String {
    let text = match cell {
        Value::String(text) => format!("`{text}`"),
        _ => cell.to_string(),
    };
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// serde_json's message without its "at line 1 column 7".
fn strip_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}
