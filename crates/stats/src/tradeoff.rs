//! Gaussian trade-off functions: what telling N(0, 1) from N(μ, 1) allows, as (ε, δ) and as an ROC.
//!
//! A mechanism is μ-GDP (Dong, Roth and Su, 2022) when no test tells neighbours apart better than that; it is then
//! (ε, δ)-DP for every ε with
//!
//! δ(μ, ε) = Φ(a) − e^ε·Φ(b), a = μ/2 − ε/μ, b = −μ/2 − ε/μ.
//!
//! Both terms agree to many digits when μ is small or the tail is far. Since e^ε·φ(b) = φ(a), with Mills' ratio
//! R = (1 − Φ)/φ and m = ε/μ,
//!
//! δ = φ(a)·(R(m − μ/2) − R(m + μ/2)),
//!
//! and the difference is taken without cancellation: a Taylor series about m for μ ≤ 1, the continued fraction of R far
//! out. It holds for every μ that a f64 holds, and for ln δ as far down as wanted.

use crate::{
    error::{Error, Result},
    special::{HALF_LN_2PI, ln_1m_exp, ln_add_exp, mills, normal_cdf, normal_pdf, normal_quantile, normal_sf},
};

/// The δ of a μ-GDP mechanism at ε: 0 at μ = 0 with ε ≥ 0, 1 at μ = ∞. NaN for a negative or NaN μ.
pub fn delta(mu: f64, epsilon: f64) -> f64 {
    ln_delta(mu, epsilon).exp()
}

/// ln δ(μ, ε), down to −1e300.
pub fn ln_delta(mu: f64, epsilon: f64) -> f64 {
    if mu.is_nan() || mu < 0.0 || epsilon.is_nan() {
        return f64::NAN;
    }
    if epsilon == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    if epsilon < 0.0 {
        // δ(−ε) = 1 − e^(−ε) + e^(−ε)·δ(ε): the trade-off function is its own inverse.
        return ln_add_exp(ln_1m_exp(epsilon), epsilon + ln_delta(mu, -epsilon));
    }
    if mu == 0.0 {
        return f64::NEG_INFINITY;
    }
    if mu == f64::INFINITY {
        return 0.0;
    }
    let m = epsilon / mu;
    let a = 0.5 * mu - m;
    if mu <= 1.0 {
        ln_pdf(a) + mills_drop(m, 0.5 * mu).ln()
    } else if a >= 0.0 {
        (-normal_sf(a) - normal_pdf(a) * mills(m + 0.5 * mu)).ln_1p()
    } else if a >= -3.0 {
        ln_pdf(a) + (mills(-a) - mills(m + 0.5 * mu)).ln()
    } else {
        // R(t) = 1/(t + r(t)), so R(s) − R(t) = (t − s + r(t) − r(s))·R(s)·R(t).
        let (near, far) = (-a, m + 0.5 * mu);
        let (r_near, r_far) = (rest(near), rest(far));
        ln_pdf(a) + ((mu + r_far - r_near) / (near + r_near) / (far + r_far)).ln()
    }
}

/// The ε at which a μ-GDP mechanism has this δ; 0 where δ(μ, 0) is already no larger, ∞ at μ = ∞.
///
/// Errors: a negative or NaN μ, a δ outside (0, 1). A Gaussian has no finite ε at δ = 0.
pub fn epsilon(mu: f64, delta: f64) -> Result<f64> {
    if mu.is_nan() || mu < 0.0 {
        return Err(Error::OutOfRange { name: "mu", found: mu, expected: "at least 0" });
    }
    check_delta(delta)?;
    let goal = delta.ln();
    if mu == f64::INFINITY {
        return Ok(f64::INFINITY);
    }
    if ln_delta(mu, 0.0) <= goal {
        return Ok(0.0);
    }
    // δ ≤ Φ(a) bounds ε from above. ln δ is concave and falling in ε, so Newton's method walks down from there.
    let mut epsilon = mu * (0.5 * mu - normal_quantile(delta));
    for _ in 0..200 {
        let value = ln_delta(mu, epsilon);
        let slope = mills(epsilon / mu + 0.5 * mu) * (ln_pdf(0.5 * mu - epsilon / mu) - value).exp();
        let step = (goal - value) / slope;
        if step.is_nan() || step <= 0.0 {
            break;
        }
        epsilon = (epsilon - step).max(0.0);
        if step <= f64::EPSILON * epsilon {
            break;
        }
    }
    Ok(epsilon)
}

