//! The history of an Opacus accountant: `[[noise_multiplier, sample_rate, steps], …]`.

use ashlar_cli::Failure;
use serde_json::Value;

use super::{build, whole};
use crate::{Event, Mechanism};

const HELP: &str = "an Opacus history is [[noise_multiplier, sample_rate, steps], …]: \
                    json.dump(privacy_engine.accountant.history, file)";

pub(super) fn parse(origin: &str, text: &str) -> Result<Vec<Event>, Failure> {
    let wrong = |what: String| Failure::usage(format!("{origin}: {what}")).help(HELP);
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(format!("invalid JSON: {error}")))?;
    let history = match &value {
        Value::Object(state) => state.get("history").ok_or_else(|| wrong("there is no `history` in it".to_owned()))?,
        other => other,
    };
    let Value::Array(entries) = history else { return Err(wrong("the history is no list".to_owned())) };
    entries
        .iter()
        .enumerate()
        .map(|(index, entry)| event(entry).map_err(|what| wrong(format!("event {}: {what}", index + 1))))
        .collect()
}

fn event(entry: &Value) -> Result<Event, String> {
    let fields = entry.as_array().ok_or_else(|| format!("{} is no list of three numbers", shown(entry)))?;
    let [noise, rate, steps] = fields.as_slice() else {
        return Err(format!("{} has {} numbers, three are expected", shown(entry), fields.len()));
    };
    let noise = float("noise_multiplier", noise)?;
    let rate = float("sample_rate", rate)?;
    let steps = steps
        .as_u64()
        .or_else(|| steps.as_f64().and_then(whole))
        .ok_or_else(|| format!("steps = {}: it must be a whole number, at least 0", shown(steps)))?;
    build(Mechanism::Gaussian, noise, rate, steps, |name| name).map_err(|(_, what)| what)
}

fn float(name: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{name} = {} is no number", shown(value)))
}

/// The start of a value, for messages.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
