//! Configuration files: TOML, with `--set key.path=value` over them.
//!
//! All mistakes of a file are reported at once. After each error of the deserialiser the offending entry is taken out
//! and the rest is tried again, so that the types' own `serde` definitions stay the only description of what is valid
//! (use `#[serde(deny_unknown_fields)]`).

use std::{ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue, Deserializer},
};

use crate::{Failure, failure::Mistake, suggest::nearest};

/// Reads a file into a table and applies `sets` over it; no file means an empty table.
///
/// # Errors
/// A file that can't be read, TOML syntax (with its place), or a `--set` that isn't `key.path=value`.
pub fn read(file: Option<&Path>, sets: &[String]) -> Result<(Table, Source), Failure> {
    let source = match file {
        None => Source { origin: "--set".to_owned(), text: String::new() },
        Some(path) => Source::read(path)?,
    };
    let mut table = source.table()?;
    for set in sets {
        apply_set(&mut table, set)?;
    }
    Ok((table, source))
}

/// A configuration text and where it came from, for messages.
#[derive(Clone, Debug)]
pub struct Source {
    /// File name as the user gave it, or a description.
    pub origin: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// Exit code 2, naming the path, if it can't be read or isn't UTF-8.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read the configuration {}: {error}", path.display())))?;
        Ok(Self { origin: path.display().to_string(), text })
    }

    /// Parses the text without checking keys.
    ///
    /// # Errors
    /// The first syntax error with its place.
    pub fn table(&self) -> Result<Table, Failure> {
        // The first error alone: what follows a syntax error is read wrongly and blamed for nothing.
        let invalid = |message: &str, span| self.failure([Mistake::new(format!("invalid TOML: {message}"), span)]);
        let (_, errors) = DeTable::parse_recoverable(&self.text);
        if let Some(error) = errors.first() {
            return Err(invalid(error.message(), error.span()));
        }
        self.text.parse::<Table>().map_err(|error| invalid(error.message(), error.span()))
    }

    /// A failure that points at the entry `path` of this text (`["server", "lr"]`), or at no place if it isn't there.
    pub fn invalid(&self, path: &[&str], message: impl Into<String>) -> Failure {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        self.failure([Mistake::new(message, self.spans(&path).map(|(_, value)| value))])
    }

    /// As [`Source::invalid`] for a word that must be one of `valid`: suggests the nearest and lists them all.
    pub fn unknown(&self, path: &[&str], noun: &str, word: &str, valid: &[&str]) -> Failure {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        self.failure([Mistake {
            label: nearest(word, valid.iter().copied()).map(|near| format!("did you mean `{near}`?")),
            help: (!valid.is_empty()).then(|| format!("valid: {}", valid.join(", "))),
            ..Mistake::new(format!("unknown {noun} `{word}`"), self.spans(&path).map(|(_, value)| value))
        }])
    }

    /// The places of the key and of the value of an entry; items of an array go by their number (`"0"`). Where only
    /// the first keys of the path exist, the place of the last of these.
    pub(crate) fn spans(&self, path: &[String]) -> Option<(Range<usize>, Range<usize>)> {
        let table = DeTable::parse(&self.text).ok()?;
        find_in_table(table.get_ref(), path)
    }

    /// Whether the text has this entry.
    pub fn has(&self, path: &[String]) -> bool {
        let Ok(table) = DeTable::parse(&self.text) else { return false };
        let mut keys = path.iter();
        let Some((_, mut value)) =
            keys.next().and_then(|first| table.get_ref().iter().find(|(key, _)| key.get_ref() == first.as_str()))
        else {
            return false;
        };
        for key in keys {
            let next = match value.get_ref() {
                DeValue::Table(inner) => inner.iter().find(|(k, _)| k.get_ref() == key.as_str()).map(|(_, v)| v),
                DeValue::Array(items) => key.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => return false,
            }
        }
        true
    }

    fn failure(&self, mistakes: impl IntoIterator<Item = Mistake>) -> Failure {
        let mut mistakes: Vec<Mistake> = mistakes.into_iter().collect();
        mistakes.sort_by_key(|mistake| mistake.span.as_ref().map_or(usize::MAX, |span| span.start));
        Failure::in_text(&self.origin, &self.text, mistakes)
    }
}

