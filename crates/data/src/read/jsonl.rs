//! JSON lines: an object a line, of which some fields are the text, the class and the author.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Row, format_error};
use crate::{Column, DataSpec, Error, Result, error::Place};

/// Reads texts: the fields `spec.text` joined by line breaks, with `spec.label` and `spec.group` if given.
pub(crate) fn texts(path: &Path, spec: &DataSpec) -> Result<Vec<Row<String>>> {
    parse_texts(path, super::bytes(path)?, spec)
}

pub(crate) fn parse_texts(path: &Path, bytes: Vec<u8>, spec: &DataSpec) -> Result<Vec<Row<String>>> {
    if spec.text.is_empty() {
        return Err(Error::value("text", format!("missing: say which fields of {} hold the text", path.display())));
    }
    let text = super::utf8(path, bytes)?;
    let mut rows = Vec::new();
    for (line, number) in text.lines().zip(1u64..).filter(|(line, _)| !line.trim().is_empty()) {
        let at = Line { path, number };
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            let problem = format!("no JSON object ({error})");
            format_error(path, Place::Line(number), problem, "write one JSON object a line")
        })?;
        let parts = spec.text.iter().map(|column| at.string(&object, "text", column)).collect::<Result<Vec<_>>>()?;
        let optional = |field, column: &Option<Column>| column.as_ref().map(|column| at.string(&object, field, column));
        rows.push(Row {
            value: parts.join("\n"),
            label: optional("label", &spec.label).transpose()?,
            group: optional("group", &spec.group).transpose()?,
        });
    }
    if rows.is_empty() {
        return Err(format_error(path, Place::File, "no lines", "write one JSON object a line"));
    }
    Ok(rows)
}

struct Line<'a> {
    path: &'a Path,
    number: u64,
}

impl Line<'_> {
    /// A field as text: a string, a number or a truth value.
    fn string(&self, object: &Map<String, Value>, field: &'static str, column: &Column) -> Result<String> {
        let Column::Name(name) = column else {
            return Err(Error::value(field, format!("{column}: JSON objects have names, so give the field's name")));
        };
        match object.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(self.error(format!("`{name}` holds neither text nor a number"), "give such a field")),
            None => {
                let has = object.keys().take(20).cloned().collect::<Vec<_>>().join(", ");
                Err(self.error(format!("no field `{name}`; there is {has}"), "check the field's name"))
            }
        }
    }

    fn error(&self, problem: String, remedy: &str) -> Error {
        format_error(self.path, Place::Line(self.number), problem, remedy)
    }
}
