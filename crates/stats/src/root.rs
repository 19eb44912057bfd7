//! Roots of a function of one variable.

use crate::error::{Error, Result};

/// A root of `f` between `lo` and `hi`, where its signs differ, to within `abs_tol` (or the spacing of f64).
///
/// Halves the interval: about log₂((hi − lo)/abs_tol) evaluations, whatever `f` is.
///
/// ```
/// let root = ashlar_stats::root::bisect(|x| x * x - 2.0, 0.0, 2.0, 1e-12)?;
/// assert!((root - 2.0_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn bisect(mut f: impl FnMut(f64) -> f64, lo: f64, hi: f64, abs_tol: f64) -> Result<f64> {
    check_ends(lo, hi)?;
    check_tolerance(abs_tol)?;
    let (mut lo, mut hi) = (lo, hi);
    let (at_lo, at_hi) = (value(&mut f, lo)?, value(&mut f, hi)?);
    check_signs(lo, hi, at_lo, at_hi)?;
    if at_lo == 0.0 {
        return Ok(lo);
    }
    loop {
        let middle = 0.5 * lo + 0.5 * hi;
        if hi - lo <= abs_tol || middle <= lo || middle >= hi {
            return Ok(middle);
        }
        let at = value(&mut f, middle)?;
        if at == 0.0 {
            return Ok(middle);
        }
        if (at < 0.0) == (at_lo < 0.0) {
            lo = middle;
        } else {
            hi = middle;
        }
    }
}

/// A root of `f` between `lo` and `hi`, where its signs differ, to within `abs_tol`, by Brent's method (1973): as sure as
/// bisection and some eight evaluations where `f` is smooth.
///
/// Errors: equal signs, a NaN value of `f`, no convergence in `max_iter` steps.
pub fn brent(mut f: impl FnMut(f64) -> f64, lo: f64, hi: f64, abs_tol: f64, max_iter: usize) -> Result<f64> {
    check_ends(lo, hi)?;
    check_tolerance(abs_tol)?;
    let (mut a, mut b) = (lo, hi);
    let (mut fa, mut fb) = (value(&mut f, a)?, value(&mut f, b)?);
    check_signs(a, b, fa, fb)?;
    // b is the best point, a the one before, c the other end of the bracket.
    let (mut c, mut fc) = (a, fa);
    let mut step = b - a;
    let mut before = step;
    for _ in 0..max_iter {
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + 0.5 * abs_tol;
        let half = 0.5 * (c - b);
        if half.abs() <= tolerance || fb == 0.0 {
            return Ok(b);
        }
        let interpolated =
            if before.abs() >= tolerance && fa.abs() > fb.abs() { interpolate(a, b, c, fa, fb, fc) } else { None };
        match interpolated {
            Some(s)
                if 2.0 * s.abs() < (3.0 * half.abs() - tolerance).min(before.abs()) && s.signum() == half.signum() =>
            {
                before = step;
                step = s;
            }
            _ => {
                step = half;
                before = half;
            }
        }
        (a, fa) = (b, fb);
        b += if step.abs() > tolerance { step } else { tolerance.copysign(half) };
        fb = value(&mut f, b)?;
        if (fb > 0.0) == (fc > 0.0) {
            (c, fc) = (a, fa);
            step = b - a;
            before = step;
        }
    }
    Err(Error::NotConverged { what: "Brent's method", limit: max_iter, left: (c - b).abs() })
}

/// The step from b to the root of the secant, or of the inverse quadratic through three points.
fn interpolate(a: f64, b: f64, c: f64, fa: f64, fb: f64, fc: f64) -> Option<f64> {
    let s = fb / fa;
    let (p, q) = if a == c {
        ((c - b) * s, 1.0 - s)
    } else {
        let (q, r) = (fa / fc, fb / fc);
        (s * ((c - b) * q * (q - r) - (b - a) * (r - 1.0)), -(q - 1.0) * (r - 1.0) * (s - 1.0))
    };
    let step = p / q;
    step.is_finite().then_some(step)
}

/// An interval in which `f` changes its sign, looked for from `start` upwards in steps that double, to `limit` at most.
///
/// The first step is |start|, or 1 from 0. Returns the last two points, so that their distance is at most half of the way
/// gone. Errors: no change of sign up to `limit`.
pub fn bracket_upwards(mut f: impl FnMut(f64) -> f64, start: f64, limit: f64) -> Result<(f64, f64)> {
    check_ends(start, limit)?;
    let first = value(&mut f, start)?;
    let (mut lo, mut at_lo) = (start, first);
    let mut step = if start == 0.0 { 1.0 } else { start.abs() };
    loop {
        if at_lo == 0.0 {
            return Ok((lo, lo));
        }
        if lo >= limit {
            return Err(Error::NoSignChange { low: start, high: limit, at_low: first, at_high: at_lo });
        }
        let hi = (lo + step).min(limit);
        let at_hi = value(&mut f, hi)?;
        if (at_hi < 0.0) != (at_lo < 0.0) || at_hi == 0.0 {
            return Ok((lo, hi));
        }
        (lo, at_lo) = (hi, at_hi);
        step *= 2.0;
    }
}

fn value(f: &mut impl FnMut(f64) -> f64, x: f64) -> Result<f64> {
    let value = f(x);
    if value.is_nan() { Err(Error::Undefined { at: x, value }) } else { Ok(value) }
}

fn check_ends(lo: f64, hi: f64) -> Result<()> {
    for end in [lo, hi] {
        if !end.is_finite() {
            return Err(Error::OutOfRange { name: "an end of the interval", found: end, expected: "finite" });
        }
    }
    if lo > hi {
        return Err(Error::OutOfRange { name: "the lower end", found: lo, expected: "no larger than the upper one" });
    }
    Ok(())
}

fn check_tolerance(tolerance: f64) -> Result<()> {
    if tolerance >= 0.0 {
        Ok(())
    } else {
        Err(Error::OutOfRange { name: "the tolerance", found: tolerance, expected: "at least 0" })
    }
}

fn check_signs(low: f64, high: f64, at_low: f64, at_high: f64) -> Result<()> {
    if at_low == 0.0 || at_high == 0.0 || (at_low < 0.0) != (at_high < 0.0) {
        Ok(())
    } else {
        Err(Error::NoSignChange { low, high, at_low, at_high })
    }
}
