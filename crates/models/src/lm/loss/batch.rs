//! Token ids with the label of each column.

use crate::{Error, Result, lm::Input};

/// A column without a label.
pub const IGNORE: i64 = -100;

/// Rows of ids, and for each column the id that should follow it.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(in crate::lm) input: Input,
    /// As the columns of the input; [`IGNORE`] where nothing is learnt.
    labels: Vec<Vec<i64>>,
}

impl Batch {
    /// Rows of a token stream, T + 1 ids each: T columns, each labelled with the next id.
    ///
    /// # Errors
    /// Where a row has fewer than 2 ids.
    pub fn stream(rows: &[Vec<u32>]) -> Result<Self> {
        if let Some(row) = rows.iter().position(|row| row.len() < 2) {
            return Err(Error::EmptyRow { row });
        }
        let inputs: Vec<Vec<u32>> = rows.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
        let labels = rows.iter().map(|row| row[1..].iter().map(|&id| i64::from(id)).collect());
        Self::new(&inputs, labels.collect())
    }

    /// Rows of any lengths, each column labelled with the next id of its row and the last with none: what a library
    /// that shifts labels inside computes for `labels = input_ids`.
    ///
    /// # Errors
    /// Where a row is empty.
    pub fn causal(rows: &[Vec<u32>]) -> Result<Self> {
        let labels = rows.iter().map(|row| {
            let next = row.iter().skip(1).map(|&id| i64::from(id));
            next.chain([IGNORE]).collect()
        });
        Self::new(rows, labels.collect())
    }

    /// Prompts with their continuations, of which only the continuations are learnt.
    ///
    /// # Errors
    /// Where a prompt is empty.
    pub fn completions(pairs: &[(Vec<u32>, Vec<u32>)]) -> Result<Self> {
        if let Some(row) = pairs.iter().position(|(prompt, _)| prompt.is_empty()) {
            return Err(Error::EmptyRow { row });
        }
        let rows: Vec<Vec<u32>> = pairs.iter().map(|(prompt, rest)| [prompt.as_slice(), rest].concat()).collect();
        let mut batch = Self::causal(&rows)?;
        for ((labels, (prompt, rest)), real) in batch.labels.iter_mut().zip(pairs).zip(&batch.input.real) {
            let start = real.len() - prompt.len() - rest.len();
            labels[start..start + prompt.len() - 1].fill(IGNORE);
        }
        Ok(batch)
    }

    /// Rows with a label a column, already shifted: `labels[row][column]` is what should follow that column.
    ///
    /// # Errors
    /// Where the shapes differ.
    pub fn new(rows: &[Vec<u32>], labels: Vec<Vec<i64>>) -> Result<Self> {
        let input = Input::rows(rows)?;
        if labels.len() != rows.len() {
            return Err(Error::Length { what: "the labels", expected: rows.len(), found: labels.len() });
        }
        let padded = rows.iter().zip(labels).map(|(row, labels)| {
            if labels.len() != row.len() {
                return Err(Error::Length { what: "a row of labels", expected: row.len(), found: labels.len() });
            }
            Ok([vec![IGNORE; input.columns() - row.len()], labels].concat())
        });
        Ok(Self { labels: padded.collect::<Result<_>>()?, input })
    }

    /// The same rows in at most `parts` batches of as equal sizes as can be, in order; parts without a label are left out.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let rows = self.labels.len();
        let parts = parts.clamp(1, rows);
        let cut = |part: usize| part * rows / parts;
        let part = |part: usize| {
            let range = cut(part)..cut(part + 1);
            let of = Input {
                ids: self.input.ids[range.clone()].to_vec(),
                real: self.input.real[range.clone()].to_vec(),
                rows: self.input.rows[range.clone()].to_vec(),
            };
            Self { input: of, labels: self.labels[range].to_vec() }
        };
        (0..parts).map(part).filter(|batch| batch.tokens() > 0).collect()
    }

    /// The ids.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Labels by row and column.
    pub fn labels(&self) -> &[Vec<i64>] {
        &self.labels
    }

    /// Labelled columns.
    pub fn tokens(&self) -> usize {
        self.labels.iter().flatten().filter(|&&label| label != IGNORE).count()
    }

    pub(super) fn flat_labels(&self) -> Vec<i64> {
        self.labels.concat()
    }

    /// Labels are tokens of the model, and there is one.
    pub(super) fn check(&self, vocab: usize) -> Result<()> {
        for (row, labels) in self.labels.iter().enumerate() {
            for (column, &label) in labels.iter().enumerate() {
                if label != IGNORE && usize::try_from(label).map_or(true, |label| label >= vocab) {
                    return Err(Error::TokenLabel { row, column, label, vocab });
                }
            }
        }
        if self.tokens() == 0 { Err(Error::NoLabel) } else { Ok(()) }
    }
}
