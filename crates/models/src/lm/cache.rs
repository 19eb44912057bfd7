//! Keys and values of what was already read: a value, not a field of the model.

use candle_core::Tensor;

use super::input::Input;
use crate::{Error, Result};

/// Keys and values of every layer for the columns read so far, and which of these are padding.
///
/// Not `Clone`: tensors share their storage, and two caches that wrote into one would mix; [`fork`](Self::fork) copies.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// One row each: whether a column is a token.
    pub(super) real: Vec<Vec<bool>>,
    /// Tokens of each row's prompt: those of its first call.
    pub(super) prompt: Vec<usize>,
    /// The tokens of each row, padding left out: hooks can ask where one stands.
    pub(super) ids: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Layer {
    /// [B, Hkv, room, hd]; the first `len` columns are filled.
    k: Tensor,
    v: Tensor,
    len: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Columns read so far, padding included.
    pub fn len(&self) -> usize {
        self.real.first().map_or(0, Vec::len)
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy that can go on by itself.
    ///
    /// # Errors
    /// Where candle can't copy.
    pub fn fork(&self) -> Result<Self> {
        let copy = |l: &Layer| Ok(Layer { k: l.k.copy()?, v: l.v.copy()?, len: l.len });
        Ok(Self {
            layers: self.layers.iter().map(copy).collect::<Result<_>>()?,
            real: self.real.clone(),
            prompt: self.prompt.clone(),
            ids: self.ids.clone(),
        })
    }

    /// Forgets all but the first `columns`.
    pub fn truncate(&mut self, columns: usize) {
        for layer in &mut self.layers {
            layer.len = layer.len.min(columns);
        }
        for (row, ids) in self.real.iter_mut().zip(&mut self.ids) {
            row.truncate(columns);
            ids.truncate(row.iter().filter(|&&real| real).count());
        }
    }

    /// Keeps these rows, in this order.
    ///
    /// # Errors
    /// Where a row isn't there.
    pub fn retain_rows(&mut self, rows: &[usize]) -> Result<()> {
        let found = self.real.len();
        if let Some(&row) = rows.iter().find(|&&row| row >= found) {
            return Err(Error::Length { what: "the cache's batch", expected: row + 1, found });
        }
        self.real = rows.iter().map(|&row| self.real[row].clone()).collect();
        self.prompt = rows.iter().map(|&row| self.prompt[row]).collect();
        self.ids = rows.iter().map(|&row| self.ids[row].clone()).collect();
        let index: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        for layer in &mut self.layers {
            let index = Tensor::new(index.as_slice(), layer.k.device())?;
            layer.k = layer.k.index_select(&index, 0)?;
            layer.v = layer.v.index_select(&index, 0)?;
        }
        Ok(())
    }

    /// Remembers what a pass has read; `real` covers all columns.
    pub(super) fn note(&mut self, input: &Input, real: Vec<Vec<bool>>) {
        if self.is_empty() {
            self.prompt = input.lengths();
            self.ids = vec![Vec::new(); input.batch()];
        }
        for (ids, new) in self.ids.iter_mut().zip(input.tokens()) {
            ids.extend(new);
        }
        self.real = real;
    }

    /// Appends a layer's new keys and values [B, Hkv, T, hd] and returns all of them.
    pub(super) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (batch, heads, new, hd) = k.dims4()?;
        if layer == self.layers.len() {
            self.layers.push(Layer { k: k.contiguous()?, v: v.contiguous()?, len: new });
        } else {
            let entry = &mut self.layers[layer];
            let room = entry.k.dim(2)?;
            if entry.len + new > room {
                // Doubling keeps the copies to one a column on average.
                let grown = (entry.len + new).max(2 * room);
                for old in [&mut entry.k, &mut entry.v] {
                    let bigger = Tensor::zeros((batch, heads, grown, hd), old.dtype(), old.device())?;
                    bigger.slice_set(&old.narrow(2, 0, entry.len)?.contiguous()?, 2, 0)?;
                    *old = bigger;
                }
            }
            entry.k.slice_set(&k.contiguous()?, 2, entry.len)?;
            entry.v.slice_set(&v.contiguous()?, 2, entry.len)?;
            entry.len += new;
        }
        let entry = &self.layers[layer];
        Ok((entry.k.narrow(2, 0, entry.len)?, entry.v.narrow(2, 0, entry.len)?))
    }
}
