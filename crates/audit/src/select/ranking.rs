//! Scores in order, and what a rule guesses about them.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{Confusion, OneRun, Result};

/// A score and whether it is a member's.
pub(super) type Labelled = (f64, bool);

/// Guesses about canaries, and how many are right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Guesses {
    /// Members among the canaries.
    pub members: u64,
    /// Non-members among the canaries.
    pub nonmembers: u64,
    /// Canaries guessed "in", and members among them.
    pub plus: [u64; 2],
    /// Canaries guessed "out", and non-members among them.
    pub minus: [u64; 2],
    /// The lowest score guessed "in".
    pub threshold: Option<f64>,
    /// The highest score guessed "out".
    pub threshold_out: Option<f64>,
    /// Whether tied scores were drawn from.
    pub tie_drawn: bool,
}

impl Guesses {
    pub fn canaries(&self) -> u64 {
        self.members + self.nonmembers
    }

    pub fn guesses(&self) -> u64 {
        self.plus[0] + self.minus[0]
    }

    pub fn correct(&self) -> u64 {
        self.plus[1] + self.minus[1]
    }

    pub fn false_positives(&self) -> u64 {
        self.plus[0] - self.plus[1]
    }

    pub fn one_run(&self) -> Result<OneRun> {
        OneRun::new(self.canaries(), self.guesses(), self.correct())
    }

    /// Whoever isn't guessed "in" counts as guessed "out".
    pub fn confusion(&self) -> Result<Confusion> {
        Confusion::new(self.members, self.nonmembers, self.plus[1], self.false_positives())
    }
}

/// Scores from the highest to the lowest.
pub(super) struct Ranking {
    ranked: Vec<Labelled>,
    // members[i]: members among the i highest.
    members: Vec<u64>,
}

impl Ranking {
    /// Tied scores lie in an order drawn from `seed`, whatever their labels.
    pub fn new(mut ranked: Vec<Labelled>, seed: u64) -> Self {
        // The labels' order makes the draw independent of the order in the file.
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for ties in ranked.chunk_by_mut(|a, b| a.0 == b.0).filter(|ties| ties.len() > 1) {
            ties.shuffle(&mut rng);
        }
        let mut members = Vec::with_capacity(ranked.len() + 1);
        members.push(0);
        for (i, &(_, member)) in ranked.iter().enumerate() {
            members.push(members[i] + u64::from(member));
        }
        Self { ranked, members }
    }

    pub fn len(&self) -> u64 {
        self.ranked.len() as u64
    }

    /// Every distinct score t as the rule "in iff score ≥ t".
    pub fn thresholds(&self) -> Vec<Guesses> {
        let ends =
            (1..=self.ranked.len()).filter(|&k| k == self.ranked.len() || self.ranked[k].0 != self.ranked[k - 1].0);
        ends.map(|k| self.guess([k as u64, 0])).collect()
    }

    /// The rule "in iff score ≥ t".
    pub fn at_threshold(&self, threshold: Option<f64>) -> Guesses {
        let k = threshold.map_or(0, |t| self.ranked.partition_point(|&(score, _)| score >= t));
        Guesses { threshold, ..self.guess([k as u64, 0]) }
    }

    /// The k₊ highest "in" and the k₋ lowest "out"; k₊ + k₋ is at most the number of scores.
    pub fn guess(&self, [k_plus, k_minus]: [u64; 2]) -> Guesses {
        let (n, k, from) = (self.ranked.len(), k_plus as usize, self.ranked.len() - k_minus as usize);
        let all = self.members[n];
        let cuts_ties = |at: usize| at > 0 && at < n && self.ranked[at - 1].0 == self.ranked[at].0;
        Guesses {
            members: all,
            nonmembers: n as u64 - all,
            plus: [k_plus, self.members[k]],
            minus: [k_minus, k_minus - (all - self.members[from])],
            threshold: k.checked_sub(1).map(|last| self.ranked[last].0),
            threshold_out: self.ranked.get(from).map(|first| first.0),
            tie_drawn: cuts_ties(k) || cuts_ties(from),
        }
    }
}
