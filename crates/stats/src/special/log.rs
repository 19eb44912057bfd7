//! Sums and differences of numbers that are known by their logarithms.

/// ln(1 − eˣ) for x ≤ 0, accurate at both ends; −∞ at 0, NaN above.
pub fn ln_1m_exp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// ln(eᵃ + eᵇ), without overflow; −∞ stands for 0.
pub fn ln_add_exp(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if high.is_infinite() { high } else { high + (low - high).exp().ln_1p() }
}

/// ln(eᵃ − eᵇ) for a ≥ b: −∞ where they are equal, NaN where a < b.
pub fn ln_sub_exp(a: f64, b: f64) -> f64 {
    if a == b {
        f64::NEG_INFINITY
    } else if b == f64::NEG_INFINITY || (a == f64::INFINITY && b < a) {
        a
    } else {
        a + ln_1m_exp(b - a)
    }
}

/// ln Σ eˣ, without overflow; −∞ of nothing, NaN if any term is NaN.
pub fn ln_sum_exp(x: &[f64]) -> f64 {
    if x.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high.is_infinite() { high } else { high + x.iter().map(|v| (v - high).exp()).sum::<f64>().ln() }
}
