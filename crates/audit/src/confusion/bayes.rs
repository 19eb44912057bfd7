//! The posterior of ε when both error rates have Beta posteriors.
//!
//! The mechanism is not (e, δ)-DP if (FPR, FNR) lies below the curve lo(x) = max(1 − δ − e^e·x, (1 − δ − x)·e^(−e)), or, by
//! symmetry, (TNR, TPR) does: the region has two boundaries. Below means Y < lo(X) for independent Beta variables, and the
//! curve is its own mirror image at the diagonal, which it crosses at x₁ = (1 − δ)/(1 + e^e). Hence
//!
//! P[Y < lo(X)] = F_X(x₁)·F_Y(x₁) + ∫ f_X(x)·F_Y((1 − δ − x)·e^(−e)) dx + the same with X and Y exchanged, x from x₁ to 1 − δ,
//!
//! so that each integrand varies slowly. x = sin²θ takes away the inverse square roots that a Beta with a ½ has at its
//! ends. Where F_Y is 0 or 1 to all digits the integral is known.

use std::f64::consts::FRAC_PI_2;

use ashlar_stats::{
    quad, root,
    special::{beta_inc, beta_inc_inv},
};

use crate::Result;

/// Probability left out at either end of a distribution.
const NEGLIGIBLE: f64 = 1e-17;
/// Absolute error allowed in each of the four integrals.
const QUADRATURE: f64 = 1e-11;
/// The ends are found to this distance.
const TOLERANCE: f64 = 1e-9;
const EPSILON_MAX: f64 = 700.0;

/// Independent posteriors of a test's two error rates.
pub(crate) struct Posterior {
    fpr: Beta,
    fnr: Beta,
    tnr: Beta,
    tpr: Beta,
}

impl Posterior {
    /// From the two parameters of each error rate's distribution.
    pub fn new(fpr: [f64; 2], fnr: [f64; 2]) -> Result<Self> {
        let (fpr, fnr) = (Beta::new(fpr[0], fpr[1])?, Beta::new(fnr[0], fnr[1])?);
        Ok(Self { tnr: fpr.mirrored(), tpr: fnr.mirrored(), fpr, fnr })
    }

    /// The smallest e ≥ 0 with P[ε ≤ e] ≥ `tail`.
    pub fn quantile(&self, tail: f64, delta: f64) -> Result<f64> {
        self.solve(1.0 - tail, delta)
    }

    /// The smallest e ≥ 0 with P[ε > e] ≤ `tail`.
    pub fn quantile_above(&self, tail: f64, delta: f64) -> Result<f64> {
        self.solve(tail, delta)
    }

    /// 1 − C(e): the probability that the true ε at δ is above e.
    pub fn outside(&self, epsilon: f64, delta: f64) -> Result<f64> {
        Ok(below(&self.fpr, &self.fnr, epsilon, delta)? + below(&self.tnr, &self.tpr, epsilon, delta)?)
    }

    fn solve(&self, goal: f64, delta: f64) -> Result<f64> {
        if self.outside(0.0, delta)? <= goal {
            return Ok(0.0);
        }
        // An integral that fails stops the search as NaN, and is then reported.
        let mut failed = None;
        let mut excess = |epsilon: f64| match self.outside(epsilon, delta) {
            Ok(outside) => outside - goal,
            Err(error) => {
                failed = Some(error);
                f64::NAN
            }
        };
        let found = root::bracket_upwards(&mut excess, 0.0, EPSILON_MAX)
            .and_then(|(low, high)| root::brent(&mut excess, low, high, TOLERANCE, 200));
        match failed {
            Some(error) => Err(error),
            None => Ok(found?),
        }
    }
}

/// P[Y < lo(X)].
fn below(x: &Beta, y: &Beta, epsilon: f64, delta: f64) -> Result<f64> {
    let (all, shrink) = (1.0 - delta, (-epsilon).exp());
    let crossing = all * shrink / (1.0 + shrink);
    Ok(x.cdf(crossing) * y.cdf(crossing)
        + flat_part(x, y, crossing, all, shrink)?
        + flat_part(y, x, crossing, all, shrink)?)
}

