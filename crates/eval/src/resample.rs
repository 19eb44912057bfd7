//! Resampling with replacement on [`PyRandom`] streams, in chunks of 1,000 replicates.
//!
//! Chunk i draws from a stream of its own, so the replicates don't depend on the number of threads. Cost: one draw an
//! element and replicate, 3 to 5 ns a thread.

use ashlar_stats::describe::std_dev;
use rayon::prelude::*;

use crate::{Error, PyRandom, Result};

/// Replicates a chunk.
pub const CHUNK: usize = 1000;
/// The most replicates that a bootstrap here takes (80 MB of them).
pub const MAX_ITERS: usize = 10_000_000;

/// What a bootstrap is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Σx/n.
    Mean,
    /// The middle value; of an even number, the mean of the two.
    Median,
    /// The larger of the two middle values of an even number, which lm-evaluation-harness calls the median.
    UpperMedian,
    /// e^(−Σx/n) of log-likelihoods.
    Perplexity,
}

impl Statistic {
    /// The statistic of at least one value; their order may change.
    pub fn of(self, x: &mut [f64]) -> f64 {
        let n = x.len();
        match self {
            Self::Mean => mean(x),
            Self::Perplexity => (-mean(x)).exp(),
            Self::UpperMedian | Self::Median if n == 0 => f64::NAN,
            Self::UpperMedian => *x.select_nth_unstable_by(n / 2, f64::total_cmp).1,
            Self::Median => {
                let (below, &mut upper, _) = x.select_nth_unstable_by(n / 2, f64::total_cmp);
                if n % 2 == 1 {
                    upper
                } else {
                    // Halves first: the sum of two finite values may overflow.
                    below.iter().copied().fold(f64::NEG_INFINITY, f64::max) / 2.0 + upper / 2.0
                }
            }
        }
    }
}

// In order, uncompensated: as Python's `sum` up to 3.11 does it.
fn mean(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum, v| sum + v) / x.len() as f64
}

/// A statistic with its bootstrap error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrapped {
    /// The statistic of the sample itself.
    pub value: f64,
    /// The replicates' standard deviation (n − 1).
    pub se: f64,
    /// How many replicates it rests on.
    pub iters: usize,
}

/// The stream of a chunk under a seed: words (seed low, seed high, chunk + 1), which no `Random(int)` below 2⁶⁴ shares.
pub fn stream(seed: u64, chunk: usize) -> PyRandom {
    let chunk = chunk as u64 + 1;
    PyRandom::from_words(&[seed as u32, (seed >> 32) as u32, chunk as u32, (chunk >> 32) as u32])
}

/// The bootstrap standard error of a statistic from `iters` replicates.
///
/// # Errors
/// [`Error::TooFew`] without values, [`Error::Range`] for `iters` outside 2 to 10⁷, [`Error::Undefined`] where the
/// statistic leaves the range of an `f64`.
pub fn bootstrap(x: &[f64], statistic: Statistic, iters: usize, seed: u64) -> Result<Bootstrapped> {
    check(x, iters)?;
    let sizes: Vec<usize> = (0..iters.div_ceil(CHUNK)).map(|chunk| CHUNK.min(iters - chunk * CHUNK)).collect();
    summarise(x, statistic, &replicates(x, statistic, &sizes, |chunk| stream(seed, chunk)))
}

pub(crate) fn check(x: &[f64], iters: usize) -> Result<()> {
    if x.is_empty() {
        return Err(Error::TooFew { what: "values of a bootstrap".to_owned(), needed: 1, found: 0 });
    }
    if !(2..=MAX_ITERS).contains(&iters) {
        return Err(Error::Range { name: "iters", value: iters as f64, expected: "between 2 and 10000000" });
    }
    Ok(())
}

pub(crate) fn replicates(
    x: &[f64],
    statistic: Statistic,
    sizes: &[usize],
    stream: impl Fn(usize) -> PyRandom + Sync,
) -> Vec<f64> {
    let one = |(chunk, &size): (usize, &usize)| {
        let mut rng = stream(chunk);
        let mut drawn = vec![0.0; x.len()];
        let replicate = |_| {
            for value in &mut drawn {
                *value = x[rng.choice_of(x.len())];
            }
            statistic.of(&mut drawn)
        };
        (0..size).map(replicate).collect::<Vec<f64>>()
    };
    sizes.par_iter().enumerate().flat_map_iter(one).collect()
}

pub(crate) fn summarise(x: &[f64], statistic: Statistic, replicates: &[f64]) -> Result<Bootstrapped> {
    let value = statistic.of(&mut x.to_vec());
    let centre = mean(replicates);
    let squares = replicates.iter().fold(0.0, |sum, r| sum + (r - centre) * (r - centre));
    let se = (squares / (replicates.len() as f64 - 1.0)).sqrt();
    if value.is_finite() && se.is_finite() {
        Ok(Bootstrapped { value, se, iters: replicates.len() })
    } else {
        let what = format!("the statistic is {value} with an error of {se}: the values are too large for an f64");
        Err(Error::Undefined(what))
    }
}

/// The standard deviation and the (1 ∓ level)/2 quantiles of replicates; none of fewer than two.
pub(crate) fn spread(replicates: &[f64], level: f64) -> Option<(f64, f64, f64)> {
    let se = std_dev(replicates).ok()?;
    let tail = (1.0 - level) / 2.0;
    let ends = ashlar_stats::describe::quantiles(replicates, &[tail, 1.0 - tail]).ok()?;
    Some((se, ends[0], ends[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_differ_on_even_numbers_only() {
        let x = [3.0, 1.0, 4.0, 2.0];
        assert_eq!(Statistic::Median.of(&mut x.clone()), 2.5);
        assert_eq!(Statistic::UpperMedian.of(&mut x.clone()), 3.0);
        assert_eq!(Statistic::Median.of(&mut x[..3].to_vec()), 3.0);
        assert_eq!(Statistic::UpperMedian.of(&mut x[..3].to_vec()), 3.0);
    }

    #[test]
    fn the_error_of_a_mean_is_s_over_root_n() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i * i % 37)).collect();
        let found = bootstrap(&x, Statistic::Mean, 20_500, 3).unwrap();
        let expected = std_dev(&x).unwrap() * (199.0_f64 / 200.0).sqrt() / 200.0_f64.sqrt();
        assert_eq!(found.iters, 20_500, "here the remainder counts");
        // The error of a standard deviation from 20,500 replicates is half a per cent.
        assert!((found.se / expected - 1.0).abs() < 0.03, "{found:?} {expected}");
    }

    #[test]
    fn what_overflows_is_refused() {
        assert!(bootstrap(&[-800.0, -900.0], Statistic::Perplexity, 100, 0).is_err());
        assert!(bootstrap(&[1.0], Statistic::Mean, 1, 0).is_err());
        assert!(bootstrap(&[], Statistic::Mean, 100, 0).is_err());
        assert!(bootstrap(&[f64::MAX, f64::MAX], Statistic::Mean, 100, 0).is_err());
        assert_eq!(Statistic::Median.of(&mut [f64::MAX, f64::MAX]), f64::MAX);
    }
}