/// The μ whose mechanism is exactly (ε, δ)-DP: the inverse of [`epsilon`].
///
/// Errors: a negative or infinite ε, a δ outside (0, 1), NaN.
pub fn mu(epsilon: f64, delta: f64) -> Result<f64> {
    if !(0.0..f64::INFINITY).contains(&epsilon) {
        return Err(Error::OutOfRange { name: "epsilon", found: epsilon, expected: "at least 0, and finite" });
    }
    check_delta(delta)?;
    let goal = delta.ln();
    // Two lower bounds: δ ≤ Φ(a), and δ(μ, ε) ≤ δ(μ, 0) ≤ μ/√2π.
    let z = normal_quantile(delta);
    let root = (z * z + 2.0 * epsilon).sqrt();
    let by_tail = if z < 0.0 { 2.0 * epsilon / (root - z) } else { z + root };
    let mut low = by_tail.max(delta / normal_pdf(0.0));
    let mut high = low;
    while ln_delta(high, epsilon) < goal {
        low = high;
        high *= 2.0;
    }
    let mut mu = high;
    for _ in 0..200 {
        let gap = ln_delta(mu, epsilon) - goal;
        if gap >= 0.0 {
            high = mu;
        } else {
            low = mu;
        }
        // ∂δ/∂μ = φ(a)
        let step = gap / (ln_pdf(0.5 * mu - epsilon / mu) - goal - gap).exp();
        let newton = mu - step;
        let converged = step.abs() <= f64::EPSILON * mu;
        mu = if converged || (newton > low && newton < high) { newton } else { 0.5 * (low + high) };
        if converged {
            break;
        }
    }
    Ok(mu)
}

/// The largest true positive rate at a false positive rate, Φ(Φ⁻¹(fpr) + μ); NaN for an fpr outside [0, 1].
pub fn tpr(mu: f64, fpr: f64) -> f64 {
    if fpr == 0.0 && !mu.is_nan() {
        // Also at μ = ∞, as the limit of rates at finite μ.
        return 0.0;
    }
    normal_cdf(normal_quantile(fpr) + mu)
}

fn check_delta(delta: f64) -> Result<()> {
    if delta > 0.0 && delta < 1.0 {
        Ok(())
    } else {
        Err(Error::OutOfRange { name: "delta", found: delta, expected: "inside (0, 1)" })
    }
}

fn ln_pdf(x: f64) -> f64 {
    -0.5 * x * x - HALF_LN_2PI
}

/// R(m − h) − R(m + h) = 2·Σ_j hₙ(m)·hⁿ/n!, n = 2j + 1, for m ≥ 0, 0 < h ≤ ½; hₙ = (−1)ⁿ·R⁽ⁿ⁾ = ∫ uⁿ·e^(−u²/2 − mu) du.
fn mills_drop(m: f64, h: f64) -> f64 {
    const TERMS: usize = 22;
    // moments[n] = hₙ; hₙ₊₁ = n·hₙ₋₁ − m·hₙ, upwards where that is stable, else by the ratios hₙ/hₙ₋₁ = n/(m + hₙ₊₁/hₙ).
    let mut moments = [0.0; TERMS];
    if m < 1.0 {
        moments[0] = mills(m);
        moments[1] = 1.0 - m * moments[0];
        for n in 1..TERMS - 1 {
            moments[n + 1] = n as f64 * moments[n - 1] - m * moments[n];
        }
    } else {
        let mut ratio = 0.0;
        let mut ratios = [0.0; TERMS];
        for n in (1..depth(m) + TERMS).rev() {
            ratio = n as f64 / (m + ratio);
            if n < TERMS {
                ratios[n] = ratio;
            }
        }
        moments[0] = 1.0 / (m + ratios[1]);
        for n in 1..TERMS {
            moments[n] = moments[n - 1] * ratios[n];
        }
    }
    let (mut power, mut sum) = (h, 0.0);
    for n in (1..TERMS).step_by(2) {
        sum += moments[n] * power;
        power *= h * h / ((n + 1) * (n + 2)) as f64;
    }
    2.0 * sum
}

/// r(t) = 1/R(t) − t for t ≥ 3, by Laplace's continued fraction 1/(t + 2/(t + 3/(t + …))).
fn rest(t: f64) -> f64 {
    (1..depth(t)).rev().fold(0.0, |tail, n| n as f64 / (t + tail))
}

/// Levels of the continued fraction that give it to the last bit for t ≥ 1.
fn depth(t: f64) -> usize {
    30 + (500.0 / (t * t)) as usize
}
