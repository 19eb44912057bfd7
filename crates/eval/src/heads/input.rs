//! Attention maps and values, checked once.

use rayon::prelude::*;

use crate::{Error, Result};

/// A weight's type: `f32` or `f64`. Sums are in `f64`.
pub trait Scalar: Copy + Send + Sync + Into<f64> {}

impl Scalar for f32 {}
impl Scalar for f64 {}

/// How far a row's sum may lie from 1 (maps are stored in half precision).
pub const ROW_SUM: f64 = 1e-3;
/// The largest weight on a later token that rounding explains.
pub const FUTURE: f64 = 1e-6;

/// Attention of one layer and sample, H × S × S in row order: rows are queries and sum to 1.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    data: &'a [T],
    heads: usize,
    len: usize,
}

impl<'a, T: Scalar> Attention<'a, T> {
    /// Takes causal maps. `rows` is the number of query rows that are checked: all of them, or the valid ones.
    ///
    /// # Errors
    /// [`Error::Undefined`] for a wrong shape, a weight below 0 or not finite, a row that doesn't sum to 1 (±10⁻³), a
    /// weight above 10⁻⁶ on a later token, with head and row.
    pub fn causal(data: &'a [T], heads: usize, len: usize, rows: usize) -> Result<Self> {
        Self::new(data, heads, len, rows, true)
    }

    /// Takes maps that look both ways.
    ///
    /// # Errors
    /// As [`Attention::causal`], later tokens aside.
    pub fn bidirectional(data: &'a [T], heads: usize, len: usize) -> Result<Self> {
        Self::new(data, heads, len, len, false)
    }

    fn new(data: &'a [T], heads: usize, len: usize, rows: usize, causal: bool) -> Result<Self> {
        let size = heads.checked_mul(len).and_then(|n| n.checked_mul(len));
        if size != Some(data.len()) || data.is_empty() {
            let n = data.len();
            return Err(Error::Undefined(format!("{n} weights are no {heads} × {len} × {len} attention")));
        }
        if rows == 0 || rows > len {
            return Err(Error::Range { name: "valid length", value: rows as f64, expected: "from 1 to the length" });
        }
        // The first mistake in order, whichever thread finds one first.
        let wrong = data.par_chunks_exact(len).enumerate().find_map_first(|(at, row)| {
            let (head, query) = (at / len, at % len);
            if query >= rows { None } else { mistake(row, query, causal).map(|what| (head, query, what)) }
        });
        match wrong {
            Some((head, row, what)) => Err(Error::Undefined(format!("attention, head {head}, row {row}: {what}"))),
            None => Ok(Self { data, heads, len }),
        }
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Number of tokens, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// One query's weights.
    pub fn row(&self, head: usize, query: usize) -> &'a [T] {
        let start = (head * self.len + query) * self.len;
        &self.data[start..start + self.len]
    }

    /// One head's map, S × S.
    pub fn map(&self, head: usize) -> &'a [T] {
        let size = self.len * self.len;
        &self.data[head * size..(head + 1) * size]
    }
}

/// What is wrong with a row, if anything.
fn mistake<T: Scalar>(row: &[T], query: usize, causal: bool) -> Option<String> {
    let (mut sum, mut least) = (0.0, f64::INFINITY);
    for &weight in row {
        let weight: f64 = weight.into();
        sum += weight;
        least = least.min(weight);
    }
    // NaN and infinities end here too, in the sum.
    if (sum - 1.0).abs() > ROW_SUM || sum.is_nan() {
        return Some(format!("the weights sum to {sum}, not to 1 (±{ROW_SUM})"));
    }
    if least < 0.0 {
        return Some(format!("a weight is {least}, below 0"));
    }
    if !causal {
        return None;
    }
    let later = row.get(query + 1..)?;
    let (key, weight) = later.iter().enumerate().map(|(key, &w)| (query + 1 + key, w.into())).find(|p| p.1 > FUTURE)?;
    Some(format!("weight {weight} on the later token {key}, where a causal map has none"))
}

/// Value vectors of one layer and sample, H_kv × S × d in row order; H_kv divides the number of query heads.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a, T> {
    data: &'a [T],
    heads: usize,
    len: usize,
    dim: usize,
}

impl<'a, T: Scalar> Values<'a, T> {
    /// # Errors
    /// [`Error::Undefined`] for a wrong shape or a value that is not finite, with its place.
    pub fn new(data: &'a [T], heads: usize, len: usize, dim: usize) -> Result<Self> {
        let size = heads.checked_mul(len).and_then(|n| n.checked_mul(dim));
        if size != Some(data.len()) || data.is_empty() {
            let n = data.len();
            return Err(Error::Undefined(format!("{n} numbers are no {heads} × {len} × {dim} values")));
        }
        if let Some(at) = data.iter().position(|&v| !v.into().is_finite()) {
            let (head, token) = (at / (len * dim), at / dim % len);
            return Err(Error::Undefined(format!("values, head {head}, token {token}: not a finite number")));
        }
        Ok(Self { data, heads, len, dim })
    }

    /// Number of key-value heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Dimensions of a head.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One token's vector in one key-value head.
    pub fn vector(&self, head: usize, token: usize) -> &'a [T] {
        let start = (head * self.len + token) * self.dim;
        &self.data[start..start + self.dim]
    }
}
