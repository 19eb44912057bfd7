//! The least noise that keeps a budget.

use ashlar_stats::root::brent;

use crate::{Accountant, Error, Event, Result};

/// How far below the target the ε reached may lie, relative: within the 1e-4 promised.
const TOLERANCE: f64 = 4e-5;
/// The largest noise multiplier tried.
const LARGEST: f64 = 1e6;
/// The smallest: below, nothing is private and any answer would do.
const SMALLEST: f64 = 1e-3;

/// A noise multiplier and the ε that it reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Noise multiplier.
    pub noise_multiplier: f64,
    /// ε there, at most the target; above target·(1 − 1e-4) unless 1e-3 is noise enough.
    pub epsilon: f64,
}

/// The least noise multiplier with which the steps of `shape` (its own noise multiplier doesn't count), after `fixed` has
/// been spent, stay within (`epsilon`, `delta`).
///
/// Doubles the noise until the target is met, then takes Brent's method on its logarithm, and returns the side on which
/// the target holds. Some twenty evaluations of the accountant.
///
/// # Errors
/// [`Error::Range`] unless ε is positive and finite; [`Error::Unreachable`] where a noise multiplier of 10⁶ leaves more
/// than ε; whatever the accountant refuses.
pub fn calibrate(
    accountant: &dyn Accountant,
    shape: &Event,
    fixed: &[Event],
    epsilon: f64,
    delta: f64,
) -> Result<Calibrated> {
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Error::Range { name: "epsilon", value: epsilon, expected: "positive and finite" });
    }
    let mut events = fixed.to_vec();
    events.push(*shape);
    let place = events.len() - 1;
    let mut reached = |noise_multiplier: f64| -> Result<f64> {
        events[place] = shape.with_noise_multiplier(noise_multiplier)?;
        Ok(accountant.epsilon(&events, delta)?.value)
    };
    // From σ = 1 to a pair (low, high) with ε(low) > target ≥ ε(high).
    let (mut low, mut high) = (1.0, 1.0);
    let (mut above, mut below) = (f64::INFINITY, reached(1.0)?);
    if below <= epsilon {
        loop {
            if high <= SMALLEST {
                return Ok(Calibrated { noise_multiplier: high, epsilon: below });
            }
            low = (high / 2.0).max(SMALLEST);
            above = reached(low)?;
            if above > epsilon {
                break;
            }
            (high, below) = (low, above);
        }
    } else {
        while below > epsilon {
            (low, above) = (high, below);
            if high >= LARGEST {
                return Err(Error::Unreachable { target: epsilon, smallest: below, noise_multiplier: high });
            }
            high = (2.0 * high).min(LARGEST);
            below = reached(high)?;
        }
    }
    let close = |value: f64| value > epsilon * (1.0 - TOLERANCE);
    // Aimed at the middle of what is accepted, so that an accountant's own steps don't keep the search at its edge.
    let aim = (epsilon * (1.0 - 0.3 * TOLERANCE)).ln();
    let mut best = (high, below);
    let mut worst = (low, above);
    let mut failure = None;
    let mut evaluate = |ln_noise: f64| {
        if close(best.1) {
            // Nothing is left to find: any value of the right sign ends the search.
            return 0.0;
        }
        let noise_multiplier = ln_noise.exp();
        match reached(noise_multiplier) {
            Ok(value) => {
                if value <= epsilon && noise_multiplier < best.0 {
                    best = (noise_multiplier, value);
                } else if value > epsilon && noise_multiplier > worst.0 {
                    worst = (noise_multiplier, value);
                }
                value.max(1e-300).ln() - aim
            }
            Err(error) => {
                failure = Some(error);
                0.0
            }
        }
    };
    if above.is_finite() {
        // A failure of the search itself leaves the bracket, halved below.
        let _ = brent(&mut evaluate, low.ln(), high.ln(), 1e-13, 60);
    }
    for _ in 0..60 {
        let (near, far) = (worst.0, best.0);
        if close(best.1) || failure.is_some() || far / near < 1.0 + 1e-9 {
            break;
        }
        match reached((0.5 * (near.ln() + far.ln())).exp()) {
            Ok(value) if value <= epsilon => best = ((0.5 * (near.ln() + far.ln())).exp(), value),
            Ok(value) => worst = ((0.5 * (near.ln() + far.ln())).exp(), value),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Calibrated { noise_multiplier: best.0, epsilon: best.1 }),
    }
}
