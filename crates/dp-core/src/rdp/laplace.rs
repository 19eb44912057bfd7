//! Rényi moments of the Poisson-sampled Laplace mechanism, scale b, sensitivity 1.
//!
//! The loss of the plain mechanism has atoms ½ at 1/b (½ e^{−1/b} under the other distribution) and at −1/b, and the
//! density ¼ e^{−(t+1/b)/2} between them. With r(t) = 1−q+q e^t:
//! A_α = ½e^{−1/b} r(1/b)^α + ½ r(−1/b)^α + ¼∫ e^{−(t+1/b)/2} r(t)^α dt over [−1/b, 1/b], and the other direction
//! with the exponent 1−α. The larger is taken; for q = 1 both are
//! α/(2α−1) e^{(α−1)/b} + (α−1)/(2α−1) e^{−α/b} (Mironov, "Rényi Differential Privacy", 2017, table II).

use ashlar_stats::special::ln_add_exp;

use super::moment::{excess, integrate, ln_mixture, ln_moment_of, minkowski};

/// ln A_α for α > 1, b > 0, 0 < q ≤ 1.
pub(super) fn ln_moment(order: f64, scale: f64, q: f64) -> f64 {
    if q >= 1.0 {
        return full(order, scale);
    }
    let ln_full = full(order, scale);
    let (bound, tight) = minkowski(order, q, ln_full / order);
    if tight {
        // The other direction is at most (1−q)^{1−α}, since r ≥ 1−q, and at most 1−q+q·A_full (joint convexity).
        let rest = (-q).ln_1p();
        return bound.max(((1.0 - order) * rest).min(ln_add_exp(rest, q.ln() + ln_full)));
    }
    sampled(order, scale, q).max(sampled(1.0 - order, scale, q))
}

fn full(alpha: f64, b: f64) -> f64 {
    let (up, down) = ((alpha - 1.0) / b, -alpha / b);
    let (weight_up, weight_down) = (alpha / (2.0 * alpha - 1.0), (alpha - 1.0) / (2.0 * alpha - 1.0));
    if up > 1.0 {
        return ln_add_exp(weight_up.ln() + up, weight_down.ln() + down);
    }
    // The first orders cancel: weight_up·up = −weight_down·down.
    (weight_up * exp_beyond_linear(up) + weight_down * exp_beyond_linear(down)).max(0.0).ln_1p()
}

/// e^x − 1 − x.
fn exp_beyond_linear(x: f64) -> f64 {
    if x.abs() > 0.1 {
        return x.exp_m1() - x;
    }
    let (mut term, mut sum) = (0.5 * x * x, 0.0);
    for k in 3..14 {
        sum += term;
        term *= x / f64::from(k);
    }
    sum
}

/// ln E_Q[r^β], for β = α and β = 1−α.
fn sampled(beta: f64, b: f64, q: f64) -> f64 {
    let edge = 1.0 / b;
    let power = |t: f64| beta * ln_mixture(q, t);
    // ln(weight·r^β) is largest at an end: convex for β > 0, falling for β < 0.
    let scale = (power(edge) - edge).max(power(-edge)).max(0.0);
    let at = |t: f64, ln_weight: f64| excess(q, t, beta, scale - ln_weight);
    let ln_half = -std::f64::consts::LN_2;
    let atoms = at(edge, ln_half - edge) + at(-edge, ln_half);
    // The mass leans on the ends, over a length of 1/β, and turns where r leaves 1 − q.
    let turn = (-q).ln_1p() - q.ln();
    let mut breaks = vec![-edge, 0.0, edge];
    for step in [0.5, 2.0, 8.0, 32.0].map(|s| s / (beta.abs() + 1.0)).into_iter().chain([2.0, 8.0, 32.0]) {
        breaks.extend([-edge + step, edge - step, turn - step, turn + step]);
    }
    breaks.push(turn);
    breaks.retain(|t| (-edge..=edge).contains(t));
    let between = integrate(|t| at(t, -0.5 * (t + edge) + 2.0 * ln_half), &mut breaks);
    ln_moment_of(scale + (atoms + between).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_is_the_limit_of_large_sample_rates() {
        for b in [0.05, 0.5, 1.0, 20.0, 1e3] {
            for alpha in [1.1, 2.0, 7.8, 63.0, 512.0] {
                let (near, exact) = (sampled(alpha, b, 1.0 - 1e-13), full(alpha, b));
                let other = sampled(1.0 - alpha, b, 1.0 - 1e-13);
                assert!((near / exact - 1.0).abs() < 1e-8, "b {b} α {alpha}: {near} {exact}");
                // Where 1 − q is not small beside e^{−1/b}, this direction is not at its limit yet.
                assert!((other / exact - 1.0).abs() < 1e-5, "the other way, b {b} α {alpha}: {other} {exact}");
            }
        }
    }

    #[test]
    fn small_losses_keep_their_digits() {
        // α(α−1)/(2b²) to leading order: half the variance of the loss, 1/b², times α.
        let ln = full(2.0, 1e6);
        assert!((ln / 1e-12 - 1.0).abs() < 1e-5, "{ln}");
    }

    #[test]
    fn extreme_settings_give_numbers() {
        for b in [1e-300, 1e-6, 1e-3, 1e6, 1e300] {
            for q in [1e-300, 1e-12, 0.5, 1.0 - f64::EPSILON, 1.0] {
                for alpha in [1.011, 1.5, 2.0, 63.0, 1e6] {
                    let ln = ln_moment(alpha, b, q);
                    assert!(ln >= 0.0, "b {b} q {q} α {alpha}: {ln}");
                }
            }
        }
    }
}
