//! Multi-turn answer instability as a two-state Markov chain ("Modeling and Predicting Multi-Turn Answer Instability in
//! Large Language Models").
//!
//! A question is asked, then followed up turn after turn without new evidence; each turn's answer is right (T) or wrong
//! (F). With p_TF and p_FT the shares of right answers that turn wrong and of wrong ones that turn right, pooled over all
//! consecutive pairs, and p₀ the first turn's accuracy,
//!
//! acc(t) = π + (p₀ − π)·λᵗ, λ = 1 − p_TF − p_FT, **π = p_FT / (p_TF + p_FT)**, the stationary accuracy.
//!
//! Delta method: Var π = (p_TF²·p_FT(1 − p_FT)/n_F + p_FT²·p_TF(1 − p_TF)/n_T) / (p_TF + p_FT)⁴. It takes the pairs as
//! independent; the turns of one question are not, so from trajectories the error is a cluster bootstrap over questions
//! ([`Trajectories::bootstrap`]).
//!
//! What goes wrong elsewhere: an unparsed answer is counted as right or left out (here it is wrong, and counted);
//! p_TF and p_FT from the first two turns only; chains per question that are averaged.

mod order;
mod states;
mod trajectories;

use serde::Serialize;

pub use order::{MarkovTest, second_order};
pub use states::{StateChain, StateTable};
pub use trajectories::{Fit, Spread, Trajectories};

use crate::{Error, Result};

/// The most turns a chain is followed for.
pub const MAX_TURNS: usize = 1_000_000;

/// Consecutive pairs of answers: from right (T) or wrong (F) to right or wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Right, then right.
    pub tt: u64,
    /// Right, then wrong.
    pub tf: u64,
    /// Wrong, then right.
    pub ft: u64,
    /// Wrong, then wrong.
    pub ff: u64,
}

/// The chain of some counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// Share of right answers that turn wrong; none if no pair begins right.
    pub p_tf: Option<f64>,
    /// Share of wrong answers that turn right; none if no pair begins wrong.
    pub p_ft: Option<f64>,
    /// The accuracy that the chain settles at.
    pub stationary: Option<f64>,
    /// Its standard error by the delta method, the pairs taken as independent.
    pub stationary_se: Option<f64>,
    /// 1 − p_TF − p_FT, by which the distance to `stationary` shrinks a turn; below 0 the accuracy alternates.
    pub lambda: Option<f64>,
    /// Turns after which the distance is half, ln ½ / ln |λ|; none if it never shrinks.
    pub half_life: Option<f64>,
    /// Why a figure is missing.
    pub reason: Option<&'static str>,
}

impl Counts {
    /// Pairs that begin right.
    pub fn from_right(&self) -> u128 {
        u128::from(self.tt) + u128::from(self.tf)
    }

    /// Pairs that begin wrong.
    pub fn from_wrong(&self) -> u128 {
        u128::from(self.ft) + u128::from(self.ff)
    }

    /// Every pair.
    pub fn pairs(&self) -> u128 {
        self.from_right() + self.from_wrong()
    }

    /// Share of pairs whose answer changes between right and wrong.
    pub fn flip_rate(&self) -> Option<f64> {
        share(u128::from(self.tf) + u128::from(self.ft), self.pairs())
    }

