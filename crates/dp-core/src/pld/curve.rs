//! δ as a function of ε from composed masses, and what is known about the masses that a window does not show.

use super::{
    compose::{Part, Side, View},
    grid::Pmf,
    loss::QUADRATURE_ERROR,
};

/// δ as a function of ε, for part of the composed losses.
#[derive(Debug)]
pub(super) struct Curve {
    side: Side,
    step: f64,
    first: f64,
    /// δ at each loss l of the grid.
    deltas: Vec<f64>,
    /// Σ p·e^(l − l') over the losses l' ≥ l: between l − h and l, δ is linear in e^ε.
    weights: Vec<f64>,
    /// What round-off does to a mass, times e^(−tilt·(l − centre)).
    noise: f64,
    /// At most this times e^(−tilt·(ε − centre)) of δ is mass folded into the window.
    folded: f64,
    tilt: f64,
    centre: f64,
    /// Error of a loss.
    shift: f64,
    /// Where a lower bound is largest, and its value there.
    peak: (usize, f64),
}

/// What a composition knows about its masses.
pub(super) struct Sums {
    /// ln of what the tilted masses are to be multiplied with, at loss 0.
    pub ln_scale: f64,
    pub noise: f64,
    pub outside: Outside,
}

/// Chernoff's bound on the mass beyond each side of a window: several exponents, because a grid's own moments are those
/// of a slightly wider loss.
pub(super) struct Outside {
    /// Exponent relative to the tilt, and ln of the moment ratio.
    sides: [Vec<(f64, f64)>; 2],
}

impl Outside {
    pub(super) fn new(view: &View) -> Self {
        let exponents = |bound: f64| (0..5).map(|i| ((bound - view.tilt) * 0.25_f64.powi(i), 0.0)).collect();
        Self { sides: [exponents(view.bounds.0), exponents(view.bounds.1)] }
    }

    /// Takes in `steps` of a grid whose ln moment at the tilt is `own`.
    pub(super) fn add(&mut self, pmf: &Pmf, masses: &[f64], tilt: f64, own: f64, steps: f64) {
        for (theta, sum) in self.sides.iter_mut().flatten() {
            *sum += steps * (ln_moment(pmf, masses, tilt + *theta) - own);
        }
    }

    /// Bounds on the masses below `first` and above `last`.
    fn at(&self, first: f64, last: f64) -> (f64, f64) {
        let least = |side: usize, edge: f64| {
            self.sides[side]
                .iter()
                .map(|(theta, sum)| (sum - theta * edge).exp())
                .fold(f64::INFINITY, f64::min)
                .min(1.0)
        };
        (least(0, first), least(1, last))
    }
}

/// Losses of points and labels of a composition.
struct Labels {
    origin: f64,
    shift: f64,
    steps: f64,
}

impl Labels {
    fn new(parts: &[Part]) -> Self {
        let mut labels = Self { origin: 0.0, shift: 0.0, steps: 0.0 };
        for Part { pmf, steps, .. } in parts {
            let t = *steps as f64;
            labels.origin += t * pmf.grid.origin;
            labels.steps += t;
            // Four roundings of a loss, and what its grid says.
            labels.shift += t * (pmf.shift + 4.0 * f64::EPSILON * (pmf.grid.origin.abs() + pmf.grid.step));
        }
        labels
    }
}

impl Curve {
    /// δ(ε) of one step: nothing to compose, nothing folded, no round-off.
    pub(super) fn single(part: &Part, side: Side) -> Self {
        let Part { pmf, .. } = part;
        let first = pmf.grid.origin + pmf.first as f64 * pmf.grid.step;
        let last = first + (pmf.mass.len() as f64 - 1.0) * pmf.grid.step;
        let view = View { tilt: 0.0, window: (first + 0.5 * pmf.grid.step, last), bounds: (0.0, 0.0), centre: 0.0 };
        // One empty point on either side: beyond the last δ is 0 but for what is infinite.
        let mut mass = Vec::with_capacity(pmf.mass.len() + 1);
        mass.extend_from_slice(&pmf.mass);
        mass.push(0.0);
        let start = pmf.first.rem_euclid(mass.len() as i64) as usize;
        mass.rotate_right(start);
        let sums = Sums {
            ln_scale: 0.0,
            noise: 0.0,
            outside: Outside { sides: [vec![(0.0, f64::NEG_INFINITY)], vec![(0.0, f64::NEG_INFINITY)]] },
        };
        Self::new(std::slice::from_ref(part), &view, mass, sums, side)
    }

