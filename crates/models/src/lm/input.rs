//! Batches of token ids: ragged rows are padded on the left.

use candle_core::{DType, Device, Tensor};

use super::{
    cache::KvCache,
    config::ModelSpec,
    hooks::{Layout, Phase},
};
use crate::{Error, Result};

/// Rows of token ids, padded on the left to one length.
#[derive(Clone, Debug)]
pub struct Input {
    /// One row each, all of one length.
    pub(super) ids: Vec<Vec<u32>>,
    /// Whether a column is a token.
    pub(super) real: Vec<Vec<bool>>,
    /// What each row is to the caller.
    pub(super) rows: Vec<usize>,
}

impl Input {
    /// Rows of any lengths.
    ///
    /// # Errors
    /// Where there is no row or an empty one.
    pub fn rows(rows: &[Vec<u32>]) -> Result<Self> {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        if rows.is_empty() {
            return Err(Error::EmptyBatch);
        }
        if let Some(row) = rows.iter().position(Vec::is_empty) {
            return Err(Error::EmptyRow { row });
        }
        let pad = |row: &Vec<u32>| longest - row.len();
        Ok(Self {
            ids: rows.iter().map(|row| [vec![0; pad(row)], row.clone()].concat()).collect(),
            real: rows.iter().map(|row| [vec![false; pad(row)], vec![true; row.len()]].concat()).collect(),
            rows: (0..rows.len()).collect(),
        })
    }

    /// Rows of one length with a mask of any pattern: `real[row][column]` says whether a column is a token.
    ///
    /// # Errors
    /// Where shapes differ or a row has no token.
    pub fn masked(ids: Vec<Vec<u32>>, real: Vec<Vec<bool>>) -> Result<Self> {
        let columns = ids.first().ok_or(Error::EmptyBatch)?.len();
        if real.len() != ids.len() {
            return Err(Error::Length { what: "the mask", expected: ids.len(), found: real.len() });
        }
        for (ids, real) in ids.iter().zip(&real) {
            for (what, found) in [("a row of ids", ids.len()), ("a row of the mask", real.len())] {
                if found != columns {
                    return Err(Error::Length { what, expected: columns, found });
                }
            }
        }
        if let Some(row) = real.iter().position(|row| !row.contains(&true)) {
            return Err(Error::EmptyRow { row });
        }
        Ok(Self { rows: (0..ids.len()).collect(), ids, real })
    }

    /// Tells hooks what each row is, where that isn't its index in the batch.
    ///
    /// # Errors
    /// Where the count differs from the batch's.
    pub fn with_rows(mut self, rows: Vec<usize>) -> Result<Self> {
        if rows.len() != self.batch() {
            return Err(Error::Length { what: "the rows' names", expected: self.batch(), found: rows.len() });
        }
        self.rows = rows;
        Ok(self)
    }

    /// One column: the next token of each row, padding where there is none.
    pub(super) fn step(next: &[Option<u32>], rows: Vec<usize>) -> Self {
        let ids = next.iter().map(|id| vec![id.unwrap_or(0)]).collect();
        Self { ids, real: next.iter().map(|id| vec![id.is_some()]).collect(), rows }
    }

    /// Rows, B.
    pub fn batch(&self) -> usize {
        self.ids.len()
    }

    /// Columns, T.
    pub fn columns(&self) -> usize {
        self.ids[0].len()
    }

    /// Tokens of each row, padding left out.
    pub fn lengths(&self) -> Vec<usize> {
        self.real.iter().map(|row| row.iter().filter(|&&real| real).count()).collect()
    }

