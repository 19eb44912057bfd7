//! Where the answer will be, before any grid exists: cumulants of the loss by quadrature, the tilt, the window.
//!
//! With K(λ) = Σ Tⱼ·ln E e^(λ Lⱼ), the tail of the composed loss beyond ε is governed by the λ with K'(λ) = ε: under masses
//! tilted by e^(λL) the composed loss is centred there with variance K''(λ), so a window of some standard deviations
//! around ε holds all that counts, and round-off is relative to δ instead of to 1.

use ashlar_stats::special::erfcx;

use super::{compose::View, loss::Atom};

/// One kind of step: points of its loss, and how often it runs.
#[derive(Clone, Debug)]
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

/// The tilted mass that may lie beyond each side of the window, ln.
pub(super) const LN_OUTSIDE: f64 = -30.0;
/// A bounded loss is centred at its end once its variance has fallen by this factor: more tilt finds nothing.
const COLLAPSED: f64 = 1e-3;

/// K of independent steps at λ.
pub(super) fn cumulants(steps: &[Sampled], tilt: f64) -> Cumulants {
    let mut total = Cumulants { value: 0.0, mean: 0.0, variance: 0.0 };
    for Sampled { points, steps } in steps {
        let top = points.iter().map(|p| tilt * p.loss).fold(f64::NEG_INFINITY, f64::max);
        // About the loss with most weight, so that a mean of cancelling terms keeps its digits.
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for p in points {
            let weight = p.mass * (tilt * p.loss - top).exp();
            sum += weight;
            first += weight * p.loss;
            second += weight * p.loss * p.loss;
        }
        let mean = first / sum;
        total.value += steps * (sum.ln() + top);
        total.mean += steps * mean;
        total.variance += steps * (second / sum - mean * mean).max(1e-15 * second / sum);
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

/// The tilt for a query, with the cumulants there.
pub(super) fn tilt(steps: &[Sampled], query: Query) -> (f64, Cumulants) {
    let untilted = cumulants(steps, 0.0);
    let unit = 1.0 / untilted.variance.sqrt();
    if !unit.is_finite() {
        return (0.0, untilted);
    }
    // Both functions fall with λ: is λ too small?
    let short = |tilt: f64| {
        let c = cumulants(steps, tilt);
        let open = c.variance > COLLAPSED * untilted.variance;
        open && match query {
            Query::Epsilon { delta } => ln_delta(&c, tilt) > delta.ln(),
            Query::Delta { epsilon } => c.mean < epsilon,
        }
    };
    if !short(0.0) {
        return (0.0, untilted);
    }
    let (mut low, mut high) = (1e-3 * unit, unit);
    while short(high) && high < 1e7 * unit {
        low = high;
        high *= 2.0;
    }
    while high > 1.001 * low {
        let middle = (low * high).sqrt();
        if short(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, cumulants(steps, low))
}

/// A window around the tilted mean that leaves out e^−30 of the tilted mass on either side.
pub(super) fn window(steps: &[Sampled], tilt: f64, here: &Cumulants, ln_outside: f64) -> View {
    let sd = here.variance.sqrt().max(1e-9 * here.mean.abs()).max(f64::MIN_POSITIVE);
    // Chernoff on both sides, with the best of some exponents θ.
    let reach = |sign: f64| {
        (-40..=12)
            .map(|i| 2f64.powf(0.5 * f64::from(i)) / sd)
            .map(|theta| {
                let there = cumulants(steps, tilt + sign * theta).value;
                ((there - here.value - sign * theta * here.mean - ln_outside) / theta, sign * theta)
            })
            .filter(|(width, _)| width.is_finite())
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((40.0 * sd, sign / sd))
    };
    let (left, right) = (reach(-1.0), reach(1.0));
    View {
        tilt,
        centre: here.mean,
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

/// The loss above which a step's mass is at most `mass`; ∞ where the largest loss alone has more.
pub(super) fn quantile_above(points: &[Atom], mass: f64) -> f64 {
    let mut sorted: Vec<&Atom> = points.iter().collect();
    sorted.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    let mut above = 0.0;
    let mut bound = f64::INFINITY;
    for point in sorted {
        above += point.mass;
        if above > mass {
            break;
        }
        bound = point.loss;
    }
    bound
}