/// Applies one `key.path=value`; a value that isn't TOML is taken as a string.
///
/// # Errors
/// A missing `=`, an empty key, or a path through something that is no table.
pub fn apply_set(table: &mut Table, set: &str) -> Result<(), Failure> {
    let (path, value) = set
        .split_once('=')
        .ok_or_else(|| Failure::usage(format!("`--set {set}` has no `=`: write --set key.path=value")))?;
    let keys: Vec<&str> = path.trim().split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(Failure::usage(format!("`--set {set}` has an empty key")));
    }
    let value = value.trim();
    let value = format!("v = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .or_else(|| value.strip_prefix('.').and_then(|digits| format!("0.{digits}").parse().ok()).map(Value::Float))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    insert(table, &keys, value).map_err(|key| Failure::usage(format!("`--set {set}`: `{key}` is not a table")))
}

fn insert<'a>(table: &mut Table, keys: &[&'a str], value: Value) -> Result<(), &'a str> {
    match keys {
        [] => Ok(()),
        [last] => {
            table.insert((*last).to_owned(), value);
            Ok(())
        }
        [first, rest @ ..] => match table.entry(*first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => insert(inner, rest, value),
            _ => Err(first),
        },
    }
}

/// Lays `over` over `base`: tables are merged key by key, everything else is replaced.
pub fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Reads file and sets into a configuration type; also returns the merged table (without defaults).
///
/// # Errors
/// Every mistake of the file at once, each with its place and the nearest valid key; then those of the sets.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, sets: &[String]) -> Result<(T, Table, Source), Failure> {
    let (table, source) = read(file, sets)?;
    let value = from_table(&table, Some(&source))?;
    Ok((value, table, source))
}

/// Turns a table into a configuration type; `source`, where the table came from a text, gives places to the mistakes.
///
/// # Errors
/// As [`load`].
pub fn from_table<T: DeserializeOwned>(table: &Table, source: Option<&Source>) -> Result<T, Failure> {
    let first = match table.clone().try_into::<T>() {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if let Some(source) = source.filter(|source| !source.text.is_empty()) {
        let mistakes = all_mistakes::<T>(&source.text);
        if !mistakes.is_empty() {
            return Err(source.failure(mistakes));
        }
    }
    let rendered = toml::to_string(table).unwrap_or_default();
    let mut mistakes = all_mistakes::<T>(&rendered);
    if mistakes.is_empty() {
        mistakes.push(mistake(first.message(), None));
    }
    let origin = source.map_or("configuration", |source| source.origin.as_str());
    for mistake in &mut mistakes {
        // The rendered text isn't the user's: keep the words, not the place.
        mistake.span = None;
    }
    Err(Failure::in_text(origin, "", mistakes))
}

fn all_mistakes<T: DeserializeOwned>(text: &str) -> Vec<Mistake> {
    let mut found = Vec::new();
    let Ok(mut table) = DeTable::parse(text) else { return found };
    // Each round removes one entry, so this ends.
    while let Err(error) = T::deserialize(Deserializer::from(table.clone())) {
        // An entry that was taken out is missing then: not the user's mistake.
        if error.message().starts_with("missing field") && !found.is_empty() {
            break;
        }
        let span = error.span();
        let mut one = mistake(error.message(), span.clone());
        if let Some((keys, at_key)) = span.as_ref().and_then(|span| path_at(table.get_ref(), span)) {
            one.keys = keys;
            one.key_is_wrong = at_key;
        }
        found.push(one);
        if !span.is_some_and(|span| remove_at(table.get_mut(), &span)) {
            break;
        }
    }
    // A key missing from the file may come from --set; if it is missing there too, the merged table says so.
    if found.len() == 1 && found[0].message.starts_with("missing field") {
        found.clear();
    }
    found
}

fn mistake(message: &str, span: Option<Range<usize>>) -> Mistake {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    for (kind, noun) in [("unknown field", "key"), ("unknown variant", "value")] {
        if message.starts_with(kind)
            && let Some((wrong, valid)) = quoted.split_first()
        {
            let label = nearest(wrong, valid.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let help = (!valid.is_empty()).then(|| format!("valid {noun}s: {}", valid.join(", ")));
            return Mistake { label, help, ..Mistake::new(format!("unknown {noun} `{wrong}`"), span) };
        }
    }
    Mistake::new(message, span)
}

fn remove_at(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let hit =
        table.iter().find(|(key, value)| key.span() == *span || value.span() == *span).map(|(key, _)| key.clone());
    if let Some(key) = hit {
        return table.remove(&key).is_some();
    }
    table.iter_mut().any(|(_, value)| remove_in_value(value, span))
}

fn remove_in_value(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(inner) => remove_at(inner, span),
        DeValue::Array(items) => items.iter_mut().any(|item| remove_in_value(item, span)),
        _ => false,
    }
}

type Spans = (Range<usize>, Range<usize>);

fn find_in_table(table: &DeTable<'_>, path: &[String]) -> Option<Spans> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first.as_str())?;
    let here = (key.span(), value.span());
    if rest.is_empty() {
        return Some(here);
    }
    find_in_value(value, rest).or(Some((key.span(), key.span())))
}

fn find_in_value(value: &Spanned<DeValue<'_>>, path: &[String]) -> Option<Spans> {
    match value.get_ref() {
        DeValue::Table(inner) => find_in_table(inner, path),
        DeValue::Array(items) => {
            let (first, rest) = path.split_first()?;
            let item = items.get(first.parse::<usize>().ok()?)?;
            let here = (item.span(), item.span());
            if rest.is_empty() { Some(here) } else { find_in_value(item, rest).or(Some(here)) }
        }
        _ => None,
    }
}

/// The path of the entry whose key or value is at `span`, and whether it is the key.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<(Vec<String>, bool)> {
    for (key, value) in table {
        let found = if key.span() == *span {
            Some((Vec::new(), true))
        } else if value.span() == *span {
            Some((Vec::new(), false))
        } else {
            path_in_value(value, span)
        };
        if let Some((mut path, at_key)) = found {
            path.insert(0, key.get_ref().to_string());
            return Some((path, at_key));
        }
    }
    None
}

