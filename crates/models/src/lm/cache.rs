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
            ids.truncate(tokens(row));
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

    /// From a cache of one row, one of `kept.len()` rows: row b has the first `kept[b]` columns, moved to the right end.
    ///
    /// # Errors
    /// Where the cache has another number of rows or fewer columns.
    pub fn broadcast(&self, kept: &[usize]) -> Result<Self> {
        crate::error::same_length("the cache's batch", 1, self.real.len())?;
        let columns = self.len();
        if let Some(&more) = kept.iter().find(|&&kept| kept > columns) {
            return Err(Error::Length { what: "the cache", expected: more, found: columns });
        }
        let rows = |x: &Tensor, len: usize| -> Result<Tensor> {
            let all = x.narrow(2, 0, len)?;
            let row = |&kept: &usize| padded(&all.narrow(2, 0, kept.min(len))?, len - kept.min(len));
            Ok(Tensor::cat(&kept.iter().map(row).collect::<Result<Vec<_>>>()?, 0)?.copy()?)
        };
        let layer = |l: &Layer| Ok(Layer { k: rows(&l.k, l.len)?, v: rows(&l.v, l.len)?, len: l.len });
        let real = |&kept: &usize| [vec![false; columns - kept], self.real[0][..kept].to_vec()].concat();
        Ok(Self {
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            real: kept.iter().map(real).collect(),
            prompt: vec![self.prompt[0]; kept.len()],
            ids: kept.iter().map(|&kept| self.ids[0][..tokens(&self.real[0][..kept])].to_vec()).collect(),
        })
    }

    /// Adds columns of padding on the left.
    ///
    /// # Errors
    /// Where candle can't.
    pub fn pad_left(&mut self, columns: usize) -> Result<()> {
        for layer in &mut self.layers {
            layer.k = padded(&layer.k.narrow(2, 0, layer.len)?, columns)?;
            layer.v = padded(&layer.v.narrow(2, 0, layer.len)?, columns)?;
            layer.len += columns;
        }
        for row in &mut self.real {
            *row = [vec![false; columns], std::mem::take(row)].concat();
        }
        Ok(())
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

fn tokens(real: &[bool]) -> usize {
    real.iter().filter(|&&real| real).count()
}

/// Keys or values [B, Hkv, T, hd] with columns of zeros on the left.
fn padded(x: &Tensor, columns: usize) -> Result<Tensor> {
    let (batch, heads, _, hd) = x.dims4()?;
    let pad = Tensor::zeros((batch, heads, columns, hd), x.dtype(), x.device())?;
    Ok(Tensor::cat(&[&pad, &x.contiguous()?], 2)?)
}
