//! Limited-memory BFGS (Nocedal & Wright, algorithms 7.4 and 7.5).

use super::{
    Outcome, Stop, dot, inf_norm,
    line_search::{At, wolfe},
};

/// When to stop, and how much to remember.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsOptions {
    /// Steps kept as the curvature's memory, at least 1.
    pub memory: usize,
    /// Limit of iterations.
    pub max_iterations: usize,
    /// Stop where no component of the gradient exceeds this.
    pub gradient_tolerance: f64,
    /// Stop where a step lowers the value by less than this times the value.
    pub relative_tolerance: f64,
}

impl Default for LbfgsOptions {
    fn default() -> Self {
        Self { memory: 30, max_iterations: 1000, gradient_tolerance: 1e-10, relative_tolerance: 1e-15 }
    }
}

/// The minimiser with its working memory (2 · memory · n numbers), to be used again and again.
#[derive(Clone, Debug)]
pub struct Lbfgs {
    options: LbfgsOptions,
    // Ring of steps s = x⁺ − x and gradient changes y = g⁺ − g, [memory, n] each.
    steps: Vec<f64>,
    changes: Vec<f64>,
    // 1 / yᵀs of each.
    inverse: Vec<f64>,
    alpha: Vec<f64>,
    gradient: Vec<f64>,
    trial_gradient: Vec<f64>,
    trial: Vec<f64>,
    direction: Vec<f64>,
}

impl Lbfgs {
    /// A minimiser of functions of `n` variables.
    pub fn new(n: usize, options: LbfgsOptions) -> Self {
        let memory = options.memory.max(1);
        Self {
            options: LbfgsOptions { memory, ..options },
            steps: vec![0.0; memory * n],
            changes: vec![0.0; memory * n],
            inverse: vec![0.0; memory],
            alpha: vec![0.0; memory],
            gradient: vec![0.0; n],
            trial_gradient: vec![0.0; n],
            trial: vec![0.0; n],
            direction: vec![0.0; n],
        }
    }

    /// The options, to change a limit between calls.
    pub fn options_mut(&mut self) -> &mut LbfgsOptions {
        &mut self.options
    }

    /// Minimises from `x` (length n) to `x`. `f` writes the gradient and returns the value; NaN or an infinity mark
    /// points outside its domain, which the line search then avoids.
    ///
    /// # Panics
    /// If `x` is not as long as [`Lbfgs::new`] was told.
    pub fn minimize(&mut self, x: &mut [f64], mut f: impl FnMut(&[f64], &mut [f64]) -> f64) -> Outcome {
        assert_eq!(x.len(), self.gradient.len(), "as many variables as the minimiser was made for");
        let memory = self.options.memory.min(self.inverse.len());
        let mut value = f(x, &mut self.gradient);
        let mut evaluations = 1;
        let mut iterations = 0;
        // Pairs kept, and where the next one goes.
        let (mut kept, mut next) = (0, 0);
        let stop = loop {
            let norm = inf_norm(&self.gradient);
            if !value.is_finite() || !norm.is_finite() {
                break Stop::NotFinite;
            }
            if norm <= self.options.gradient_tolerance {
                break Stop::Gradient;
            }
            if iterations >= self.options.max_iterations {
                break Stop::Iterations;
            }
            self.set_direction(kept, next, memory);
            let mut slope = dot(&self.gradient, &self.direction);
            if slope >= 0.0 || !slope.is_finite() {
                kept = 0;
                self.set_direction(0, next, memory);
                slope = dot(&self.gradient, &self.direction);
            }
            // Without curvature yet, a step of length 1 at most.
            let first = if kept == 0 { 1.0 / dot(&self.direction, &self.direction).sqrt().max(1.0) } else { 1.0 };
            let (trial, trial_gradient, direction) = (&mut self.trial, &mut self.trial_gradient, &self.direction);
            let found = wolfe(At { step: 0.0, value, slope }, first, |step| {
                for ((trial, x), d) in trial.iter_mut().zip(x.iter()).zip(direction) {
                    *trial = x + step * d;
                }
                evaluations += 1;
                let value = f(trial, trial_gradient);
                At { step, value, slope: dot(trial_gradient, direction) }
            });
            let Some(at) = found else {
                if kept == 0 {
                    break Stop::NoDecrease;
                }
                // Perhaps the memory misleads: once more along the gradient.
                kept = 0;
                continue;
            };
            iterations += 1;
            self.remember(x, &mut kept, &mut next, memory);
            x.copy_from_slice(&self.trial);
            std::mem::swap(&mut self.gradient, &mut self.trial_gradient);
            let decrease = value - at.value;
            value = at.value;
            if decrease.abs() <= self.options.relative_tolerance * value.abs() {
                let met = inf_norm(&self.gradient) <= self.options.gradient_tolerance;
                break if met { Stop::Gradient } else { Stop::Value };
            }
        };
        Outcome { value, gradient_inf: inf_norm(&self.gradient), iterations, evaluations, stop }
    }

    /// The two-loop recursion: direction = −H g, H's start scaled by the latest pair.
    fn set_direction(&mut self, kept: usize, next: usize, memory: usize) {
        let n = self.gradient.len();
        let d = &mut self.direction;
        for (d, g) in d.iter_mut().zip(&self.gradient) {
            *d = -g;
        }
        let slot = |back: usize| (next + memory - back) % memory;
        for back in 1..=kept {
            let at = slot(back);
            let (s, y) = (&self.steps[at * n..][..n], &self.changes[at * n..][..n]);
            self.alpha[at] = self.inverse[at] * dot(s, d);
            d.iter_mut().zip(y).for_each(|(d, y)| *d -= self.alpha[at] * y);
        }
        if kept > 0 {
            let y = &self.changes[slot(1) * n..][..n];
            let scale = 1.0 / (self.inverse[slot(1)] * dot(y, y));
            for d in d.iter_mut() {
                *d *= scale;
            }
        }
        for back in (1..=kept).rev() {
            let at = slot(back);
            let (s, y) = (&self.steps[at * n..][..n], &self.changes[at * n..][..n]);
            let beta = self.inverse[at] * dot(y, d);
            d.iter_mut().zip(s).for_each(|(d, s)| *d += (self.alpha[at] - beta) * s);
        }
    }

    /// Keeps the step to `trial`, if its curvature is positive.
    fn remember(&mut self, x: &[f64], kept: &mut usize, next: &mut usize, memory: usize) {
        let n = x.len();
        let (s, y) = (&mut self.steps[*next * n..][..n], &mut self.changes[*next * n..][..n]);
        for i in 0..n {
            s[i] = self.trial[i] - x[i];
            y[i] = self.trial_gradient[i] - self.gradient[i];
        }
        let curvature = dot(s, y);
        if curvature > f64::EPSILON * (dot(s, s) * dot(y, y)).sqrt() {
            self.inverse[*next] = 1.0 / curvature;
            *next = (*next + 1) % memory;
            *kept = (*kept + 1).min(memory);
        }
    }
}
