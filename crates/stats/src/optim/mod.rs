//! Minimising smooth functions of a few variables: L-BFGS to get near, Newton to get it exactly.
//!
//! | you have | you take |
//! |---|---|
//! | value and gradient, any number of variables | [`Lbfgs`] (Nocedal & Wright, algorithms 7.4, 7.5, 3.5, 3.6) |
//! | the Hessian too, up to a few dozen variables | [`newton`] (damped as Levenberg and Marquardt do) |
//!
//! Written here rather than taken from argmin 0.11, which was tried first. Its L-BFGS asks for cost and gradient in
//! separate calls, so that an objective which gets both from one pass (a softmax and its weights) is computed twice, and
//! it clones parameters and gradients at each step. On 30 starts of the law that `eval` fits to 770 points it did not end
//! within a minute, with its Hager–Zhang line search and its default tolerances, where this takes .1 s: near an optimum
//! rounding makes conditions on the value unsatisfiable. Here one closure gives both, nothing is allocated after
//! [`Lbfgs::new`], a step takes 40 calls at most, and the line search goes by slopes where values can't tell any more
//! (Hager & Zhang 2005, "approximate Wolfe conditions").
//!
//! ```
//! use ashlar_stats::optim::{Lbfgs, LbfgsOptions};
//!
//! let mut x = [-1.2, 1.0];
//! let end = Lbfgs::new(2, LbfgsOptions::default()).minimize(&mut x, |x, gradient| {
//!     let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
//!     gradient.copy_from_slice(&[-2.0 * a - 400.0 * b * x[0], 200.0 * b]);
//!     a * a + 100.0 * b * b
//! });
//! assert!(end.converged() && (x[0] - 1.0).abs() < 1e-8);
//! ```

mod cholesky;
mod lbfgs;
mod line_search;
mod newton;

pub use cholesky::cholesky_solve;
pub use lbfgs::{Lbfgs, LbfgsOptions};
pub use newton::{NewtonOptions, newton};

/// Why a minimiser stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The largest component of the gradient is below its tolerance.
    Gradient,
    /// The value's relative decrease is below its tolerance.
    Value,
    /// No step along the direction gives a decrease that rounding lets one see.
    NoDecrease,
    /// The limit of iterations.
    Iterations,
    /// The value is not finite where it began.
    NotFinite,
}

/// Where a minimiser ended; the point itself is in the caller's slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The function's value.
    pub value: f64,
    /// Largest component of the gradient, without its sign.
    pub gradient_inf: f64,
    /// Steps taken.
    pub iterations: usize,
    /// Calls of the function.
    pub evaluations: usize,
    /// Why it stopped.
    pub stop: Stop,
}

impl Outcome {
    /// Whether a tolerance was met.
    pub fn converged(&self) -> bool {
        matches!(self.stop, Stop::Gradient | Stop::Value)
    }
}

/// The largest component without its sign; NaN if any is.
pub fn inf_norm(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most: f64, v| if most.is_nan() || v.is_nan() { f64::NAN } else { most.max(v.abs()) })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], g: &mut [f64]) -> f64 {
        g.fill(0.0);
        let mut value = 0.0;
        for i in 0..x.len() - 1 {
            let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
            value += a * a + 100.0 * b * b;
            g[i] += -2.0 * a - 400.0 * b * x[i];
            g[i + 1] += 200.0 * b;
        }
        value
    }

    #[test]
    fn lbfgs_reaches_the_rounding_limit() {
        for n in [2, 10, 100] {
            let mut x: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect();
            let end = Lbfgs::new(n, LbfgsOptions::default()).minimize(&mut x, rosenbrock);
            assert!(end.converged(), "{n}: {end:?}");
            assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-8 || (n == 10 && end.value < 4.0)), "{n}: {x:?}");
        }
    }

    #[test]
    fn a_quadratic_of_condition_1e8_ends_at_its_solution() {
        let scale: Vec<f64> = (0..9).map(|i| 10f64.powi(i)).collect();
        let quadratic = |x: &[f64], g: &mut [f64]| {
            (0..9)
                .map(|i| {
                    let d = x[i] - i as f64;
                    g[i] = scale[i] * d;
                    0.5 * scale[i] * d * d
                })
                .sum::<f64>()
        };
        let mut x = [5.0; 9];
        let end = Lbfgs::new(9, LbfgsOptions::default()).minimize(&mut x, quadratic);
        assert!(end.gradient_inf < 1e-6, "{end:?}");
        let mut x = [5.0; 9];
        let end = newton(&mut x, NewtonOptions::default(), |x, g, h| {
            h.fill(0.0);
            (0..9).for_each(|i| h[i * 10] = scale[i]);
            quadratic(x, g)
        });
        assert_eq!(end.stop, Stop::Gradient);
        assert!(end.iterations <= 2 && (0..9).all(|i| (x[i] - i as f64).abs() < 1e-12), "{end:?} {x:?}");
    }

    #[test]
    fn newton_climbs_down_from_an_indefinite_start() {
        // x⁴/4 − x²/2 + y²: a saddle at 0, minima at ±1.
        let mut x = [0.01, 3.0];
        let end = newton(&mut x, NewtonOptions::default(), |x, g, h| {
            g.copy_from_slice(&[x[0].powi(3) - x[0], 2.0 * x[1]]);
            h.copy_from_slice(&[3.0 * x[0] * x[0] - 1.0, 0.0, 0.0, 2.0]);
            x[0].powi(4) / 4.0 - x[0] * x[0] / 2.0 + x[1] * x[1]
        });
        assert!(end.converged() && (x[0] - 1.0).abs() < 1e-12 && x[1].abs() < 1e-12, "{end:?} {x:?}");
    }

    #[test]
    fn points_outside_the_domain_are_avoided_and_a_start_there_is_told() {
        let log_barrier = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0 - 1.0 / x[0];
            x[0] - x[0].ln()
        };
        let mut x = [50.0];
        let end = Lbfgs::new(1, LbfgsOptions::default()).minimize(&mut x, log_barrier);
        assert!(end.converged() && (x[0] - 1.0).abs() < 1e-9, "{end:?} {x:?}");
        let end = Lbfgs::new(1, LbfgsOptions::default()).minimize(&mut [-1.0], log_barrier);
        assert_eq!(end.stop, Stop::NotFinite);
    }
}
