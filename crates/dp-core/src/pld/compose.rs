//! Composition by the Fourier transform of tilted masses, with its errors on the safe side.
//!
//! Masses p(l) of each step become p(l)·e^(λl)/M(λ); the product of their transforms, each to the power of its steps, is
//! the transform of the composed masses, which are read in a window of N points around the tilted mean. What the circular
//! transform folds into the window only adds to masses. The bounds take three errors into account: round-off of the
//! transforms (a bound η on every tilted mass), tilted mass outside the window (Chernoff's bound with each grid's own
//! moments), and masses cut off a step.

use ashlar_stats::fft::{Complex, RealFft};

use super::{grid::Pmf, loss::QUADRATURE_ERROR, saddle::Saddle};
use crate::Result;

/// The tail of a composed loss.
#[derive(Debug)]
pub(super) struct Composed {
    step: f64,
    /// Loss of the first mass.
    first: f64,
    /// Tilted masses.
    mass: Vec<f64>,
    tilt: f64,
    centre: f64,
    /// K(λ) of the grid's own masses.
    cumulant: f64,
    /// Bound on the error of a mass.
    noise: f64,
    /// ln of tilted mass beyond the window, left and right.
    ln_outside: (f64, f64),
    infinite: f64,
    /// Relative error of all masses.
    relative: f64,
    /// Error of a loss.
    shift: f64,
}

/// Which error is on the safe side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Upper,
    Lower,
}

/// ln Σ p·e^(λl), relative to nothing: λl is kept in range by its largest value.
fn ln_moment(pmf: &Pmf, tilt: f64) -> f64 {
    let at = |k: usize| pmf.grid.origin + (pmf.first + k as i64) as f64 * pmf.grid.step;
    let (a, b) = (tilt * at(0), tilt * at(pmf.mass.len() - 1));
    let (top, from_end) = if a > b { (a, false) } else { (b, true) };
    // Terms fall by a constant factor from the end with the largest exponent; restarted now and then against drift.
    let ratio = (-(tilt * pmf.grid.step).abs()).exp();
    let n = pmf.mass.len();
    let (mut sum, mut factor) = (0.0, 1.0);
    for i in 0..n {
        if i % 64 == 0 {
            factor = (-(tilt * pmf.grid.step).abs() * i as f64).exp();
        }
        sum += factor * pmf.mass[if from_end { n - 1 - i } else { i }];
        factor *= ratio;
    }
    sum.ln() + top
}

