//! Location, spread and order statistics of a sample.
//!
//! Streams by Welford's recurrence ([`Welford`]): one pass, no cancellation of large sums (a sample 1e9 + {4, 7, 13, 16}
//! keeps its variance of 30, where Σx² − n·x̄² loses it). Slices by two passes, Σ(x − x̄)² less what the rounding of x̄ adds,
//! which keeps full precision at any offset. Quantiles by numpy's default, `linear` (Hyndman and Fan's type 7).

use crate::error::{Error, Result, check};

/// Count, mean and sum of squared deviations, one value at a time.
///
/// ```
/// let mut w = ashlar_stats::Welford::default();
/// w.extend([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
/// assert_eq!((w.mean(), w.variance()), (Some(5.0), Some(32.0 / 7.0)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Welford {
    n: u64,
    mean: f64,
    m2: f64,
}

impl Welford {
    /// Takes one more value into account.
    pub fn push(&mut self, x: f64) {
        self.n += 1;
        let before = x - self.mean;
        self.mean += before / self.n as f64;
        self.m2 += before * (x - self.mean);
    }

    /// Joins two summaries of disjoint samples (Chan, Golub and LeVeque's update).
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let gap = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        self.mean += gap * share;
        self.m2 += other.m2 + gap * gap * self.n as f64 * share;
        self.n = n;
    }

    /// How many values were taken.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// The mean; none of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The unbiased variance (n − 1); none below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.m2 / (self.n - 1) as f64)
    }
}

impl Extend<f64> for Welford {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for x in values {
            self.push(x);
        }
    }
}

fn welford(x: &[f64]) -> Welford {
    let mut w = Welford::default();
    w.extend(x.iter().copied());
    w
}

/// The arithmetic mean of at least one value.
pub fn mean(x: &[f64]) -> Result<f64> {
    check("the mean", x, 1)?;
    Ok(welford(x).mean)
}

/// The unbiased variance (denominator n − 1) of at least two values.
pub fn variance(x: &[f64]) -> Result<f64> {
    check("the variance", x, 2)?;
    let centre = welford(x).mean;
    let squares: f64 = x.iter().map(|v| (v - centre) * (v - centre)).sum();
    let rest: f64 = x.iter().map(|v| v - centre).sum();
    Ok((squares - rest * rest / x.len() as f64) / (x.len() - 1) as f64)
}

/// The square root of [`variance`].
pub fn std_dev(x: &[f64]) -> Result<f64> {
    variance(x).map(f64::sqrt)
}

/// The standard error of the mean: s / √n, of at least two values.
pub fn std_error(x: &[f64]) -> Result<f64> {
    Ok(std_dev(x)? / (x.len() as f64).sqrt())
}

/// The middle value, or the mean of the middle two.
pub fn median(x: &[f64]) -> Result<f64> {
    quantile(x, 0.5)
}

/// The q-quantile, 0 ≤ q ≤ 1, by linear interpolation at position q·(n − 1) of the sorted values.
///
/// ```
/// assert_eq!(ashlar_stats::quantile(&[15.0, 20.0, 35.0, 40.0, 50.0], 0.4), Ok(29.0));
/// ```
pub fn quantile(x: &[f64], q: f64) -> Result<f64> {
    Ok(quantiles(x, &[q])?[0])
}

/// Several quantiles with one sort: O(n log n) time, n values of memory.
pub fn quantiles(x: &[f64], qs: &[f64]) -> Result<Vec<f64>> {
    check("a quantile", x, 1)?;
    if let Some(&q) = qs.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        return Err(Error::OutOfRange { name: "the quantile's rank", found: q, expected: "between 0 and 1" });
    }
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(qs.iter().map(|&q| of_sorted(&sorted, q)).collect())
}

/// numpy's `linear` on sorted values, with its two-sided lerp, so that the last bits agree too.
pub(crate) fn of_sorted(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = q * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let t = position - below as f64;
    let (a, b) = (sorted[below], sorted[above]);
    if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
}

/// A sample at a glance.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Unbiased standard deviation; 0 for a single value.
    pub std_dev: f64,
    /// Smallest value.
    pub min: f64,
    /// Lower quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Upper quartile.
    pub q3: f64,
    /// Largest value.
    pub max: f64,
}

/// Mean, spread and the five-number summary of at least one value.
pub fn describe(x: &[f64]) -> Result<Summary> {
    let q = quantiles(x, &[0.0, 0.25, 0.5, 0.75, 1.0])?;
    let std_dev = if x.len() < 2 { 0.0 } else { std_dev(x)? };
    Ok(Summary { n: x.len(), mean: welford(x).mean, std_dev, min: q[0], q1: q[1], median: q[2], q3: q[3], max: q[4] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welford_keeps_the_variance_of_a_shifted_sample() {
        for shift in [0.0, 1e9, -1e9] {
            let x = [4.0, 7.0, 13.0, 16.0].map(|v| v + shift);
            assert_eq!(variance(&x), Ok(30.0), "shift {shift}");
        }
    }

    #[test]
    fn merging_equals_one_pass() {
        let x: Vec<f64> = (0..101).map(|i| f64::from(i * i % 37)).collect();
        for cut in [0, 1, 50, 101] {
            let (mut a, b) = (welford(&x[..cut]), welford(&x[cut..]));
            a.merge(&b);
            let all = welford(&x);
            assert_eq!(a.count(), all.count());
            assert!((a.mean - all.mean).abs() < 1e-12 && (a.m2 - all.m2).abs() < 1e-9, "cut {cut}");
        }
    }

    #[test]
    fn one_value_is_its_own_summary() {
        let s = describe(&[3.5]).unwrap();
        assert_eq!((s.n, s.mean, s.std_dev, s.min, s.median, s.max), (1, 3.5, 0.0, 3.5, 3.5, 3.5));
    }

    #[test]
    fn what_cannot_be_summarised_is_refused() {
        assert_eq!(mean(&[]), Err(Error::TooFew { what: "the mean", needed: 1, found: 0 }));
        assert_eq!(variance(&[1.0]), Err(Error::TooFew { what: "the variance", needed: 2, found: 1 }));
        assert!(matches!(median(&[1.0, f64::NAN]), Err(Error::NotFinite { index: 1, .. })));
        assert!(matches!(quantile(&[1.0], f64::NAN), Err(Error::OutOfRange { .. })));
        assert!(matches!(quantile(&[1.0], 1.01), Err(Error::OutOfRange { .. })));
        let message = mean(&[f64::INFINITY]).unwrap_err().to_string();
        assert_eq!(message, "value 0 of the mean is inf: remove or replace what is not finite first");
    }
}
