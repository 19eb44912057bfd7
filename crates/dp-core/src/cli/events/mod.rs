//! Events as users write them: `--event` flags, TOML files, and the history of an Opacus accountant as JSON.
//!
//! Opacus keeps `accountant.history`, a list of `(noise_multiplier, sample_rate, steps)` of Gaussian steps; its
//! `state_dict()` has that list under `history`. Both are read.

mod json;
#[cfg(test)]
mod tests;
mod toml;

use std::path::Path;

use ashlar_cli::{Failure, suggest::nearest};

use crate::{Error, Event, Mechanism};

/// The keys of a `[[event]]` table.
const KEYS: [&str; 4] = ["mechanism", "noise_multiplier", "sample_rate", "steps"];

/// Reads a file of events, TOML or JSON by its extension, else by its content.
///
/// # Errors
/// Exit code 2 for a file that can't be read, and as [`parse`].
pub fn read(file: &Path) -> Result<Vec<Event>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the events in {}: {error}", file.display())))?;
    parse(&file.display().to_string(), &text)
}

/// Events of a text; `origin` is its file name, for the format and for messages.
///
/// # Errors
/// Exit code 2, naming the file, the event (counted from 1), the field and what is expected.
pub fn parse(origin: &str, text: &str) -> Result<Vec<Event>, Failure> {
    let extension = Path::new(origin).extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let is_json = match extension.as_deref().and_then(|e| e.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => looks_like_json(text),
    };
    let events = if is_json { json::parse(origin, text)? } else { toml::parse(origin, text)? };
    if events.is_empty() {
        return Err(Failure::usage(format!("{origin}: there is no event in it")).help(if is_json {
            "an Opacus history is a list [[noise_multiplier, sample_rate, steps], …]"
        } else {
            "write a table [[event]] for each kind of step"
        }));
    }
    Ok(events)
}

/// `[[1.1,` and `{"history": …` against `[[event]]` and `key = …`.
fn looks_like_json(text: &str) -> bool {
    let mut marks = text.chars().filter(|c| !c.is_whitespace());
    match marks.next() {
        Some('{') => true,
        Some('[') => match marks.next() {
            Some('[') => marks.next().is_none_or(|c| c.is_ascii_digit() || "-+.\"],".contains(c)),
            next => next.is_none_or(|c| "]{(".contains(c) || c.is_ascii_digit()),
        },
        _ => false,
    }
}

/// The events of repeated flags such as `--event gaussian:nm=1.1,q=0.01,steps=500`.
///
/// # Errors
/// Exit code 2, naming the flag, which one it is, the field and what is expected.
pub fn parse_flags(flag: &str, texts: &[String]) -> Result<Vec<Event>, Failure> {
    texts.iter().enumerate().map(|(index, text)| parse_flag(flag, index + 1, text)).collect()
}

fn parse_flag(flag: &str, index: usize, text: &str) -> Result<Event, Failure> {
    let wrong = |what: String| {
        Failure::usage(format!("{flag} {index} `{text}`: {what}"))
            .help("write MECHANISM:nm=F[,q=F][,steps=N], for instance gaussian:nm=1.1,q=0.01,steps=500")
    };
    let (name, fields) = text.split_once(':').unwrap_or((text, ""));
    let mechanism = mechanism(name.trim()).map_err(wrong)?;
    let (mut noise, mut rate, mut steps) = (None, None, None);
    for field in fields.split(',').filter(|field| !field.trim().is_empty()) {
        let (key, value) = field.split_once('=').ok_or_else(|| wrong(format!("`{}` has no `=`", field.trim())))?;
        let (key, value) = (key.trim(), value.trim());
        let number = || value.parse::<f64>().map_err(|_| wrong(format!("{key} = {value} is no number")));
        let twice = match key {
            "nm" => noise.replace(number()?).is_some(),
            "q" => rate.replace(number()?).is_some(),
            "steps" => steps.replace(count(value).map_err(|what| wrong(format!("steps: {what}")))?).is_some(),
            _ => return Err(wrong(unknown("key", key, &["nm", "q", "steps"]))),
        };
        if twice {
            return Err(wrong(format!("{key} is given twice")));
        }
    }
    let noise = noise.ok_or_else(|| wrong("nm, the noise multiplier, is missing".to_owned()))?;
    build(mechanism, noise, rate.unwrap_or(1.0), steps.unwrap_or(1), short).map_err(|(_, what)| wrong(what))
}

/// A mechanism by its name; otherwise what is wrong.
fn mechanism(name: &str) -> Result<Mechanism, String> {
    let valid = Mechanism::ALL.map(Mechanism::name);
    Mechanism::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| unknown("mechanism", name, &valid))
}

fn unknown(noun: &str, word: &str, valid: &[&str]) -> String {
    let near = nearest(word, valid.iter().copied()).map(|near| format!(" (did you mean `{near}`?)"));
    format!("unknown {noun} `{word}`{}; valid: {}", near.unwrap_or_default(), valid.join(", "))
}

/// An event, or the field that is out of range and what is wrong with it; `shown` is how fields are called there.
fn build(
    mechanism: Mechanism,
    noise: f64,
    rate: f64,
    steps: u64,
    shown: fn(&'static str) -> &'static str,
) -> Result<Event, (&'static str, String)> {
    Event::new(mechanism, noise, rate, steps).map_err(|error| match error {
        Error::Range { name, value, expected } => (name, format!("{} = {value}: it must be {expected}", shown(name))),
        other => ("event", other.to_string()),
    })
}

/// The fields' names in flags.
fn short(name: &'static str) -> &'static str {
    match name {
        "noise_multiplier" => "nm",
        "sample_rate" => "q",
        other => other,
    }
}

/// A whole number that isn't negative, also written as 1e5.
///
/// # Errors
/// What is wrong with it, in words.
pub fn count(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(n) = text.parse::<u64>() {
        return Ok(n);
    }
    text.parse::<f64>().ok().and_then(whole).ok_or_else(|| format!("{text} is no whole number from 0 to 2^53"))
}

/// The whole number that a float is, if every whole number of its size is a float.
fn whole(value: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    ((0.0..=EXACT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}
