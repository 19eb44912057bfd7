//! Tiles of 32 × 32 inner products, in one order of additions: blocks of 128 terms in f32, then the blocks.

use super::sums::tree;
use crate::simd::{Level, vectorised};

/// Rows and columns of a tile.
pub(crate) const SIDE: usize = 32;
/// Terms summed before they go to the total.
pub(crate) const DEPTH: usize = 128;
/// Rows worked on at once.
const ROWS: usize = 4;

pub(crate) type Tile = [[f32; SIDE]; SIDE];

/// One side of a tile: term k of item i is `x[k · stride + first + i]`, and there are `count` items from `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub x: &'a [f32],
    pub stride: usize,
    pub first: usize,
    pub count: usize,
}

impl<'a> Side<'a> {
    /// Tile number `at` of a matrix `[terms, items]`.
    pub fn new(x: &'a [f32], items: usize, at: usize) -> Self {
        let first = at * SIDE;
        Self { x, stride: items, first, count: SIDE.min(items - first) }
    }

    #[inline(always)]
    fn pack(&self, from: usize, panel: &mut [[f32; SIDE]]) {
        for (k, to) in panel.iter_mut().enumerate() {
            let at = (from + k) * self.stride + self.first;
            if self.count == SIDE {
                to.copy_from_slice(&self.x[at..at + SIDE]);
            } else {
                *to = [0.0; SIDE];
                to[..self.count].copy_from_slice(&self.x[at..at + self.count]);
            }
        }
    }
}

/// Σₖ left(k, i)·right(k, j) over `terms` terms.
pub(crate) fn products(level: Level, left: Side<'_>, right: Side<'_>, terms: usize, total: &mut Tile) {
    vectorised!(level, products_body(left: Side<'_>, right: Side<'_>, terms: usize, total: &mut Tile));
}

#[inline(always)]
fn products_body(left: Side<'_>, right: Side<'_>, terms: usize, total: &mut Tile) {
    let (mut left_panel, mut right_panel) = ([[0.0_f32; SIDE]; DEPTH], [[0.0_f32; SIDE]; DEPTH]);
    *total = [[0.0; SIDE]; SIDE];
    for from in (0..terms).step_by(DEPTH) {
        let depth = DEPTH.min(terms - from);
        left.pack(from, &mut left_panel[..depth]);
        right.pack(from, &mut right_panel[..depth]);
        for (rows, total) in total.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            let mut part = [[0.0_f32; SIDE]; ROWS];
            for (l, r) in left_panel[..depth].iter().zip(&right_panel[..depth]) {
                for i in 0..ROWS {
                    let l = l[rows * ROWS + i];
                    for j in 0..SIDE {
                        part[i][j] += l * r[j];
                    }
                }
            }
            for (total, part) in total.iter_mut().zip(&part) {
                for (total, part) in total.iter_mut().zip(part) {
                    *total += part;
                }
            }
        }
    }
}

/// Σ p·q over the first `rows` × `columns` of two tiles, in f64: column lanes over every eighth row, a tree over the lanes,
/// then the eight.
pub(crate) fn inner(p: &Tile, q: &Tile, rows: usize, columns: usize) -> f64 {
    let mut sum = 0.0;
    for warp in 0..8 {
        let mut lanes = [0.0; SIDE];
        for row in (warp..rows).step_by(8) {
            for column in 0..columns {
                lanes[column] += p[row][column] as f64 * q[row][column] as f64;
            }
        }
        sum += tree(lanes);
    }
    sum
}

/// `[rows, columns]` to `[columns, rows]`.
pub(crate) fn transpose(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    let mut out = vec![0.0; x.len()];
    // In blocks, so that both sides stay in the first cache.
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            for r in row..rows.min(row + SIDE) {
                for c in column..columns.min(column + SIDE) {
                    out[c * rows + r] = x[r * columns + c];
                }
            }
        }
    }
    out
}
