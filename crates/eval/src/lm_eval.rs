//! lm-evaluation-harness' own standard errors, bit for bit where they are drawn.
//!
//! Source: `lm_eval/api/metrics.py`. There, a bootstrap of `iters` replicates runs in ⌊iters/c⌋ chunks of
//! c = min(1000, iters), so a remainder is dropped; chunk i draws with `random.Random(i).choices`; the error is the sample
//! standard deviation over all replicates. Its median is the upper one of an even number. The errors of several tasks
//! pool as those of one sample made of theirs.
//!
//! Where Python 3.12 and later sum with compensation, the last bits differ; these are 3.11's.

use crate::{
    Error, PyRandom, Result,
    resample::{self, Bootstrapped, CHUNK, Statistic},
};

/// `bootstrap_stderr`: a statistic's error from ⌊iters/c⌋·c replicates, c = min(1000, iters).
///
/// # Errors
/// As [`resample::bootstrap`].
pub fn bootstrap(x: &[f64], statistic: Statistic, iters: usize) -> Result<Bootstrapped> {
    resample::check(x, iters)?;
    let chunk = CHUNK.min(iters);
    let sizes = vec![chunk; iters / chunk];
    resample::summarise(x, statistic, &resample::replicates(x, statistic, &sizes, |i| PyRandom::new(i as u64)))
}

/// `pooled_sample_stderr`: √(Σ(nᵢ − 1)·seᵢ²·nᵢ / (Σnᵢ − k) / Σnᵢ) over k tasks of (standard error, items).
///
/// # Errors
/// [`Error::TooFew`] without tasks or with one item a task only, [`Error::Range`] for a task without items or a negative
/// error.
pub fn pooled_stderr(tasks: &[(f64, u64)]) -> Result<f64> {
    let mut squares = 0.0;
    let mut items = 0.0;
    for &(se, n) in tasks {
        if !(se.is_finite() && se >= 0.0) {
            return Err(Error::Range { name: "standard error", value: se, expected: "finite and at least 0" });
        }
        if n == 0 {
            return Err(Error::Range { name: "items of a task", value: 0.0, expected: "at least 1" });
        }
        let n = n as f64;
        squares += (n - 1.0) * se * se * n;
        items += n;
    }
    let spare = items - tasks.len() as f64;
    if spare < 1.0 {
        let needed = tasks.len() + 1;
        return Err(Error::TooFew { what: "items over all tasks".to_owned(), needed, found: tasks.len() });
    }
    Ok((squares / spare / items).sqrt())
}

/// A group's score: the mean of its tasks' (score, items), weighted by items.
///
/// # Errors
/// [`Error::TooFew`] without any item.
pub fn weighted_mean(tasks: &[(f64, u64)]) -> Result<f64> {
    let items: f64 = tasks.iter().map(|&(_, n)| n as f64).sum();
    if items == 0.0 {
        return Err(Error::TooFew { what: "items over all tasks".to_owned(), needed: 1, found: 0 });
    }
    Ok(tasks.iter().map(|&(score, n)| score * (n as f64 / items)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 10] = [-2.1, -1.7, -3.2, -0.4, -2.8, -1.1, -0.9, -2.2, -1.5, -3.9];

    #[test]
    fn bits_of_the_harness() {
        let found = bootstrap(&X, Statistic::Perplexity, 2000).unwrap();
        assert_eq!((found.value, found.se, found.iters), (7.24274298516101, 2.5226482312524245, 2000));
        let found = bootstrap(&X, Statistic::UpperMedian, 2000).unwrap();
        assert_eq!((found.value, found.se), (-1.7, 0.4425996212293389));
    }

    #[test]
    fn a_remainder_is_dropped_and_few_replicates_are_one_chunk() {
        let of = |iters| bootstrap(&X, Statistic::Mean, iters).unwrap();
        assert_eq!(of(2999), of(2000));
        assert_ne!(of(3000), of(2000));
        assert_eq!(of(999).iters, 999);
        assert_eq!(of(1999).iters, 1000);
    }

    #[test]
    fn errors_pool() {
        // Two tasks that are halves of one kind: √((9·.01·10 + 19·.04·20) / 28 / 30).
        let found = pooled_stderr(&[(0.1, 10), (0.2, 20)]).unwrap();
        assert!((found - ((9.0 * 0.01 * 10.0 + 19.0 * 0.04 * 20.0) / 28.0 / 30.0_f64).sqrt()).abs() < 1e-15);
        assert!(pooled_stderr(&[]).is_err());
        assert!(pooled_stderr(&[(0.1, 1)]).is_err());
        assert!(pooled_stderr(&[(0.1, 0)]).is_err());
        assert!(pooled_stderr(&[(-0.1, 3)]).is_err());
        assert!(pooled_stderr(&[(0.1, u64::MAX), (0.1, u64::MAX)]).is_ok());
        assert_eq!(weighted_mean(&[(1.0, 1), (0.0, 3)]).unwrap(), 0.25);
        assert!(weighted_mean(&[(1.0, 0)]).is_err());
    }
}
