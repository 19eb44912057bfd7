//! The incomplete beta function and its inverse, for parameters up to 1e9 and tails down to the smallest f64.

use super::{HALF_LN_2PI, deviance, ln_gamma, normal_cdf, normal_pdf, normal_quantile, normal_sf, stirling_error};

/// ln B(a, b) = ln Γ(a) + ln Γ(b) − ln Γ(a + b) for a, b > 0, without the cancellation of that sum; NaN otherwise.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && a < f64::INFINITY && b < f64::INFINITY) {
        return f64::NAN;
    }
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    if b < 15.0 {
        return ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    }
    let n = a + b;
    let stirling = (b - 0.5) * (-a / n).ln_1p() - 0.5 * n.ln();
    if a < 15.0 {
        // ln Γ(b) − ln Γ(n) = (b − ½)·ln(b/n) − a·ln n + a + s(b) − s(n)
        return ln_gamma(a) + (b - 0.5) * (-a / n).ln_1p() - a * n.ln() + a + stirling_error(b) - stirling_error(n);
    }
    stirling + (a - 0.5) * (a / n).ln() + HALF_LN_2PI + stirling_error(a) + (stirling_error(b) - stirling_error(n))
}

/// ln C(n, k); −∞ for k > n.
pub fn ln_binomial(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    let k = k.min(n - k);
    if k == 0 {
        return 0.0;
    }
    let (total, chosen, rest) = (n as f64, k as f64, (n - k) as f64);
    if k == 1 {
        return total.ln();
    }
    let entropy = chosen * (total / chosen).ln() - rest * (-chosen / total).ln_1p();
    entropy + stirling_error(total) - stirling_error(chosen) - stirling_error(rest)
        + 0.5 * (total / (chosen * rest)).ln()
        - HALF_LN_2PI
}

/// The regularised incomplete beta function I_x(a, b) = P[Beta(a, b) ≤ x] for a, b > 0, 0 ≤ x ≤ 1; NaN otherwise.
///
/// Cost: O(√max(a, b)) steps near the mean, a few in the tails.
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    beta_inc_pair(a, b, x, 1.0 - x).0
}

/// x with I_x(a, b) = p, for a, b > 0, 0 ≤ p ≤ 1; NaN otherwise.
pub fn beta_inc_inv(a: f64, b: f64, p: f64) -> f64 {
    beta_inc_inv_pair(a, b, p, 1.0 - p).0
}

/// ln of x^a·y^b / B(a, b), y = 1 − x, in Loader's saddle-point form; `gap` is a − (a + b)·x.
fn ln_kernel(a: f64, b: f64, x: f64, y: f64, gap: f64) -> f64 {
    let n = a + b;
    let stirling = stirling_error(n) - stirling_error(a) - stirling_error(b);
    0.5 * (a * (b / n)).ln() - HALF_LN_2PI + stirling - deviance(a, n * x, gap) - deviance(b, n * y, -gap)
}

/// a − (a + b)·x with one rounding, from whichever of x and y = 1 − x is known better.
fn gap(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    if x <= y { (-n).mul_add(x, a) } else { n.mul_add(y, -b) }
}

