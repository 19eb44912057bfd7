//! Tables to Markdown, CSV and JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::model::{Cell, Table};

impl Table {
    /// GitHub-flavoured Markdown, numbers as people read them, aligned so that the source reads as a table too.
    pub fn to_markdown(&self) -> String {
        let mut rows: Vec<Vec<String>> = vec![self.columns.iter().map(|c| markdown(&c.name)).collect()];
        for row in &self.rows {
            let cells = self.columns.iter().enumerate();
            rows.push(
                cells.map(|(i, c)| row.get(i).map_or_else(String::new, |v| markdown(&v.show(c.format)))).collect(),
            );
        }
        let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let numeric: Vec<bool> = (0..self.columns.len()).map(|i| self.is_numeric(i)).collect();
        let mut out = String::new();
        for (n, row) in rows.iter().enumerate() {
            for (i, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i] - cell.chars().count());
                let _ = if numeric[i] { write!(out, "| {pad}{cell} ") } else { write!(out, "| {cell}{pad} ") };
            }
            out.push_str("|\n");
            if n == 0 {
                for (width, numeric) in widths.iter().zip(&numeric) {
                    let _ = write!(out, "|{}{}", "-".repeat(width + 1), if *numeric { ":" } else { "-" });
                }
                out.push_str("|\n");
            }
        }
        out
    }

    /// RFC 4180: CRLF, fields quoted where they must be, numbers in their shortest exact form. A range takes three
    /// columns (`name`, `name_low`, `name_high`).
    ///
    /// Text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` first) is written as it is: a reader of
    /// data must get it back unchanged.
    pub fn to_csv(&self) -> String {
        let ranged: Vec<bool> = (0..self.columns.len()).map(|i| self.has_ranges(i)).collect();
        let mut out = String::new();
        let mut head = Vec::new();
        for (column, ranged) in self.columns.iter().zip(&ranged) {
            head.push(column.name.clone());
            if *ranged {
                head.extend([format!("{}_low", column.name), format!("{}_high", column.name)]);
            }
        }
        csv_line(&mut out, &head);
        for row in &self.rows {
            let mut line = Vec::new();
            for (i, ranged) in ranged.iter().enumerate() {
                let (value, low, high) = raw(row.get(i).unwrap_or(&Cell::Empty));
                line.push(value);
                if *ranged {
                    line.extend([low, high]);
                }
            }
            csv_line(&mut out, &line);
        }
        out
    }

    /// An array with one object a row, keyed by column name, numbers in full. What is not finite becomes `null`.
    pub fn to_json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let cells = self.columns.iter().enumerate();
            let pairs = cells.map(|(i, c)| (c.name.clone(), row.get(i).map_or(Value::Null, json_cell)));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    fn has_ranges(&self, column: usize) -> bool {
        self.rows.iter().any(|r| matches!(r.get(column), Some(Cell::Range { .. })))
    }
}

fn markdown(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

fn raw(cell: &Cell) -> (String, String, String) {
    let none = String::new;
    match cell {
        Cell::Empty => (none(), none(), none()),
        Cell::Text(text) => (text.clone(), none(), none()),
        Cell::Number(v) => (v.to_string(), none(), none()),
        Cell::Range { value, low, high } => (value.to_string(), low.to_string(), high.to_string()),
        Cell::Verdict(holds) => (holds.to_string(), none(), none()),
    }
}

fn csv_line(out: &mut String, fields: &[String]) {
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        // A lone empty field would read as a blank line.
        let quote = field.contains([',', '"', '\r', '\n']) || (fields.len() == 1 && field.is_empty());
        if quote {
            let _ = write!(out, "\"{}\"", field.replace('"', "\"\""));
        } else {
            out.push_str(field);
        }
    }
    out.push_str("\r\n");
}

fn json_cell(cell: &Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Text(text) => json!(text),
        Cell::Number(v) => json!(v),
        Cell::Range { value, low, high } => json!({ "value": value, "low": low, "high": high }),
        Cell::Verdict(holds) => json!(holds),
    }
}
