//! Composition by Fourier transforms, with its errors on the safe side.
//!
//! Masses p(l) of each step become p(l)·e^(λl)/M(λ); the product of their transforms, each to the power of its steps, is
//! the transform of the composed masses, which are read in a window around the tilted mean ([`body`]). What the circular
//! transform folds into the window only adds to masses. The bounds take three errors into account: round-off of the
//! transforms (a bound on the error of every mass), mass outside the window (Chernoff's bound with each grid's own
//! moments), and masses cut off a step.
//!
//! A tilt is no help where one rare large loss brings the sum to ε (small q): e^(λl) then favours losses far beyond ε.
//! There the largest losses of each step, with mass about δ, are set aside. Sums without any of them are composed with a
//! tilt; for sums with at least one ([`jumps`]), B and A the transforms of the rest and of these losses, (A + B)^T − B^T is
//! formed by pairs (Bⁿ, (A + B)ⁿ − Bⁿ) without a difference of numbers near 1, so that round-off is relative to T·A.

use ashlar_stats::fft::{Complex, RealFft};

use super::{grid::Pmf, loss::QUADRATURE_ERROR};
use crate::Result;

/// Which error is on the safe side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Upper,
    Lower,
}

/// A step's masses on a grid; those from `split` on are set aside as rare large losses.
#[derive(Debug)]
pub(super) struct Part {
    pub pmf: Pmf,
    pub steps: u64,
    pub split: usize,
}

/// Where to look at a composed loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// λ.
    pub tilt: f64,
    /// Losses that the window holds.
    pub window: (f64, f64),
    /// Exponents of Chernoff's bound on what lies left and right of the window.
    pub bounds: (f64, f64),
    /// A loss at which scaled masses are of order 1.
    pub centre: f64,
}

/// δ as a function of ε, for part of the composed losses.
#[derive(Debug)]
pub(super) struct Curve {
    side: Side,
    step: f64,
    first: f64,
    points: Vec<Point>,
    /// At most this times e^(−tilt·(ε − centre)) of δ is mass folded into the window.
    folded: f64,
    tilt: f64,
    centre: f64,
    /// Error of a loss.
    shift: f64,
    /// Where a lower bound is largest, and its value there.
    peak: (usize, f64),
}

/// δ near one loss l of the grid: between l − h and l, it is linear in e^ε.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// δ at l.
    delta: f64,
    /// Σ p·e^(l − l') over the losses l' ≥ l.
    weight: f64,
    /// Bound on what round-off does to both.
    noise: f64,
}

