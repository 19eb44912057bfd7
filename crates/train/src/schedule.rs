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
    /// Straight from 0 to 1 over the share `warmup` of the run, then half a cosine to `floor`, reached in the last step.
    WarmupCosine {
        /// Share of the run in [0, 1), default 0.05.
        #[serde(default = "twentieth")]
        warmup: f64,
        /// Factor at the end, default 0.1.
        #[serde(default = "tenth")]
        floor: f64,
    },
    /// The same with a straight line down.
    WarmupLinear {
        /// Share of the run in [0, 1), default 0.05.
        #[serde(default = "twentieth")]
        warmup: f64,
        /// Factor at the end, default 0.1.
        #[serde(default = "tenth")]
        floor: f64,
    },
    /// Warm-up, stable, decay (WSD; Hu et al., 2024): 1 between a warm-up and a straight line down to `floor` over the
    /// last share `decay` of the run.
    Wsd {
        /// Share of the run in [0, 1), default 0.05.
        #[serde(default = "twentieth")]
        warmup: f64,
        /// Share of the run in [0, 1 − warmup], default 0.2.
        #[serde(default = "fifth")]
        decay: f64,
        /// Factor at the end, default 0.1.
        #[serde(default = "tenth")]
        floor: f64,
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

fn twentieth() -> f64 {
    0.05
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

const BELOW_ONE: f64 = 1.0 - f64::EPSILON;

/// 0 to 1 over the share `warmup`, 1, then `down` over the share `decay` at the end. The first step has a rate above 0,
/// and the last one is at the end: what counts is the share of the run that is done after the step.
fn warmed(step: u64, total: u64, warmup: f64, decay: f64, down: impl Fn(f64) -> f64) -> f64 {
    let done = ((step + 1) as f64 / total.max(1) as f64).min(1.0);
    if done < warmup {
        return done / warmup;
    }
    let into = if decay > 0.0 { ((done - (1.0 - decay)) / decay).clamp(0.0, 1.0) } else { 0.0 };
    down(into)
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
            Self::WarmupCosine { warmup, floor } | Self::WarmupLinear { warmup, floor } => {
                within("warmup", warmup, 0.0, BELOW_ONE, "a share of the run in [0, 1)")?;
                within("floor", floor, 0.0, 1.0, "in [0, 1]")
            }
            Self::Wsd { warmup, decay, floor } => {
                within("warmup", warmup, 0.0, BELOW_ONE, "a share of the run in [0, 1)")?;
                within("decay", decay, 0.0, 1.0 - warmup, "a share of the run that warm-up leaves")?;
                within("floor", floor, 0.0, 1.0, "in [0, 1]")
            }
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
            Self::Triangular { pivot, peak } if t < pivot => peak * t / pivot,
            Self::Triangular { pivot, peak } if pivot < 1.0 => peak * (1.0 - t) / (1.0 - pivot),
            Self::Triangular { peak, .. } => peak,
            Self::Cosine { floor } => floor + (1.0 - floor) * 0.5 * (1.0 + (PI * t).cos()),
            Self::LinearWarmup { warmup } if t < warmup => t / warmup,
            Self::Constant | Self::LinearWarmup { .. } => 1.0,
            Self::WarmupCosine { warmup, floor } => {
                let down = |t: f64| floor + (1.0 - floor) * 0.5 * (1.0 + (PI * t).cos());
                warmed(step, total, warmup, 1.0 - warmup, down)
            }
            Self::WarmupLinear { warmup, floor } => {
                warmed(step, total, warmup, 1.0 - warmup, |t| 1.0 - (1.0 - floor) * t)
            }
            Self::Wsd { warmup, decay, floor } => warmed(step, total, warmup, decay, |t| 1.0 - (1.0 - floor) * t),
            Self::Step { every, gamma } => gamma.powf((step / every.max(1)) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn closed_forms() {
        let triangle = Schedule::Triangular { pivot: 0.2, peak: 0.4 };
        let at = |s: Schedule, steps: [u64; 5]| steps.map(|step| s.at(step, 100));
        let close = |a: [f64; 5], b: [f64; 5]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(at(triangle, [0, 10, 20, 60, 100]), [0.0, 0.2, 0.4, 0.2, 0.0]));
        assert!(close(at(Schedule::Constant, [0, 1, 50, 99, 200]), [1.0; 5]));
        let root = 0.5 + 0.5_f64.sqrt() / 2.0;
        assert!(close(at(Schedule::Cosine { floor: 0.0 }, [0, 25, 50, 75, 100]), [1.0, root, 0.5, 1.0 - root, 0.0]));
        assert!(close(at(Schedule::Cosine { floor: 0.2 }, [0, 50, 100, 101, 999]), [1.0, 0.6, 0.2, 0.2, 0.2]));
        assert!(close(at(Schedule::LinearWarmup { warmup: 0.1 }, [0, 5, 10, 11, 100]), [0.0, 0.5, 1.0, 1.0, 1.0]));
        assert!(close(at(Schedule::Step { every: 30, gamma: 0.5 }, [0, 29, 30, 60, 99]), [1.0, 1.0, 0.5, 0.25, 0.125]));
    }

    #[test]
    fn warm_up_starts_above_zero_and_the_last_step_is_at_the_floor() {
        let at = |s: Schedule, steps: [u64; 5]| steps.map(|step| s.at(step, 100));
        let close = |a: [f64; 5], b: [f64; 5]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        let cosine = Schedule::WarmupCosine { warmup: 0.1, floor: 0.1 };
        assert!(close(at(cosine, [0, 4, 9, 54, 99]), [0.1, 0.5, 1.0, 0.55, 0.1]));
        let linear = Schedule::WarmupLinear { warmup: 0.0, floor: 0.0 };
        assert!(close(at(linear, [0, 49, 74, 99, 500]), [0.99, 0.5, 0.25, 0.0, 0.0]));
        let wsd = Schedule::Wsd { warmup: 0.1, decay: 0.2, floor: 0.1 };
        assert!(close(at(wsd, [4, 9, 79, 89, 99]), [0.5, 1.0, 1.0, 0.55, 0.1]));
        assert!(Schedule::Wsd { warmup: 0.5, decay: 0.6, floor: 0.1 }.check().is_err());
        assert!(Schedule::WarmupCosine { warmup: 1.0, floor: 0.1 }.check().is_err());
    }

    #[test]
    fn the_pivot_may_lie_at_either_end() {
        let first = Schedule::Triangular { pivot: 0.0, peak: 1.0 };
        let last = Schedule::Triangular { pivot: 1.0, peak: 1.0 };
        assert_eq!((first.at(0, 10), first.at(10, 10), last.at(0, 10), last.at(10, 10)), (1.0, 0.0, 0.0, 1.0));
        assert_eq!(Schedule::LinearWarmup { warmup: 0.0 }.at(0, 10), 1.0);
        assert_eq!(first.at(0, 0), 1.0);
    }

    #[test]
    fn reads_and_refuses() {
        let read = |text: &str| serde_json::from_str::<Schedule>(text);
        assert_eq!(read(r#"{"name": "constant"}"#).unwrap(), Schedule::default());
        assert_eq!(read(r#"{"name": "triangular"}"#).unwrap(), Schedule::Triangular { pivot: 0.2, peak: 1.0 });
        assert_eq!(read(r#"{"name": "linear-warmup"}"#).unwrap(), Schedule::LinearWarmup { warmup: 0.1 });
        assert!(read(r#"{"name": "triangular", "pivto": 1}"#).unwrap_err().to_string().contains("pivto"));
        assert!(read(r#"{"name": "step"}"#).is_err());
        let wrong = [
            Schedule::Triangular { pivot: 1.5, peak: 1.0 },
            Schedule::Triangular { pivot: f64::NAN, peak: 1.0 },
            Schedule::Triangular { pivot: 0.5, peak: 0.0 },
            Schedule::Cosine { floor: -0.1 },
            Schedule::LinearWarmup { warmup: 2.0 },
            Schedule::Step { every: 0, gamma: 0.1 },
            Schedule::Step { every: 1, gamma: f64::INFINITY },
        ];
        for schedule in wrong {
            assert!(schedule.check().unwrap_err().is_input(), "{schedule:?}");
        }
    }

    proptest! {
        #[test]
        fn factors_stay_within_0_and_the_peak(
            pivot in 0.0_f64..=1.0, peak in 0.01_f64..10.0, step in 0_u64..1000, total in 0_u64..1000,
        ) {
            for (schedule, top) in [
                (Schedule::Triangular { pivot, peak }, peak),
                (Schedule::Cosine { floor: pivot }, 1.0),
                (Schedule::LinearWarmup { warmup: pivot }, 1.0),
                (Schedule::WarmupCosine { warmup: pivot * 0.99, floor: 0.1 }, 1.0),
                (Schedule::Wsd { warmup: pivot * 0.5, decay: 0.5, floor: 0.1 }, 1.0),
                (Schedule::Step { every: total + 1, gamma: pivot }, 1.0),
            ] {
                let factor = schedule.at(step, total);
                prop_assert!((0.0..=top * (1.0 + 1e-12)).contains(&factor), "{:?}: {}", schedule, factor);
            }
        }
    }
}
