//! Rényi moments of the Poisson-sampled Gaussian mechanism.
//!
//! A_α = E_{z~N(0,σ²)}[((1−q) + q e^{(2z−1)/(2σ²)})^α] and ε_RDP(α) = ln A_α/(α−1) (Mironov, Talwar and Zhang,
//! "Rényi Differential Privacy of the Sampled Gaussian Mechanism", 2019, sections 3.1 to 3.3).
//!
//! - Integer α: the binomial sum, as Σ_{k≥2} C(α,k)(1−q)^{α−k} q^k (e^{(k²−k)/(2σ²)} − 1) = A_α − 1, all terms
//!   positive, so that moments near 1 keep their digits.
//! - Other α: the paper's two series, split at z₀ = σ² ln(1/q−1) + ½, with the sign of each binomial coefficient.
//!   (dp_accounting 0.6.0 adds their absolute values: still a bound, but a loose one, and it gives up orders whose
//!   series it can't finish.) Their terms fall like i^{−α−2} only; where the last one, or the rounding, is not small
//!   beside A_α − 1, the integral is computed instead.

use ashlar_stats::special::{ln_add_exp, ln_normal_cdf};

use super::moment::{excess, integrate, ln_mixture, ln_moment_of, minkowski};

/// Above this many terms the integral is cheaper than a sum.
const MAX_TERMS: u32 = 512;
/// What the series may lose, relative to A_α − 1.
const SERIES_LOSS: f64 = 1e-10;

/// ln A_α for α > 1, σ > 0, 0 < q ≤ 1.
pub(super) fn ln_moment(order: f64, sigma: f64, q: f64) -> f64 {
    if q >= 1.0 {
        return order * (order - 1.0) / 2.0 / sigma / sigma;
    }
    // ‖e^L‖_α = e^{(α−1)/(2σ²)}.
    let (bound, tight) = minkowski(order, q, (order - 1.0) / 2.0 / sigma / sigma);
    if tight {
        return bound;
    }
    if order.fract() == 0.0 && order <= 4096.0 {
        return binomial_sum(order as u32, sigma, q);
    }
    series(order, sigma, q).unwrap_or_else(|| integral(order, sigma, q))
}

/// Integer orders.
fn binomial_sum(order: u32, sigma: f64, q: f64) -> f64 {
    let alpha = f64::from(order);
    let (ln_q, ln_not_q) = (q.ln(), (-q).ln_1p());
    let mut ln_choose = alpha.ln(); // C(α, 1)
    let mut ln_excess = f64::NEG_INFINITY;
    for k in 2..=order {
        let k = f64::from(k);
        ln_choose += ((alpha - k + 1.0) / k).ln();
        let exponent = k * (k - 1.0) / 2.0 / sigma / sigma;
        let ln_growth = if exponent > 36.0 { exponent } else { exponent.exp_m1().ln() };
        ln_excess = ln_add_exp(ln_excess, ln_choose + (alpha - k) * ln_not_q + k * ln_q + ln_growth);
    }
    ln_moment_of(ln_excess)
}

/// Fractional orders by the signed series; nothing where it converges too slowly or cancels.
fn series(alpha: f64, sigma: f64, q: f64) -> Option<f64> {
    let (ln_q, ln_not_q) = (q.ln(), (-q).ln_1p());
    let split = sigma * sigma * (ln_not_q - ln_q) + 0.5;
    if alpha > f64::from(MAX_TERMS) / 2.0 || !split.is_finite() {
        return None;
    }
    let growth = |k: f64| k * (k - 1.0) / 2.0 / sigma / sigma;
    let mut terms: Vec<f64> = Vec::new(); // ln |term|, two an index
    let mut signs: Vec<f64> = Vec::new();
    let (mut ln_choose, mut sign) = (0.0_f64, 1.0);
    let mut largest = f64::NEG_INFINITY;
    for i in 0..MAX_TERMS {
        let i = f64::from(i);
        let j = alpha - i;
        // Below the split the mixture is about 1 − q, above it about q e^{…}.
        let below = ln_choose + i * ln_q + j * ln_not_q + growth(i) + ln_normal_cdf((split - i) / sigma);
        let above = ln_choose + j * ln_q + i * ln_not_q + growth(j) + ln_normal_cdf((j - split) / sigma);
        terms.extend([below, above]);
        signs.extend([sign, sign]);
        largest = largest.max(below).max(above);
        if i > alpha && below.max(above) < largest - 37.0 {
            break;
        }
        ln_choose += (j.abs() / (i + 1.0)).ln();
        if j < 0.0 {
            sign = -sign;
        }
    }
    if !largest.is_finite() {
        return None;
    }
    let last = (terms[terms.len() - 2].max(terms[terms.len() - 1]) - largest).exp();
    let scaled: f64 = terms.iter().zip(&signs).map(|(ln, sign)| sign * (ln - largest).exp()).sum();
    let magnitude: f64 = terms.iter().map(|ln| (ln - largest).exp() * (1.0 + ln.abs())).sum();
    let ln_moment = largest + scaled.ln();
    // The sum is good to `loss` (relative); ln A needs that relative to itself.
    let loss = (last + 4.0 * f64::EPSILON * magnitude) / scaled;
    (scaled > 0.0 && loss <= SERIES_LOSS * ln_moment.min(1.0)).then_some(ln_moment)
}

