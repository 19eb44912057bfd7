//! Typed access to `config.json`, with errors that name the key, its value and what would do.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The keys of one configuration; a key that is present with `null` is not an absent one.
pub(in crate::lm) struct Keys<'a>(pub &'a Map<String, Value>);

/// What a key holds.
pub(in crate::lm) enum Key<T> {
    Absent,
    Null,
    Is(T),
}

impl<T> Key<T> {
    /// The value, with one stand-in for `null` and another for absence.
    pub fn or(self, null: T, absent: T) -> T {
        match self {
            Self::Is(value) => value,
            Self::Null => null,
            Self::Absent => absent,
        }
    }

    pub fn ok(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Null | Self::Absent => None,
        }
    }
}

impl<'a> Keys<'a> {
    fn get<T>(&self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Key<T>> {
        match self.0.get(key) {
            None => Ok(Key::Absent),
            Some(Value::Null) => Ok(Key::Null),
            Some(value) => read(value).map(Key::Is).ok_or_else(|| wrong(key, value, expected)),
        }
    }

    /// A size or count up to 2³¹, so that products of two stay far from overflow.
    pub fn size(&self, key: &str) -> Result<Key<usize>> {
        self.get(key, "an integer from 0 to 2147483647", |value| {
            value.as_u64().and_then(|n| i32::try_from(n).ok()).map(|n| n as usize)
        })
    }

    /// A size that the shapes depend on: neither absent nor zero.
    pub fn shape(&self, key: &'static str) -> Result<usize> {
        match self.size(key)?.ok() {
            Some(0) => Err(wrong(key, &self.0[key], "at least 1")),
            Some(n) => Ok(n),
            None => Err(Error::ConfigMissing { key }),
        }
    }

    /// A number of layers: a list of parameters is made for each, so a hostile file may not ask for billions.
    pub fn layers(&self, key: &'static str) -> Result<usize> {
        let n = self.shape(key)?;
        if n > 10_000 { Err(wrong(key, &self.0[key], "at most 10000 layers")) } else { Ok(n) }
    }

    pub fn number(&self, key: &str) -> Result<Key<f64>> {
        self.get(key, "a finite number", |value| value.as_f64().filter(|x| x.is_finite()))
    }

    /// A number above zero.
    pub fn positive(&self, key: &str) -> Result<Key<f64>> {
        self.get(key, "a number above 0", |value| value.as_f64().filter(|&x| x.is_finite() && x > 0.0))
    }

    pub fn flag(&self, key: &str, absent: bool) -> Result<bool> {
        Ok(self.get(key, "true or false", Value::as_bool)?.or(false, absent))
    }

    pub fn text(&self, key: &str) -> Result<Key<&'a str>> {
        self.get(key, "a string", Value::as_str)
    }

    pub fn list(&self, key: &str) -> Result<Option<&'a [Value]>> {
        Ok(self.get(key, "a list", |value| value.as_array().map(Vec::as_slice))?.ok())
    }

    pub fn table(&self, key: &str) -> Result<Option<Keys<'a>>> {
        Ok(self.get(key, "an object", Value::as_object)?.ok().map(Keys))
    }

    /// Token ids: a number or a list of them.
    pub fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let read = |value: &'a Value| match value {
            Value::Array(list) => list.iter().map(id).collect::<Option<Vec<u32>>>(),
            one => id(one).map(|id| vec![id]),
        };
        Ok(self.get(key, "a token id or a list of them", read)?.ok().unwrap_or_default())
    }
}

/// An error about a value that can't be.
pub(in crate::lm) fn wrong(key: &str, value: &Value, expected: impl Into<String>) -> Error {
    let mut found = value.to_string();
    if found.chars().count() > 60 {
        found = found.chars().take(60).collect::<String>() + "…";
    }
    Error::Config { key: key.to_owned(), found, expected: expected.into() }
}