fn path_in_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<(Vec<String>, bool)> {
    match value.get_ref() {
        DeValue::Table(inner) => path_at(inner, span),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let (mut path, at_key) =
                if item.span() == *span { (Vec::new(), false) } else { path_in_value(item, span)? };
            path.insert(0, index.to_string());
            Some((path, at_key))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Dp {
        clip_norm: f64,
        steps: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Run {
        name: String,
        #[serde(default)]
        dp: Dp,
    }

    fn source(text: &str) -> Source {
        Source { origin: "run.toml".to_owned(), text: text.to_owned() }
    }

    fn check(text: &str, sets: &[&str]) -> Result<Run, Failure> {
        let source = source(text);
        let mut table = source.table()?;
        for set in sets {
            apply_set(&mut table, set)?;
        }
        from_table(&table, Some(&source))
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_with_its_place() {
        let failure = check("name = 'a'\n[dp]\nclip_nrom = 1.0\nsteps = -3\n", &[]).unwrap_err();
        let all: Vec<_> = failure.each().map(|one| (one.message().to_owned(), one.position())).collect();
        assert_eq!(all[0], ("unknown key `clip_nrom`".to_owned(), Some((3, 1))));
        assert_eq!(all[1].1, Some((4, 9)));
        assert_eq!(all.len(), 2);
        assert_eq!(failure.exit(), crate::Exit::Usage);
    }

    #[test]
    fn a_set_wins_over_the_file_and_supplies_missing_keys() {
        let run = check("[dp]\nclip_norm = 1.0\n", &["name=b", "dp.clip_norm=2.5"]).unwrap();
        assert_eq!(run, Run { name: "b".to_owned(), dp: Dp { clip_norm: 2.5, steps: 0 } });
        // People write .3, which TOML doesn't know.
        assert_eq!(check("name = 'a'", &["dp.clip_norm=.3"]).unwrap().dp.clip_norm, 0.3);
    }

    #[test]
    fn missing_keys_and_bad_sets_are_told() {
        assert!(check("", &[]).unwrap_err().message().contains("missing field `name`"));
        assert!(check("name = 'a'", &["dp.clip=1"]).unwrap_err().message().contains("unknown key `clip`"));
        assert!(check("name = 'a'", &["name"]).unwrap_err().message().contains("has no `=`"));
        assert!(check("name = 'a'", &["name.x=1"]).unwrap_err().message().contains("not a table"));
    }

    #[test]
    fn a_wrong_value_of_a_set_names_its_key() {
        let text = check("name = 'a'", &["dp.steps=-1"]).unwrap_err().to_string();
        assert!(text.starts_with("run.toml: `dp.steps`: invalid value: integer `-1`"), "{text}");
        let text = check("name = 'a'", &["dp.steps=-1"]).unwrap_err().within("stage `b`").to_string();
        assert!(text.starts_with("stage `b`: `dp.steps`: invalid value"), "{text}");
    }

    #[test]
    fn syntax_errors_carry_their_place() {
        let failure = check("name = 'a'\n[dp\n", &[]).unwrap_err();
        assert_eq!(failure.position().map(|p| p.0), Some(2));
    }
}
