//! `[[event]]` tables.

use ashlar_cli::{Failure, config::Source};
use toml::{Table, Value};

use super::{KEYS, build, mechanism, unknown, whole};
use crate::{Event, Mechanism};

pub(super) fn parse(origin: &str, text: &str) -> Result<Vec<Event>, Failure> {
    let source = Source { origin: origin.to_owned(), text: text.to_owned() };
    let table = source.table()?;
    if let Some((key, _)) = table.iter().find(|(key, _)| *key != "event") {
        return Err(source.unknown(&[key], "key", key, &["event"]));
    }
    match table.get("event") {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(index, item)| event(&source, index, item)).collect()
        }
        Some(_) => {
            Err(source.invalid(&["event"], "`event` is no list of tables").help("write [[event]], twice bracketed"))
        }
    }
}

fn event(source: &Source, index: usize, item: &Value) -> Result<Event, Failure> {
    let number = index.to_string();
    let wrong = |key: Option<&str>, what: String| {
        let path = ["event", &number, key.unwrap_or_default()];
        let path = if key.is_some() { &path[..] } else { &path[..2] };
        source.invalid(path, format!("event {}: {what}", index + 1))
    };
    let Value::Table(fields) = item else { return Err(wrong(None, "it is no table".to_owned())) };
    if let Some((key, _)) = fields.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        return Err(wrong(Some(key), unknown("key", key, &KEYS)));
    }
    let field = |key: &'static str, what: String| wrong(Some(key), format!("{key} {what}"));
    let mechanism = named(fields).map_err(|what| field("mechanism", what))?;
    let noise = float(fields, "noise_multiplier", None).map_err(|what| field("noise_multiplier", what))?;
    let rate = float(fields, "sample_rate", Some(1.0)).map_err(|what| field("sample_rate", what))?;
    let steps = steps(fields).map_err(|what| field("steps", what))?;
    build(mechanism, noise, rate, steps, |name| name).map_err(|(key, what)| wrong(Some(key), what))
}

fn named(fields: &Table) -> Result<Mechanism, String> {
    match fields.get("mechanism") {
        Some(Value::String(name)) => mechanism(name).map_err(|what| format!("= \"{name}\": {what}")),
        Some(other) => Err(format!("= {other} is no text: say \"gaussian\" or \"laplace\"")),
        None => Err("is missing: say \"gaussian\" or \"laplace\"".to_owned()),
    }
}

fn float(fields: &Table, key: &str, default: Option<f64>) -> Result<f64, String> {
    match (fields.get(key), default) {
        (Some(Value::Float(value)), _) => Ok(*value),
        (Some(Value::Integer(value)), _) => Ok(*value as f64),
        (Some(other), _) => Err(format!("= {other} is no number")),
        (None, Some(default)) => Ok(default),
        (None, None) => Err("is missing: give the noise relative to one example's contribution".to_owned()),
    }
}

fn steps(fields: &Table) -> Result<u64, String> {
    let found = match fields.get("steps") {
        None => Some(1),
        Some(Value::Integer(value)) => u64::try_from(*value).ok(),
        Some(Value::Float(value)) => whole(*value),
        Some(_) => None,
    };
    let shown = fields.get("steps").map(ToString::to_string).unwrap_or_default();
    found.ok_or_else(|| format!("= {shown}: it must be a whole number, at least 0"))
}
