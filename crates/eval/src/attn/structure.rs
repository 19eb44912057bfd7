//! Density and sinks of one map.

use rayon::prelude::*;
use serde::Serialize;

use super::Grid;
use crate::heads::{Attention, Scalar, Values};

/// Mean over rows of the smallest k whose k largest weights hold at least θ of the mass (to 10⁻¹²), divided by S.
///
/// Cost: a sort a row.
pub fn density<T: Scalar>(attention: &Attention<'_, T>, head: usize, theta: f64) -> f64 {
    let len = attention.len();
    let needed = |row: &[T]| {
        let mut weights: Vec<f64> = row.iter().map(|&w| w.into()).collect();
        weights.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut mass = 0.0;
        let enough = weights.iter().position(|w| {
            mass += w;
            mass >= theta - 1e-12
        });
        // A row that sums to a little less than θ needs all its weights.
        enough.map_or(len, |last| last + 1)
    };
    let total: usize = attention.map(head).par_chunks_exact(len).map(needed).sum();
    total as f64 / len as f64 / len as f64
}

/// s_j: mean over rows of the weight on token j; sums to 1.
pub fn column_share<T: Scalar>(attention: &Attention<'_, T>, head: usize) -> Vec<f64> {
    let len = attention.len();
    let mut share = vec![0.0; len];
    for row in attention.map(head).chunks_exact(len) {
        for (sum, &weight) in share.iter_mut().zip(row) {
            *sum += weight.into();
        }
    }
    share.iter().map(|sum| sum / len as f64).collect()
}

/// A token on which much of a map's mass lies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sink {
    /// The token.
    pub index: usize,
    /// The heads in which it is a sink.
    pub heads: Vec<usize>,
    /// Its largest column share among them, times S.
    pub share_s: f64,
    /// Whether it is a text token; none without a grid.
    pub text: Option<bool>,
    /// Whether it is the first token.
    pub first: bool,
    /// Frame, row and column of a video token.
    pub place: Option<[usize; 3]>,
    /// ‖V_j‖ / mean ‖V‖ in the first of its heads, where values are given.
    pub value_norm_ratio: Option<f64>,
}

/// The tokens whose column share times S is above `limit` in any head; `shares` are the heads' column shares. As
/// s_j·S ≤ S, a map of S ≤ limit has none.
pub fn sinks(shares: &[Vec<f64>], limit: f64, grid: Option<&Grid>) -> Vec<Sink> {
    let len = shares.first().map_or(0, Vec::len);
    let mut found = Vec::new();
    for index in 0..len {
        let scaled = |head: &usize| shares[*head][index] * len as f64;
        let heads: Vec<usize> = (0..shares.len()).filter(|head| scaled(head) > limit).collect();
        if !heads.is_empty() {
            found.push(Sink {
                index,
                share_s: heads.iter().map(scaled).fold(0.0, f64::max),
                heads,
                text: grid.map(|grid| grid.place(index).is_none()),
                first: index == 0,
                place: grid.and_then(|grid| grid.place(index)),
                value_norm_ratio: None,
            });
        }
    }
    found
}

/// ‖V_j‖ / mean ‖V‖ of a token in one key-value head; NaN if all values are 0.
pub fn value_norm_ratio<T: Scalar>(values: &Values<'_, T>, head: usize, token: usize) -> f64 {
    let norm = |token| values.vector(head, token).iter().map(|&v| v.into() * v.into()).sum::<f64>().sqrt();
    let mean = (0..values.len()).map(norm).sum::<f64>() / values.len() as f64;
    norm(token) / mean
}

/// Mean over pairs of heads that both have sinks of |shared| / |either|; none without such a pair.
pub fn overlap(sinks: &[Sink], heads: usize) -> Option<f64> {
    let of = |head: usize| sinks.iter().filter(|s| s.heads.contains(&head)).map(|s| s.index).collect::<Vec<_>>();
    let each: Vec<Vec<usize>> = (0..heads).map(of).filter(|indices| !indices.is_empty()).collect();
    let (mut sum, mut pairs) = (0.0, 0_u32);
    for (i, a) in each.iter().enumerate() {
        for b in &each[i + 1..] {
            let shared = a.iter().filter(|index| b.contains(index)).count();
            sum += shared as f64 / (a.len() + b.len() - shared) as f64;
            pairs += 1;
        }
    }
    (pairs > 0).then(|| sum / f64::from(pairs))
}