    /// Walks down from the largest loss: δ(l − h) = δ(l) + (1 − e^(−h))·Σ_{l' ≥ l} p(l')·e^(l − l'), all terms positive.
    pub(super) fn new(parts: &[Part], view: &View, mut mass: Vec<f64>, sums: Sums, side: Side) -> Self {
        let labels = Labels::new(parts);
        let n = mass.len();
        let step = parts.first().map_or(1.0, |part| part.pmf.grid.step);
        let start = ((view.window.0 - labels.origin) / step).floor();
        let first = labels.origin + start * step;
        let last = first + (n as f64 - 1.0) * step;
        mass.rotate_left((start as i64).rem_euclid(n as i64) as usize);

        let View { tilt, centre, .. } = *view;
        let slack = labels.steps * QUADRATURE_ERROR * if side == Side::Upper { 1.0 } else { -1.0 };
        let scale = (sums.ln_scale - tilt * centre + slack).exp();
        let outside = sums.outside.at(first, last);
        // Beyond the window all of it counts; what was folded in is no mass at its place.
        let (mut above, folded) = match side {
            Side::Upper => (scale * outside.1 * (-tilt * (last - centre)).exp(), 0.0),
            Side::Lower => (0.0, scale * (outside.0 + outside.1)),
        };
        // Errors of different masses add up as independent ones do; none counts for more than 1 − e^(first − last).
        let noise = sums.noise * -(first - last).exp_m1();
        let mut squares: f64 = 0.0;
        let keep = (-step).exp();
        let lose = -(-step).exp_m1();
        let mut weight = 0.0;
        let fall = (tilt * step).exp();
        let mut factor = 1.0;
        // Afresh so often that a factor that was nothing far right is no longer when it counts.
        let every = if tilt * step < 1.0 { 64 } else { 1 };
        let mut deltas = vec![0.0; n];
        // Errors of a lower bound grow to the left, δ as well: what holds at a loss holds for every smaller ε.
        let mut peak = (0, 0.0);
        // The masses' memory takes the weights.
        for (i, (mass, at)) in mass.iter_mut().zip(&mut deltas).enumerate().rev() {
            if (n - 1 - i).is_multiple_of(every) {
                factor = (-tilt * (first + i as f64 * step - centre)).exp() * scale;
            }
            if side == Side::Lower && i + 1 < n {
                // Mass folded in is at most `folded`·factor/scale.
                let value = above - noise * squares.sqrt() - (outside.0 + outside.1) * factor;
                if value.is_finite() && value > peak.1 {
                    peak = (i, value);
                }
            }
            weight *= keep;
            // 0·∞ and noise·∞ far left of where a result can lie.
            if *mass != 0.0 {
                weight += *mass * factor;
            }
            squares += factor * factor;
            factor *= fall;
            (*at, *mass) = (above, weight);
            above += weight * lose;
        }
        let shift = labels.shift + 8.0 * f64::EPSILON * (first.abs() + last.abs());
        Self { side, step, first, deltas, weights: mass, noise: noise * scale, folded, tilt, centre, shift, peak }
    }

    /// The largest loss of the window.
    pub(super) fn last(&self) -> f64 {
        self.first + (self.deltas.len() as f64 - 1.0) * self.step
    }

    /// A bound on δ at ε, from the curve's own side.
    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        let upper = self.side == Side::Upper;
        let epsilon = if upper { epsilon - self.shift } else { epsilon + self.shift };
        let place = (epsilon - self.first) / self.step;
        if upper && place < 0.0 {
            return 1.0;
        }
        if !upper && place <= self.peak.0 as f64 {
            return self.peak.1;
        }
        if place >= self.deltas.len() as f64 - 1.0 {
            return if upper {
                self.deltas.last().map_or(1.0, |delta| if delta.is_finite() { *delta } else { 1.0 })
            } else {
                0.0
            };
        }
        // Where numbers have run out (0·∞, −∞ for a rounding below 0), nothing is bounded.
        match (self.value(epsilon, place), upper) {
            (value, _) if value.is_finite() => value,
            (_, true) => 1.0,
            (_, false) => 0.0,
        }
    }

    fn value(&self, epsilon: f64, place: f64) -> f64 {
        // The point above ε.
        let i = (place.floor() as usize + 1).min(self.deltas.len() - 1);
        let inside = (self.first + i as f64 * self.step - epsilon).clamp(0.0, self.step);
        let value = self.deltas[i] - self.weights[i] * (-inside).exp_m1();
        let noise = self.noise_from(i);
        match self.side {
            Side::Upper => value + noise,
            Side::Lower => {
                let folded =
                    if self.folded > 0.0 { self.folded * (-self.tilt * (epsilon - self.centre)).exp() } else { 0.0 };
                (value - noise - folded).max(0.0)
            }
        }
    }

    /// Bound on what round-off does to δ at a point: √Σ of the squared errors of the masses from there on.
    fn noise_from(&self, i: usize) -> f64 {
        if self.noise == 0.0 {
            return 0.0;
        }
        // A geometric sum, from the end where errors are largest.
        let count = (self.deltas.len() - i) as f64;
        let fall = -2.0 * (self.tilt * self.step).abs();
        let sum = if fall == 0.0 { count } else { (fall * count).exp_m1() / fall.exp_m1() };
        let largest = if self.tilt < 0.0 { self.last() } else { self.first + i as f64 * self.step };
        let factor = (-self.tilt * (largest - self.centre)).exp();
        self.noise * factor * sum.sqrt()
    }
}

/// ln Σ p·e^(tilt·l) over losses first, first + 1, ….
pub(super) fn ln_moment(pmf: &Pmf, masses: &[f64], tilt: f64) -> f64 {
    let n = masses.len();
    if n == 0 {
        return f64::NEG_INFINITY;
    }
    let at = |k: usize| pmf.grid.origin + (pmf.first + k as i64) as f64 * pmf.grid.step;
    let (a, b) = (tilt * at(0), tilt * at(n - 1));
    let from_end = b >= a;
    // Factors fall geometrically from the end with the largest; computed afresh now and then against drift.
    let slope = (tilt * pmf.grid.step).abs();
    let ratio = (-slope).exp();
    let (mut sum, mut factor) = (0.0, 1.0);
    for i in 0..n {
        if i.is_multiple_of(64) {
            factor = (-slope * i as f64).exp();
            if factor == 0.0 {
                break;
            }
        }
        sum += factor * masses[if from_end { n - 1 - i } else { i }];
        factor *= ratio;
    }
    sum.ln() + a.max(b)
}
