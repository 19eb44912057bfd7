//! How alike two maps are, beside a baseline.
//!
//! *Cosine* of the maps as vectors; *JSD*, the mean over rows of the Jensen–Shannon divergence in bits (0 alike,
//! 1 disjoint). Near-uniform maps have cosine 1 with anything, so both stand beside a *shuffled-token baseline*: the video
//! tokens of the second map permuted, rows and columns alike, averaged over a number of permutations.

use rayon::prelude::*;
use serde::Serialize;

use super::Grid;
use crate::{
    heads::{Attention, Scalar},
    resample,
};

/// Similarity of one head's maps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Similarity {
    /// Cosine, 0 to 1.
    pub cosine: f64,
    /// Mean JSD of rows, in bits.
    pub jsd: f64,
    /// Cosine with the shuffled map.
    pub cosine_shuffled: f64,
    /// JSD with the shuffled map.
    pub jsd_shuffled: f64,
}

/// Compares head by head two attentions of one shape; `grid` says which tokens are shuffled (all without one). None if
/// the shapes differ.
pub fn similarity<T: Scalar>(
    a: &Attention<'_, T>,
    b: &Attention<'_, T>,
    grid: Option<&Grid>,
    shuffles: usize,
    seed: u64,
) -> Option<Vec<Similarity>> {
    if (a.heads(), a.len()) != (b.heads(), b.len()) {
        return None;
    }
    let len = a.len();
    let (start, video) = grid.map_or((0, len), |grid| (grid.start(), grid.video()));
    let same: Vec<usize> = (0..len).collect();
    let orders: Vec<Vec<usize>> = (0..shuffles)
        .map(|shuffle| {
            let mut order = same.clone();
            resample::stream(seed, shuffle).shuffle(&mut order[start..start + video]);
            order
        })
        .collect();
    let head = |head: usize| {
        let (cosine, jsd) = compare(a, b, head, &same);
        let shuffled: Vec<(f64, f64)> = orders.iter().map(|order| compare(a, b, head, order)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| shuffled.iter().map(of).sum::<f64>() / shuffled.len() as f64;
        Similarity { cosine, jsd, cosine_shuffled: mean(|p| p.0), jsd_shuffled: mean(|p| p.1) }
    };
    Some((0..a.heads()).into_par_iter().map(head).collect())
}

/// Cosine and mean JSD of `a` and of `b` with its tokens in another order.
fn compare<T: Scalar>(a: &Attention<'_, T>, b: &Attention<'_, T>, head: usize, order: &[usize]) -> (f64, f64) {
    let (mut dot, mut aa, mut bb, mut jsd) = (0.0, 0.0, 0.0, 0.0);
    for (query, &other) in order.iter().enumerate() {
        let (row, shuffled) = (a.row(head, query), b.row(head, other));
        for (&p, &key) in row.iter().zip(order) {
            let (p, q): (f64, f64) = (p.into(), shuffled[key].into());
            dot += p * q;
            aa += p * p;
            bb += q * q;
            // ½·(p·log₂(p/m) + q·log₂(q/m)), m = (p + q)/2; the smallest p would lose m, but not p + q.
            let side = |x: f64| if x > 0.0 { 0.5 * x * (2.0 * x / (p + q)).log2() } else { 0.0 };
            jsd += side(p) + side(q);
        }
    }
    // Rounding must not leave the ranges.
    ((dot / (aa * bb).sqrt()).min(1.0), (jsd / order.len() as f64).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &[f64], b: &[f64], len: usize, grid: Option<&Grid>) -> Similarity {
        let a = Attention::bidirectional(a, 1, len).unwrap();
        let b = Attention::bidirectional(b, 1, len).unwrap();
        similarity(&a, &b, grid, 20, 0).unwrap()[0]
    }

    #[test]
    fn alike_and_disjoint() {
        let eye = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let next = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let found = of(&eye, &eye, 3, None);
        assert_eq!((found.cosine, found.jsd), (1.0, 0.0));
        // The identity stays itself under any order; a cycle becomes itself or its inverse.
        assert_eq!((found.cosine_shuffled, found.jsd_shuffled), (1.0, 0.0));
        let found = of(&eye, &next, 3, None);
        assert_eq!((found.cosine, found.jsd), (0.0, 1.0));
        let found = of(&next, &next, 3, None);
        assert!(found.cosine == 1.0 && found.cosine_shuffled > 0.0 && found.cosine_shuffled < 1.0, "{found:?}");
    }

    #[test]
    fn uniform_maps_are_no_better_than_shuffled_ones() {
        let uniform = vec![0.25; 16];
        let found = of(&uniform, &uniform, 4, None);
        assert_eq!((found.cosine, found.cosine_shuffled), (1.0, 1.0));
    }

    #[test]
    fn text_tokens_stay_where_they_are() {
        // Everything looks at the last token, which is text: shuffling the video changes nothing.
        let map = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let grid = Grid::new([1, 1, 2], 3, false).unwrap();
        assert_eq!(of(&map, &map, 3, Some(&grid)).cosine_shuffled, 1.0);
        assert!(of(&map, &map, 3, None).cosine_shuffled < 1.0);
    }
}
