//! Krum, Multi-Krum and Bulyan: aggregators that choose rows by their distances.
//!
//! All pairwise distances come from one Gram matrix G = UUᵀ in f64, ‖u_i − u_j‖² = G_ii + G_jj − 2·G_ij: n²·d/2
//! multiply-adds (100 × 50,890: some 30 ms on two threads).

use std::ops::Range;

use rayon::prelude::*;

use super::coordinate::by_columns;
use super::mean::sum;
use super::{Aggregator, UpdateMatrix};
use crate::vector::LEAF;
use crate::{Error, Result};

/// The row with the lowest score (Blanchard et al., 2017).
#[derive(Debug, Clone, Copy)]
pub struct Krum;

impl Aggregator for Krum {
    fn name(&self) -> &'static str {
        "krum"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>> {
        let scores = krum_scores(updates, f)?;
        Ok(updates.rows()[lowest(&scores)[0]].to_vec())
    }
}

/// The mean of the m rows with the lowest scores.
#[derive(Debug, Clone, Copy)]
pub struct MultiKrum {
    /// m; n − f if not given.
    pub m: Option<usize>,
}

impl Aggregator for MultiKrum {
    fn name(&self) -> &'static str {
        "multi-krum"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>> {
        let scores = krum_scores(updates, f)?;
        let n = scores.len();
        let m = self.m.unwrap_or(n - f);
        if m == 0 || m > n {
            if m > n {
                return Err(Error::TooFewUpdates { method: "multi-krum", f, needed: m, found: n });
            }
            return Err(Error::setting("defence.m", m, format!("between 1 and the {n} updates of the round")));
        }
        let mut selected = lowest(&scores)[..m].to_vec();
        selected.sort_unstable();
        let rows: Vec<&[f32]> = selected.iter().map(|&i| updates.rows()[i]).collect();
        Ok(sum(&rows, &vec![1.0; m], m as f64, updates.d()))
    }
}

/// θ = n − 2f rows chosen by Krum, one after another, then each coordinate's mean of the θ − 2f chosen values nearest
/// to their median (El Mhamdi et al., 2018). When as few as f + 2 rows are left none has neighbours to be scored by, and
/// the lowest row is taken.
#[derive(Debug, Clone, Copy)]
pub struct Bulyan;

impl Aggregator for Bulyan {
    fn name(&self) -> &'static str {
        "bulyan"
    }

    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>> {
        updates.need("bulyan", f, f.saturating_mul(4).saturating_add(3))?;
        let n = updates.rows().len();
        let distances = squared_distances(updates.rows());
        let mut left: Vec<usize> = (0..n).collect();
        let mut chosen = Vec::with_capacity(n - 2 * f);
        while chosen.len() < n - 2 * f {
            let scores = scores_among(&distances, n, &left, left.len().saturating_sub(f + 2));
            chosen.push(left.remove(lowest(&scores)[0]));
        }
        chosen.sort_unstable();
        let rows: Vec<&[f32]> = chosen.iter().map(|&i| updates.rows()[i]).collect();
        let kept = rows.len() - 2 * f;
        Ok(by_columns(&rows, updates.d(), |sorted, out| {
            for (lane, out) in out.iter_mut().enumerate() {
                let column = |i: usize| f64::from(sorted[i][lane]);
                let window = nearest_to_median(rows.len(), kept, column);
                *out = (window.map(column).sum::<f64>() / kept as f64) as f32;
            }
        }))
    }
}

/// The window of `kept` sorted values that are nearest to their median; of two equally near the lower.
fn nearest_to_median(n: usize, kept: usize, column: impl Fn(usize) -> f64) -> Range<usize> {
    let median = f64::midpoint(column((n - 1) / 2), column(n / 2));
    let mut window = 0..n;
    while window.len() > kept {
        if median - column(window.start) > column(window.end - 1) - median {
            window.start += 1;
        } else {
            window.end -= 1;
        }
    }
    window
}

