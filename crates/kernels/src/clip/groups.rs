//! Which positions of each example hold the same token: an embedding's gradient is the sum over them.

use std::collections::HashMap;

use crate::{Error, Result};

/// Tokens of a batch `[N, S]`, grouped within each example.
///
/// Groups are in the order of their first positions; a group's positions ascend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGroups {
    pub(crate) samples: usize,
    pub(crate) positions_per_sample: usize,
    pub(crate) vocabulary: usize,
    /// Rows of `[N · S, d]`, group after group.
    pub(crate) rows: Vec<u64>,
    /// Where each group's rows start; one more at the end.
    pub(crate) starts: Vec<u64>,
    /// Where each example's groups start; one more at the end.
    pub(crate) of_sample: Vec<u64>,
    /// Groups ordered by token, then example.
    pub(crate) by_token: Vec<u64>,
    /// Where each distinct token's groups start in `by_token`; one more at the end.
    pub(crate) token_starts: Vec<u64>,
    /// The distinct tokens, ascending.
    pub(crate) tokens: Vec<u64>,
    /// Example of each group.
    pub(crate) sample_of: Vec<u64>,
}

impl TokenGroups {
    /// Groups the tokens `[N, S]`, each below `vocabulary`.
    ///
    /// # Errors
    /// A length that isn't a multiple of S; S = 0; a token that isn't below `vocabulary`.
    pub fn new(tokens: &[u32], positions_per_sample: usize, vocabulary: usize) -> Result<Self> {
        if positions_per_sample == 0 || !tokens.len().is_multiple_of(positions_per_sample) {
            let whole = tokens.len().checked_div(positions_per_sample).unwrap_or(0) * positions_per_sample;
            return Err(super::mismatch("the tokens", tokens.len(), "whole rows", whole));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Error::OutOfRange { offset: *token as u64, end: *token as u64 + 1, d: vocabulary as u64 });
        }
        let samples = tokens.len() / positions_per_sample;
        let (mut rows, mut starts, mut of_sample) = (Vec::new(), vec![0], vec![0]);
        let mut owners: Vec<(u64, u64, u64)> = Vec::new(); // token, sample, group
        for (sample, tokens) in tokens.chunks(positions_per_sample).enumerate() {
            let mut groups: Vec<(u32, Vec<u64>)> = Vec::new();
            let mut place: HashMap<u32, usize> = HashMap::new();
            for (at, &token) in tokens.iter().enumerate() {
                let group = *place.entry(token).or_insert_with(|| {
                    groups.push((token, Vec::new()));
                    groups.len() - 1
                });
                groups[group].1.push((sample * positions_per_sample + at) as u64);
            }
            for (token, positions) in groups {
                owners.push((token as u64, sample as u64, owners.len() as u64));
                rows.extend(positions);
                starts.push(rows.len() as u64);
            }
            of_sample.push(owners.len() as u64);
        }
        let sample_of = owners.iter().map(|&(_, sample, _)| sample).collect();
        owners.sort_unstable();
        let (mut distinct, mut token_starts) = (Vec::new(), Vec::new());
        for (at, &(token, ..)) in owners.iter().enumerate() {
            if distinct.last() != Some(&token) {
                distinct.push(token);
                token_starts.push(at as u64);
            }
        }
        token_starts.push(owners.len() as u64);
        let by_token = owners.iter().map(|&(.., group)| group).collect();
        Ok(Self {
            samples,
            positions_per_sample,
            vocabulary,
            rows,
            starts,
            of_sample,
            by_token,
            token_starts,
            tokens: distinct,
            sample_of,
        })
    }

    /// Examples, N.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    pub(crate) fn rows_of(&self, group: usize) -> &[u64] {
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}
