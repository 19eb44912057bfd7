//! Estimates, computed a tile at a time and never stored for all coordinates.
//!
//! A median of r estimates reaches a magnitude t only if at least (r + 1)/2 rows' cells do. One bit a cell says whether
//! it does, so most coordinates are dismissed after (r + 1)/2 lookups in bitmaps of 1/32 of the table's size.

use std::ops::Range;

use super::{
    hash::Hasher,
    insert::{Places, TILE},
};
use crate::{
    simd::{Level, vectorised},
    topk::{source::Source, sweep::Pairs},
};

/// Reads estimates off a table of finite values.
#[derive(Clone, Copy)]
pub(super) struct Estimator<'a> {
    pub table: &'a [f32],
    pub hasher: &'a Hasher,
    pub rows: usize,
    pub cols: usize,
    pub d: usize,
    pub level: Level,
}

impl Estimator<'_> {
    /// Estimates of the coordinates `at`.
    pub fn at(&self, at: &[u64], out: &mut [f32]) {
        let (level, estimator) = (self.level, *self);
        vectorised!(level, estimate_all(estimator: Estimator<'_>, at: &[u64], out: &mut [f32]));
    }

    /// One bit for each cell of a row: whether its magnitude's bits reach `floor`.
    fn marks(&self, row: usize, floor: u32) -> Vec<u32> {
        let cells = &self.table[row * self.cols..(row + 1) * self.cols];
        let mark = |cells: &[f32]| {
            let reach = |cell: &f32| cell.to_bits() & 0x7fff_ffff >= floor;
            cells.iter().enumerate().fold(0, |word, (bit, cell)| word | u32::from(reach(cell)) << bit)
        };
        cells.chunks(32).map(mark).collect()
    }
}

impl Source for Estimator<'_> {
    fn len(&self) -> usize {
        self.d
    }

    fn values(&self, at: &[u64], out: &mut [f32]) {
        self.at(at, out);
    }

    fn blocks(&self, range: Range<usize>, visit: &mut dyn FnMut(usize, &[f32]) -> bool) {
        let (mut at, mut out) = ([0; TILE], [0.0; TILE]);
        for base in range.clone().step_by(TILE) {
            let n = TILE.min(range.end - base);
            Places::From(base as u64).fill(0, &mut at[..n]);
            self.at(&at[..n], &mut out[..n]);
            if !visit(base, &out[..n]) {
                return;
            }
        }
    }

    fn gather(&self, range: Range<usize>, floor: u32, pairs: &mut Pairs, go_on: &mut dyn FnMut(usize) -> bool) -> bool {
        if floor == 0 || range.len() < self.cols {
            return false;
        }
        let marks: Vec<Vec<u32>> = (0..self.rows).map(|row| self.marks(row, floor)).collect();
        let (mut at, mut out) = ([0; TILE], [0.0; TILE]);
        for base in range.clone().step_by(TILE) {
            let n = TILE.min(range.end - base);
            let (level, estimator, marks, at) = (self.level, *self, &marks[..], &mut at);
            let kept = vectorised!(level, sift(estimator: Estimator<'_>, marks: &[Vec<u32>], base: usize, n: usize, at: &mut [u64; TILE]) -> usize);
            self.at(&at[..kept], &mut out[..kept]);
            let before = pairs.idx.len();
            for (&index, &value) in at[..kept].iter().zip(&out[..kept]) {
                if value.to_bits() & 0x7fff_ffff >= floor {
                    pairs.idx.push(index as u32);
                    pairs.val.push(value);
                }
            }
            if !go_on(pairs.idx.len() - before) {
                break;
            }
        }
        true
    }
}

/// Leaves in `at` the coordinates of `base..base + n` for which enough rows' cells are marked; returns how many.
#[inline(always)]
fn sift(estimator: Estimator<'_>, marks: &[Vec<u32>], base: usize, n: usize, at: &mut [u64; TILE]) -> usize {
    let (mut buckets, mut signs, mut hits) = ([0; TILE], [0; TILE], [0_u32; TILE]);
    Places::From(base as u64).fill(0, &mut at[..n]);
    // Of an even number of rows the lower middle one counts: in magnitude, at least half the rows must reach it.
    let need = estimator.rows.div_ceil(2);
    let spare = estimator.rows - need;
    let mut left = n;
    for (row, marks) in marks.iter().enumerate() {
        estimator.hasher.place_all(row, estimator.cols as u64, &at[..left], &mut buckets[..left], &mut signs[..left]);
        for (hits, &bucket) in hits[..left].iter_mut().zip(&buckets[..left]) {
            *hits += marks[bucket as usize / 32] >> (bucket % 32) & 1;
        }
        if row >= spare {
            let least = (row - spare + 1) as u32;
            let mut kept = 0;
            for from in 0..left {
                let (index, hit) = (at[from], hits[from]);
                at[kept] = index;
                hits[kept] = hit;
                kept += usize::from(hit >= least);
            }
            left = kept;
        }
    }
    left
}

#[inline(always)]
fn estimate_all(estimator: Estimator<'_>, at: &[u64], out: &mut [f32]) {
    for (at, out) in at.chunks(TILE).zip(out.chunks_mut(TILE)) {
        match estimator.rows {
            1 => {
                let [a] = cells(&estimator, at);
                for i in 0..at.len() {
                    out[i] = value(a[i]);
                }
            }
            3 => {
                let [a, b, c] = cells(&estimator, at);
                for i in 0..at.len() {
                    out[i] = value(median3(a[i], b[i], c[i]));
                }
            }
            5 => {
                let [a, b, c, d, e] = cells(&estimator, at);
                for i in 0..at.len() {
                    out[i] = value(median5(a[i], b[i], c[i], d[i], e[i]));
                }
            }
            _ => estimate_slow(&estimator, at, out),
        }
    }
}

/// Signed cells of each row, as [`ordered`] integers.
#[inline(always)]
fn cells<const R: usize>(estimator: &Estimator<'_>, at: &[u64]) -> [[i32; TILE]; R] {
    let mut all = [[0; TILE]; R];
    let (mut buckets, mut signs) = ([0; TILE], [0; TILE]);
    let n = at.len();
    for (row, signed) in all.iter_mut().enumerate() {
        estimator.hasher.place_all(row, estimator.cols as u64, at, &mut buckets[..n], &mut signs[..n]);
        let cells = &estimator.table[row * estimator.cols..(row + 1) * estimator.cols];
        for ((signed, &bucket), &sign) in signed.iter_mut().zip(&buckets[..n]).zip(&signs[..n]) {
            *signed = ordered(cells[bucket as usize].to_bits() ^ sign);
        }
    }
    all
}

/// Any number of rows: the middle one, of an even number the lower middle one.
fn estimate_slow(estimator: &Estimator<'_>, at: &[u64], out: &mut [f32]) {
    let mut signed = vec![0.0; estimator.rows];
    for (&index, out) in at.iter().zip(out) {
        for (row, signed) in signed.iter_mut().enumerate() {
            let (bucket, minus) = estimator.hasher.place(row, index, estimator.cols as u64);
            let cell = estimator.table[row * estimator.cols + bucket as usize];
            *signed = if minus { -cell } else { cell };
        }
        *out = *signed.select_nth_unstable_by((estimator.rows - 1) / 2, f32::total_cmp).1;
    }
}

/// Bits in an order of integers that is the floats' total order (−0 below +0); its own inverse.
#[inline(always)]
fn ordered(bits: u32) -> i32 {
    let bits = bits as i32;
    bits ^ (bits >> 31 & 0x7fff_ffff)
}

#[inline(always)]
fn value(ordered: i32) -> f32 {
    f32::from_bits((ordered ^ (ordered >> 31 & 0x7fff_ffff)) as u32)
}

#[inline(always)]
fn median3(a: i32, b: i32, c: i32) -> i32 {
    a.min(b).max(a.max(b).min(c))
}

/// Ten minima and maxima.
#[inline(always)]
fn median5(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 {
    median3(e, a.min(b).max(c.min(d)), a.max(b).min(c.max(d)))
}
