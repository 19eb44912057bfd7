//! Least absolute deviations: the limit δ → 0 of Huber's loss, by following its optimum down, and the limit itself.
//!
//! At δ the optimum satisfies Σ_out sign(r)∇ŷ + Σ_in (r/δ)∇ŷ = 0. In the limit the rows inside, A, have r = 0, and
//! λ = r/δ are their multipliers, |λ| ≤ 1. So once the optimum has been followed to δ = 1e-9 (each step from the one
//! before; Newton is exact within a piece, a minimiser let loose at a tiny δ at once gets stuck in kinks), A is known and
//! Newton on the Lagrangian of "Σ_out |r| subject to r_A = 0" gives the limit to the last digit, with its certificate.

use ashlar_stats::optim::{NewtonOptions, Outcome, newton};

use super::objective::Problem;

/// Where the search for LAD's basins begins.
pub const FIRST_DELTA: f64 = 1e-3;
/// Where the rows that the limit interpolates are told.
const LAST_DELTA: f64 = 1e-9;
/// δ from one step to the next.
const FACTOR: f64 = 0.5;

/// Newton at one δ.
pub fn polish(problem: &Problem, theta: &mut [f64], delta: f64) -> Outcome {
    newton(theta, NewtonOptions { max_iterations: 300, gradient_tolerance: 1e-13 }, |theta, gradient, hessian| {
        problem.hessian(theta, delta, gradient, hessian)
    })
}

/// Follows the optimum from δ = `from` down.
pub fn descend(problem: &Problem, theta: &mut [f64], from: f64) {
    let mut delta = from;
    while delta > LAST_DELTA {
        polish(problem, theta, delta);
        delta = (delta * FACTOR).max(LAST_DELTA);
    }
    polish(problem, theta, LAST_DELTA);
}

/// The limit near an optimum at δ = 1e-9, in place, where it lowers Σ|r|. Returns how far θ is from the conditions of an
/// optimum: the largest component of the Lagrangian's gradient over n (in the law's own parameters), or of |λ| − 1 where
/// that is more.
pub fn finish(problem: &Problem, theta: &mut [f64]) -> f64 {
    let n = theta.len();
    let mut multipliers: Vec<f64> =
        problem.residuals(theta).iter().map(|r| (r / LAST_DELTA).clamp(-1.0, 1.0)).collect();
    let active: Vec<usize> = (0..multipliers.len()).filter(|&row| multipliers[row].abs() < 1.0).collect();
    let size = n + active.len();
    let (mut at, mut gradient, mut hessian) = (theta.to_vec(), vec![0.0; n], vec![0.0; n * n]);
    let mut jacobian = vec![0.0; n];
    let before = problem.absolute(theta);
    // More rows than parameters can't be met at once; repeated rows make the system singular.
    let mut solvable = active.len() <= n;
    for _ in 0..if solvable { 20 } else { 0 } {
        problem.accumulate(&at, &mut gradient, &mut hessian, |row, _| (problem.weight(row) * multipliers[row], 0.0));
        let (mut matrix, mut rhs) = (vec![0.0; size * size], vec![0.0; size]);
        for a in 0..n {
            matrix[a * size..a * size + n].copy_from_slice(&hessian[a * n..(a + 1) * n]);
            rhs[a] = -gradient[a];
        }
        for (i, &row) in active.iter().enumerate() {
            let r = problem.jacobian(row, &at, &mut jacobian);
            for a in 0..n {
                matrix[a * size + n + i] = -problem.weight(row) * jacobian[a];
                matrix[(n + i) * size + a] = jacobian[a];
            }
            rhs[n + i] = r;
        }
        if !solve(&mut matrix, &mut rhs) {
            solvable = false;
            break;
        }
        at.iter_mut().zip(&rhs).for_each(|(x, d)| *x += d);
        active.iter().zip(&rhs[n..]).for_each(|(&row, d)| multipliers[row] += d);
        if rhs[..n].iter().all(|d| d.abs() < 1e-15) {
            break;
        }
    }
    let after = problem.absolute(&at);
    let beyond = active.iter().map(|&row| multipliers[row].abs() - 1.0).fold(0.0, f64::max);
    if solvable && after <= before && beyond <= 1e-6 {
        theta.copy_from_slice(&at);
        problem.accumulate(&at, &mut gradient, &mut hessian, |row, _| (problem.weight(row) * multipliers[row], 0.0));
        for g in &mut gradient {
            *g /= problem.weight_sum();
        }
        return problem.outer_gradient_inf(&gradient).max(beyond);
    }
    problem.hessian(theta, LAST_DELTA, &mut gradient, &mut hessian);
    problem.outer_gradient_inf(&gradient)
}

/// Solves a small system in place by elimination with row exchanges; false if it is singular.
fn solve(a: &mut [f64], b: &mut [f64]) -> bool {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i * n + column].abs().total_cmp(&a[j * n + column].abs()));
        let Some(pivot) = pivot.filter(|&i| a[i * n + column].abs() > 1e-300) else { return false };
        for k in 0..n {
            a.swap(column * n + k, pivot * n + k);
        }
        b.swap(column, pivot);
        for i in column + 1..n {
            let factor = a[i * n + column] / a[column * n + column];
            for k in column..n {
                a[i * n + k] -= factor * a[column * n + k];
            }
            b[i] -= factor * b[column];
        }
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    b.iter().all(|v| v.is_finite())
}
