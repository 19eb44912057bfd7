//! From scores to a bound: which canaries are guessed, and what choosing that costs.
//!
//! A bound holds for guesses fixed before the scores were seen. Choosing the number of guesses, or the threshold, by the
//! bound that comes out is multiple testing:
//!
//! | [`Select`] | candidates | level of each | bound? |
//! |---|---|---|---|
//! | `Fixed` | the given k₊ and k₋ | τ = 1 − confidence | yes |
//! | `Bonferroni` | all | τ / number of candidates | yes |
//! | `Split` | all, on half of the canaries; the best is audited on the rest | τ | yes |
//! | `MultiSplit` | as `Split`, 100 times; the median (Meinshausen et al., 2009) | τ/2 | yes |
//! | `MaxUncorrected` | all | τ | **no**: to reproduce published tables |
//!
//! Candidates are the pairs of k₊ and k₋ that the caller lists, or, without a list, "member iff score ≥ t" at every distinct
//! score t. Where a count cuts through tied scores, the guessed ones among them are drawn by the seed, blind to the labels;
//! thresholds keep ties together. `Bonferroni` divides by all distinct scores, not by those that their labels make look
//! promising (a convex hull, as jax_privacy does), since these are chosen by the labels.

mod audit;
mod ranking;
mod search;

pub use audit::Audit;
#[cfg(feature = "cli")]
pub(crate) use audit::{ceiling_note, delta_note};

use crate::{
    Method, OneRun, Result, ScoreSet,
    error::{Error, check_confidence, check_epsilon},
};

/// How the guesses are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Select {
    /// The guesses that were fixed beforehand.
    #[default]
    Fixed,
    /// The best of all candidates, each at its share of the level.
    Bonferroni,
    /// The best candidate of one half of the canaries, audited on the other.
    Split,
    /// The median bound of 100 splits at half of the level.
    MultiSplit,
    /// The best of all candidates at the whole level: no bound.
    MaxUncorrected,
}

impl Select {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Bonferroni => "bonferroni",
            Self::Split => "split",
            Self::MultiSplit => "multi-split",
            Self::MaxUncorrected => "max-uncorrected",
        }
    }
}

/// How an audit of scores is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How the bound is computed.
    pub method: Method,
    /// How the guesses are chosen.
    pub select: Select,
    /// Candidates for the number of "in" guesses, highest scores first. One list may be empty (0 guesses) or hold one
    /// number for all of the other's; both empty: the defaults.
    pub k_plus: Vec<u64>,
    /// Candidates for the number of "out" guesses, lowest scores first.
    pub k_minus: Vec<u64>,
    /// δ of the bound.
    pub delta: f64,
    /// One-sided confidence, inside (0.5, 1).
    pub confidence: f64,
    /// The ε that is claimed, where one is: the default number of one-run guesses can then refute it.
    pub claim: Option<f64>,
    /// Seed of the splits and of the choice among tied scores.
    pub seed: u64,
}

impl Plan {
    /// A plan with the defaults: fixed guesses, δ 1e-5, confidence 0.95, no claim, seed 0.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            select: Select::Fixed,
            k_plus: Vec::new(),
            k_minus: Vec::new(),
            delta: 1e-5,
            confidence: 0.95,
            claim: None,
            seed: 0,
        }
    }

    fn check(&self, set: &ScoreSet) -> Result<()> {
        check_confidence(self.confidence)?;
        self.method.check_delta(self.delta)?;
        if let Some(claim) = self.claim {
            check_epsilon(claim)?;
        }
        if self.method == Method::OneShotGaussian {
            let selects = self.select != Select::Fixed || !self.k_plus.is_empty() || !self.k_minus.is_empty();
            return if selects {
                Err(Error::unusable(
                    "one-shot-gaussian uses every score",
                    "there is nothing to select; leave out --select, --k-plus and --k-minus",
                ))
            } else {
                Ok(())
            };
        }
        if !self.method.is_one_run() && self.k_minus.iter().any(|&k| k > 0) {
            return Err(Error::unusable(
                format!("--k-minus with {}", self.method.name()),
                "a confusion matrix knows no abstention: every canary below the --k-plus highest counts as guessed out",
            ));
        }
        let (plus, minus) = (self.k_plus.len(), self.k_minus.len());
        if plus > 1 && minus > 1 && plus != minus {
            return Err(Error::Lengths { left: "k-plus", left_len: plus, right: "k-minus", right_len: minus });
        }
        if self.select == Select::Fixed && plus.max(minus) > 1 {
            return Err(Error::unusable(
                format!("{} pairs of --k-plus and --k-minus with --select fixed", plus.max(minus)),
                "choosing among them is what the other selections correct for, as --select bonferroni",
            ));
        }
        let canaries = match self.select {
            Select::Split | Select::MultiSplit => audit::halves(set.canaries()).1,
            _ => set.canaries(),
        };
        match self.pairs().iter().map(|[k_plus, k_minus]| k_plus.saturating_add(*k_minus)).max() {
            Some(most) if most > canaries => Err(Error::Exceeds {
                part: "k-plus + k-minus",
                part_count: most,
                whole: "canaries to guess about",
                whole_count: canaries,
            }),
            _ => Ok(()),
        }
    }

    /// The listed pairs [k₊, k₋].
    fn pairs(&self) -> Vec<[u64; 2]> {
        let at = |list: &[u64], i: usize| if list.len() == 1 { list[0] } else { list.get(i).copied().unwrap_or(0) };
        (0..self.k_plus.len().max(self.k_minus.len())).map(|i| [at(&self.k_plus, i), at(&self.k_minus, i)]).collect()
    }

    /// k₊ and k₋ where nothing is listed: a twentieth of the canaries each side for one-run, or what the claim needs; a
    /// tenth each side for f-DP; a twentieth flagged for a confusion matrix.
    fn default_pair(&self, canaries: u64) -> Result<[u64; 2]> {
        let share = |parts: u64| (canaries / parts).max(1).min(canaries / 2);
        Ok(match self.method {
            Method::OneRun => {
                let needed = match self.claim {
                    Some(claim) => OneRun::guesses_for(canaries, claim + 0.5, self.delta, self.confidence)?
                        .unwrap_or(canaries / 10 * 10),
                    None => 0,
                };
                [share(20).max(needed / 2); 2]
            }
            Method::OneRunFdp => [share(10); 2],
            _ => [(canaries / 20).max(1), 0],
        })
    }

    /// What a bound from splits stands on beside its method's assumption.
    fn split_notes(&self) -> Vec<String> {
        let seed = format!(
            "{}: drawn by seed {}, which must be fixed beforehand; the best of several seeds is an uncorrected maximum",
            self.select.name(),
            self.seed
        );
        let splits = audit::SPLITS;
        match self.select {
            Select::Split => vec![seed],
            // P[half of the bounds are too high] is at most twice the mean of their probabilities, however they depend.
            Select::MultiSplit => vec![
                seed,
                format!(
                    "multi-split: the median of {splits} bounds, each at half of the level, which is the price of the \
                     median (Markov's inequality); the splits share their canaries, so that they are not {splits} \
                     audits and their spread is no interval"
                ),
            ],
            _ => Vec::new(),
        }
    }
}
