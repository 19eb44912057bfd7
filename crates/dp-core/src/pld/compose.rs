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

use super::{
    curve::{Curve, Outside, Sums, ln_moment},
    grid::Pmf,
};
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
    // The rest's power, and what the losses set aside add to it.
    let (mut values, mut changes): (Vec<Complex<f64>>, Vec<Complex<f64>>) = (Vec::new(), Vec::new());
    let mut relative = vec![0.0; n / 2 + 1];
    let mut outside = Outside::new(view);
    let (mut weight, mut count) = (0.0, 0.0);
    for Part { pmf, steps, split } in parts {
        let t = *steps as f64;
        let mut base = transform(pmf, 0..*split, 0.0, 0.0, fft)?;
        let mut rare = transform(pmf, *split..pmf.mass.len(), 0.0, 0.0, fft)?;
        let floor = floor(*steps);
        for ((b, a), relative) in base.iter_mut().zip(&mut rare).zip(&mut relative) {
            *relative += t * round_off(n) / (*a + *b).norm().max(1e-300);
            (*b, *a) = paired_power(*b, *a, *steps, floor);
        }
        if values.is_empty() {
            (values, changes) = (base, rare);
        } else {
            let both = values.iter_mut().zip(&mut changes).zip(base.iter().zip(&rare));
            for ((value, change), (own, own_change)) in both {
                *change = *change * (own + own_change) + *value * own_change;
                *value *= own;
            }
        }
        weight += t * pmf.mass[*split..].iter().sum::<f64>();
        count += t;
        outside.add(pmf, &pmf.mass, 0.0, 0.0, t);
    }
    let error = |((value, change), e): ((&Complex<f64>, &Complex<f64>), &f64)| {
        (3.0 * weight * (value.norm() + change.norm()) * e).powi(2)
    };
    let mut errors: f64 = values.iter().zip(&changes).zip(&relative).map(error).sum();
    if count <= 8.0 {
        errors += (weight * round_off(n)).powi(2) * values.len() as f64;
    }
    drop((values, relative));
    let noise = noise(changes.iter().copied(), errors, n);
    let mass = fft.inverse(&mut changes)?;
    drop(changes);
    Ok(Curve::new(parts, view, mass, Sums { ln_scale: 0.0, noise, outside }, side))
}