/// Each row's sum of its n − f − 2 smallest squared distances to other rows.
pub fn krum_scores(updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f64>> {
    updates.need("krum", f, f.saturating_mul(2).saturating_add(3))?;
    let n = updates.rows().len();
    let all: Vec<usize> = (0..n).collect();
    Ok(scores_among(&squared_distances(updates.rows()), n, &all, n - f - 2))
}

fn scores_among(distances: &[f64], n: usize, among: &[usize], neighbours: usize) -> Vec<f64> {
    let mut row = Vec::with_capacity(among.len());
    let score = |&i: &usize| {
        row.clear();
        row.extend(among.iter().filter(|&&j| j != i).map(|&j| distances[i * n + j]));
        row.sort_unstable_by(f64::total_cmp);
        row.iter().take(neighbours).sum()
    };
    among.iter().map(score).collect()
}

/// Positions by ascending score, ties by position.
fn lowest(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order
}

/// Coordinates whose f64 copies are multiplied at once.
const BLOCK: usize = 256;
/// Spans that threads can take; fixed, so that sums do not depend on the number of threads.
const SPANS: usize = 64;

/// ‖u_i − u_j‖² for all pairs, n × n.
pub fn squared_distances(rows: &[&[f32]]) -> Vec<f64> {
    let n = rows.len();
    let d = rows.first().map_or(0, |row| row.len());
    let span = d.div_ceil(SPANS).next_multiple_of(BLOCK).max(LEAF);
    let partial: Vec<Vec<f64>> =
        (0..d).into_par_iter().step_by(span).map(|start| gram(rows, start..(start + span).min(d))).collect();
    let mut gram = vec![0.0f64; n * n];
    for partial in partial {
        gram.iter_mut().zip(partial).for_each(|(sum, x)| *sum += x);
    }
    let mut distances = vec![0.0f64; n * n];
    for i in 0..n {
        for j in 0..i {
            // Rounding may leave a tiny negative number between equal rows.
            let distance = (gram[i * n + i] + gram[j * n + j] - 2.0 * gram[i * n + j]).max(0.0);
            distances[i * n + j] = distance;
            distances[j * n + i] = distance;
        }
    }
    distances
}

/// The lower triangle of UUᵀ over a span of coordinates.
fn gram(rows: &[&[f32]], span: Range<usize>) -> Vec<f64> {
    let n = rows.len();
    let even = n.next_multiple_of(2);
    let mut result = vec![0.0f64; n * n];
    // [n rounded up to even][BLOCK], zeros behind the last row and the last coordinate
    let mut block = vec![[0.0f64; BLOCK]; even];
    for start in span.clone().step_by(BLOCK) {
        let len = BLOCK.min(span.end - start);
        for (wide, row) in block.iter_mut().zip(rows) {
            wide[len..].fill(0.0);
            wide.iter_mut().zip(&row[start..start + len]).for_each(|(wide, x)| *wide = f64::from(*x));
        }
        for i in (0..even).step_by(2) {
            for j in (0..=i).step_by(2) {
                let tile = dot2x2([&block[i], &block[i + 1]], [&block[j], &block[j + 1]]);
                for (k, value) in tile.into_iter().enumerate() {
                    let (row, column) = (i + k / 2, j + k % 2);
                    if row < n && column < n {
                        result[row * n + column] += value;
                    }
                }
            }
        }
    }
    result
}

/// The four products of two rows with two rows, four lanes each.
fn dot2x2(a: [&[f64; BLOCK]; 2], b: [&[f64; BLOCK]; 2]) -> [f64; 4] {
    const LANES: usize = 4;
    let mut sums = [[0.0f64; LANES]; 4];
    for at in (0..BLOCK).step_by(LANES) {
        for lane in 0..LANES {
            let (a0, a1, b0, b1) = (a[0][at + lane], a[1][at + lane], b[0][at + lane], b[1][at + lane]);
            sums[0][lane] += a0 * b0;
            sums[1][lane] += a0 * b1;
            sums[2][lane] += a1 * b0;
            sums[3][lane] += a1 * b1;
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}
