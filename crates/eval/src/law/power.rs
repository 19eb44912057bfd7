//! One quantity as a power of another: how evaluation awareness grows with size (Chaudhary et al., 2025), or anything
//! else that is measured over sizes.
//!
//! Two forms: `loglog`, ln y = ln a + b ln x; and `sqrt`, y = a √(x / 10⁹) + b, the fixed exponent with an offset that
//! the paper reports. Corrected AIC compares them on the same footing, as densities of y: the log form's carries the
//! Jacobian Π 1/y.

use ashlar_stats::ols;

use super::Points;
use crate::{Error, Result};

/// The form of the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// y = coef · x^exponent.
    LogLog,
    /// y = coef · √(x / 10⁹) + offset.
    Sqrt,
}

/// A fitted power law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// Its form.
    pub form: Form,
    /// Factor.
    pub coef: f64,
    /// Exponent: fitted, or ½.
    pub exponent: f64,
    /// Offset; 0 for `loglog`.
    pub offset: f64,
    /// Share of the variance explained, of ln y or of y.
    pub r2: f64,
    /// Points.
    pub n: usize,
    /// Akaike's criterion with its small-sample correction, for the density of y; lower is better. Infinite for fewer than
    /// 5 points, where the correction is not defined; −∞ where the law is exact.
    pub aicc: f64,
}

impl Power {
    /// Fits x and y of the same length.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer than three different x; [`Error::Range`] for x or (with `loglog`) y that are not above 0.
    pub fn fit(form: Form, x: &[f64], y: &[f64]) -> Result<Self> {
        let sizes = Points::distinct(x);
        if sizes < 3 || x.len() != y.len() {
            return Err(Error::TooFew { what: "different sizes".to_owned(), needed: 3, found: sizes });
        }
        let positive = |v: &&f64| !(v.is_finite() && **v > 0.0);
        if let Some(&value) = x.iter().find(positive) {
            return Err(Error::Range { name: "x", value, expected: "finite and above 0" });
        }
        if let Some(&value) = y.iter().find(|v| !v.is_finite() || (form == Form::LogLog && **v <= 0.0)) {
            return Err(Error::Range { name: "y", value, expected: "finite, and above 0 for a law in logs" });
        }
        let n = x.len();
        let ln = |v: &[f64]| v.iter().map(|v| v.ln()).collect::<Vec<_>>();
        Ok(match form {
            Form::LogLog => {
                let logs = ln(y);
                let sizes = ln(x);
                let line = ols::simple(&sizes, &logs)?;
                let jacobian = 2.0 * logs.iter().sum::<f64>();
                let aicc = aicc(residual_sum(&line, &sizes, &logs), n, 3) + jacobian;
                Self { form, coef: line.intercept.exp(), exponent: line.slope, offset: 0.0, r2: line.r2, n, aicc }
            }
            Form::Sqrt => {
                let roots: Vec<f64> = x.iter().map(|x| (x / 1e9).sqrt()).collect();
                let line = ols::simple(&roots, y)?;
                let aicc = aicc(residual_sum(&line, &roots, y), n, 3);
                Self { form, coef: line.slope, exponent: 0.5, offset: line.intercept, r2: line.r2, n, aicc }
            }
        })
    }

    /// y at x.
    pub fn predict(&self, x: f64) -> f64 {
        match self.form {
            Form::LogLog => self.coef * x.powf(self.exponent),
            Form::Sqrt => self.coef * (x / 1e9).sqrt() + self.offset,
        }
    }
}

/// Sum of squared residuals of a line.
pub(super) fn residual_sum(line: &ols::Line, x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(&x, y)| (y - line.at(x)).powi(2)).sum()
}

/// Corrected AIC of a least-squares fit with `k` parameters, the variance among them: −2 ln L̂ + 2k + 2k(k+1)/(n−k−1),
/// with the likelihood's constants, so that different transformations of y can be compared after their Jacobians.
pub fn aicc(rss: f64, n: usize, k: usize) -> f64 {
    let (n, k) = (n as f64, k as f64);
    if n - k - 1.0 <= 0.0 {
        return f64::INFINITY;
    }
    n * ((2.0 * std::f64::consts::PI * rss / n).ln() + 1.0) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
}

/// Predictions of each group from a law fitted to all the others (leave one family out): one value a point.
///
/// # Errors
/// As [`Power::fit`], for what is left without some group.
pub fn leave_one_out(form: Form, x: &[f64], y: &[f64], groups: &[String]) -> Result<Vec<f64>> {
    let mut predicted = vec![f64::NAN; x.len()];
    let mut names: Vec<&String> = groups.iter().collect();
    names.sort();
    names.dedup();
    for name in names {
        let rest = |v: &[f64]| v.iter().zip(groups).filter(|(_, g)| *g != name).map(|(v, _)| *v).collect::<Vec<_>>();
        let law = Power::fit(form, &rest(x), &rest(y))?;
        for at in (0..x.len()).filter(|&at| groups[at] == *name) {
            predicted[at] = law.predict(x[at]);
        }
    }
    Ok(predicted)
}
