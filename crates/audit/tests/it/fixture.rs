//! Reference numbers made by `scripts/fixtures/scores.py`.

use serde_json::Value;

/// The whole file.
pub fn scores() -> Value {
    serde_json::from_str(include_str!("../fixtures/scores.json")).unwrap()
}

/// A list of numbers.
pub fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A number.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The rows of a table.
pub fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Whether two numbers agree to a relative error (absolute below 1).
#[track_caller]
pub fn close(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "got {got}, want {want}");
}
