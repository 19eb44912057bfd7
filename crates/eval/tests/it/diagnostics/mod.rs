//! Statistics and diagnostics: everything but the laws.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "cli")]
mod commands;
mod cpython;
mod laws;
mod mutations;
mod numpy;
mod pitfalls;
#[cfg(feature = "cli")]
mod refusals;

/// A column of a fixture as numbers.
pub fn numbers(json: &serde_json::Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// The numbers of a fixture's nested lists, in order.
pub fn flat(json: &serde_json::Value) -> Vec<f64> {
    match json {
        serde_json::Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap_or(f64::NAN)],
    }
}
