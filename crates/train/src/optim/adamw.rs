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
    pub(super) fn check(&self) -> Result<()> {
        check_share("beta1", self.beta1)?;
        check_share("beta2", self.beta2)?;
        check_not_negative("weight_decay", self.weight_decay)?;
        if self.eps > 0.0 && self.eps.is_finite() {
            return Ok(());
        }
        Err(Error::Value { field: "eps", value: self.eps.to_string(), expected: "above 0" })
    }
}

/// The numbers of one step: everything that doesn't depend on the element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Factor of the gradient (norm clipping).
    scale: f32,
    keep: f32,
    rate: f32,
    root: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
}

impl Step {
    /// For step number `of.steps`, which counts from 1, with gradients times `scale`.
    pub fn new(of: &AdamW, lr: f32, scale: f32) -> Self {
        let power = |beta: f32| f64::from(beta).powf(of.steps as f64);
        Self {
            scale,
            keep: (1.0 - f64::from(lr) * f64::from(of.weight_decay)) as f32,
            rate: (f64::from(lr) / (1.0 - power(of.beta1))) as f32,
            root: (1.0 - power(of.beta2)).sqrt() as f32,
            beta1: of.beta1,
            beta2: of.beta2,
            eps: of.eps,
        }
    }

    /// One pass over parameters, gradient and both moments.
    pub fn apply(&self, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            self.element(w, g, m, v);
        }
    }

    /// The same where the mask is true; the rest stays as it is, moments too.
    pub fn apply_masked(&self, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], mask: &[bool]) {
        for ((((w, &g), m), v), &on) in w.iter_mut().zip(g).zip(m).zip(v).zip(mask) {
            if on {
                self.element(w, g, m, v);
            }
        }
    }

    #[inline(always)]
    fn element(&self, w: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        let g = g * self.scale;
        *m += (1.0 - self.beta1) * (g - *m);
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *w = *w * self.keep - self.rate * *m / (v.sqrt() / self.root + self.eps);
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

        let step = Step::new(self, lr, 1.0);
        step.apply(w, g, &mut self.m, &mut self.v);
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
