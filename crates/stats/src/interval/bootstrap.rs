//! The nonparametric bootstrap (Efron, 1979), with percentile and bias-corrected accelerated (BCa) intervals.
//!
//! From a sample x of n items, B resamples of n items are drawn with replacement; the statistic's values on them, the
//! *replicates*, stand for its sampling distribution.
//!
//! *Percentile*: the (1 ∓ c)/2 quantiles of the replicates.
//! *BCa* (Efron, 1987): those quantiles moved to Φ(z₀ + (z₀ + z) / (1 − a(z₀ + z))), with the bias z₀ = Φ⁻¹(share of
//! replicates below the estimate, ties half) and the acceleration a = Σd³ / 6(Σd²)^{3/2} of the jackknife's deviations d.
//!
//! Resample b draws from a stream of its own (`rng::stream` of the seed, ChaCha8's stream b), so the replicates depend neither on
//! the number of threads nor on the order in which they run. Cost: B·n draws, and n statistics more for BCa.

use ashlar_kernels::rng::stream;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Interval;
use crate::{
    describe::{Welford, of_sorted},
    error::{Error, Result, check, check_confidence},
    special::{normal_cdf, normal_quantile},
};

/// How replicates become an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Plain quantiles of the replicates.
    Percentile,
    /// Corrected for bias and skewness; second-order accurate.
    #[default]
    Bca,
}

/// A bootstrap to run: settings now, data later.
///
/// ```
/// use ashlar_stats::interval::Bootstrap;
///
/// // Backdoor accuracy of five seeds, with and without a defence.
/// let without = [0.52, 0.47, 0.58, 0.44, 0.50];
/// let with = [0.21, 0.30, 0.26, 0.19, 0.24];
/// let gain = Bootstrap::new(7).paired_difference(&without, &with)?;
/// assert!((gain.value - 0.262).abs() < 1e-12);
/// assert!(gain.interval.low > 0.1); // the interval excludes 0
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples to draw, at least 100.
    pub resamples: u32,
    /// Nominal coverage, inside (0, 1).
    pub confidence: f64,
    /// Percentile or BCa.
    pub method: Method,
    /// The seed: the same one gives the same interval to the last bit.
    pub seed: u64,
}

/// A statistic of a sample with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The statistic of the sample itself.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// The replicates' standard deviation (n − 1).
    pub std_error: f64,
    /// How many replicates it rests on.
    pub resamples: u32,
}

impl Bootstrap {
    /// 10,000 resamples, 95 %, BCa.
    pub fn new(seed: u64) -> Self {
        Self { resamples: 10_000, confidence: 0.95, method: Method::default(), seed }
    }

    /// The same with another number of resamples.
    #[must_use]
    pub fn resamples(self, resamples: u32) -> Self {
        Self { resamples, ..self }
    }

    /// The same with another confidence.
    #[must_use]
    pub fn confidence(self, confidence: f64) -> Self {
        Self { confidence, ..self }
    }

    /// The same with another method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// The interval of any statistic of one sample of at least two values. The statistic sees each resample's values
    /// in the order drawn, and must be finite on all of them.
    pub fn estimate<S: Fn(&[f64]) -> f64 + Sync>(&self, x: &[f64], statistic: S) -> Result<Estimate> {
        check("a bootstrap", x, 2)?;
        self.of_items(x, statistic)
    }

    /// The interval of the mean.
    pub fn mean(&self, x: &[f64]) -> Result<Estimate> {
        self.estimate(x, average)
    }

    /// The interval of the mean of `a[i] − b[i]`: resampling whole pairs, as a comparison over the same seeds needs.
    pub fn paired_difference(&self, a: &[f64], b: &[f64]) -> Result<Estimate> {
        if a.len() != b.len() {
            return Err(Error::Unpaired { left: a.len(), right: b.len() });
        }
        check("the first paired sample", a, 2)?;
        check("the second paired sample", b, 2)?;
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        self.estimate(&differences, average)
    }

