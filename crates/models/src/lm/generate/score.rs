//! Log-probabilities of given tokens.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use super::pipeline::{argmax, log_sum_exp};
use crate::{
    Error, Result,
    lm::{HookSet, Input, Model},
};

/// Log-likelihood of a continuation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogLik {
    /// Sum over its tokens, in nats.
    pub sum: f64,
    /// Of each token, in nats.
    pub per_token: Vec<f32>,
    /// Whether each token is the most likely one, ties to the lowest id.
    pub is_greedy: bool,
}

/// Most logits that a pass of [`Model::loglikelihoods`] computes.
const MOST_LOGITS: usize = 1 << 28;

impl Model {
    /// Log-likelihood of a continuation, which may be empty, after a prompt.
    ///
    /// # Errors
    /// As [`choice`](Self::choice).
    pub fn score(&self, prompt: &[u32], continuation: &[u32], hooks: &HookSet) -> Result<LogLik> {
        let all = self.choice(prompt, &[continuation.to_vec()], hooks)?;
        all.into_iter().next().ok_or(Error::EmptyBatch)
    }

    /// Log-likelihood of each of some continuations of one prompt, which is read once.
    ///
    /// # Errors
    /// An empty prompt, ids outside the vocabulary, more tokens than the model reads, or whatever a hook says.
    pub fn choice(&self, prompt: &[u32], continuations: &[Vec<u32>], hooks: &HookSet) -> Result<Vec<LogLik>> {
        let (&last, before) = prompt.split_last().ok_or(Error::EmptyRow { row: 0 })?;
        self.check_ids(continuations)?;
        let scored: Vec<usize> = (0..continuations.len()).filter(|&i| !continuations[i].is_empty()).collect();
        let mut result = vec![LogLik { is_greedy: true, ..LogLik::default() }; continuations.len()];
        if scored.is_empty() {
            return Ok(result);
        }
        // The last token of each continuation is predicted, never read.
        let read = |&i: &usize| [&[last], &continuations[i][..continuations[i].len() - 1]].concat();
        let rows: Vec<Vec<u32>> = scored.iter().map(read).collect();
        let logits = if before.is_empty() || rows.len() == 1 {
            let rows: Vec<Vec<u32>> = rows.iter().map(|row| [before, row].concat()).collect();
            self.forward(&Input::rows(&rows)?, None, hooks)?
        } else {
            let (mut cache, input) = self.prefix(before, hooks)?.before(&rows, (0..rows.len()).collect())?;
            self.forward(&input, Some(&mut cache), hooks)?
        };
        for (row, &i) in scored.iter().enumerate() {
            result[i] = tail(&logits.get(row)?, &continuations[i])?;
        }
        Ok(result)
    }

    /// Log-likelihoods of many continuations, `batch` rows at a time; equal prompts are read once.
    ///
    /// # Errors
    /// As [`choice`](Self::choice); rows are those of `pairs`.
    pub fn loglikelihoods(&self, pairs: &[(Vec<u32>, Vec<u32>)], batch: usize, hooks: &HookSet) -> Result<Vec<LogLik>> {
        let mut same: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
        for (i, (prompt, continuation)) in pairs.iter().enumerate() {
            if prompt.is_empty() {
                return Err(Error::EmptyRow { row: i });
            }
            let found = prompt.len() + continuation.len().saturating_sub(1);
            if found > self.spec.max_pos {
                return Err(Error::TooLong { row: i, found, max: self.spec.max_pos });
            }
            same.entry(prompt).or_default().push(i);
        }
        let mut result = vec![LogLik { is_greedy: true, ..LogLik::default() }; pairs.len()];
        let (shared, single): (Vec<_>, Vec<_>) = same.into_iter().partition(|(_, indices)| indices.len() > 1);
        for (prompt, indices) in shared {
            for indices in indices.chunks(batch.max(1)) {
                let continuations: Vec<Vec<u32>> = indices.iter().map(|&i| pairs[i].1.clone()).collect();
                for (&i, scored) in indices.iter().zip(self.choice(prompt, &continuations, hooks)?) {
                    result[i] = scored;
                }
            }
        }
        let mut single: Vec<usize> = single.into_iter().flat_map(|(_, indices)| indices).collect();
        single.retain(|&i| !pairs[i].1.is_empty());
        let length = |i: usize| pairs[i].0.len() + pairs[i].1.len();
        // The longest first, so that a lack of memory shows at once.
        single.sort_by_key(|&i| (std::cmp::Reverse(length(i)), i));
        let mut left = single.as_slice();
        while let Some(&longest) = left.first() {
            let rows = (MOST_LOGITS / (length(longest) * self.spec.vocab)).clamp(1, batch.max(1));
            let (now, later) = left.split_at(rows.min(left.len()));
            left = later;
            let read = |&i: &usize| {
                let (prompt, continuation) = &pairs[i];
                [prompt.as_slice(), &continuation[..continuation.len() - 1]].concat()
            };
            let rows: Vec<Vec<u32>> = now.iter().map(read).collect();
            let continuations: Vec<Vec<u32>> = now.iter().map(|&i| pairs[i].1.clone()).collect();
            self.check_ids(&continuations)?;
            let logits = self.forward(&Input::rows(&rows)?.with_rows(now.to_vec())?, None, hooks)?;
            for (row, &i) in now.iter().enumerate() {
                result[i] = tail(&logits.get(row)?, &pairs[i].1)?;
            }
        }
        Ok(result)
    }

    /// Log-probability, in nats, of every token of each row but its first, given those before it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn token_logprobs(&self, rows: &[Vec<u32>], hooks: &HookSet) -> Result<Vec<Vec<f32>>> {
        let logits = self.forward(&Input::rows(rows)?, None, hooks)?;
        let columns = logits.dim(1)?;
        let of = |(b, row): (usize, &Vec<u32>)| -> Result<Vec<f32>> {
            // The last column predicts what follows the row.
            Ok(tail(&logits.get(b)?.narrow(0, 0, columns - 1)?, &row[1..])?.per_token)
        };
        rows.iter().enumerate().map(of).collect()
    }

    fn check_ids(&self, rows: &[Vec<u32>]) -> Result<()> {
        for (row, ids) in rows.iter().enumerate() {
            if let Some(column) = ids.iter().position(|&id| id as usize >= self.spec.vocab) {
                return Err(Error::TokenId { row, column, id: ids[column], vocab: self.spec.vocab });
            }
        }
        Ok(())
    }
}

/// Log-likelihood of the tokens that the last columns of logits [T, V] predict.
fn tail(logits: &Tensor, tokens: &[u32]) -> Result<LogLik> {
    let mut result = LogLik { is_greedy: true, ..LogLik::default() };
    let first = logits.dim(0)? - tokens.len();
    for (t, &token) in tokens.iter().enumerate() {
        let logits = logits.get(first + t)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let logprob = (f64::from(logits[token as usize]) - log_sum_exp(&logits)) as f32;
        result.sum += f64::from(logprob);
        result.per_token.push(logprob);
        result.is_greedy &= argmax(&logits) == Some(token as usize);
    }
    Ok(result)
}
