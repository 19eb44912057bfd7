//! What every accountant answers, and which accountant answers for what.

use std::fmt;

use serde::Serialize;

use crate::{Error, Event, Mechanism, Neighboring, Result};

/// What a [`Bound`] promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundKind {
    /// The true value is at most `upper`.
    Upper,
    /// `value` is the true value, to rounding.
    Exact,
    /// A limit theorem's value, which may lie below the truth.
    Approximate,
}

impl BoundKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upper => "upper",
            Self::Exact => "exact",
            Self::Approximate => "approximate",
        }
    }
}

/// An ε or a δ, and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// The value to report: the certified one. Never negative; ε may be infinite.
    pub value: f64,
    /// The true value is at least this, where the accountant bounds it from below.
    pub lower: Option<f64>,
    /// The true value is at most this, unless `kind` is approximate.
    pub upper: f64,
    /// What the value promises.
    pub kind: BoundKind,
    /// The Rényi order that gives it, where one does.
    pub order: Option<f64>,
    /// What whoever reads the value must know.
    pub warnings: Vec<String>,
}

impl Bound {
    /// An upper bound without a lower one.
    pub fn upper(value: f64) -> Self {
        Self { value, lower: None, upper: value, kind: BoundKind::Upper, order: None, warnings: Vec::new() }
    }

    /// The true value, to rounding.
    pub fn exact(value: f64) -> Self {
        Self { lower: Some(value), kind: BoundKind::Exact, ..Self::upper(value) }
    }

    /// A value that may lie below the truth, and why.
    pub fn approximate(value: f64, warning: impl Into<String>) -> Self {
        Self { kind: BoundKind::Approximate, warnings: vec![warning.into()], ..Self::upper(value) }
    }

    /// The same bound with the order that gives it.
    pub fn at_order(self, order: f64) -> Self {
        Self { order: Some(order), ..self }
    }
}

/// Adds up what events cost, under the neighbouring relation that it was built with.
pub trait Accountant: fmt::Debug + Send + Sync {
    /// The accountant's name, as flags write it.
    fn name(&self) -> &'static str;

    /// The relation.
    fn neighboring(&self) -> Neighboring;

    /// ε at this δ.
    ///
    /// # Errors
    /// [`Error::Range`] unless δ is in [0, 1); [`Error::NoFiniteEpsilon`] for δ = 0 with unbounded losses;
    /// [`Error::Unsupported`] for an event that the accountant has no analysis of.
    fn epsilon(&self, events: &[Event], delta: f64) -> Result<Bound>;

    /// δ at this ε.
    ///
    /// # Errors
    /// [`Error::Range`] unless ε is at least 0 and finite; otherwise as [`Accountant::epsilon`].
    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound>;
}

/// The accountants.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Numerical composition of the privacy loss, bounded from both sides.
    #[default]
    Pld,
    /// The same composition at the error budget of the PRV accountant.
    Prv,
    /// Rényi DP.
    Rdp,
    /// Gaussian DP: exact for full batches, else a limit theorem.
    Gdp,
    /// Zero-concentrated DP.
    Zcdp,
    /// Pure ε-DP.
    Pure,
}

/// Every accountant with its name and what it certifies.
pub const KINDS: [(Kind, &str, &str); 6] = [
    (Kind::Pld, "pld", "upper and lower bound, tight"),
    (Kind::Prv, "prv", "upper bound within the PRV accountant's error of 0.01"),
    (Kind::Rdp, "rdp", "upper bound, a few percent loose"),
    (Kind::Gdp, "gdp", "exact for full-batch Gaussian noise, else an approximation that can under-report"),
    (Kind::Zcdp, "zcdp", "upper bound for full-batch Gaussian noise"),
    (Kind::Pure, "pure", "pure epsilon (delta = 0) for Laplace noise"),
];

impl Kind {
    /// The name that flags use.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("pld", |(_, name, _)| name)
    }

    /// The accountant of that name.
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, n, _)| *n == name).map(|(kind, ..)| *kind)
    }

    /// The events that cost anything, once each is known to be in the accountant's reach.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming an accountant that has a bound for the whole list.
    pub fn supported(self, events: &[Event], neighboring: Neighboring) -> Result<Vec<Event>> {
        let costly: Vec<Event> = events.iter().copied().filter(|event| !event.is_free()).collect();
        match costly.iter().find(|event| !self.covers(event, neighboring)) {
            None => Ok(costly),
            Some(event) => {
                let sampled = if event.sample_rate() < 1.0 { " with a sample rate below 1" } else { "" };
                let relation = if neighboring == Neighboring::ReplaceOne { " under replace-one" } else { "" };
                let what = format!("{} noise{sampled}{relation}", event.mechanism());
                Err(Error::Unsupported { accountant: self.name(), what, instead: instead(&costly, neighboring) })
            }
        }
    }

    /// Whether the accountant has an analysis of the event.
    fn covers(self, event: &Event, neighboring: Neighboring) -> bool {
        let amplified = event.sample_rate() < 1.0;
        let replaced = neighboring == Neighboring::ReplaceOne;
        let laplace = event.mechanism() == Mechanism::Laplace;
        match self {
            Self::Pld | Self::Prv => !(laplace && amplified && replaced),
            Self::Rdp => !(amplified && replaced),
            Self::Gdp => !(laplace || amplified && replaced),
            Self::Zcdp => !laplace && !amplified,
            Self::Pure => laplace,
        }
    }
}

/// What covers a whole list: an accountant must add up all of it, so that one for the refused event alone is no help.
fn instead(events: &[Event], neighboring: Neighboring) -> &'static str {
    // Whatever another accountant covers, one of these does.
    let covers_all = |kind: &Kind| events.iter().all(|event| kind.covers(event, neighboring));
    // Sampling never costs privacy, so that its absence bounds it.
    let none = "pld with a sample rate of 1 for the Laplace noise, an upper bound, since no accountant covers these \
                events together";
    [Kind::Pld, Kind::Pure].into_iter().find(covers_all).map_or(none, Kind::name)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Refuses a δ outside [0, 1), and δ = 0 where a Gaussian event that costs anything is among `events`.
///
/// # Errors
/// [`Error::Range`], [`Error::NoFiniteEpsilon`].
pub fn check_delta(events: &[Event], delta: f64) -> Result<()> {
    if !(0.0..1.0).contains(&delta) {
        return Err(Error::Range { name: "delta", value: delta, expected: "at least 0 and below 1" });
    }
    let unbounded = |event: &&Event| event.mechanism() == Mechanism::Gaussian && !event.is_free();
    match events.iter().find(unbounded) {
        Some(event) if delta == 0.0 => Err(Error::NoFiniteEpsilon { mechanism: event.mechanism() }),
        _ => Ok(()),
    }
}

/// Refuses an ε that is negative, infinite or NaN.
///
/// # Errors
/// [`Error::Range`].
pub fn check_epsilon(epsilon: f64) -> Result<()> {
    if epsilon >= 0.0 && epsilon.is_finite() {
        return Ok(());
    }
    Err(Error::Range { name: "epsilon", value: epsilon, expected: "at least 0 and finite" })
}
