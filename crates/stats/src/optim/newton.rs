//! Newton's method, damped as Levenberg and Marquardt do, for the last digits of an optimum.

use super::{Outcome, Stop, cholesky_solve, inf_norm};

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonOptions {
    /// Limit of accepted steps.
    pub max_iterations: usize,
    /// Stop where no component of the gradient exceeds this.
    pub gradient_tolerance: f64,
}

impl Default for NewtonOptions {
    fn default() -> Self {
        Self { max_iterations: 200, gradient_tolerance: 1e-12 }
    }
}

/// Minimises from `x` to `x`. `f` writes the gradient (n) and the Hessian (n · n, symmetric) and returns the value.
///
/// Each step solves (H + λ·diag|H|) d = −g; λ starts at 0 and grows where H is not positive definite or the step
/// doesn't help, so that far from the optimum it turns into a short gradient step. A step helps if it lowers the value
/// or, where rounding hides that, the gradient. Functions with a piecewise second derivative (Huber's) are fine.
pub fn newton(
    x: &mut [f64],
    options: NewtonOptions,
    mut f: impl FnMut(&[f64], &mut [f64], &mut [f64]) -> f64,
) -> Outcome {
    let n = x.len();
    let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
    let (mut trial_gradient, mut trial_hessian) = (vec![0.0; n], vec![0.0; n * n]);
    let (mut trial, mut step, mut factor) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * n]);
    let mut value = f(x, &mut gradient, &mut hessian);
    let mut norm = inf_norm(&gradient);
    let (mut evaluations, mut iterations) = (1, 0);
    let mut damping = 0.0_f64;
    let stop = 'outer: loop {
        if !value.is_finite() || !norm.is_finite() {
            break Stop::NotFinite;
        }
        if norm <= options.gradient_tolerance {
            break Stop::Gradient;
        }
        if iterations >= options.max_iterations {
            break Stop::Iterations;
        }
        let largest = (0..n).map(|i| hessian[i * n + i].abs()).fold(f64::MIN_POSITIVE, f64::max);
        loop {
            if damping > 1e16 {
                break 'outer Stop::NoDecrease;
            }
            factor.copy_from_slice(&hessian);
            for i in 0..n {
                factor[i * n + i] += damping * (hessian[i * n + i].abs() + 1e-12 * largest);
                step[i] = -gradient[i];
            }
            if cholesky_solve(&mut factor, &mut step) {
                for i in 0..n {
                    trial[i] = x[i] + step[i];
                }
                let trial_value = f(&trial, &mut trial_gradient, &mut trial_hessian);
                let trial_norm = inf_norm(&trial_gradient);
                evaluations += 1;
                let noise = 4.0 * f64::EPSILON * value.abs();
                let helps = trial_value < value - noise || (trial_value <= value + noise && trial_norm < norm);
                if helps && trial_norm.is_finite() {
                    (value, norm) = (trial_value, trial_norm);
                    break;
                }
            }
            damping = if damping == 0.0 { 1e-10 } else { damping * 10.0 };
        }
        x.copy_from_slice(&trial);
        std::mem::swap(&mut gradient, &mut trial_gradient);
        std::mem::swap(&mut hessian, &mut trial_hessian);
        damping = if damping <= 1e-9 { 0.0 } else { damping / 100.0 };
        iterations += 1;
    };
    Outcome { value, gradient_inf: norm, iterations, evaluations, stop }
}
