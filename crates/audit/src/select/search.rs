//! The best of many candidates without solving for each.
//!
//! Candidates are visited in falling order of a rough estimate of their bound, so that an early one is nearly the best. A
//! later one is skipped where its raw rates can't give more than the best so far, else tested once at the best, and solved
//! only if it refutes that (the order and the skips after jax_privacy's search).

use ashlar_stats::special::normal_quantile;

use super::ranking::Guesses;
use crate::{Method, Result};

/// ε (or μ, for the methods that go through it) of the best candidate, and its place.
pub(super) fn best(method: Method, candidates: &[Guesses], delta: f64, level: f64) -> Result<(usize, f64)> {
    let z = -normal_quantile(level);
    let mut order: Vec<(f64, usize)> = worth_a_look(candidates)
        .map(|i| (Rates::cautious(&candidates[i], z).value(method, &candidates[i], delta), i))
        .collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (mut place, mut value) = (order.first().map_or(0, |first| first.1), 0.0);
    for (_, i) in order {
        if Rates::raw(&candidates[i]).value(method, &candidates[i], delta) <= value {
            continue;
        }
        let found = improve(method, &candidates[i], delta, level, value)?;
        if found > value {
            (place, value) = (i, found);
        }
    }
    Ok((place, value))
}

/// The bound of one candidate in the method's own parameter, if it is above `from`; else `from`.
pub(super) fn improve(method: Method, guesses: &Guesses, delta: f64, level: f64, from: f64) -> Result<f64> {
    Ok(match method {
        Method::OneRun => guesses.one_run()?.epsilon_at_level(delta, level, from)?,
        Method::OneRunFdp => guesses.one_run()?.mu_at_level(level, from)?,
        _ if guesses.members == 0 || guesses.nonmembers == 0 => from,
        Method::ClopperPearson => guesses.confusion()?.error_rates_at_level(level)?.epsilon(delta).max(from),
        Method::Gdp => guesses.confusion()?.error_rates_at_level(level)?.mu().max(from),
        Method::Bayes => {
            let posterior = guesses.confusion()?.posterior()?;
            let tail = 0.5 * level;
            if posterior.outside(from, delta)? > 1.0 - tail { posterior.quantile(tail, delta)?.max(from) } else { from }
        }
        // Nothing is selected there.
        Method::OneShotGaussian => from,
    })
}

/// Leaves out candidates that another one beats for sure: as many false positives and fewer right guesses, in a list of
/// thresholds whose counts rise.
fn worth_a_look(candidates: &[Guesses]) -> impl Iterator<Item = usize> {
    let nested = candidates.windows(2).all(|pair| pair[0].plus[0] <= pair[1].plus[0] && pair[1].minus == pair[0].minus);
    let last_of_its_kind = move |&i: &usize| {
        let next = candidates.get(i + 1).filter(|_| nested);
        next.is_none_or(|next| next.false_positives() > candidates[i].false_positives())
    };
    (0..candidates.len()).filter(last_of_its_kind)
}

/// Rates of right and wrong guesses, as observed or moved towards chance.
struct Rates {
    precision: f64,
    fpr: f64,
    fnr: f64,
}

impl Rates {
    fn raw(guesses: &Guesses) -> Self {
        Self::moved(guesses, |k, n| k / n)
    }

    /// With Wilson's upper limit of each rate of errors: a rough stand-in for the exact one.
    fn cautious(guesses: &Guesses, z: f64) -> Self {
        Self::moved(guesses, |k, n| {
            let (p, shift) = (k / n, z * z / n);
            ((p + 0.5 * shift + (shift * (p * (1.0 - p) + 0.25 * shift)).sqrt()) / (1.0 + shift)).min(1.0)
        })
    }

    fn moved(guesses: &Guesses, rate: impl Fn(f64, f64) -> f64) -> Self {
        let wrong = guesses.guesses() - guesses.correct();
        Self {
            precision: 1.0 - rate(wrong as f64, guesses.guesses() as f64),
            fpr: rate(guesses.false_positives() as f64, guesses.nonmembers as f64),
            fnr: rate((guesses.members - guesses.plus[1]) as f64, guesses.members as f64),
        }
    }

    /// What a mechanism with exactly these rates has for its parameter: no bound from them is larger.
    ///
    /// For one-run f-DP the mechanism whose best guesses, half of them each side, are expected to be as often right: its
    /// median count refutes nothing at a level below ½. One guess more bridges median and mean.
    fn value(&self, method: Method, guesses: &Guesses, delta: f64) -> f64 {
        let value = match method {
            Method::OneRun => (self.precision / (1.0 - self.precision)).ln(),
            Method::OneRunFdp => {
                let (share, m) = (guesses.guesses() as f64 / guesses.canaries() as f64, guesses.canaries() as f64);
                let (right, wrong) = (share * self.precision + 1.0 / m, share * (1.0 - self.precision) - 1.0 / m);
                normal_quantile(right.min(1.0)) - normal_quantile(wrong.max(0.0))
            }
            Method::Gdp => -normal_quantile(self.fpr) - normal_quantile(self.fnr),
            _ => {
                let term = |covered: f64, missed: f64| ((1.0 - delta - covered).max(0.0) / missed).ln();
                term(self.fpr, self.fnr).max(term(self.fnr, self.fpr))
            }
        };
        if value.is_nan() { 0.0 } else { value }
    }
}
