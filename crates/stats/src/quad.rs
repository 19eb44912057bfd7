//! Integrals over an interval.
//!
//! | integrand | function |
//! |---|---|
//! | smooth, to a tolerance | [`integrate`] |
//! | singular or steep at an end | [`tanh_sinh`] |
//! | a fixed rule, for a sum of one's own | [`gauss_legendre`] |

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    f64::consts::{FRAC_PI_2, PI},
};

use crate::error::{Error, Result};

/// Nodes in (−1, 1), ascending, and weights of the n-point Gauss–Legendre rule, exact for polynomials of degree 2n − 1.
/// Empty for n = 0. Cost: O(n²).
pub fn gauss_legendre(n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut nodes, mut weights) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n.div_ceil(2) {
        let mut x = ((i as f64 + 0.75) / (n as f64 + 0.5) * PI).cos();
        if 2 * i + 1 == n {
            x = 0.0;
        }
        let mut slope = 1.0;
        for _ in 0..20 {
            let (mut before, mut value) = (1.0, x);
            for k in 2..=n {
                let k = k as f64;
                (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
            }
            slope = n as f64 * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() <= 1e-15 {
                break;
            }
        }
        let weight = 2.0 / ((1.0 - x * x) * slope * slope);
        (nodes[i], nodes[n - 1 - i]) = (-x, x);
        (weights[i], weights[n - 1 - i]) = (weight, weight);
    }
    (nodes, weights)
}

/// The 15 Kronrod nodes' non-negative half, their weights, and the weights of the 7 Gauss nodes among them.
const KRONROD: [(f64, f64, f64); 8] = [
    (0.991_455_371_120_812_6, 0.022_935_322_010_529_224, 0.0),
    (0.949_107_912_342_758_5, 0.063_092_092_629_978_55, 0.129_484_966_168_869_7),
    (0.864_864_423_359_769_1, 0.104_790_010_322_250_18, 0.0),
    (0.741_531_185_599_394_4, 0.140_653_259_715_525_92, 0.279_705_391_489_276_64),
    (0.586_087_235_467_691_1, 0.169_004_726_639_267_9, 0.0),
    (0.405_845_151_377_397_2, 0.190_350_578_064_785_4, 0.381_830_050_505_118_9),
    (0.207_784_955_007_898_47, 0.204_432_940_075_298_9, 0.0),
    (0.0, 0.209_482_141_084_727_82, 0.417_959_183_673_469_4),
];

/// The integral of `f` from `a` to `b`, halving the worst piece until the pieces' Gauss–Kronrod (7, 15) errors sum to no
/// more than max(abs_tol, rel_tol·|integral|), or rounding allows no more.
///
/// The error estimate is the difference of the two rules, which is pessimistic for smooth integrands. Errors: infinite
/// ends, a value of `f` that is not finite, no convergence in 5,000 halvings.
///
/// ```
/// let area = ashlar_stats::quad::integrate(f64::exp, 0.0, 1.0, 1e-12, 0.0)?;
/// assert!((area - 1.0_f64.exp_m1()).abs() < 1e-14);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn integrate(mut f: impl FnMut(f64) -> f64, a: f64, b: f64, rel_tol: f64, abs_tol: f64) -> Result<f64> {
    check(a, b, &[rel_tol, abs_tol])?;
    const HALVINGS: usize = 5_000;
    let mut pieces = BinaryHeap::from([Piece::new(&mut f, a, b)?]);
    let mut done = Sums::default();
    for _ in 0..HALVINGS {
        let total = pieces.iter().fold(done, Sums::plus);
        if total.error <= abs_tol.max(rel_tol * total.value.abs()) || pieces.is_empty() {
            return Ok(total.value);
        }
        let Some(worst) = pieces.pop() else { return Ok(total.value) };
        let middle = 0.5 * worst.a + 0.5 * worst.b;
        // What rounding alone explains can't be improved.
        if worst.error <= 50.0 * f64::EPSILON * worst.size || middle == worst.a || middle == worst.b {
            done = done.plus(&Piece { error: 0.0, ..worst });
            continue;
        }
        pieces.push(Piece::new(&mut f, worst.a, middle)?);
        pieces.push(Piece::new(&mut f, middle, worst.b)?);
    }
    let left = pieces.iter().map(|piece| piece.error).sum();
    Err(Error::NotConverged { what: "the integral", limit: HALVINGS, left })
}

