//! Which modules an adapter changes, and with which rank and scale: PEFT's rules.
//!
//! `target_modules` is a regular expression of the whole module path, the word `all-linear` (every projection but the
//! head), or a list of which an entry matches its own path and those that end in `.ENTRY`. `exclude_modules` is read the
//! same way and wins. `layers_to_transform` takes the first numbered segment of a path as its layer.
//! `rank_pattern` and `alpha_pattern` are looked up separately, in the file's order, the first that matches.

use regex::Regex;
use serde_json::Value;

use crate::{
    Error, Result,
    lm::config::keys::{Keys, wrong},
};

/// Which modules an adapter changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Every projection but the head.
    AllLinear,
    /// A regular expression of the whole path, `model.layers.0.self_attn.q_proj` for instance.
    Regex(String),
    /// Paths, or their ends: `q_proj` stands for every path that ends in `.q_proj`.
    List(Vec<String>),
}

impl Targets {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::AllLinear => ALL_LINEAR.into(),
            Self::Regex(pattern) => pattern.as_str().into(),
            Self::List(list) => list.as_slice().into(),
        }
    }

    /// `null` and a missing key are no modules: the adapter then changes parameters only.
    pub(super) fn read(keys: &Keys, key: &str) -> Result<Option<Self>> {
        match keys.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.eq_ignore_ascii_case(ALL_LINEAR) => Ok(Some(Self::AllLinear)),
            Some(Value::String(text)) => Ok(Some(Self::Regex(text.clone()))),
            Some(_) => strings(keys, key).map(|list| Some(Self::List(list))),
        }
    }

    pub(super) fn compile(&self, key: &str) -> Result<Matcher> {
        Ok(match self {
            Self::AllLinear => Matcher::AllLinear,
            Self::Regex(pattern) => Matcher::Whole(compile(key, pattern, &format!("^(?:{pattern})$"))?),
            Self::List(list) => Matcher::List(list.clone()),
        })
    }
}

const ALL_LINEAR: &str = "all-linear";

/// [`Targets`], ready to match.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    AllLinear,
    Whole(Regex),
    List(Vec<String>),
}

impl Matcher {
    /// `linear`: whether the module is a projection other than the head.
    pub fn matches(&self, path: &str, linear: bool) -> bool {
        match self {
            Self::AllLinear => linear,
            Self::Whole(pattern) => pattern.is_match(path),
            Self::List(list) => list.iter().any(|entry| ends_in(path, entry)),
        }
    }
}

/// Whether a path is `entry` or ends in `.entry`.
pub(super) fn ends_in(path: &str, entry: &str) -> bool {
    path.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `layers_to_transform` and `layers_pattern`.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    chosen: Vec<usize>,
    patterns: Vec<Regex>,
}

impl Layers {
    pub fn read(keys: &Keys) -> Result<Option<Self>> {
        let key = "layers_to_transform";
        let layer = |value: &Value| {
            let n = value.as_u64().and_then(|n| usize::try_from(n).ok());
            n.ok_or_else(|| wrong(key, value, "a layer's number, or a list of them"))
        };
        let chosen = match keys.0.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) if list.is_empty() => return Ok(None),
            Some(Value::Array(list)) => list.iter().map(layer).collect::<Result<_>>()?,
            Some(one) => vec![layer(one)?],
        };
        let key = "layers_pattern";
        let named = match keys.0.get(key) {
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => strings(keys, key)?,
        };
        let mut patterns = Vec::new();
        for name in &named {
            patterns.push(compile(key, name, &format!(r"^(?:|.*?\.)(?:{name})\.(?<layer>\d+)\."))?);
        }
        if patterns.is_empty() {
            patterns.push(compile(key, "", r"^.*?\.[^.]*\.(?<layer>\d+)\.")?);
        }
        Ok(Some(Self { chosen, patterns }))
    }

    pub fn holds(&self, path: &str) -> bool {
        let found = self.patterns.iter().find_map(|pattern| pattern.captures(path));
        found.and_then(|found| found["layer"].parse().ok()).is_some_and(|layer: usize| self.chosen.contains(&layer))
    }
}

/// `rank_pattern` or `alpha_pattern`: values by regular expressions of the path's end, in the file's order.
#[derive(Clone, Debug)]
pub(super) struct PatternMap<T>(Vec<(Regex, T)>);

impl<T: Copy> PatternMap<T> {
    pub fn read(keys: &Keys, key: &str, value: impl Fn(&Keys, &str) -> Result<T>) -> Result<Self> {
        let Some(table) = keys.table(key)? else { return Ok(Self(Vec::new())) };
        let mut list = Vec::new();
        for name in table.0.keys() {
            let pattern = compile(key, name, &format!(r"^(?:.*\.)?(?:{name})$"))?;
            let value = value(&table, name).map_err(|error| match error {
                Error::Config { key: name, found, expected } => {
                    Error::Config { key: format!("{key}.{name}"), found, expected }
                }
                other => other,
            })?;
            list.push((pattern, value));
        }
        Ok(Self(list))
    }

    pub fn get(&self, path: &str) -> Option<T> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(path)).map(|(_, value)| *value)
    }
}

/// A list of strings; none where the key is absent or null.
pub(super) fn strings(keys: &Keys, key: &str) -> Result<Vec<String>> {
    let one = |value: &Value| {
        value.as_str().map(str::to_owned).ok_or_else(|| wrong(key, value, "a string in a list of strings"))
    };
    keys.list(key)?.unwrap_or_default().iter().map(one).collect()
}

fn compile(key: &str, shown: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "too large".to_owned(),
            // The first line repeats the pattern, the last says what is wrong.
            other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        };
        let expected = format!("a regular expression without look-around or back-references ({reason})");
        wrong(key, &Value::from(shown), expected)
    })
}
