//! Figures.

use ashlar_cli::Failure;

use crate::law::{Envelope, Fit, Points, Resource};

/// Losses over compute, the frontier through them.
pub fn envelope(_points: &Points, _resource: Resource, _envelope: &Envelope) -> Result<String, Failure> {
    Ok(String::new())
}

/// Losses against the law.
pub fn parametric(_fit: &Fit) -> Result<String, Failure> {
    Ok(String::new())
}