    /// The tokens of each row, padding left out.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Vec<u32>> + '_ {
        let row = |(ids, real): (&Vec<u32>, &Vec<bool>)| {
            ids.iter().zip(real).filter(|&(_, &real)| real).map(|(&id, _)| id).collect()
        };
        self.ids.iter().zip(&self.real).map(row)
    }

    /// What hooks are told about the batch; `positions` are its own, `with_ids` brings the tokens.
    pub(super) fn layout(&self, positions: Vec<Vec<u32>>, cache: Option<&KvCache>, with_ids: bool) -> Layout {
        let past = cache.filter(|cache| !cache.is_empty());
        let prompt = past.map_or_else(|| self.lengths(), |cache| cache.prompt.clone());
        let phase = match past {
            None => Phase::Prefill,
            Some(cache) => {
                let after = |(ids, &prompt): (&Vec<u32>, &usize)| ids.len().saturating_sub(prompt);
                Phase::Decode { step: cache.ids.iter().zip(&prompt).map(after).max().unwrap_or(0) }
            }
        };
        let mut ids = Vec::new();
        if with_ids {
            ids = past.map_or_else(|| vec![Vec::new(); self.batch()], |cache| cache.ids.clone());
            for (ids, new) in ids.iter_mut().zip(self.tokens()) {
                ids.extend(new);
            }
        }
        Layout { ids, positions, real: self.real.clone(), rows: self.rows.clone(), prompt, phase }
    }

    /// Row by row, whether a column is a token.
    pub fn is_token(&self) -> impl Iterator<Item = bool> + '_ {
        self.real.iter().flatten().copied()
    }

    /// Whether a model can read it from its start.
    ///
    /// # Errors
    /// Ids outside the vocabulary and rows longer than the model reads, by the row's id.
    pub fn fits(&self, spec: &ModelSpec) -> Result<()> {
        self.check(spec, &[]).map_err(|error| match error {
            Error::TokenId { row, column, id, vocab } => Error::TokenId { row: self.rows[row], column, id, vocab },
            Error::TooLong { row, found, max } => Error::TooLong { row: self.rows[row], found, max },
            other => other,
        })
    }

    /// Ids in range, rows not longer than the model reads; `past` as in [`Self::positions`].
    pub(super) fn check(&self, spec: &ModelSpec, past: &[Vec<bool>]) -> Result<()> {
        for (row, ids) in self.ids.iter().enumerate() {
            let real = &self.real[row];
            let wrong = ids.iter().zip(real).enumerate().find(|&(_, (&id, &real))| real && id as usize >= spec.vocab);
            if let Some((column, (&id, _))) = wrong {
                return Err(Error::TokenId { row, column, id, vocab: spec.vocab });
            }
            let count = |row: &[bool]| row.iter().filter(|&&real| real).count();
            let found = count(real) + past.get(row).map_or(0, |row| count(row));
            if found > spec.max_pos {
                return Err(Error::TooLong { row, found, max: spec.max_pos });
            }
        }
        Ok(())
    }

    /// Position of every column in its row, counted over tokens; padding gets that of its neighbour, which is never read.
    pub(super) fn positions(&self, past: &[Vec<bool>]) -> Vec<Vec<u32>> {
        let start = |row: usize| past.get(row).map_or(0, |row| row.iter().filter(|&&real| real).count() as u32);
        let count = |row: usize| {
            let mut next = start(row);
            self.real[row]
                .iter()
                .map(|&real| {
                    next += u32::from(real);
                    next.saturating_sub(1)
                })
                .collect()
        };
        (0..self.batch()).map(count).collect()
    }

    pub(super) fn tensor(&self, device: &Device) -> Result<Tensor> {
        let flat: Vec<u32> = self
            .ids
            .iter()
            .zip(&self.real)
            .flat_map(|(ids, real)| ids.iter().zip(real).map(|(&id, &real)| if real { id } else { 0 }))
            .collect();
        Ok(Tensor::from_vec(flat, (self.batch(), self.columns()), device)?)
    }
}

/// What a query may see: 0 where it may, −∞ where not, [B or 1, 1, T, S].
///
/// A query of a padding column sees itself, so that its softmax is finite; what it computes is never read.
pub(super) fn mask(
    real: &[Vec<bool>],
    past: usize,
    window: Option<usize>,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let columns = real[0].len(); // S
    let new = columns - past; // T
    let plain = real.iter().all(|row| row.iter().all(|&real| real));
    let rows = if plain { 1 } else { real.len() };
    let mut values = vec![f32::NEG_INFINITY; rows * new * columns];
    for (values, real) in values.chunks_exact_mut(new * columns).zip(real) {
        for (t, values) in values.chunks_exact_mut(columns).enumerate() {
            let query = past + t;
            let first = window.map_or(0, |window| (query + 1).saturating_sub(window));
            for key in first..=query {
                if real[key] || key == query {
                    values[key] = 0.0;
                }
            }
        }
    }
    Ok(Tensor::from_vec(values, (rows, 1, new, columns), device)?.to_dtype(dtype)?)
}
