//! SGD and AdamW with PyTorch's definitions, on flat slices and over named candle variables.
//!
//! Both keep their buffers between steps, one element a parameter, and cost one pass over parameters, gradient and
//! buffers a step, without allocating after the first. A step is a pure function of its inputs: element `i` of the
//! result depends on element `i` of the inputs alone, so the result can't depend on threads or on how a model is cut
//! into tensors.
//!
//! [`VarAdamW`] is AdamW for training a model: in place over its variables, with parameter groups, accumulation of
//! gradients, norm clipping and masks.

mod adamw;
mod in_place;
mod sgd;
#[cfg(test)]
mod test;
mod vars;

pub use adamw::AdamW;
pub use in_place::{Group, VarAdamW};
pub use sgd::Sgd;
pub use vars::VarOptimizer;

use crate::{Error, Result};

/// An optimiser over one flat vector of parameters.
pub trait Optimizer: Send {
    /// Takes one step: changes `w` along the gradient `g` with learning rate `lr`.
    ///
    /// # Errors
    /// If `g`, or the state of earlier steps, has another length than `w`, or `lr` isn't finite.
    fn step(&mut self, w: &mut [f32], g: &[f32], lr: f32) -> Result<()>;

    /// The buffers, named, for a checkpoint; counters are vectors of one element.
    fn state(&self) -> Vec<(String, Vec<f32>)>;

    /// Puts back what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If a buffer is missing or is one too many: the state of another optimiser.
    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()>;
}

/// The saved buffer `name`.
fn saved<'a>(state: &'a [(String, Vec<f32>)], name: &str) -> Result<&'a [f32]> {
    state.iter().find(|(n, _)| n == name).map(|(_, values)| values.as_slice()).ok_or_else(|| missing(state, name))
}

fn missing(state: &[(String, Vec<f32>)], name: &str) -> Error {
    let found = state.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
    Error::State { expected: name.to_owned(), found }
}

/// Step counters are stored as two f32 halves, exact up to 2⁴⁸.
fn counter_to_f32(count: u64) -> Vec<f32> {
    vec![(count >> 24) as f32, (count & 0xff_ffff) as f32]
}

fn counter_from_f32(halves: &[f32]) -> Option<u64> {
    let &[high, low] = halves else { return None };
    let exact = |x: f32| ((0.0..16_777_216.0).contains(&x) && x.fract() == 0.0).then_some(x as u64);
    Some((exact(high)? << 24) | exact(low)?)
}

fn check_rate(lr: f32) -> Result<()> {
    if lr.is_finite() {
        return Ok(());
    }
    Err(Error::Value { field: "lr", value: lr.to_string(), expected: "finite" })
}

fn check_share(field: &'static str, value: f32) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Value { field, value: value.to_string(), expected: "at least 0 and below 1" })
}

fn check_not_negative(field: &'static str, value: f32) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Value { field, value: value.to_string(), expected: "finite and not negative" })
}