/// z^n, 0 where |z|^n < e^−90.
fn power(z: Complex<f64>, n: u64, ln_floor: f64) -> Complex<f64> {
    let size = z.norm_sqr();
    if size < ln_floor {
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

impl Composed {
    /// Composes steps on grids of one width. The window has `fft.len()` points around the saddle's.
    pub(super) fn new(steps: &[(Pmf, u64)], saddle: &Saddle, fft: &RealFft) -> Result<Self> {
        let n = fft.len();
        let tilt = saddle.tilt;
        let round_off = f64::EPSILON * 4.0 * (n as f64).log2().max(1.0);
        let mut product: Vec<Complex<f64>> = Vec::new();
        let mut error: Vec<f64> = Vec::new();
        let (mut cumulant, mut origin, mut count, mut infinite, mut shift, mut step) = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0);
        let (mut left, mut right) = (0.0, 0.0);
        for (pmf, repeats) in steps {
            let t = *repeats as f64;
            step = pmf.grid.step;
            let own = ln_moment(pmf, tilt);
            let mut x = vec![0.0; n];
            let mut place = pmf.first.rem_euclid(n as i64) as usize;
            for (k, mass) in pmf.mass.iter().enumerate() {
                if *mass > 0.0 {
                    let loss = pmf.grid.origin + (pmf.first + k as i64) as f64 * step;
                    x[place] += mass * (tilt * loss - own).exp();
                }
                place = if place + 1 == n { 0 } else { place + 1 };
            }
            let spectrum = fft.forward(&mut x)?;
            drop(x);
            let floor = (-180.0 / t).exp();
            if product.is_empty() {
                error = spectrum.iter().map(|z| t * round_off / z.norm().max(1e-300)).collect();
                product = spectrum;
                for z in &mut product {
                    *z = power(*z, *repeats, floor);
                }
            } else {
                for ((total, e), z) in product.iter_mut().zip(&mut error).zip(&spectrum) {
                    *e += t * round_off / z.norm().max(1e-300);
                    *total *= power(*z, *repeats, floor);
                }
            }
            cumulant += t * own;
            origin += t * pmf.grid.origin;
            count += t;
            infinite += t * pmf.infinite;
            // Four roundings of a loss, and what its grid says.
            let extent = pmf.grid.origin.abs() + step;
            shift += t * (pmf.shift + 4.0 * f64::EPSILON * extent);
            left += t * (ln_moment(pmf, saddle.bounds.0) - own);
            right += t * (ln_moment(pmf, saddle.bounds.1) - own);
        }
        let (mut forward, mut energy) = (0.0, 0.0);
        for (z, e) in product.iter().zip(&error) {
            let size = z.norm();
            forward += size * e;
            energy += size * size;
        }
        drop(error);
        let noise =
            2.0 * forward / n as f64 + round_off * (2.0 * energy / n as f64).sqrt() / (n as f64).sqrt().max(1.0) * 8.0;
        let circular = fft.inverse(&mut product)?;
        drop(product);
        let start = ((saddle.window.0 - origin) / step).ceil();
        let first = origin + start * step;
        let last = first + (n as f64 - 1.0) * step;
        let turn = (start as i64).rem_euclid(n as i64) as usize;
        let mut mass = circular;
        mass.rotate_left(turn);
        Ok(Self {
            step,
            first,
            mass,
            tilt,
            centre: saddle.cumulants.mean,
            cumulant,
            noise,
            ln_outside: (left - (saddle.bounds.0 - tilt) * first, right - (saddle.bounds.1 - tilt) * last),
            infinite,
            relative: count * QUADRATURE_ERROR,
            shift: shift + 8.0 * f64::EPSILON * (first.abs() + last.abs()),
        })
    }

    /// ε at δ, or None where it lies outside the window.
    pub(super) fn epsilon(&self, delta: f64, side: Side) -> Option<f64> {
        let goal = (delta.ln() - self.scale() - self.slack(side)).exp();
        let mut tail = self.tail(side);
        if tail.above >= goal {
            return None;
        }
        for i in (0..self.mass.len()).rev() {
            if self.loss(i) <= 0.0 {
                return Some(0.0);
            }
            let goal = goal + tail.folded(self.loss(i) - self.step);
            let next = tail.next(self, i, side);
            if next >= goal {
                let inside = -(-((goal - tail.above) / tail.weight).min(1.0)).ln_1p();
                let epsilon = self.loss(i) - inside.clamp(0.0, self.step);
                let epsilon = match side {
                    Side::Upper => epsilon + self.shift,
                    Side::Lower => epsilon - self.shift,
                };
                return Some(epsilon.max(0.0));
            }
            tail.above = next;
        }
        (self.first <= 0.0).then_some(0.0)
    }

    /// δ at ε, or None where ε lies outside the window.
    pub(super) fn delta(&self, epsilon: f64, side: Side) -> Option<f64> {
        let epsilon = match side {
            Side::Upper => epsilon - self.shift,
            Side::Lower => epsilon + self.shift,
        };
        let last = self.mass.len() - 1;
        if epsilon < self.first || epsilon > self.loss(last) {
            return None;
        }
        let mut tail = self.tail(side);
        for i in (0..=last).rev() {
            let next = tail.next(self, i, side);
            if self.loss(i) - self.step <= epsilon {
                let inside = self.loss(i) - epsilon;
                let scaled = tail.above - tail.weight * (-inside).exp_m1() - tail.folded(epsilon);
                return Some((scaled.max(0.0).ln() + self.scale() + self.slack(side)).exp());
            }
            tail.above = next;
        }
        None
    }

    /// An upper bound on ε without the window: Markov's inequality at the tilt.
    pub(super) fn epsilon_by_markov(&self, delta: f64) -> f64 {
        let left = delta * 0.5 - self.infinite;
        if self.tilt > 0.0 && left > 0.0 {
            ((self.cumulant - left.ln()) / self.tilt).max(0.0) + self.shift
        } else {
            f64::INFINITY
        }
    }

    /// An upper bound on δ without the window.
    pub(super) fn delta_by_markov(&self, epsilon: f64) -> f64 {
        ((self.cumulant - self.tilt * (epsilon - self.shift) + self.relative).exp() + self.infinite).min(1.0)
    }

    fn loss(&self, i: usize) -> f64 {
        self.first + i as f64 * self.step
    }

    /// ln of what scaled masses are multiplied with.
    fn scale(&self) -> f64 {
        self.cumulant - self.tilt * self.centre
    }

    fn slack(&self, side: Side) -> f64 {
        match side {
            Side::Upper => self.relative,
            Side::Lower => -self.relative,
        }
    }

    fn tail(&self, side: Side) -> Tail {
        let last = self.loss(self.mass.len() - 1);
        let scale = self.scale();
        match side {
            // Beyond the window and at infinity: all of it counts.
            Side::Upper => Tail {
                above: (self.ln_outside.1 - self.tilt * (last - self.centre)).exp()
                    + (self.infinite.ln() - scale).exp(),
                weight: 0.0,
                ln_folded: f64::NEG_INFINITY,
                tilt: self.tilt,
                centre: self.centre,
            },
            // Whatever the transform folded in is no mass at its place.
            Side::Lower => Tail {
                above: 0.0,
                weight: 0.0,
                ln_folded: (self.ln_outside.0.exp() + self.ln_outside.1.exp()).ln(),
                tilt: self.tilt,
                centre: self.centre,
            },
        }
    }
}

/// δ while the losses are walked down from the largest.
struct Tail {
    /// δ at the point last passed, scaled.
    above: f64,
    /// Σ p·e^(l − l') over the points l' ≥ l passed.
    weight: f64,
    ln_folded: f64,
    tilt: f64,
    centre: f64,
}

impl Tail {
    /// Takes point i in, and returns δ one step below.
    fn next(&mut self, c: &Composed, i: usize, side: Side) -> f64 {
        let mass = match side {
            Side::Upper => c.mass[i] + c.noise,
            Side::Lower => c.mass[i] - c.noise,
        };
        // 0·∞ far left of where a result can lie.
        let mass = if mass > 0.0 { mass * (-c.tilt * (c.loss(i) - c.centre)).exp() } else { 0.0 };
        let keep = (-c.step).exp();
        self.weight = if self.weight > 0.0 { self.weight * keep } else { 0.0 } + mass;
        self.above - self.weight * (-c.step).exp_m1()
    }

    /// At most this much of δ at ε is folded mass.
    fn folded(&self, epsilon: f64) -> f64 {
        (self.ln_folded - self.tilt * (epsilon - self.centre)).exp()
    }
}
