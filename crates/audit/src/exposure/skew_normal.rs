//! The skew-normal distribution (Azzalini 1985): density 2/ω·φ(z)·Φ(αz) with z = (x − ξ)/ω.

use ashlar_stats::{
    quad::gauss_legendre,
    special::{erfcx, ln_1m_exp, ln_normal_cdf},
};
use serde::Serialize;

use crate::{Error, Result, error::check_finite};

/// Location, scale and shape of a skew-normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SkewNormal {
    /// ξ.
    pub location: f64,
    /// ω, positive.
    pub scale: f64,
    /// α: positive with a long tail to the right, 0 for a normal distribution.
    pub shape: f64,
}

/// A fit to a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The fitted distribution.
    #[serde(flatten)]
    pub distribution: SkewNormal,
    /// Whether the likelihood alone ran off to a half-normal distribution, so that the shape had to be held back.
    pub penalised: bool,
}

/// ln √(2π).
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;
/// Beyond this |α| the likelihood of a small sample usually rises without end, towards a half-normal distribution whose
/// other tail is empty.
const LARGEST_SHAPE: f64 = 100.0;
/// Azzalini and Arellano-Valle (2013): the likelihood less c₁·ln(1 + c₂·α²) has its maximum at a finite α.
const PENALTY: (f64, f64) = (0.875_913, 0.856_250);
/// Values that a fit of three numbers needs at least.
const LEAST_VALUES: usize = 10;

fn ln_normal_pdf(z: f64) -> f64 {
    -0.5 * z * z - LN_SQRT_2PI
}

impl SkewNormal {
    /// The maximum-likelihood fit: damped Newton steps with the exact gradient and Hessian on standardised values, from
    /// the moments' estimate and from both signs of α (α = 0 is a stationary point of every sample with no skewness).
    ///
    /// In small samples the likelihood often has no maximum at a finite α. Where |α| passes 100, the penalised
    /// likelihood of Azzalini and Arellano-Valle (2013) is taken instead, and the fit says so.
    ///
    /// # Errors
    /// If there are fewer than 10 values, one isn't finite, or all are equal.
    pub fn fit(values: &[f64]) -> Result<Fit> {
        let list = "reference-scores";
        check_finite(list, values)?;
        if values.len() < LEAST_VALUES {
            return Err(Error::unusable(
                format!("skew-normal on {} reference scores", values.len()),
                "a fit of three numbers needs at least 10: give more, or take the estimator rank",
            ));
        }
        let n = values.len() as f64;
        let centre = values.iter().map(|v| v / n).sum::<f64>();
        let spread = (values.iter().map(|v| (v - centre) * (v - centre) / n).sum::<f64>()).sqrt();
        let constant = values.iter().all(|&v| v == values[0]);
        if constant || !(spread > 0.0 && spread.is_finite()) {
            return Err(Error::unusable(
                "skew-normal on reference scores without a usable spread",
                "a distribution is fitted to different scores of moderate size",
            ));
        }
        let x: Vec<f64> = values.iter().map(|v| (v - centre) / spread).collect();
        let skewness = x.iter().map(|v| v * v * v).sum::<f64>() / n;
        let mut fit = Self::best(&x, skewness, 0.0);
        let penalised = fit.shape.abs() > LARGEST_SHAPE;
        if penalised {
            fit = Self::best(&x, skewness, 1.0);
        }
        let distribution =
            Self { location: centre + spread * fit.location, scale: spread * fit.scale, shape: fit.shape };
        Ok(Fit { distribution, penalised })
    }

    /// The highest of three climbs.
    fn best(x: &[f64], skewness: f64, penalty: f64) -> Self {
        let climb = |skewness| Self::from_skewness(skewness).climb(x, penalty);
        let (mut best, mut height) = climb(skewness);
        for (other, other_height) in [climb(0.5), climb(-0.5)] {
            if other_height > height {
                (best, height) = (other, other_height);
            }
        }
        best
    }

