//! Learning-rate schedules as closed forms of the step.
//!
//! A schedule gives a factor; the learning rate is `lr · factor`. The step runs from 0 to `total − 1`;
//! nothing is stored, so resuming needs no state.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the learning rate changes over a run; in TOML `{ name = "triangular", pivot = 0.2 }`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// 1 throughout.
    #[default]
    Constant,
    /// Straight from 0 to `peak` at the share `pivot` of the run, and straight back to 0 at its end (the piecewise
    /// linear schedule of the FetchSGD code).
    Triangular {
        /// Share of the run in [0, 1] at which the peak lies, default 0.2.
        #[serde(default = "fifth")]
        pivot: f64,
        /// Factor there, default 1.
        #[serde(default = "one")]
        peak: f64,
    },
    /// Half a cosine from 1 to `floor`.
    Cosine {
        /// Factor at the end, default 0.
        #[serde(default)]
        floor: f64,
    },
    /// Straight from 0 to 1 over the share `warmup` of the run, then 1.
    LinearWarmup {
        /// Share of the run in [0, 1], default 0.1.
        #[serde(default = "tenth")]
        warmup: f64,
    },
    /// Multiplied by `gamma` after every `every` steps.
    Step {
        /// Steps between two drops, at least 1.
        every: u64,
        /// Factor of each drop, default 0.1.
        #[serde(default = "tenth")]
        gamma: f64,
    },
}

fn fifth() -> f64 {
    0.2
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

impl Schedule {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Naming the parameter that lies outside its range.
    pub fn check(&self) -> Result<()> {
        let within = |field, value: f64, low: f64, high: f64, expected| {
            if value >= low && value <= high {
                return Ok(());
            }
            Err(Error::Value { field, value: value.to_string(), expected })
        };
        match *self {
            Self::Constant => Ok(()),
            Self::Triangular { pivot, peak } => {
                within("pivot", pivot, 0.0, 1.0, "a share of the run in [0, 1]")?;
                within("peak", peak, f64::MIN_POSITIVE, f64::MAX, "above 0 and finite")
            }
            Self::Cosine { floor } => within("floor", floor, 0.0, 1.0, "in [0, 1]"),
            Self::LinearWarmup { warmup } => within("warmup", warmup, 0.0, 1.0, "a share of the run in [0, 1]"),
            Self::Step { every, gamma } => {
                within("every", every as f64, 1.0, f64::MAX, "at least 1")?;
                within("gamma", gamma, f64::MIN_POSITIVE, f64::MAX, "above 0 and finite")
            }
        }
    }

    /// The factor at `step` of a run of `total` steps; past the end it stays at the end's value.
    ///
    /// A run of 0 steps counts as one.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let t = (step as f64 / total.max(1) as f64).min(1.0);
        match *self {
            Self::Constant => 1.0,
            Self::Triangular { pivot, peak } if t < pivot => peak * t / pivot,
            Self::Triangular { pivot, peak } if pivot < 1.0 => peak * (1.0 - t) / (1.0 - pivot),
            Self::Triangular { peak, .. } => peak,
            Self::Cosine { floor } => floor + (1.0 - floor) * 0.5 * (1.0 + (PI * t).cos()),
            Self::LinearWarmup { warmup } if t < warmup => t / warmup,
            Self::LinearWarmup { .. } => 1.0,
            Self::Step { every, gamma } => gamma.powf((step / every.max(1)) as f64),
        }
    }
}
