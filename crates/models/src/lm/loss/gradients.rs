//! Gradients by the parameters' names.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, backprop::GradStore};

use crate::{Result, lm::Model};

/// Gradients of a model's trainable parameters, and of whatever other variable took part in the loss.
#[derive(Debug)]
pub struct Gradients {
    named: BTreeMap<String, Tensor>,
    store: GradStore,
}

impl Gradients {
    pub(super) fn new(store: GradStore, model: &Model) -> Self {
        let vars = model.vars().iter();
        let named = vars.filter_map(|(name, var)| Some((name.clone(), store.get(var.as_tensor())?.clone())));
        Self { named: named.collect(), store }
    }

    /// The gradient of a parameter; `None` where it took no part (an expert that no token chose).
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.named.get(name)
    }

    /// The gradient of any variable: a steering vector, a probe.
    pub fn of(&self, variable: &Tensor) -> Option<&Tensor> {
        self.store.get(variable)
    }

    /// Name and gradient, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.named.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// √Σ g² over all parameters.
    ///
    /// # Errors
    /// Where candle fails.
    pub fn norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for gradient in self.named.values() {
            sum += gradient.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?;
        }
        Ok(sum.sqrt())
    }
}
