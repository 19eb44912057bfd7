//! Activation checkpointing.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;

use crate::Result;

/// Where the blocks of a recomputing pass leave the gradients of their parameters.
#[derive(Clone, Debug, Default)]
pub struct Recompute(Arc<Mutex<Vec<GradStore>>>);

impl Recompute {
    /// For one pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the blocks left to the gradients of the rest.
    ///
    /// # Errors
    /// Where candle can't add.
    pub fn deliver(&self, into: &mut GradStore) -> Result<()> {
        for store in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            into.extend(store)?;
        }
        Ok(())
    }
}
