//! A sentence that can turn out wrong, with the numbers that decide.

use std::{fmt, str::FromStr};

use ashlar_stats::Interval;
use serde::{Deserialize, Serialize};

use crate::{Error, Format, number};

/// How a measured value is compared with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// measured < threshold
    #[serde(rename = "<")]
    Less,
    /// measured ≤ threshold
    #[serde(rename = "<=")]
    AtMost,
    /// measured > threshold
    #[serde(rename = ">")]
    Greater,
    /// measured ≥ threshold
    #[serde(rename = ">=")]
    AtLeast,
    /// measured = threshold, exactly
    #[serde(rename = "==")]
    Equal,
    /// measured ≠ threshold
    #[serde(rename = "!=")]
    NotEqual,
}

impl Op {
    const ALL: [(Self, &str, char); 6] = [
        (Self::Less, "<", '<'),
        (Self::AtMost, "<=", '≤'),
        (Self::Greater, ">", '>'),
        (Self::AtLeast, ">=", '≥'),
        (Self::Equal, "==", '='),
        (Self::NotEqual, "!=", '≠'),
    ];

    /// The verdict. A measured value or threshold that is NaN never holds.
    pub fn holds(self, measured: f64, threshold: f64) -> bool {
        match self {
            Self::Less => measured < threshold,
            Self::AtMost => measured <= threshold,
            Self::Greater => measured > threshold,
            Self::AtLeast => measured >= threshold,
            Self::Equal => measured == threshold,
            Self::NotEqual => measured != threshold && !measured.is_nan() && !threshold.is_nan(),
        }
    }

    /// As files write it: `<=`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(op, ..)| *op == self).map_or("", |(_, text, _)| text)
    }

    /// As people read it: `≤`.
    pub fn sign(self) -> char {
        Self::ALL.iter().find(|(op, ..)| *op == self).map_or('?', |(.., sign)| *sign)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Op {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(_, name, sign)| *name == text || text.parse() == Ok(*sign));
        found.map(|(op, ..)| *op).ok_or_else(|| Error::Op { found: text.to_owned() })
    }
}

/// A claim with what was measured and the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed, one sentence.
    pub text: String,
    /// What was measured; NaN where the run gave no value.
    #[serde(with = "number::exact::one")]
    pub measured: f64,
    /// What it is compared with.
    #[serde(with = "number::exact::one")]
    pub threshold: f64,
    /// How.
    pub op: Op,
    /// The verdict.
    pub holds: bool,
    /// How it was measured: the metric, over which seeds, anything a reader must know. May be empty.
    #[serde(default)]
    pub detail: String,
    /// An interval of the measured value, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How the numbers are shown.
    #[serde(default)]
    pub format: Format,
}

impl Claim {
    /// A claim whose verdict follows from its two numbers.
    pub fn new(text: impl Into<String>, measured: f64, op: Op, threshold: f64) -> Self {
        Self {
            text: text.into(),
            measured,
            threshold,
            op,
            holds: op.holds(measured, threshold),
            detail: String::new(),
            interval: None,
            format: Format::default(),
        }
    }

    /// With another verdict than the two numbers give (a claim over each of several seeds, shown by its worst).
    #[must_use]
    pub fn verdict(self, holds: bool) -> Self {
        Self { holds, ..self }
    }

    /// With how it was measured.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// With an interval of the measured value.
    #[must_use]
    pub fn interval(self, interval: Interval) -> Self {
        Self { interval: Some(interval), ..self }
    }

    /// With its numbers shown another way.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }
}