    /// Mean 0, variance 1 and this skewness, as far as the family reaches (|γ₁| < 0.9953).
    fn from_skewness(skewness: f64) -> Self {
        let s = skewness.abs().min(0.98).powf(2.0 / 3.0);
        let root = ((4.0 - std::f64::consts::PI) / 2.0).powf(2.0 / 3.0);
        let delta = (std::f64::consts::FRAC_PI_2 * s / (s + root)).sqrt().copysign(skewness);
        let mean = delta * (2.0 / std::f64::consts::PI).sqrt();
        let scale = 1.0 / (1.0 - mean * mean).sqrt();
        Self { location: -mean * scale, scale, shape: delta / (1.0 - delta * delta).sqrt() }
    }

    /// ln density.
    pub fn ln_pdf(&self, x: f64) -> f64 {
        let z = (x - self.location) / self.scale;
        std::f64::consts::LN_2 - self.scale.ln() + ln_normal_pdf(z) + ln_normal_cdf(self.shape * z)
    }

    /// Log-likelihood of a sample.
    pub fn ln_likelihood(&self, x: &[f64]) -> f64 {
        x.iter().map(|&v| self.ln_pdf(v)).sum()
    }

    /// What is climbed: the log-likelihood less `penalty` times the penalty on the shape.
    fn height(&self, x: &[f64], penalty: f64) -> f64 {
        self.ln_likelihood(x) - penalty * PENALTY.0 * (PENALTY.1 * self.shape * self.shape).ln_1p()
    }

