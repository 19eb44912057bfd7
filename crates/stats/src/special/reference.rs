//! Tails of the distributions that tests refer to: χ² and Student's t.

use super::{HALF_LN_2PI, beta_inc_inv_pair, beta_inc_pair, deviance, stirling_error};

/// P[χ²(dof) > x] for dof > 0: 1 for x ≤ 0, NaN for a dof that is not positive and finite.
pub fn chi_squared_sf(x: f64, dof: f64) -> f64 {
    if x.is_nan() || !(dof > 0.0 && dof < f64::INFINITY) {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let (a, x) = (dof / 2.0, x / 2.0);
    // x^a·e^(−x)/Γ(a + 1), in Loader's form.
    let kernel = (-stirling_error(a) - deviance(a, x, a - x) - HALF_LN_2PI).exp() / a.sqrt();
    if x < a + 1.0 {
        1.0 - (kernel * lower_series(a, x)).min(1.0)
    } else {
        (kernel * a * upper_fraction(a, x)).min(1.0)
    }
}

/// Σ_k x^k / ((a+1)…(a+k)).
fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, a);
    while term > sum * f64::EPSILON * 0.5 {
        k += 1.0;
        term *= x / k;
        sum += term;
    }
    sum
}

/// Γ(a, x)·e^x·x^(−a) by Legendre's continued fraction (DLMF 8.9.2, even part) in Lentz's form.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut value = d;
    for i in 1..1_000_000_u32 {
        let i = f64::from(i);
        let above = -i * (i - a);
        b += 2.0;
        d = 1.0 / (above * d + b);
        c = b + above / c;
        let step = c * d;
        value *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

/// P[T ≤ t] for Student's t with dof > 0 degrees of freedom; NaN for any other dof.
pub fn student_t_cdf(t: f64, dof: f64) -> f64 {
    if t.is_nan() || !(dof > 0.0 && dof < f64::INFINITY) {
        return f64::NAN;
    }
    if t.is_infinite() {
        return if t > 0.0 { 1.0 } else { 0.0 };
    }
    // P[|T| > t] = I_x(dof/2, ½) at x = dof/(dof + t²).
    let ratio = t / dof.sqrt();
    let square = ratio * ratio;
    let (outside, inside) = beta_inc_pair(dof / 2.0, 0.5, 1.0 / (1.0 + square), square / (1.0 + square));
    if t > 0.0 { if outside < 0.5 { 1.0 - 0.5 * outside } else { 0.5 + 0.5 * inside } } else { 0.5 * outside }
}

/// The p-quantile of Student's t with dof > 0: −∞ at 0, ∞ at 1, NaN outside.
pub fn student_t_quantile(p: f64, dof: f64) -> f64 {
    let inside = (0.0..=1.0).contains(&p) && dof > 0.0 && dof < f64::INFINITY;
    if !inside {
        return f64::NAN;
    }
    let tail = p.min(1.0 - p);
    let (x, y) = beta_inc_inv_pair(dof / 2.0, 0.5, 2.0 * tail, (1.0 - 2.0 * p).abs());
    let size = (dof * y / x).sqrt();
    if p < 0.5 { -size } else { size }
}
