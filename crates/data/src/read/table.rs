//! CSV: features as numbers with a class, or texts. Fields may be quoted, and every line has as many as the first.

use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord};

use super::{Row, format_error};
use crate::{Column, DataSpec, Error, LabelledSet, Result, error::Place};

/// Most classes that a table may have; more means that the label column holds measurements.
const MAX_CLASSES: usize = 10_000;

/// Reads a table of numbers: `spec.label` is the class, `spec.group` (if given) who made the example, and every other
/// column a feature. The shape is `[features, 1, 1]`.
pub fn labelled(path: &Path, spec: &DataSpec) -> Result<LabelledSet> {
    parse_labelled(path, &super::bytes(path)?, spec)
}

/// Parses the bytes of such a table; `path` is for messages.
pub fn parse_labelled(path: &Path, bytes: &[u8], spec: &DataSpec) -> Result<LabelledSet> {
    let mut table = Table::open(path, bytes, spec.header)?;
    let label = spec.label.as_ref().ok_or_else(|| {
        Error::value(
            "label",
            format!("missing: say which column of {} holds the class (name, or place from 0)", path.display()),
        )
    })?;
    let label = table.column("label", label)?;
    let group = spec.group.as_ref().map(|column| table.column("group", column)).transpose()?;
    let mut features: Option<usize> = None;
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    while table.next(&mut record)? {
        let mut values = Vec::with_capacity(record.len());
        for (place, field) in record.iter().enumerate() {
            if place == label || Some(place) == group {
                continue;
            }
            let value = field.trim().parse::<f32>().ok().filter(|value| value.is_finite());
            values.push(value.ok_or_else(|| table.no_number(&record, place, field))?);
        }
        if values.is_empty() {
            return Err(table.error(
                &record,
                "no feature column is left",
                "give a table with numbers beside the label",
            ));
        }
        features = Some(values.len());
        rows.push(Row {
            value: values,
            label: Some(table.field(&record, label)?),
            group: group.map(|place| table.field(&record, place)).transpose()?,
        });
    }
    let Some(features) = features else {
        return Err(format_error(path, Place::File, "no rows", "give at least one line of values"));
    };
    let (values, labels, groups) = super::columns(rows);
    let (labels, classes) = labels.unwrap_or_default();
    if classes.len() > MAX_CLASSES {
        let problem =
            format!("{} classes in the label column; more than {MAX_CLASSES} look like measurements", classes.len());
        return Err(format_error(path, Place::File, problem, "set `label` to the column that holds the class"));
    }
    let set = LabelledSet::from_f32([features, 1, 1], values.concat(), labels, classes)?;
    match groups {
        Some((groups, names)) => set.with_groups(groups, names),
        None => Ok(set),
    }
}

/// Reads texts: the columns `spec.text` joined by line breaks, with `spec.label` and `spec.group` if given.
pub(crate) fn texts(path: &Path, spec: &DataSpec) -> Result<Vec<Row<String>>> {
    parse_texts(path, &super::bytes(path)?, spec)
}

pub(crate) fn parse_texts(path: &Path, bytes: &[u8], spec: &DataSpec) -> Result<Vec<Row<String>>> {
    if spec.text.is_empty() {
        return Err(Error::value("text", format!("missing: say which columns of {} hold the text", path.display())));
    }
    let mut table = Table::open(path, bytes, spec.header)?;
    let text = spec.text.iter().map(|column| table.column("text", column)).collect::<Result<Vec<_>>>()?;
    let label = spec.label.as_ref().map(|column| table.column("label", column)).transpose()?;
    let group = spec.group.as_ref().map(|column| table.column("group", column)).transpose()?;
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    while table.next(&mut record)? {
        let parts = text.iter().map(|&place| table.field(&record, place)).collect::<Result<Vec<_>>>()?;
        rows.push(Row {
            value: parts.join("\n"),
            label: label.map(|place| table.field(&record, place)).transpose()?,
            group: group.map(|place| table.field(&record, place)).transpose()?,
        });
    }
    if rows.is_empty() {
        return Err(format_error(path, Place::File, "no rows", "give at least one line of values"));
    }
    Ok(rows)
}

struct Table<'a> {
    path: &'a Path,
    reader: Reader<&'a [u8]>,
    names: Option<StringRecord>,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, bytes: &'a [u8], header: bool) -> Result<Self> {
        let mut reader = ReaderBuilder::new().has_headers(header).from_reader(bytes);
        let names =
            if header { Some(reader.headers().map_err(|error| csv_error(path, &error))?.clone()) } else { None };
        Ok(Self { path, reader, names })
    }

    fn next(&mut self, record: &mut StringRecord) -> Result<bool> {
        self.reader.read_record(record).map_err(|error| csv_error(self.path, &error))
    }

    /// The place of a column that the specification names.
    fn column(&mut self, field: &'static str, column: &Column) -> Result<usize> {
        let missing =
            |has: String| Error::value(field, format!("{} has no column {column}; it has {has}", self.path.display()));
        match (column, &self.names) {
            (Column::Name(name), Some(names)) => names
                .iter()
                .position(|other| other.trim() == name)
                .ok_or_else(|| missing(names.iter().take(50).collect::<Vec<_>>().join(", "))),
            (Column::Name(_), None) => {
                Err(missing("no names (`header = false`): give the column's place, counted from 0".to_owned()))
            }
            (Column::Index(index), Some(names)) if *index >= names.len() => {
                Err(missing(format!("{} columns, counted from 0", names.len())))
            }
            (Column::Index(index), _) => Ok(*index),
        }
    }

    fn field(&self, record: &StringRecord, place: usize) -> Result<String> {
        let field = record.get(place).ok_or_else(|| {
            let problem = format!("no column number {place}; the line has {}", record.len());
            self.error(record, problem, "give a place that exists, counted from 0")
        })?;
        Ok(field.trim().to_owned())
    }

    fn no_number(&self, record: &StringRecord, place: usize, field: &str) -> Error {
        let name = self.names.as_ref().and_then(|names| names.get(place)).map(|name| format!(" `{name}`"));
        let shown: String = field.chars().take(40).collect();
        let problem = format!("column {place}{} holds `{shown}`, which is no finite number", name.unwrap_or_default());
        let remedy = "fill the gap, turn the column into numbers, or say `header = false` if the first line is data";
        self.error(record, problem, remedy)
    }

    fn error(&self, record: &StringRecord, problem: impl Into<String>, remedy: &str) -> Error {
        let line = record.position().map_or(Place::File, |position| Place::Line(position.line()));
        format_error(self.path, line, problem, remedy)
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> Error {
    let place = error.position().map_or(Place::File, |position| Place::Line(position.line()));
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let problem = format!("{len} fields, but the first line has {expected_len}");
            format_error(path, place, problem, "make the lines equally long (and quote fields that hold commas)")
        }
        csv::ErrorKind::Utf8 { .. } => format_error(path, place, "not UTF-8", "save the file as UTF-8"),
        _ => format_error(path, place, error.to_string(), "check the quotes"),
    }
}