/// ln Σ p·e^(tilt·l) over losses first, first + 1, ….
fn ln_moment(pmf: &Pmf, masses: &[f64], tilt: f64) -> f64 {
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

/// The transform of p·e^(tilt·l − scale) on a circle.
fn transform(
    pmf: &Pmf,
    range: std::ops::Range<usize>,
    tilt: f64,
    scale: f64,
    fft: &RealFft,
) -> Result<Vec<Complex<f64>>> {
    let n = fft.len();
    let mut x = vec![0.0; n];
    let mut place = (pmf.first + range.start as i64).rem_euclid(n as i64) as usize;
    for k in range {
        let mass = pmf.mass[k];
        if mass > 0.0 {
            let loss = pmf.grid.origin + (pmf.first + k as i64) as f64 * pmf.grid.step;
            x[place] += if tilt == 0.0 { mass } else { mass * (tilt * loss - scale).exp() };
        }
        place = if place + 1 == n { 0 } else { place + 1 };
    }
    Ok(fft.forward(&mut x)?)
}

/// z^n by squaring; 0 where |z|² is below `floor`.
fn power(z: Complex<f64>, n: u64, floor: f64) -> Complex<f64> {
    if z.norm_sqr() < floor {
        return Complex::new(0.0, 0.0);
    }
    let (mut base, mut left, mut result) = (z, n, Complex::new(1.0, 0.0));
    loop {
        if left & 1 == 1 {
            result *= base;
        }
        left >>= 1;
        if left == 0 {
            return result;
        }
        base *= base;
    }
}

/// (bⁿ, (a + b)ⁿ − bⁿ) by squaring, each to its own relative precision.
fn paired_power(b: Complex<f64>, a: Complex<f64>, n: u64, floor: f64) -> (Complex<f64>, Complex<f64>) {
    let zero = Complex::new(0.0, 0.0);
    if b.norm_sqr().max((a + b).norm_sqr()) < floor {
        return (zero, zero);
    }
    let (mut base, mut rest) = (b, a);
    let (mut value, mut change) = (Complex::new(1.0, 0.0), zero);
    let mut left = n;
    loop {
        if left & 1 == 1 {
            change = change * (base + rest) + value * rest;
            value *= base;
        }
        left >>= 1;
        if left == 0 {
            return (value, change);
        }
        rest *= base * 2.0 + rest;
        base *= base;
    }
}

/// |z|² below which z^n is nothing (e^−90).
fn floor(n: u64) -> f64 {
    (-180.0 / n as f64).exp()
}

/// Relative error of a coefficient of a transform of n non-negative values with sum 1, with room.
fn round_off(n: usize) -> f64 {
    f64::EPSILON * 4.0 * (n as f64).log2().max(1.0)
}

/// Error of each value of the inverse transform, where `errors` is the sum of the squared errors of the coefficients.
/// Errors of different coefficients are taken as independent, with a factor of eight on top of what [`round_off`] allows.
fn noise(product: impl Iterator<Item = Complex<f64>>, errors: f64, n: usize) -> f64 {
    let energy: f64 = product.map(|z| z.norm_sqr()).sum();
    8.0 * ((2.0 * errors).sqrt() + round_off(n) * (2.0 * energy).sqrt()) / n as f64
}

/// Chernoff's bound on the mass beyond each side of a window: several exponents, because a grid's own moments are those
/// of a slightly wider loss.
struct Outside {
    /// Exponent relative to the tilt, and ln of the moment ratio.
    sides: [Vec<(f64, f64)>; 2],
}

impl Outside {
    fn new(view: &View) -> Self {
        let exponents = |bound: f64| (0..5).map(|i| ((bound - view.tilt) * 0.25_f64.powi(i), 0.0)).collect();
        Self { sides: [exponents(view.bounds.0), exponents(view.bounds.1)] }
    }

    /// Takes in `steps` of a grid whose ln moment at the tilt is `own`.
    fn add(&mut self, pmf: &Pmf, masses: &[f64], tilt: f64, own: f64, steps: f64) {
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

/// δ(ε) of the sums without a loss that was set aside.
pub(super) fn body(parts: &[Part], view: &View, fft: &RealFft, side: Side) -> Result<Curve> {
    let n = fft.len();
    let mut product: Vec<Complex<f64>> = Vec::new();
    let mut relative: Vec<f64> = Vec::new();
    let mut outside = Outside::new(view);
    let mut cumulant = 0.0;
    for Part { pmf, steps, split } in parts {
        let t = *steps as f64;
        let masses = &pmf.mass[..*split];
        let own = ln_moment(pmf, masses, view.tilt);
        let spectrum = transform(pmf, 0..*split, view.tilt, own, fft)?;
        let floor = floor(*steps);
        let error = |z: &Complex<f64>| t * round_off(n) / z.norm().max(1e-300);
        if product.is_empty() {
            relative = spectrum.iter().map(error).collect();
            product = spectrum;
            for z in &mut product {
                *z = power(*z, *steps, floor);
            }
        } else {
            for ((total, relative), z) in product.iter_mut().zip(&mut relative).zip(&spectrum) {
                *relative += error(z);
                *total *= power(*z, *steps, floor);
            }
        }
        cumulant += t * own;
        outside.add(pmf, masses, view.tilt, own, t);
    }
    let errors = product.iter().zip(&relative).map(|(z, e)| z.norm_sqr() * e * e).sum();
    drop(relative);
    let noise = noise(product.iter().copied(), errors, n);
    let mass = fft.inverse(&mut product)?;
    drop(product);
    Ok(Curve::new(parts, view, mass, Sums { ln_scale: cumulant, noise, outside }, side))
}

/// δ(ε) of the sums with at least one loss that was set aside. Untilted.
pub(super) fn jumps(parts: &[Part], view: &View, fft: &RealFft, side: Side) -> Result<Curve> {
    let n = fft.len();
    let zero = Complex::new(0.0, 0.0);
    let mut product: Vec<(Complex<f64>, Complex<f64>)> = Vec::new();
    let mut relative = vec![0.0; n / 2 + 1];
    let mut outside = Outside::new(view);
    let (mut weight, mut count) = (0.0, 0.0);
    for Part { pmf, steps, split } in parts {
        let t = *steps as f64;
        let base = transform(pmf, 0..*split, 0.0, 0.0, fft)?;
        let rare = transform(pmf, *split..pmf.mass.len(), 0.0, 0.0, fft)?;
        let floor = floor(*steps);
        if product.is_empty() {
            product = vec![(Complex::new(1.0, 0.0), zero); base.len()];
        }
        for (((value, change), relative), (b, a)) in product.iter_mut().zip(&mut relative).zip(base.iter().zip(&rare)) {
            let (own, own_change) = paired_power(*b, *a, *steps, floor);
            *change = *change * (own + own_change) + *value * own_change;
            *value *= own;
            *relative += t * round_off(n) / (a + b).norm().max(1e-300);
        }
        weight += t * pmf.mass[*split..].iter().sum::<f64>();
        count += t;
        outside.add(pmf, &pmf.mass, 0.0, 0.0, t);
    }
    let error = |((value, change), e): (&(Complex<f64>, Complex<f64>), &f64)| {
        (3.0 * weight * (value.norm() + change.norm()) * e).powi(2)
    };
    let mut errors: f64 = product.iter().zip(&relative).map(error).sum();
    if count <= 8.0 {
        errors += (weight * round_off(n)).powi(2) * product.len() as f64;
    }
    let mut changes: Vec<Complex<f64>> = product.iter().map(|(_, change)| *change).collect();
    drop((product, relative));
    let noise = noise(changes.iter().copied(), errors, n);
    let mass = fft.inverse(&mut changes)?;
    drop(changes);
    Ok(Curve::new(parts, view, mass, Sums { ln_scale: 0.0, noise, outside }, side))
}

/// What a composition knows about its masses.
struct Sums {
    /// ln of what the tilted masses are to be multiplied with, at loss 0.
    ln_scale: f64,
    noise: f64,
    outside: Outside,
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
    fn new(parts: &[Part], view: &View, mut mass: Vec<f64>, sums: Sums, side: Side) -> Self {
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
        let mut squares = 0.0;
        let keep = (-step).exp();
        let lose = -(-step).exp_m1();
        let mut weight = 0.0;
        let fall = (tilt * step).exp();
        let mut factor = 1.0;
        // Afresh so often that a factor that was nothing far right is no longer when it counts.
        let every = if tilt * step < 1.0 { 64 } else { 1 };
        let mut points = vec![Point::default(); n];
        for (i, point) in points.iter_mut().enumerate().rev() {
            if (n - 1 - i).is_multiple_of(every) {
                factor = (-tilt * (first + i as f64 * step - centre)).exp() * scale;
            }
            weight *= keep;
            // 0·∞ and noise·∞ far left of where a result can lie.
            if mass[i] != 0.0 {
                weight += mass[i] * factor;
            }
            squares += factor * factor;
            factor *= fall;
            *point = Point { delta: above, weight, noise: noise * f64::sqrt(squares) };
            above += weight * lose;
        }
        let shift = labels.shift + 8.0 * f64::EPSILON * (first.abs() + last.abs());
        let mut curve = Self { side, step, first, points, folded, tilt, centre, shift, peak: (0, 0.0) };
        if side == Side::Lower {
            // Its errors grow to the left, δ as well: what holds at ε holds for every smaller one.
            let value = |i: usize| (i, curve.value(first + i as f64 * step, i as f64).max(0.0));
            curve.peak = (0..n - 1).map(value).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
        }
        curve
    }

    /// The largest loss of the window.
    pub(super) fn last(&self) -> f64 {
        self.first + (self.points.len() as f64 - 1.0) * self.step
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
        if place >= self.points.len() as f64 - 1.0 {
            return if upper {
                self.points.last().map_or(1.0, |point| if point.delta.is_finite() { point.delta } else { 1.0 })
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
        let i = (place.floor() as usize + 1).min(self.points.len() - 1);
        let inside = (self.first + i as f64 * self.step - epsilon).clamp(0.0, self.step);
        let Point { delta, weight, noise } = self.points[i];
        let value = delta - weight * (-inside).exp_m1();
        match self.side {
            Side::Upper => value + noise,
            Side::Lower => {
                let folded =
                    if self.folded > 0.0 { self.folded * (-self.tilt * (epsilon - self.centre)).exp() } else { 0.0 };
                (value - noise - folded).max(0.0)
            }
        }
    }
}
