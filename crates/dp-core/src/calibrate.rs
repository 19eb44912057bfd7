//! The least noise that keeps a budget (in progress).

use crate::{Accountant, Event, Result};

/// A noise multiplier and the ε that it reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Noise multiplier.
    pub noise_multiplier: f64,
    /// ε there, at most the target.
    pub epsilon: f64,
}

/// The least noise multiplier with which `shape`, after `fixed`, stays within (`epsilon`, `delta`).
pub fn calibrate(
    accountant: &dyn Accountant,
    shape: &Event,
    fixed: &[Event],
    epsilon: f64,
    delta: f64,
) -> Result<Calibrated> {
    let _ = (accountant, fixed, epsilon, delta);
    Ok(Calibrated { noise_multiplier: shape.noise_multiplier(), epsilon })
}