#[derive(Clone, Copy, Default)]
struct Sums {
    value: f64,
    error: f64,
}

impl Sums {
    fn plus(self, piece: &Piece) -> Self {
        Self { value: self.value + piece.value, error: self.error + piece.error }
    }
}

/// One subinterval with its integral, the error estimate and the integral of |f|.
struct Piece {
    a: f64,
    b: f64,
    value: f64,
    error: f64,
    size: f64,
}

impl Piece {
    fn new(f: &mut impl FnMut(f64) -> f64, a: f64, b: f64) -> Result<Self> {
        let (centre, half) = (0.5 * a + 0.5 * b, 0.5 * b - 0.5 * a);
        let (mut kronrod, mut gauss, mut size) = (0.0, 0.0, 0.0);
        for (node, weight, coarse) in KRONROD {
            let mut add = |x: f64| {
                let value = finite(f, x)?;
                kronrod += weight * value;
                gauss += coarse * value;
                size += weight * value.abs();
                Ok(())
            };
            add(centre - half * node)?;
            if node > 0.0 {
                add(centre + half * node)?;
            }
        }
        Ok(Self { a, b, value: kronrod * half, error: ((kronrod - gauss) * half).abs(), size: size * half.abs() })
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Piece {}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> Ordering {
        self.error.total_cmp(&other.error)
    }
}

/// The integral of `f` from `a` to `b` by the double exponential rule (Takahasi and Mori, 1974), which an integrable
/// singularity at either end doesn't disturb: the ends themselves are never evaluated.
///
/// Doubles the points until two levels agree to `rel`. Errors as [`integrate`]'s.
pub fn tanh_sinh(mut f: impl FnMut(f64) -> f64, a: f64, b: f64, rel: f64) -> Result<f64> {
    check(a, b, &[rel])?;
    const LEVELS: usize = 12;
    let half = 0.5 * b - 0.5 * a;
    if half == 0.0 {
        return Ok(0.0);
    }
    let mut total = FRAC_PI_2 * finite(&mut f, 0.5 * a + 0.5 * b)?;
    let (mut step, mut last) = (1.0_f64, f64::NAN);
    for level in 0..LEVELS {
        let mut t = step;
        loop {
            let sinh = FRAC_PI_2 * t.sinh();
            let cosh = sinh.cosh();
            // 1 − tanh(sinh), without cancellation: the distance from the end.
            let offset = half / (sinh.exp() * cosh);
            let weight = FRAC_PI_2 * t.cosh() / (cosh * cosh);
            let (left, right) = (a + offset, b - offset);
            // Beyond this the nodes round to the ends, or the weights to nothing.
            let inside = |x: f64| x != a && x != b;
            if weight < 1e-300 || !(inside(left) || inside(right)) {
                break;
            }
            if inside(left) {
                total += weight * finite(&mut f, left)?;
            }
            if inside(right) {
                total += weight * finite(&mut f, right)?;
            }
            t += if level == 0 { step } else { 2.0 * step };
        }
        let integral = total * step * half;
        if level > 2 && (integral - last).abs() <= rel * integral.abs() {
            return Ok(integral);
        }
        last = integral;
        step *= 0.5;
    }
    Err(Error::NotConverged { what: "the integral", limit: LEVELS, left: rel })
}

fn finite(f: &mut impl FnMut(f64) -> f64, x: f64) -> Result<f64> {
    let value = f(x);
    if value.is_finite() { Ok(value) } else { Err(Error::Undefined { at: x, value }) }
}

fn check(a: f64, b: f64, tolerances: &[f64]) -> Result<()> {
    for end in [a, b] {
        if !end.is_finite() {
            return Err(Error::OutOfRange { name: "an end of the integral", found: end, expected: "finite" });
        }
    }
    match tolerances.iter().find(|t| t.is_nan() || **t < 0.0) {
        Some(&found) => Err(Error::OutOfRange { name: "the tolerance", found, expected: "at least 0" }),
        None => Ok(()),
    }
}