    /// The interval of a statistic of whole records (rows, clients, clusters, pairs), of which there are at least two.
    pub fn of_items<T: Copy + Send + Sync, S: Fn(&[T]) -> f64 + Sync>(
        &self,
        items: &[T],
        statistic: S,
    ) -> Result<Estimate> {
        check_confidence(self.confidence)?;
        if self.resamples < 100 {
            let found = f64::from(self.resamples);
            return Err(Error::OutOfRange { name: "the number of resamples", found, expected: "at least 100" });
        }
        if items.len() < 2 {
            return Err(Error::TooFew { what: "a bootstrap", needed: 2, found: items.len() });
        }
        let value = statistic(items);
        if !value.is_finite() {
            return Err(Error::NotFinite { what: "the statistic of the sample", index: 0, value });
        }
        let replicates = self.replicates(items, &statistic)?;
        let interval = match self.method {
            Method::Percentile => percentile(&replicates, self.confidence)?,
            Method::Bca => bca(value, &replicates, &jackknife(items, &statistic)?, self.confidence)?,
        };
        let mut spread = Welford::default();
        spread.extend(replicates.iter().copied());
        let std_error = spread.variance().unwrap_or(0.0).sqrt();
        Ok(Estimate { value, interval, std_error, resamples: self.resamples })
    }

    fn replicates<T: Copy + Send + Sync>(
        &self,
        items: &[T],
        statistic: &(impl Fn(&[T]) -> f64 + Sync),
    ) -> Result<Vec<f64>> {
        let base = stream(self.seed, &["stats", "bootstrap"]);
        let draw = |buffer: &mut Vec<T>, resample: u32| {
            let mut rng = base.clone();
            rng.set_stream(u64::from(resample));
            buffer.clear();
            buffer.extend((0..items.len()).map(|_| items[rng.random_range(0..items.len())]));
            statistic(buffer)
        };
        let replicates: Vec<f64> =
            (0..self.resamples).into_par_iter().map_init(|| Vec::with_capacity(items.len()), draw).collect();
        finite(replicates)
    }
}

fn finite(values: Vec<f64>) -> Result<Vec<f64>> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(resample) => Err(Error::Statistic { resample, value: values[resample] }),
        None => Ok(values),
    }
}

/// The statistic without each item in turn.
fn jackknife<T: Copy + Sync>(items: &[T], statistic: &(impl Fn(&[T]) -> f64 + Sync)) -> Result<Vec<f64>> {
    let without = |i: usize| {
        let rest: Vec<T> = items[..i].iter().chain(&items[i + 1..]).copied().collect();
        statistic(&rest)
    };
    finite((0..items.len()).into_par_iter().map(without).collect())
}

/// A percentile interval from replicates that the caller already has.
pub fn percentile(replicates: &[f64], confidence: f64) -> Result<Interval> {
    check_confidence(confidence)?;
    let tail = (1.0 - confidence) / 2.0;
    ends(replicates, tail, 1.0 - tail, confidence)
}

/// A BCa interval from the estimate, its replicates and its jackknife values (the statistic without each item in turn).
///
/// A statistic that never varies gives the point; one whose replicates all lie on one side of the estimate counts half
/// a replicate on the other, where the textbook's z₀ would be infinite.
pub fn bca(estimate: f64, replicates: &[f64], jackknife: &[f64], confidence: f64) -> Result<Interval> {
    check_confidence(confidence)?;
    check("the replicates", replicates, 1)?;
    check("the jackknife", jackknife, 2)?;
    let b = replicates.len() as f64;
    let below = replicates.iter().filter(|r| **r < estimate).count() as f64;
    let equal = replicates.iter().filter(|r| **r == estimate).count() as f64;
    let share = ((below + 0.5 * equal) / b).clamp(0.5 / b, 1.0 - 0.5 / b);
    let bias = normal_quantile(share);
    let a = acceleration(jackknife);
    let tail = (1.0 - confidence) / 2.0;
    let rank = |z: f64| normal_cdf(bias + (bias + z) / (1.0 - a * (bias + z)));
    let z = normal_quantile(tail);
    let (p, q) = (rank(z), rank(-z));
    ends(replicates, p.min(q), p.max(q), confidence)
}

/// Σd³ / 6(Σd²)^{3/2}, d = mean − value; 0 where the statistic does not depend on any one item.
fn acceleration(jackknife: &[f64]) -> f64 {
    let centre = average(jackknife);
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in jackknife {
        let d = centre - value;
        squares += d * d;
        cubes += d * d * d;
    }
    let a = cubes / (6.0 * squares.powf(1.5));
    if a.is_finite() { a } else { 0.0 }
}

fn ends(replicates: &[f64], p: f64, q: f64, confidence: f64) -> Result<Interval> {
    check("the replicates", replicates, 1)?;
    let mut sorted = replicates.to_vec();
    sorted.par_sort_unstable_by(f64::total_cmp);
    Ok(Interval { low: of_sorted(&sorted, p), high: of_sorted(&sorted, q), confidence })
}

fn average(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}
