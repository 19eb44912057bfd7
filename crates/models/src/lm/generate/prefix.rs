//! A beginning that many rows share, read once.

use crate::{
    Error, Result,
    lm::{HookSet, Input, KvCache, Model},
};

/// Tokens that were read, with their keys and values.
#[derive(Debug)]
pub struct Prefix {
    tokens: Vec<u32>,
    cache: KvCache,
}

impl Model {
    /// Reads tokens once, for any number of rows that begin with them.
    ///
    /// Hooks act as in any forward pass. The rows' own passes read up to as many of these tokens again as their lengths
    /// differ by, so give them the same hooks, or hooks that leave prompts alone.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn prefix(&self, tokens: &[u32], hooks: &HookSet) -> Result<Prefix> {
        let mut cache = KvCache::new();
        self.forward_with(&Input::rows(&[tokens.to_vec()])?, Some(&mut cache), hooks, &super::last_column())?;
        Ok(Prefix { tokens: tokens.to_vec(), cache })
    }
}

impl Prefix {
    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// A cache and what is to be read after it, so that row b holds the prefix and `suffixes[b]`.
    ///
    /// Tokens of a row stay side by side, as windows want them: a shorter suffix is filled up not with padding but with
    /// the last tokens of the prefix, which its row of the cache then lacks. An empty suffix gets one of them.
    pub(super) fn before(&self, suffixes: &[Vec<u32>], rows: Vec<usize>) -> Result<(KvCache, Input)> {
        let columns = suffixes.iter().map(Vec::len).max().ok_or(Error::EmptyBatch)?.max(1);
        let again: Vec<usize> = suffixes.iter().map(|s| (columns - s.len()).min(self.tokens.len())).collect();
        let kept: Vec<usize> = again.iter().map(|again| self.tokens.len() - again).collect();
        let mut cache = self.cache.broadcast(&kept)?;
        cache.prompt = suffixes.iter().map(|suffix| self.tokens.len() + suffix.len()).collect();
        let (mut ids, mut real) = (Vec::new(), Vec::new());
        for (suffix, &kept) in suffixes.iter().zip(&kept) {
            let row = [&self.tokens[kept..], suffix].concat();
            let pad = columns - row.len();
            real.push([vec![false; pad], vec![true; row.len()]].concat());
            ids.push([vec![0; pad], row].concat());
        }
        Ok((cache, Input { ids, real, rows }))
    }
}
