//! The chain over the answers themselves: k letters, and one state for what could not be parsed.

use std::collections::BTreeMap;

use serde::Serialize;

/// How an unparsed answer is called among the states.
const UNPARSED: &str = "(unparsed)";
/// Power iteration stops here, or when no probability moves by more than [`STILL`].
const MAX_STEPS: usize = 100_000;
const STILL: f64 = 1e-15;

/// Counts of one answer following another, pooled over questions and turns.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTable {
    /// The states in order, unparsed last.
    pub states: Vec<String>,
    /// `counts[i][j]`: pairs from state i to state j.
    pub counts: Vec<Vec<u64>>,
    /// First answers by state.
    pub first: Vec<u64>,
}

/// The chain of a [`StateTable`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateChain {
    /// The states.
    pub states: Vec<String>,
    /// Row-stochastic; a row is empty where no pair begins in the state.
    pub transition: Vec<Vec<f64>>,
    /// Where the chain goes from the first answers; none if a row is empty.
    pub stationary: Option<Vec<f64>>,
    /// Steps of the power iteration.
    pub steps: usize,
    /// Why there is no stationary distribution.
    pub reason: Option<String>,
}

impl StateTable {
    /// Counts the pairs of each question's answers.
    pub fn of(questions: &[Vec<Option<String>>]) -> Self {
        let name = |answer: &Option<String>| answer.clone().unwrap_or_else(|| UNPARSED.to_owned());
        let mut states: Vec<String> = questions.iter().flatten().map(name).collect();
        states.sort_unstable_by(|a, b| (a == UNPARSED, a).cmp(&(b == UNPARSED, b)));
        states.dedup();
        let index: BTreeMap<&str, usize> = states.iter().enumerate().map(|(i, state)| (state.as_str(), i)).collect();
        let of = |answer: &Option<String>| index.get(answer.as_deref().unwrap_or(UNPARSED)).copied().unwrap_or(0);
        let mut counts = vec![vec![0; states.len()]; states.len()];
        let mut first = vec![0; states.len()];
        for answers in questions {
            if let Some(answer) = answers.first() {
                first[of(answer)] += 1;
            }
            for pair in answers.windows(2) {
                counts[of(&pair[0])][of(&pair[1])] += 1;
            }
        }
        drop(index);
        Self { states, counts, first }
    }

    /// The transition matrix and, by power iteration from the first answers, where it leads.
    ///
    /// Each step averages the chain with standing still, (P + 1)/2, which has the same limit and none of the
    /// oscillation of a periodic P.
    pub fn chain(&self) -> StateChain {
        let k = self.states.len();
        let row = |counts: &Vec<u64>| {
            let total: u64 = counts.iter().sum();
            if total == 0 { Vec::new() } else { counts.iter().map(|&n| n as f64 / total as f64).collect() }
        };
        let transition: Vec<Vec<f64>> = self.counts.iter().map(row).collect();
        let mut chain =
            StateChain { states: self.states.clone(), transition, stationary: None, steps: 0, reason: None };
        if let Some(empty) = chain.transition.iter().position(Vec::is_empty) {
            chain.reason = Some(format!("no pair begins with `{}`", self.states[empty]));
            return chain;
        }
        let firsts: u64 = self.first.iter().sum();
        let mut p: Vec<f64> = self.first.iter().map(|&n| n as f64 / firsts as f64).collect();
        loop {
            let step = |j: usize| 0.5 * (p[j] + (0..k).map(|i| p[i] * chain.transition[i][j]).sum::<f64>());
            let next: Vec<f64> = (0..k).map(step).collect();
            let moved = p.iter().zip(&next).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            p = next;
            chain.steps += 1;
            if moved <= STILL {
                break;
            }
            if chain.steps == MAX_STEPS {
                chain.reason = Some(format!("the chain still moves by {moved:e} a step after {MAX_STEPS} steps"));
                return chain;
            }
        }
        let sum: f64 = p.iter().sum();
        chain.stationary = Some(p.iter().map(|p| p / sum).collect());
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> StateTable {
        let letter = |c: char| (c != '-').then(|| c.to_string());
        StateTable::of(&text.split(' ').map(|word| word.chars().map(letter).collect()).collect::<Vec<_>>())
    }

    #[test]
    fn pairs_are_pooled_and_the_unparsed_is_a_state() {
        let table = table("AB-A BAB AA");
        assert_eq!(table.states, ["A", "B", "(unparsed)"]);
        assert_eq!(table.counts, [[1, 2, 0], [1, 0, 1], [1, 0, 0]]);
        assert_eq!(table.first, [2, 1, 0]);
        let chain = table.chain();
        let p = chain.stationary.unwrap();
        for j in 0..3 {
            let next: f64 = (0..3).map(|i| p[i] * chain.transition[i][j]).sum();
            assert!((next - p[j]).abs() < 1e-13, "{p:?}");
        }
    }

    #[test]
    fn a_periodic_chain_settles_and_an_empty_row_does_not() {
        assert_eq!(table("ABABA").chain().stationary.unwrap(), [0.5, 0.5]);
        let chain = table("AB AA").chain();
        assert_eq!((chain.stationary, chain.reason.unwrap().as_str()), (None, "no pair begins with `B`"));
        // Two letters that never meet: where it goes depends on where it begins.
        assert_eq!(table("AAA BBB BBB AAA").chain().stationary.unwrap(), [0.5, 0.5]);
        assert_eq!(table("").chain().stationary, Some(Vec::new()));
    }
}
