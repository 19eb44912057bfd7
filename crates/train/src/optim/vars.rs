use candle_core::{DType, Var, backprop::GradStore};

use super::Optimizer;
use crate::{Error, Result};

/// Runs an [`Optimizer`] over named candle variables, as one flat vector in name order.
///
/// The copy to and from the flat vector costs two passes over the parameters a step; what it buys is one definition of
/// each optimiser and one layout of its state for every kind of training.
#[derive(Debug)]
pub struct VarOptimizer<O> {
    vars: Vec<(String, Var)>,
    inner: O,
    flat: Vec<f32>,
    gradient: Vec<f32>,
}

impl<O: Optimizer> VarOptimizer<O> {
    /// Takes the variables in any order.
    ///
    /// # Errors
    /// If a variable isn't f32.
    pub fn new(mut vars: Vec<(String, Var)>, inner: O) -> Result<Self> {
        for (name, var) in &vars {
            if var.dtype() != DType::F32 {
                let value = format!("{name}: {:?}", var.dtype());
                return Err(Error::Value { field: "variable", value, expected: "f32" });
            }
        }
        vars.sort_by(|a, b| a.0.cmp(&b.0));
        let len = vars.iter().map(|(_, var)| var.elem_count()).sum();
        Ok(Self { vars, inner, flat: vec![0.0; len], gradient: vec![0.0; len] })
    }

    /// The variables in name order.
    pub fn vars(&self) -> &[(String, Var)] {
        &self.vars
    }

    /// The optimiser, for its state.
    pub fn inner(&self) -> &O {
        &self.inner
    }

    /// The optimiser, to load its state.
    pub fn inner_mut(&mut self) -> &mut O {
        &mut self.inner
    }

    /// Takes one step along the gradients of a backward pass; a variable without one counts as zero there, so that
    /// momentum and weight decay still act on it.
    ///
    /// # Errors
    /// As [`Optimizer::step`], or if candle fails.
    pub fn step(&mut self, grads: &GradStore, lr: f32) -> Result<()> {
        let mut at = 0;
        for (_, var) in &self.vars {
            let end = at + var.elem_count();
            self.flat[at..end].copy_from_slice(&var.flatten_all()?.to_vec1::<f32>()?);
            match grads.get(var.as_tensor()) {
                Some(g) => self.gradient[at..end].copy_from_slice(&g.flatten_all()?.to_vec1::<f32>()?),
                None => self.gradient[at..end].fill(0.0),
            }
            at = end;
        }
        self.inner.step(&mut self.flat, &self.gradient, lr)?;
        let mut at = 0;
        for (_, var) in &self.vars {
            let end = at + var.elem_count();
            var.set(&candle_core::Tensor::from_slice(&self.flat[at..end], var.shape(), var.device())?)?;
            at = end;
        }
        Ok(())
    }
}
