//! Answers: the JSON of bounds and events, and small aligned tables for people.

use ashlar_cli::Answer;
use serde_json::{Map, Value, json};

use crate::{Accountant, Bound, BoundKind, Event, Neighboring};

/// A number for JSON, which has no infinity.
pub(super) fn number(value: f64) -> Value {
    if value == f64::INFINITY { json!("inf") } else { json!(value) }
}

/// A number for people: six digits after the point, or in scientific notation where these would say nothing.
pub(super) fn digits(value: f64) -> String {
    if value == f64::INFINITY {
        return "infinite".to_owned();
    }
    let text = if is_plain(value) { format!("{value:.6}") } else { format!("{value:.6e}") };
    let (mantissa, exponent) = text.split_once('e').map_or((text.as_str(), ""), |(m, e)| (m, e));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    if exponent.is_empty() { mantissa.to_owned() } else { format!("{mantissa}e{exponent}") }
}

fn is_plain(value: f64) -> bool {
    value == 0.0 || (1e-3..1e7).contains(&value.abs())
}

/// The same, rounded away from the truth: an upper bound up (`sign` 1), a lower one down (−1).
fn outwards(value: f64, sign: f64) -> String {
    let text = digits(value);
    let unit = if is_plain(value) { 1e-6 } else { 1e-6 * value.abs() };
    match text.parse::<f64>() {
        Ok(shown) if (shown - value) * sign < 0.0 => digits(value + 0.5 * sign * unit),
        _ => text,
    }
}

fn bound_digits(bound: &Bound) -> String {
    if bound.kind == BoundKind::Upper { outwards(bound.value, 1.0) } else { digits(bound.value) }
}

/// `name   value` lines, aligned.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<(String, String)>);

impl Lines {
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.push((name.into(), value.into()));
        self
    }

    pub fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}{}  {value}", " ".repeat(width - name.chars().count())))
            .collect();
        lines.join("\n")
    }
}

/// The events in JSON.
pub(super) fn events(events: &[Event]) -> Value {
    events.iter().map(event).collect()
}

fn event(event: &Event) -> Value {
    json!({
        "mechanism": event.mechanism().name(), "noise_multiplier": event.noise_multiplier(),
        "sample_rate": event.sample_rate(), "steps": event.steps(),
    })
}

/// An event in words.
pub(super) fn in_words(event: &Event) -> String {
    let noise = match event.mechanism() {
        crate::Mechanism::Gaussian => "standard deviation",
        crate::Mechanism::Laplace => "scale",
    };
    let steps = if event.steps() == 1 { "1 step".to_owned() } else { format!("{} steps", event.steps()) };
    let sample = if event.sample_rate() == 1.0 {
        "full batch".to_owned()
    } else {
        format!("Poisson sample rate {}", event.sample_rate())
    };
    format!("{} noise of {noise} {}, {sample}, {steps}", event.mechanism(), event.noise_multiplier())
}

/// The relation in words.
pub(super) fn relation(neighboring: Neighboring) -> String {
    let words = match neighboring {
        Neighboring::AddRemove => "one example added or removed",
        Neighboring::ReplaceOne => "one example replaced by another",
        Neighboring::ReplaceSpecial => "one example replaced by an empty one",
    };
    format!("{neighboring} ({words})")
}

/// What a bound promises, in words.
pub(super) fn promise(bound: &Bound) -> &'static str {
    match bound.kind {
        BoundKind::Upper => "certified upper bound",
        BoundKind::Exact => "exact",
        BoundKind::Approximate => "APPROXIMATE: the truth may be higher",
    }
}

/// The answer of `epsilon` and `delta`: `name` is what was asked, `given` what was given.
pub(super) fn bound(
    (name, given): (&str, &str),
    (bound, at): (&Bound, f64),
    accountant: &dyn Accountant,
    list: &[Event],
    warnings: &[String],
) -> (Map<String, Value>, Lines) {
    let certified = bound.kind != BoundKind::Approximate;
    let mut json = Map::new();
    json.insert(name.to_owned(), number(bound.value));
    json.insert(format!("{name}_lower"), bound.lower.map_or(Value::Null, number));
    // An approximation bounds nothing.
    json.insert(format!("{name}_upper"), if certified { number(bound.upper) } else { Value::Null });
    json.insert(given.to_owned(), number(at));
    json.insert("accountant".to_owned(), json!(accountant.name()));
    json.insert("neighboring".to_owned(), json!(accountant.neighboring().name()));
    json.insert("bound".to_owned(), json!(bound.kind.name()));
    json.insert("order".to_owned(), bound.order.map_or(Value::Null, number));
    json.insert("events".to_owned(), events(list));
    json.insert("warnings".to_owned(), json!(warnings));

    let mut lines = Lines::default();
    lines.add(name, format!("{}  {}", bound_digits(bound), promise(bound)));
    if let Some(lower) = bound.lower.filter(|_| bound.kind == BoundKind::Upper) {
        lines.add("at least", outwards(lower, -1.0));
    }
    lines.add(given, digits(at)).add("accountant", with_order(accountant, bound));
    lines.add("neighboring", relation(accountant.neighboring()));
    add_events(&mut lines, "event", list);
    add_warnings(&mut lines, warnings);
    (json, lines)
}

fn with_order(accountant: &dyn Accountant, bound: &Bound) -> String {
    match bound.order {
        Some(order) => format!("{}, order {}", accountant.name(), digits(order)),
        None => accountant.name().to_owned(),
    }
}

/// The first events, and how many more there are.
pub(super) fn add_events(lines: &mut Lines, name: &str, list: &[Event]) {
    const SHOWN: usize = 12;
    for event in list.iter().take(SHOWN) {
        lines.add(name, in_words(event));
    }
    if list.len() > SHOWN {
        lines.add("", format!("and {} more", list.len() - SHOWN));
    }
}

pub(super) fn add_warnings(lines: &mut Lines, warnings: &[String]) {
    for warning in warnings {
        lines.add("warning", warning);
    }
}

/// Both forms as one answer.
pub(super) fn answer(json: Map<String, Value>, lines: &Lines) -> Answer {
    Answer::new(Value::Object(json), lines.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_away_from_the_truth() {
        assert_eq!((digits(2.1013653), outwards(2.1013653, 1.0)), ("2.101365".to_owned(), "2.101366".to_owned()));
        assert_eq!(outwards(1.8281237, -1.0), "1.828123");
        assert_eq!((outwards(0.5, 1.0), outwards(0.0, -1.0)), ("0.5".to_owned(), "0".to_owned()));
        assert_eq!(outwards(f64::INFINITY, 1.0), "infinite");
        let (text, value) = (outwards(1.234_567_1e-9, 1.0), 1.234_567_1e-9);
        assert!(text.parse::<f64>().unwrap() >= value && text.starts_with("1.23456"), "{text}");
    }
}