    /// The two-state chain.
    pub fn chain(&self) -> Chain {
        let p_tf = share(u128::from(self.tf), self.from_right());
        let p_ft = share(u128::from(self.ft), self.from_wrong());
        let mut chain =
            Chain { p_tf, p_ft, stationary: None, stationary_se: None, lambda: None, half_life: None, reason: None };
        let (Some(a), Some(b)) = (p_tf, p_ft) else {
            chain.reason = Some(match (p_tf, p_ft) {
                (None, None) => "there are no pairs of consecutive answers",
                (None, _) => "no pair begins with a right answer, so p_tf is unknown",
                _ => "no pair begins with a wrong answer, so p_ft is unknown",
            });
            return chain;
        };
        let lambda = 1.0 - a - b;
        chain.lambda = Some(lambda);
        chain.half_life = match lambda.abs() {
            0.0 => Some(0.0),
            size if size < 1.0 => Some(0.5_f64.ln() / size.ln()),
            _ => None,
        };
        if a + b == 0.0 {
            chain.reason = Some("no answer ever changes, so every accuracy is stationary");
            return chain;
        }
        chain.stationary = Some(b / (a + b));
        let (n_t, n_f) = (self.from_right() as f64, self.from_wrong() as f64);
        let variance = (a * a * b * (1.0 - b) / n_f + b * b * a * (1.0 - a) / n_t) / (a + b).powi(4);
        chain.stationary_se = Some(variance.sqrt());
        chain
    }
}

impl Chain {
    /// Accuracy at turns 0, 1, …, `turns` − 1 from `first` at turn 0; none if a transition is unknown.
    ///
    /// # Errors
    /// [`Error::Range`] for `first` outside [0, 1], no turns, or more than [`MAX_TURNS`].
    pub fn accuracy(&self, first: f64, turns: usize) -> Result<Option<Vec<f64>>> {
        if !(0.0..=1.0).contains(&first) {
            return Err(Error::Range { name: "p0", value: first, expected: "inside [0, 1]" });
        }
        if !(1..=MAX_TURNS).contains(&turns) {
            return Err(Error::Range { name: "turns", value: turns as f64, expected: "between 1 and 1000000" });
        }
        let Some(lambda) = self.lambda else { return Ok(None) };
        // Without any change every accuracy is stationary, the first one too.
        let settled = self.stationary.unwrap_or(first);
        let at = |t: usize| (settled + (first - settled) * lambda.powi(t as i32)).clamp(0.0, 1.0);
        Ok(Some((0..turns).map(at).collect()))
    }
}

fn share(part: u128, whole: u128) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_chain() {
        let chain = Counts { tt: 720, tf: 80, ft: 45, ff: 155 }.chain();
        assert_eq!((chain.p_tf, chain.p_ft), (Some(0.1), Some(0.225)));
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-14;
        assert!(near(chain.stationary, 0.692307692307692));
        assert!(near(chain.stationary_se, 0.0359440060319229));
        assert!(near(chain.lambda, 0.675));
        assert!(near(chain.half_life, 1.76354217463744));
        let accuracy = chain.accuracy(0.8, 10).unwrap().unwrap();
        assert_eq!(accuracy[0], 0.8);
        assert!(near(Some(accuracy[9]), 0.695440391094202));
    }

    #[test]
    fn empty_rows_have_a_reason_and_no_figure() {
        let never_wrong = Counts { tt: 9, ..Counts::default() }.chain();
        assert_eq!((never_wrong.p_tf, never_wrong.p_ft, never_wrong.stationary), (Some(0.0), None, None));
        assert!(never_wrong.reason.unwrap().contains("wrong"));
        assert_eq!(never_wrong.accuracy(0.5, 3).unwrap(), None);
        assert!(Counts { ff: 9, ..Counts::default() }.chain().reason.unwrap().contains("right"));
        assert!(Counts::default().chain().reason.unwrap().contains("no pairs"));
        let still = Counts { tt: 5, ff: 5, ..Counts::default() }.chain();
        assert_eq!((still.stationary, still.half_life, still.lambda), (None, None, Some(1.0)));
        assert_eq!(still.accuracy(0.3, 2).unwrap().unwrap(), [0.3, 0.3]);
        let restless = Counts { tf: 5, ft: 5, ..Counts::default() }.chain();
        assert_eq!((restless.stationary, restless.half_life), (Some(0.5), None));
        let huge = Counts { tt: u64::MAX, tf: u64::MAX, ft: u64::MAX, ff: u64::MAX };
        assert_eq!((huge.chain().stationary, huge.chain().half_life), (Some(0.5), Some(0.0)));
        assert_eq!(huge.flip_rate(), Some(0.5));
    }
}