/// The integral, for any α > 1: in units of σ, with the moment's excess over 1 as integrand.
fn integral(alpha: f64, sigma: f64, q: f64) -> f64 {
    let loss = |x: f64| x / sigma - 0.5 / sigma / sigma;
    // ln of the power's density, whose modes lie between 0 and α/σ: x = (α/σ)·p(x), p the share of the shifted part.
    let ln_density = |x: f64| alpha * ln_mixture(q, loss(x)) - 0.5 * x * x;
    let share = |x: f64| (q.ln() + loss(x) - ln_mixture(q, loss(x))).exp().min(1.0);
    let (mut low, mut high) = (0.0, alpha / sigma);
    for _ in 0..60 {
        low = alpha / sigma * share(low);
        high = alpha / sigma * share(high);
    }
    let scale = ln_density(low).max(ln_density(high)).max(0.0);
    // Half-widths: the power's modes are at least as wide as the normal's; the split's own width is σ.
    let split = sigma * ((-q).ln_1p() - q.ln()) + 0.5 / sigma;
    let end = alpha.max(2.0) / sigma + 12.0;
    let mut breaks = vec![-12.0, end];
    for (centre, width) in [(0.0, 4.0), (low, 4.0), (high, 4.0), (2.0 / sigma, 4.0), (split, 4.0 * sigma)] {
        breaks.extend([centre - width, centre, centre + width]);
    }
    breaks.retain(|x| (-12.0..=end).contains(x));
    let found = integrate(|x| excess(q, loss(x), alpha, scale + 0.5 * x * x), &mut breaks);
    ln_moment_of(scale + found.ln() - 0.5 * std::f64::consts::TAU.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, rel: f64) -> bool {
        (a - b).abs() <= rel * a.abs().max(b.abs())
    }

    #[test]
    fn the_three_ways_agree_on_integer_orders() {
        for &sigma in &[0.3, 0.7, 1.0, 3.0, 50.0, 1e3] {
            for &q in &[1e-6, 1e-3, 0.01, 0.3, 0.9, 0.999] {
                for &order in &[2_u32, 3, 8, 40, 200] {
                    let sum = binomial_sum(order, sigma, q);
                    let by_integral = integral(f64::from(order), sigma, q);
                    assert!(close(sum, by_integral, 1e-9), "σ {sigma} q {q} α {order}: {sum} {by_integral}");
                }
            }
        }
    }

    #[test]
    fn the_signed_series_agrees_with_the_integral_where_it_is_taken() {
        let mut taken = 0;
        for &sigma in &[0.5, 1.0, 3.0, 10.0] {
            for &q in &[1e-3, 0.01, 0.08, 0.3, 0.9] {
                for &alpha in &[1.1, 1.5, 2.3, 3.4, 7.8, 10.9, 33.3] {
                    let by_integral = integral(alpha, sigma, q);
                    if let Some(sum) = series(alpha, sigma, q) {
                        taken += 1;
                        assert!(close(sum, by_integral, 1e-8), "σ {sigma} q {q} α {alpha}: {sum} {by_integral}");
                    }
                }
            }
        }
        assert!(taken > 30, "{taken}");
    }

    #[test]
    fn a_full_batch_is_the_limit_of_large_sample_rates() {
        let near = integral(3.7, 2.0, 1.0 - 1e-9);
        assert!(close(near, ln_moment(3.7, 2.0, 1.0), 1e-7), "{near}");
    }

    #[test]
    fn extreme_settings_give_numbers() {
        for sigma in [1e-300, 1e-9, 1e-3, 1e6, 1e300] {
            for q in [1e-300, 1e-12, 0.5, 1.0 - f64::EPSILON, 1.0] {
                for alpha in [1.011, 1.5, 2.0, 63.0, 1e6] {
                    let ln = ln_moment(alpha, sigma, q);
                    assert!(ln >= 0.0, "σ {sigma} q {q} α {alpha}: {ln}");
                }
            }
        }
    }
}