/// ∫ f_X(x)·F_Y((all − x)·shrink) dx from `crossing` to `all`.
fn flat_part(x: &Beta, y: &Beta, crossing: f64, all: f64, shrink: f64) -> Result<f64> {
    // F_Y is 1 up to `whole` and 0 from `none` on.
    let whole = (all - y.high / shrink).clamp(crossing, all);
    let none = (all - y.low / shrink).clamp(crossing, all);
    let known = if whole > crossing { (x.cdf(whole) - x.cdf(crossing)).max(0.0) } else { 0.0 };
    let (from, to) = (whole.max(x.low), none.min(x.high));
    if from >= to {
        return Ok(known);
    }
    // Often one boundary, or one branch of it, is out of reach of both posteriors.
    let most = y.cdf((all - from) * shrink) * (x.cdf(to) - x.cdf(from));
    if most <= 0.01 * QUADRATURE {
        return Ok(known + most);
    }
    let integrand = |offset: f64| {
        let sin = (x.mode + offset).sin();
        x.density(offset) * y.cdf(((all - sin * sin) * shrink).max(0.0))
    };
    Ok(known + quad::integrate(integrand, angle(from) - x.mode, angle(to) - x.mode, 0.0, QUADRATURE)?)
}

/// θ with sin²θ = x.
fn angle(x: f64) -> f64 {
    x.sqrt().atan2((1.0 - x).sqrt())
}

/// A Beta(a, b) distribution, a, b ≥ ½, with the interval that holds all of it but [`NEGLIGIBLE`].
///
/// The density of θ, X = sin²θ, is proportional to sin^(2a − 1)θ·cos^(2b − 1)θ. It is taken relative to its mode, where the
/// two large exponents' first orders cancel, and normalised by its own integral: so it keeps its digits at any count.
struct Beta {
    a: f64,
    b: f64,
    low: f64,
    high: f64,
    mode: f64,
    peak: f64,
}

impl Beta {
    fn new(a: f64, b: f64) -> Result<Self> {
        let (low, high) = (beta_inc_inv(a, b, NEGLIGIBLE), 1.0 - beta_inc_inv(b, a, NEGLIGIBLE));
        let mode = (2.0 * a - 1.0).sqrt().atan2((2.0 * b - 1.0).sqrt());
        let unscaled = Self { a, b, low, high, mode, peak: 1.0 };
        let (from, to) = (angle(low) - mode, angle(high) - mode);
        let integral = quad::integrate(|offset| unscaled.density(offset), from, to, QUADRATURE, 0.0)?;
        Ok(Self { peak: 1.0 / integral, ..unscaled })
    }

    /// The distribution of 1 − X.
    fn mirrored(&self) -> Self {
        let (low, high) = (1.0 - self.high, 1.0 - self.low);
        Self { a: self.b, b: self.a, low, high, mode: FRAC_PI_2 - self.mode, peak: self.peak }
    }

    fn cdf(&self, x: f64) -> f64 {
        if x <= self.low {
            0.0
        } else if x >= self.high {
            1.0
        } else {
            beta_inc(self.a, self.b, x)
        }
    }

    /// The density of θ at `offset` from its mode.
    fn density(&self, offset: f64) -> f64 {
        let (sin, cos) = self.mode.sin_cos();
        let (up, curve) = (offset.sin(), -2.0 * (0.5 * offset).sin().powi(2));
        // sin(mode + offset)/sin(mode) − 1, and the same of the cosine.
        let sines = if self.a > 0.5 { (2.0 * self.a - 1.0) * (up * cos / sin + curve).ln_1p() } else { 0.0 };
        let cosines = if self.b > 0.5 { (2.0 * self.b - 1.0) * (curve - up * sin / cos).ln_1p() } else { 0.0 };
        let exponent = sines + cosines;
        if exponent.is_nan() { 0.0 } else { self.peak * exponent.exp() }
    }
}
