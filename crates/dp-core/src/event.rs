//! What a run released: mechanisms, how loud their noise was, how they sampled, how often they ran.
//!
//! An [`Event`] says what one kind of step does to one example's contribution; a list of events composes, in any
//! order. Noise is stated relative to the largest contribution of one example ([`Event::noise_multiplier`]), so no
//! clip norm appears here, and the neighbouring relation never changes the event: it changes the pair of
//! distributions that an accountant compares (see [`Neighboring`]).

use std::fmt;

use serde::Serialize;

use crate::{Error, Result};

/// Which noise is added.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Normal noise on a sum of ℓ₂-bounded contributions.
    Gaussian,
    /// Two-sided exponential noise on a sum of ℓ₁-bounded contributions.
    Laplace,
}

impl Mechanism {
    /// Every mechanism.
    pub const ALL: [Self; 2] = [Self::Gaussian, Self::Laplace];

    /// The name that flags and files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Laplace => "laplace",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which data sets count as neighbours: what the guarantee protects.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighboring {
    /// One example is added or removed.
    #[default]
    AddRemove,
    /// One example is replaced by another: its contribution may change sign, so the pair is twice as far apart.
    ReplaceOne,
    /// One example is replaced by a special one that contributes 0. The same pair as add or remove.
    ReplaceSpecial,
}

impl Neighboring {
    /// Every relation.
    pub const ALL: [Self; 3] = [Self::AddRemove, Self::ReplaceOne, Self::ReplaceSpecial];

    /// The name that flags and files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddRemove => "add-remove",
            Self::ReplaceOne => "replace-one",
            Self::ReplaceSpecial => "replace-special",
        }
    }
}

impl fmt::Display for Neighboring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `steps` releases of one mechanism, each on a fresh Poisson sample in which every example takes part with
/// probability `sample_rate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Event {
    mechanism: Mechanism,
    noise_multiplier: f64,
    sample_rate: f64,
    steps: u64,
}

impl Event {
    /// An event of a list. A sample rate or a number of steps of 0 is allowed, and costs nothing.
    ///
    /// # Errors
    /// [`Error::Range`] unless `noise_multiplier` is positive and finite and `sample_rate` is in [0, 1].
    pub fn new(mechanism: Mechanism, noise_multiplier: f64, sample_rate: f64, steps: u64) -> Result<Self> {
        if !(noise_multiplier > 0.0 && noise_multiplier.is_finite()) {
            return Err(Error::Range {
                name: "noise_multiplier",
                value: noise_multiplier,
                expected: "positive and finite",
            });
        }
        if !(0.0..=1.0).contains(&sample_rate) {
            return Err(Error::Range { name: "sample_rate", value: sample_rate, expected: "between 0 and 1" });
        }
        Ok(Self { mechanism, noise_multiplier, sample_rate, steps })
    }

    /// The only event of a run, where a sample rate or a number of steps of 0 can only be a slip.
    ///
    /// # Errors
    /// As [`Event::new`], and [`Error::Range`] where `sample_rate` or `steps` is 0.
    pub fn run(mechanism: Mechanism, noise_multiplier: f64, sample_rate: f64, steps: u64) -> Result<Self> {
        if sample_rate == 0.0 {
            return Err(Error::Range { name: "sample_rate", value: 0.0, expected: "above 0 and at most 1" });
        }
        if steps == 0 {
            return Err(Error::Range { name: "steps", value: 0.0, expected: "at least 1" });
        }
        Self::new(mechanism, noise_multiplier, sample_rate, steps)
    }

    /// Gaussian noise; see [`Event::new`].
    pub fn gaussian(noise_multiplier: f64, sample_rate: f64, steps: u64) -> Result<Self> {
        Self::new(Mechanism::Gaussian, noise_multiplier, sample_rate, steps)
    }

    /// Laplace noise; see [`Event::new`].
    pub fn laplace(noise_multiplier: f64, sample_rate: f64, steps: u64) -> Result<Self> {
        Self::new(Mechanism::Laplace, noise_multiplier, sample_rate, steps)
    }

    /// Which noise.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Noise relative to the largest contribution of one example: standard deviation of Gaussian noise, scale b of
    /// Laplace noise. Positive and finite.
    pub fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// Probability q that an example takes part in one step, in [0, 1].
    pub fn sample_rate(&self) -> f64 {
        self.sample_rate
    }

    /// Number of steps T.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the event reveals nothing: no step, or nobody sampled.
    pub fn is_free(&self) -> bool {
        self.steps == 0 || self.sample_rate == 0.0
    }

    /// The same event with other noise.
    ///
    /// # Errors
    /// As [`Event::new`].
    pub fn with_noise_multiplier(&self, noise_multiplier: f64) -> Result<Self> {
        Self::new(self.mechanism, noise_multiplier, self.sample_rate, self.steps)
    }

    /// The same event over another number of steps.
    pub fn with_steps(&self, steps: u64) -> Self {
        Self { steps, ..*self }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, noise_multiplier, sample_rate, steps } = self;
        write!(f, "{mechanism}:nm={noise_multiplier},q={sample_rate},steps={steps}")
    }
}
