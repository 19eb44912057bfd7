use super::{Optimizer, check_not_negative, check_rate, check_share, counter_from_f32, counter_to_f32, missing, saved};
use crate::{Error, Result, error::same_length};

/// Adam with decoupled weight decay as PyTorch's `torch.optim.AdamW` (Loshchilov and Hutter, 2019):
///
/// ```text
/// w ← w·(1 − lr·λ)
/// m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
/// w ← w − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)         t counts from 1
/// ```
///
/// The bias corrections are computed in f64. Plain Adam is `weight_decay = 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    /// β₁ in [0, 1), default 0.9.
    pub beta1: f32,
    /// β₂ in [0, 1), default 0.999.
    pub beta2: f32,
    /// ε > 0, default 1e-8.
    pub eps: f32,
    /// λ ≥ 0, default 0.01.
    pub weight_decay: f32,
    /// Steps taken.
    pub steps: u64,
    /// First moment; empty before the first step.
    pub m: Vec<f32>,
    /// Second moment; empty before the first step.
    pub v: Vec<f32>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, steps: 0, m: Vec::new(), v: Vec::new() }
    }
}

impl AdamW {
    fn check(&self) -> Result<()> {
        check_share("beta1", self.beta1)?;
        check_share("beta2", self.beta2)?;
        check_not_negative("weight_decay", self.weight_decay)?;
        if self.eps > 0.0 && self.eps.is_finite() {
            return Ok(());
        }
        Err(Error::Value { field: "eps", value: self.eps.to_string(), expected: "above 0" })
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, w: &mut [f32], g: &[f32], lr: f32) -> Result<()> {
        self.check()?;
        check_rate(lr)?;
        same_length("gradient", w.len(), g.len())?;
        if self.steps == 0 && self.m.is_empty() && self.v.is_empty() {
            self.m.resize(w.len(), 0.0);
            self.v.resize(w.len(), 0.0);
        }
        same_length("first moment", w.len(), self.m.len())?;
        same_length("second moment", w.len(), self.v.len())?;
        self.steps += 1;

        let power = |beta: f32| f64::from(beta).powf(self.steps as f64);
        let step_size = (f64::from(lr) / (1.0 - power(self.beta1))) as f32;
        let root = (1.0 - power(self.beta2)).sqrt() as f32;
        let keep = (1.0 - f64::from(lr) * f64::from(self.weight_decay)) as f32;
        let (beta1, beta2, eps) = (self.beta1, self.beta2, self.eps);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(&mut self.m).zip(&mut self.v) {
            *m += (1.0 - beta1) * (g - *m);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = *w * keep - step_size * *m / (v.sqrt() / root + eps);
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        vec![
            ("m".to_owned(), self.m.clone()),
            ("steps".to_owned(), counter_to_f32(self.steps)),
            ("v".to_owned(), self.v.clone()),
        ]
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        if state.len() != 3 {
            return Err(missing(state, "three buffers m, steps and v"));
        }
        let (m, v) = (saved(state, "m")?, saved(state, "v")?);
        same_length("second moment", m.len(), v.len())?;
        let steps =
            counter_from_f32(saved(state, "steps")?).ok_or_else(|| missing(state, "step counter of two numbers"))?;
        (self.m, self.v, self.steps) = (m.to_vec(), v.to_vec(), steps);
        Ok(())
    }
}
