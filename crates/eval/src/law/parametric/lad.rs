//! Least absolute deviations: the limit δ → 0 of Huber's loss, by following its optimum down.
//!
//! At δ the optimum satisfies Σ_out sign(r)∇ŷ + Σ_in (r/δ)∇ŷ = 0: r/δ ∈ [−1, 1] are the multipliers of the rows that the
//! limit interpolates, so that a small gradient at δ = 1e-10 certifies the limit to about that residual. Each step
//! starts from the optimum before; Newton is exact within a piece, so few iterations a step are needed. A minimiser let
//! loose at a tiny δ at once gets stuck in kinks instead.

use ashlar_stats::optim::{NewtonOptions, Outcome, newton};

use super::objective::Problem;

/// Where the search for LAD's basins begins.
pub const FIRST_DELTA: f64 = 1e-3;
/// Where the limit is taken as reached.
pub const LAST_DELTA: f64 = 1e-10;
/// δ from one step to the next.
const FACTOR: f64 = 0.5;

/// Newton at one δ.
pub fn polish(problem: &Problem, theta: &mut [f64], delta: f64) -> Outcome {
    newton(theta, NewtonOptions { max_iterations: 300, gradient_tolerance: 1e-13 }, |theta, gradient, hessian| {
        problem.hessian(theta, delta, gradient, hessian)
    })
}

/// Follows the optimum from δ = `from` to [`LAST_DELTA`].
pub fn descend(problem: &Problem, theta: &mut [f64], from: f64) -> Outcome {
    let mut delta = from;
    loop {
        let end = polish(problem, theta, delta);
        if delta <= LAST_DELTA {
            return end;
        }
        delta = (delta * FACTOR).max(LAST_DELTA);
    }
}
