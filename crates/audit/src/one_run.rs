//! Privacy auditing with one training run (Steinke, Nasr and Jagielski, 2023).
//!
//! Each of m canaries is included by its own fair coin. After one training run the auditor guesses "in" or "out" for r
//! of them and abstains on the rest; v guesses are right. Under (ε, δ)-DP, with q = e^ε/(1 + e^ε) and
//! B ~ Binomial(r, q), the chance of v or more right guesses is at most
//!
//! p(ε) = min(1, P[B ≥ v] + 2·m·δ·α), α = max over 1 ≤ i ≤ v of P[v − i ≤ B < v]/i,
//!
//! and the bound is the largest ε with p(ε) < 1 − confidence. m counts the canaries whose coins were tossed: abstaining
//! doesn't shrink the δ term.
//!
//! Everything is counted in wrong guesses, W = r − B ~ Binomial(r, 1/(1 + e^ε)), since 1 − q loses its digits where ε is
//! large. Cost of one p: O(√r).

use ashlar_stats::{binomial, root};

use crate::{
    Bound, Method, Result, Validity,
    error::{check_confidence, check_delta, check_epsilon, check_part},
};

/// The bound is found to this distance.
const TOLERANCE: f64 = 1e-12;
/// At this ε no guess can be wrong in f64, so every p is 1.
const EPSILON_MAX: f64 = 2048.0;

/// Counts of a one-run audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneRun {
    canaries: u64,
    guesses: u64,
    correct: u64,
}

impl OneRun {
    /// `canaries` whose inclusion was decided by a coin, `guesses` made about them, `correct` ones among these.
    ///
    /// # Errors
    /// If a part exceeds its whole.
    pub fn new(canaries: u64, guesses: u64, correct: u64) -> Result<Self> {
        check_part(("correct", correct), ("guesses", guesses))?;
        check_part(("guesses", guesses), ("canaries", canaries))?;
        Ok(Self { canaries, guesses, correct })
    }

    /// Canaries whose inclusion was decided by a coin.
    pub fn canaries(&self) -> u64 {
        self.canaries
    }

    /// Guesses made.
    pub fn guesses(&self) -> u64 {
        self.guesses
    }

    /// Right guesses.
    pub fn correct(&self) -> u64 {
        self.correct
    }

    /// The same audit with every guess right.
    pub fn all_correct(&self) -> Self {
        Self { correct: self.guesses, ..*self }
    }

    /// The largest probability that an (ε, δ)-DP algorithm gives to so many right guesses; 1 without a right guess.
    ///
    /// # Errors
    /// ε must be finite and at least 0, δ in [0, 1).
    pub fn p_value(&self, epsilon: f64, delta: f64) -> Result<f64> {
        check_epsilon(epsilon)?;
        check_delta(delta)?;
        Ok(self.p(epsilon, delta))
    }

    /// The largest ε that these guesses refute, 0 where they refute none; at most 1e-12 off.
    ///
    /// # Errors
    /// δ must be in [0, 1), the one-sided confidence inside (0.5, 1).
    pub fn epsilon_lower(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_confidence(confidence)?;
        check_delta(delta)?;
        Ok(Bound {
            epsilon_lower: self.epsilon_at_level(delta, 1.0 - confidence, 0.0)?,
            epsilon_upper: None,
            mu_lower: None,
            delta,
            confidence,
            method: Method::OneRun,
            valid: Validity::Valid,
        })
    }

    /// The bound that so many guesses could give at best, were all of them right: a claim at or above it can't be refuted
    /// however wrong it is. About ln(r/2.996) at 95%.
    ///
    /// # Errors
    /// As [`epsilon_lower`](Self::epsilon_lower).
    pub fn epsilon_ceiling(&self, delta: f64, confidence: f64) -> Result<f64> {
        Ok(self.all_correct().epsilon_lower(delta, confidence)?.epsilon_lower)
    }

    /// The fewest guesses, as a multiple of 10, whose ceiling reaches `target`; none if all canaries are too few.
    ///
    /// An audit of a claimed ε takes the claim + 0.5 for the target.
    ///
    /// # Errors
    /// As [`epsilon_lower`](Self::epsilon_lower), and a target that is negative or not finite.
    pub fn guesses_for(canaries: u64, target: f64, delta: f64, confidence: f64) -> Result<Option<u64>> {
        check_confidence(confidence)?;
        check_delta(delta)?;
        check_epsilon(target)?;
        let reaches = |tens: u64| {
            let all = Self { canaries, guesses: 10 * tens, correct: 10 * tens };
            // The ceiling is above the target where the target itself is refuted.
            all.refutes(target, delta, 1.0 - confidence)
        };
        let (mut too_few, mut enough) = (0, canaries / 10);
        if !reaches(enough) {
            return Ok(None);
        }
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            if reaches(middle) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        Ok(Some(10 * enough))
    }

    /// Whether (ε, δ)-DP is refuted at level τ.
    pub(crate) fn refutes(&self, epsilon: f64, delta: f64, level: f64) -> bool {
        // Without the δ term first: it is the cheaper part and alone settles most.
        self.tail(epsilon) < level && self.p(epsilon, delta) < level
    }

    /// sup{ε ≥ `from`: p(ε) < τ}, `from` itself if that isn't refuted.
    pub(crate) fn epsilon_at_level(&self, delta: f64, level: f64, from: f64) -> Result<f64> {
        if !self.refutes(from, delta, level) {
            return Ok(from);
        }
        let excess = |epsilon| self.p(epsilon, delta) - level;
        let (low, high) = root::bracket_upwards(excess, from, EPSILON_MAX)?;
        Ok(root::bisect(excess, low, high, TOLERANCE)?)
    }

    fn p(&self, epsilon: f64, delta: f64) -> f64 {
        let tail = self.tail(epsilon);
        if delta == 0.0 || self.correct == 0 {
            return tail;
        }
        (2.0 * self.canaries as f64 * delta).mul_add(self.alpha(epsilon), tail).min(1.0)
    }

    /// P[B ≥ v] = P[W ≤ r − v].
    fn tail(&self, epsilon: f64) -> f64 {
        if self.correct == 0 {
            return 1.0;
        }
        binomial::cdf(self.guesses - self.correct, self.guesses, wrong_rate(epsilon))
    }

    /// α, the largest mean of P[W = w + 1], …, P[W = w + i] over 1 ≤ i ≤ v, w = r − v.
    fn alpha(&self, epsilon: f64) -> f64 {
        let (r, wrong, rate) = (self.guesses, self.guesses - self.correct, wrong_rate(epsilon));
        // Up to the mode the probabilities rise, and their mean with them; behind it the mean rises for as long as the
        // next probability exceeds it.
        let mode = (((r as f64 + 1.0) * rate) as u64).min(r);
        let (mut count, mut sum) = (0_u64, 0.0);
        if mode > wrong {
            count = mode - wrong;
            sum = binomial::cdf(mode, r, rate) - binomial::cdf(wrong, r, rate);
        }
        let odds = (-epsilon).exp();
        let mut next = wrong + count + 1;
        let mut probability = if next <= r { binomial::pmf(next, r, rate) } else { 0.0 };
        while next <= r && (count == 0 || probability * count as f64 > sum) {
            sum += probability;
            count += 1;
            probability *= (r - next) as f64 / (next + 1) as f64 * odds;
            next += 1;
        }
        if count == 0 { 0.0 } else { (sum / count as f64).max(0.0) }
    }
}

/// 1 − q = 1/(1 + e^ε).
fn wrong_rate(epsilon: f64) -> f64 {
    let odds = (-epsilon).exp();
    odds / (1.0 + odds)
}
