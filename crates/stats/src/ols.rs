//! A straight line through points, by least squares.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, check};

/// y ≈ intercept + slope·x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Change of y for one more x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Share of y's variance that the line explains; 1 where y is constant.
    pub r2: f64,
    /// The slope's standard error, √(Σ residuals²/(n − 2)/Σ(x − x̄)²); none from two points.
    pub se_slope: Option<f64>,
    /// Number of points.
    pub n: usize,
}

impl Line {
    /// The line's y at x.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// The least-squares line through at least two points whose x differ.
///
/// Errors: lengths that differ, values that are not finite (or whose squares aren't), a constant x.
///
/// ```
/// let line = ashlar_stats::ols::simple(&[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0])?;
/// assert_eq!((line.slope, line.intercept, line.r2), (2.0, 1.0, 1.0));
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn simple(x: &[f64], y: &[f64]) -> Result<Line> {
    if x.len() != y.len() {
        return Err(Error::Unpaired { left: x.len(), right: y.len() });
    }
    check("a line, in x,", x, 2)?;
    check("a line, in y,", y, 2)?;
    let (centre_x, centre_y) = (crate::mean(x)?, crate::mean(y)?);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - centre_x, y - centre_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let slope = xy / xx;
    if !(xx > 0.0 && slope.is_finite() && yy.is_finite()) {
        return Err(Error::OutOfRange { name: "the spread of x", found: xx, expected: "positive and finite" });
    }
    // Residuals from the centre, so that a large offset of x costs no digits.
    let residual = |(x, y): (&f64, &f64)| (y - centre_y) - slope * (x - centre_x);
    let unexplained: f64 = x.iter().zip(y).map(residual).map(|r| r * r).sum();
    let r2 = if yy > 0.0 { (1.0 - unexplained / yy).clamp(0.0, 1.0) } else { 1.0 };
    let se_slope = (x.len() > 2).then(|| (unexplained / (x.len() - 2) as f64 / xx).sqrt());
    Ok(Line { slope, intercept: centre_y - slope * centre_x, r2, se_slope, n: x.len() })
}