/// I_x(a, b) and 1 − I_x(a, b), each without cancellation, from x and y = 1 − x.
pub(crate) fn beta_inc_pair(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    let inside = a > 0.0 && b > 0.0 && a < f64::INFINITY && b < f64::INFINITY && (0.0..=1.0).contains(&x);
    if !inside {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    let gap = gap(a, b, x, y);
    if a.min(b) > LARGE {
        return large_pair(a, b, x, y, gap);
    }
    let kernel = ln_kernel(a, b, x, y, gap).exp();
    if gap >= 0.0 {
        let low = probability(kernel / fraction(a, b, x, gap));
        (low, 1.0 - low)
    } else {
        let high = probability(kernel / fraction(b, a, y, -gap));
        (1.0 - high, high)
    }
}

/// A tail within [0, 1]; 0 for the NaN that the smallest and largest parameters make of 0·∞.
fn probability(tail: f64) -> f64 {
    if tail > 0.0 { tail.min(1.0) } else { 0.0 }
}

/// Above this for both parameters the continued fraction takes too long, and Temme's expansion is good to 1e-10.
const LARGE: f64 = 1e11;

/// Both tails by the first two terms of Temme's uniform expansion (1992): Φ(w) + φ(w)·(1/w − 1/v) with w the signed root of
/// the deviance and v = (x − x₀)·√(n/x₀y₀), x₀ = a/n; near the mean the difference is (y₀ − x₀)/(3√(n·x₀y₀)).
fn large_pair(a: f64, b: f64, x: f64, y: f64, gap: f64) -> (f64, f64) {
    let n = a + b;
    let w = (2.0 * (deviance(a, n * x, gap) + deviance(b, n * y, -gap))).sqrt().copysign(-gap);
    if w.is_nan() || w.abs() > 1e3 {
        return if gap > 0.0 { (0.0, 1.0) } else { (1.0, 0.0) };
    }
    let correction = normal_pdf(w) * (b - a) / n / (3.0 * (a * (b / n)).sqrt());
    ((normal_cdf(w) + correction).clamp(0.0, 1.0), (normal_sf(w) - correction).clamp(0.0, 1.0))
}

/// DiDonato and Morris's continued fraction (ACM TOMS 18, 1992, eq. 9) for x ≤ a/(a + b), by Lentz's method:
/// I_x(a, b) = kernel / fraction.
fn fraction(a: f64, b: f64, x: f64, gap: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut value = a * (gap + 1.0) / (a + 1.0);
    let (mut c, mut d) = (value, 0.0);
    for i in 1..2_000_000_u32 {
        let m = f64::from(i);
        let between = a + 2.0 * m - 1.0;
        let above = (a + m - 1.0) / between * ((a + b + m - 1.0) / between) * m * (b - m) * x * x;
        let below = m + m * (b - m) * x / between + (a + m) * (gap + 1.0 + m * (2.0 - x)) / (a + 2.0 * m + 1.0);
        d = below + above * d;
        if d == 0.0 {
            d = TINY;
        }
        c = below + above / c;
        if c == 0.0 {
            c = TINY;
        }
        d = 1.0 / d;
        let step = c * d;
        value *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

/// x and 1 − x with I_x(a, b) = p, from p and q = 1 − p, each accurate where it is small.
///
/// Newton's method on ln I (or ln(1 − I), whichever is smaller) in t = ln(x/(1 − x)). There the derivative of I is the
/// kernel, and ln I is concave because the density of t is log-concave: from the second step on, the iterates approach
/// the root from the left. They start where the leading term x^a/(a·B(a, b)) is p, or at the mean.
pub(crate) fn beta_inc_inv_pair(a: f64, b: f64, p: f64, q: f64) -> (f64, f64) {
    let inside = a > 0.0 && b > 0.0 && a < f64::INFINITY && b < f64::INFINITY && (0.0..=1.0).contains(&p);
    if !inside {
        return (f64::NAN, f64::NAN);
    }
    if p == 0.0 {
        return (0.0, 1.0);
    }
    if q <= 0.0 {
        return (1.0, 0.0);
    }
    if p > q {
        let (y, x) = beta_inc_inv_pair(b, a, q, p);
        return (x, y);
    }
    let goal = p.ln();
    if a.min(b) > LARGE {
        // Newton's steps start at the normal approximation; anything farther underflows.
        let t = (a / b).ln() + normal_quantile(p) * (1.0 / a + 1.0 / b).sqrt();
        return newton(a, b, goal, t);
    }
    let leading = (goal + a.ln() + ln_beta(a, b)) / a;
    let mut t = (a / b).ln();
    if leading < -std::f64::consts::LN_2 {
        t = t.min(leading - (-leading.exp()).ln_1p());
    }
    newton(a, b, goal, t)
}

/// The steps of [`beta_inc_inv_pair`] from t, p = e^goal ≤ ½.
fn newton(a: f64, b: f64, goal: f64, mut t: f64) -> (f64, f64) {
    for _ in 0..200 {
        let (x, y) = logistic_pair(t);
        if x == 0.0 {
            break;
        }
        let gap = gap(a, b, x, y);
        let ln_kernel = ln_kernel(a, b, x, y, gap);
        let (value, slope) = if a.min(b) > LARGE {
            let low = large_pair(a, b, x, y, gap).0;
            (low.ln(), ln_kernel.exp() / low)
        } else if gap >= 0.0 {
            let fraction = fraction(a, b, x, gap);
            (ln_kernel - fraction.ln(), fraction)
        } else {
            let low = 1.0 - ln_kernel.exp() / fraction(b, a, y, -gap);
            (low.ln(), ln_kernel.exp() / low)
        };
        let step = (goal - value) / slope;
        if !step.is_finite() {
            break;
        }
        t += step;
        if step.abs() <= 4.0 * f64::EPSILON * t.abs().max(1e-3) {
            break;
        }
    }
    logistic_pair(t)
}

/// 1/(1 + e^(−t)) and its complement.
fn logistic_pair(t: f64) -> (f64, f64) {
    (1.0 / (1.0 + (-t).exp()), 1.0 / (1.0 + t.exp()))
}
