//! What the Rényi moments of both mechanisms share: (1+u)^β − 1 − βu without cancellation, and its integral.
//!
//! With u = q(dP₀/dQ₀ − 1), the moment E_Q[(1+u)^β] of a sampled mechanism is 1 + E_Q[(1+u)^β − 1 − βu], since
//! E_Q[u] = 0. The bracket is never negative for β ≥ 1 and for β ≤ 0 (the power is convex), so that its sum or
//! integral loses no digits even where the moment is 1 + 1e-12; a sum of the moment itself would.

use std::sync::OnceLock;

use ashlar_stats::{quad, special};

/// e^{−scale} ((1+u)^β − 1 − βu) with u = q(e^t − 1), for 0 < q < 1 and β ≥ 1 or β ≤ 0.
pub(super) fn excess(q: f64, t: f64, beta: f64, scale: f64) -> f64 {
    let ln_power = beta * ln_mixture(q, t);
    if t < 600.0 && ln_power < 600.0 {
        let u = q * t.exp_m1();
        if beta.abs().max(1.0) * u.abs() < 0.03 {
            return small_excess(u, beta) * (-scale).exp();
        }
        return (ln_power.exp_m1() - beta * u).max(0.0) * (-scale).exp();
    }
    // What overflows stays in logarithms.
    let (ln_linear, sign) = if t < 700.0 {
        let linear = 1.0 + beta * q * t.exp_m1();
        (linear.abs().ln(), linear.signum())
    } else {
        (beta.abs().ln() + q.ln() + t, beta.signum())
    };
    ((ln_power - scale).exp() - sign * (ln_linear - scale).exp()).max(0.0)
}

/// Σ_{k≥2} C(β, k) u^k: each term is at most max(1, |β|)·|u| times the one before.
fn small_excess(u: f64, beta: f64) -> f64 {
    let mut term = 0.5 * beta * (beta - 1.0) * u * u;
    let mut sum = term;
    for k in 2..14 {
        let k = f64::from(k);
        term *= (beta - k) / (k + 1.0) * u;
        sum += term;
    }
    sum.max(0.0)
}

/// ln(1 − q + q e^t) for 0 < q ≤ 1.
pub(crate) fn ln_mixture(q: f64, t: f64) -> f64 {
    if q >= 1.0 {
        t
    } else if t < 30.0 {
        (q * t.exp_m1()).ln_1p()
    } else {
        special::ln_add_exp((-q).ln_1p(), q.ln() + t)
    }
}

/// ln of (1 − q + q‖e^L‖_α)^α ≥ A_α (Minkowski), from ln ‖e^L‖_α; and whether the sampled part outweighs the rest so
/// much that this is A_α itself, to rounding (A_α ≥ q^α ‖e^L‖_α^α).
pub(super) fn minkowski(alpha: f64, q: f64, ln_norm: f64) -> (f64, bool) {
    let (rest, sampled) = ((-q).ln_1p(), q.ln() + ln_norm);
    if sampled - rest > 45.0 {
        return (alpha * sampled, true);
    }
    (alpha * special::ln_add_exp(rest, sampled), false)
}

/// ln(1 + e^x) for the excess e^x of a moment over 1.
pub(super) fn ln_moment_of(ln_excess: f64) -> f64 {
    if ln_excess > 36.0 { ln_excess } else { ln_excess.exp().ln_1p() }
}

/// The integral of `f` over the pieces between `breaks` (sorted here; what is not finite is left out).
///
/// A first pass by one Gauss–Legendre rule a piece finds the integral's size, and the second, adaptive, one spends
/// its effort where it matters: each piece is good to 1e-12 of the whole.
pub(super) fn integrate(mut f: impl FnMut(f64) -> f64, breaks: &mut Vec<f64>) -> f64 {
    breaks.retain(|x| x.is_finite());
    breaks.sort_by(f64::total_cmp);
    breaks.dedup();
    let (nodes, weights) = legendre();
    let rough: Vec<f64> = breaks
        .windows(2)
        .map(|ends| {
            let (middle, half) = (f64::midpoint(ends[0], ends[1]), 0.5 * (ends[1] - ends[0]));
            half * nodes.iter().zip(weights).map(|(x, w)| w * f(middle + half * x)).sum::<f64>()
        })
        .collect();
    let size: f64 = rough.iter().sum();
    breaks
        .windows(2)
        .zip(rough)
        .map(|(ends, rough)| quad::integrate(&mut f, ends[0], ends[1], 1e-12, 1e-13 * size).unwrap_or(rough))
        .sum()
}

/// One rule for the whole process: 20 nodes.
fn legendre() -> (&'static [f64], &'static [f64]) {
    static RULE: OnceLock<(Vec<f64>, Vec<f64>)> = OnceLock::new();
    let (nodes, weights) = RULE.get_or_init(|| quad::gauss_legendre(20));
    (nodes, weights)
}
