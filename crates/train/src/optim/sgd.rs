use super::{Optimizer, check_not_negative, check_rate, check_share, missing, saved};
use crate::{Error, Result, error::same_length};

/// Stochastic gradient descent as PyTorch's `torch.optim.SGD` (dampening 0):
///
/// ```text
/// g ← g + λ·w                 weight decay
/// b ← g (first step)          momentum buffer; plain g when momentum = 0
/// b ← μ·b + g (later)
/// w ← w − lr·b                or w − lr·(g + μ·b) with Nesterov
/// ```
///
/// As the learning rate multiplies the buffer, not what goes into it, changing `lr` acts on the whole momentum at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sgd {
    /// μ in [0, 1).
    pub momentum: f32,
    /// Nesterov's look-ahead; needs `momentum > 0`.
    pub nesterov: bool,
    /// λ ≥ 0, added to the gradient.
    pub weight_decay: f32,
    /// Momentum buffer; empty before the first step and without momentum.
    pub buffer: Vec<f32>,
}

impl Sgd {
    fn check(&self) -> Result<()> {
        check_share("momentum", self.momentum)?;
        check_not_negative("weight_decay", self.weight_decay)?;
        if self.nesterov && self.momentum == 0.0 {
            let expected = "false without momentum";
            return Err(Error::Value { field: "nesterov", value: "true".to_owned(), expected });
        }
        Ok(())
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, w: &mut [f32], g: &[f32], lr: f32) -> Result<()> {
        self.check()?;
        check_rate(lr)?;
        same_length("gradient", w.len(), g.len())?;
        let decay = self.weight_decay;
        if self.momentum == 0.0 {
            for (w, &g) in w.iter_mut().zip(g) {
                *w -= lr * (g + decay * *w);
            }
            return Ok(());
        }
        if self.buffer.is_empty() {
            // PyTorch starts the buffer at the first gradient, which is what 0·μ + g gives.
            self.buffer.resize(w.len(), 0.0);
        }
        same_length("momentum buffer", w.len(), self.buffer.len())?;
        let mu = self.momentum;
        for ((w, &g), b) in w.iter_mut().zip(g).zip(&mut self.buffer) {
            let g = g + decay * *w;
            *b = mu * *b + g;
            *w -= lr * if self.nesterov { g + mu * *b } else { *b };
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        if self.momentum == 0.0 { Vec::new() } else { vec![("momentum".to_owned(), self.buffer.clone())] }
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let expected = usize::from(self.momentum != 0.0);
        if state.len() != expected {
            return Err(missing(state, if expected == 0 { "empty list of buffers" } else { "single buffer momentum" }));
        }
        self.buffer = if expected == 0 { Vec::new() } else { saved(state, "momentum")?.to_vec() };
        Ok(())
    }
}
