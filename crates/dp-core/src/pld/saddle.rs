//! Where the answer will be, before any grid exists: cumulants of the loss by quadrature, the tilt, the domain.
//!
//! With K(λ) = Σ Tⱼ·ln E e^(λ Lⱼ), the tail of the composed loss beyond ε is governed by the λ with K'(λ) = ε: under masses
//! tilted by e^(λL) the composed loss is centred there with variance K''(λ), so a window of some standard deviations
//! around ε holds all that counts, and round-off is relative to δ instead of to 1.

use ashlar_stats::special::erfcx;

use super::loss::Atom;

/// One kind of step: points of its loss, and how often it runs.
#[derive(Debug)]
pub(super) struct Sampled {
    pub points: Vec<Atom>,
    pub steps: f64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Query {
    /// ε at this δ.
    Epsilon { delta: f64 },
    /// δ at this ε.
    Delta { epsilon: f64 },
}

/// K and its first two derivatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cumulants {
    pub value: f64,
    pub mean: f64,
    pub variance: f64,
}

/// The tilt and what it implies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saddle {
    pub tilt: f64,
    pub cumulants: Cumulants,
    /// The tilts that bound the tails of the tilted loss to the left and to the right of the window.
    pub bounds: (f64, f64),
    /// The losses outside of which less than `OUTSIDE` of the tilted mass lies.
    pub window: (f64, f64),
}

/// ln of the tilted mass that may lie beyond each side of the window.
const LN_OUTSIDE: f64 = -30.0;

/// K of independent steps at λ.
pub(super) fn cumulants(steps: &[Sampled], tilt: f64) -> Cumulants {
    let mut total = Cumulants { value: 0.0, mean: 0.0, variance: 0.0 };
    for Sampled { points, steps } in steps {
        let top = points.iter().map(|p| tilt * p.loss).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut first) = (0.0, 0.0);
        for p in points {
            let weight = p.mass * (tilt * p.loss - top).exp();
            sum += weight;
            first += weight * p.loss;
        }
        let mean = first / sum;
        let second: f64 = points.iter().map(|p| p.mass * (tilt * p.loss - top).exp() * (p.loss - mean).powi(2)).sum();
        total.value += steps * (sum.ln() + top);
        total.mean += steps * mean;
        total.variance += steps * second / sum;
    }
    total
}

/// ln δ at ε = K'(λ), as if the tilted loss were normal (exact for Gaussians).
fn ln_delta(c: &Cumulants, tilt: f64) -> f64 {
    let sd = c.variance.sqrt();
    let tail = |y: f64| 0.5 * erfcx(y * std::f64::consts::FRAC_1_SQRT_2);
    let y = tilt * sd;
    let difference = if sd < 1e-3 { sd * (0.398_942_280_401_432_7 - y * tail(y)) } else { tail(y) - tail(y + sd) };
    c.value - tilt * c.mean + difference.max(1e-300).ln()
}

/// The tilt for a query.
pub(super) fn saddle(steps: &[Sampled], query: Query) -> Saddle {
    // Both functions fall with λ: is λ too small?
    let short = |tilt: f64, c: &Cumulants| match query {
        Query::Epsilon { delta } => ln_delta(c, tilt) > delta.ln(),
        Query::Delta { epsilon } => c.mean < epsilon,
    };
    let untilted = cumulants(steps, 0.0);
    let mut tilt = 0.0;
    if short(0.0, &untilted) && untilted.variance > 0.0 {
        let unit = 1.0 / untilted.variance.sqrt();
        let (mut low, mut high) = (1e-3 * unit, unit);
        while short(high, &cumulants(steps, high)) && high < 1e7 * unit {
            low = high;
            high *= 2.0;
        }
        for _ in 0..30 {
            let middle = (low * high).sqrt();
            if short(middle, &cumulants(steps, middle)) {
                low = middle
            } else {
                high = middle
            }
            if high < 1.001 * low {
                break;
            }
        }
        tilt = low;
    }
    let here = cumulants(steps, tilt);
    let sd = here.variance.sqrt().max(1e-9 * here.mean.abs()).max(f64::MIN_POSITIVE);
    // Chernoff on both sides, with the best of some exponents θ.
    let reach = |sign: f64| {
        (-8..=12)
            .map(|i| 2f64.powf(0.5 * f64::from(i)) / sd)
            .map(|theta| {
                let there = cumulants(steps, tilt + sign * theta).value;
                ((there - here.value - sign * theta * here.mean - LN_OUTSIDE) / theta, sign * theta)
            })
            .filter(|(width, _)| width.is_finite())
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((40.0 * sd, sign / sd))
    };
    let (left, right) = (reach(-1.0), reach(1.0));
    Saddle {
        tilt,
        cumulants: here,
        bounds: (tilt + left.1, tilt + right.1),
        window: (here.mean - left.0, here.mean + right.0),
    }
}

/// By how much one bin width spreads the tilted losses: Σ Tⱼ·E min(|L|·h, h²/6), the variance that a pessimistic grid adds.
pub(super) fn spread(steps: &[Sampled], tilt: f64, h: f64) -> f64 {
    steps
        .iter()
        .map(|Sampled { points, steps }| {
            let top = points.iter().map(|p| tilt * p.loss).fold(f64::NEG_INFINITY, f64::max);
            let (mut sum, mut spread) = (0.0, 0.0);
            for p in points {
                let weight = p.mass * (tilt * p.loss - top).exp();
                sum += weight;
                spread += weight * (p.loss.abs() * h).min(h * h / 6.0);
            }
            steps * spread / sum
        })
        .sum()
}