    /// Goes up in (ξ, ln ω, α) until no step helps or the shape runs off; also returns the height.
    fn climb(self, x: &[f64], penalty: f64) -> (Self, f64) {
        let (mut at, mut height, mut damping) = (self, self.height(x, penalty), 1e-3);
        for _ in 0..500 {
            let (gradient, hessian) = at.derivatives(x, penalty);
            let moved = newton_step(gradient, hessian, damping).map(|step| at.moved(step));
            let better = moved.map(|to| (to, to.height(x, penalty))).filter(|(_, h)| *h > height);
            if let Some((to, higher)) = better {
                (at, height) = (to, higher);
                damping = f64::max(damping / 10.0, 1e-15);
                if at.shape.abs() > LARGEST_SHAPE {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        (at, height)
    }

    fn moved(self, step: [f64; 3]) -> Self {
        Self {
            location: self.location + step[0],
            scale: self.scale * step[1].clamp(-1.0, 1.0).exp(),
            shape: self.shape + step[2],
        }
    }

    /// Gradient and Hessian of [`height`](Self::height) in (ξ, ln ω, α).
    fn derivatives(&self, x: &[f64], penalty: f64) -> ([f64; 3], [[f64; 3]; 3]) {
        let (w, a) = (self.scale, self.shape);
        let (mut g, mut h) = ([0.0; 3], [[0.0; 3]; 3]);
        for &v in x {
            let z = (v - self.location) / w;
            let t = a * z;
            // First and second derivative of ln Φ(t).
            let d1 = hazard(t);
            let d2 = -d1 * (t + d1);
            g[0] += (z - a * d1) / w;
            g[1] += -1.0 + z * z - t * d1;
            g[2] += z * d1;
            h[0][0] += (-1.0 + a * a * d2) / (w * w);
            h[0][1] += (-2.0 * z + a * d1 + a * t * d2) / w;
            h[0][2] += (-d1 - t * d2) / w;
            h[1][1] += -2.0 * z * z + t * d1 + t * t * d2;
            h[1][2] += -z * d1 - z * t * d2;
            h[2][2] += z * z * d2;
        }
        let (c1, c2) = (penalty * PENALTY.0, PENALTY.1);
        let denominator = 1.0 + c2 * a * a;
        g[2] -= 2.0 * c1 * c2 * a / denominator;
        h[2][2] -= 2.0 * c1 * c2 * (1.0 - c2 * a * a) / (denominator * denominator);
        (h[1][0], h[2][0], h[2][1]) = (h[0][1], h[0][2], h[1][2]);
        (g, h)
    }

    /// ln P(X > x), stable in both tails: ln 2 + ln ∫_z^∞ φ(t)·Φ(αt) dt.
    ///
    /// The integrand is log-concave, so that beyond its mode the integral is taken relative to its value at z, over as
    /// many decades as a double can see. Relative error of the logarithm about 1e-13.
    pub fn ln_sf(&self, x: f64) -> f64 {
        let z = (x - self.location) / self.scale;
        if z.is_infinite() {
            return if z > 0.0 { f64::NEG_INFINITY } else { 0.0 };
        }
        if slope(z, self.shape) <= 0.0 {
            ln_tail(z, self.shape).min(0.0)
        } else {
            // Left of the mode: what is missing below, by symmetry.
            let below = ln_tail(-z, -self.shape);
            if below < 0.0 { ln_1m_exp(below) } else { f64::NEG_INFINITY }
        }
    }
}

/// d/dt ln(φ(t)·Φ(αt)), falling in t.
fn slope(t: f64, shape: f64) -> f64 {
    shape * hazard(shape * t) - t
}

/// φ(t)/Φ(t), the derivative of ln Φ(t).
fn hazard(t: f64) -> f64 {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
    FRAC_2_PI.sqrt() / erfcx(-t * FRAC_1_SQRT_2)
}

/// ln 2∫_z^∞ φ(t)·Φ(αt) dt where the integrand falls from z on.
fn ln_tail(z: f64, shape: f64) -> f64 {
    let ln_side = ln_normal_cdf(shape * z);
    let top = ln_normal_pdf(z) + ln_side;
    if top == f64::NEG_INFINITY {
        return top;
    }
    // The integrand at z + s, relative to that at z; φ's part without the difference of two large squares.
    let ln_relative = |s: f64| ln_normal_cdf(shape * (z + s)) - ln_side - s * (z + 0.5 * s);
    // Where it has fallen by e⁻⁴⁵; log-concave, so that little lies beyond.
    let mut reach = 1e-12;
    while ln_relative(reach) > -45.0 && reach < 1e6 {
        reach *= 2.0;
    }
    let (nodes, weights) = gauss_legendre(16);
    // Panels that double: the integrand may fall at first much faster than later, or the reverse.
    const PANELS: i32 = 24;
    let mut total = 0.0;
    for panel in 0..PANELS {
        let from = if panel == 0 { 0.0 } else { reach * 2f64.powi(panel - PANELS) };
        let to = reach * 2f64.powi(panel + 1 - PANELS);
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        let sum: f64 = nodes.iter().zip(&weights).map(|(u, w)| w * ln_relative(middle + half * u).exp()).sum();
        total += half * sum;
    }
    std::f64::consts::LN_2 + top + total.ln()
}

/// The step (damped − H)⁻¹·g by Cholesky; none where the damped matrix isn't positive definite.
fn newton_step(g: [f64; 3], h: [[f64; 3]; 3], damping: f64) -> Option<[f64; 3]> {
    let mut l = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..=i {
            let extra = if i == j { damping * (1.0 + h[i][i].abs()) } else { 0.0 };
            let rest = extra - h[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = if i == j { (rest > 0.0).then(|| rest.sqrt())? } else { rest / l[j][j] };
        }
    }
    let mut y = [0.0; 3];
    for i in 0..3 {
        y[i] = (g[i] - (0..i).map(|k| l[i][k] * y[k]).sum::<f64>()) / l[i][i];
    }
    for i in (0..3).rev() {
        y[i] = (y[i] - (i + 1..3).map(|k| l[k][i] * y[k]).sum::<f64>()) / l[i][i];
    }
    y.iter().all(|v| v.is_finite()).then_some(y)
}
