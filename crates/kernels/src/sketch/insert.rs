//! Adding coordinates to a row of cells, a tile at a time: hash the tile in vectors, then add in index order.
//!
//! In an f32 row the order of additions is the coordinates' order whatever the level or the number of threads, since
//! threads take whole rows.

use rayon::prelude::*;

use super::{fixed, hash::Hasher};
use crate::simd::{Level, vectorised};

/// Coordinates of a tile: its arrays stay in the first cache.
pub(super) const TILE: usize = 512;
/// Fewer row updates than this stay on the calling thread.
const PARALLEL: usize = 1 << 16;

/// Which coordinates the values belong to.
#[derive(Clone, Copy)]
pub(super) enum Places<'a> {
    From(u64),
    At(&'a [u32]),
}

impl Places<'_> {
    pub fn index(self, at: usize) -> u64 {
        match self {
            Self::From(offset) => offset + at as u64,
            Self::At(list) => list[at] as u64,
        }
    }

    /// The coordinates of the values `from..from + tile.len()`.
    #[inline(always)]
    pub fn fill(self, from: usize, tile: &mut [u64]) {
        match self {
            Self::From(offset) => {
                let first = offset + from as u64;
                for (at, index) in tile.iter_mut().enumerate() {
                    *index = first + at as u64;
                }
            }
            Self::At(list) => {
                for (index, &place) in tile.iter_mut().zip(&list[from..]) {
                    *index = place as u64;
                }
            }
        }
    }
}

/// What to add to which table.
#[derive(Clone, Copy)]
pub(super) struct Insert<'a> {
    pub hasher: &'a Hasher,
    pub cols: usize,
    pub places: Places<'a>,
    pub level: Level,
}

impl Insert<'_> {
    /// f32 values into f32 cells.
    pub fn f32(self, x: &[f32], table: &mut [f32]) {
        self.rows(x.len(), table, |row, cells| {
            let (level, insert) = (self.level, self);
            vectorised!(level, row_f32(insert: Insert<'_>, row: usize, x: &[f32], cells: &mut [f32]));
        });
    }

    /// f32 values, which fit, into fixed-point cells, which don't overflow.
    pub fn quantised(self, x: &[f32], scale: f64, table: &mut [i64]) {
        self.rows(x.len(), table, |row, cells| {
            let (level, insert) = (self.level, self);
            vectorised!(level, row_quantised(insert: Insert<'_>, row: usize, x: &[f32], scale: f64, cells: &mut [i64]));
        });
    }

    /// Integers into fixed-point cells, which don't overflow.
    pub fn integers(self, x: &[i64], table: &mut [i64]) {
        self.rows(x.len(), table, |row, cells| {
            let (level, insert) = (self.level, self);
            vectorised!(level, row_integers(insert: Insert<'_>, row: usize, x: &[i64], cells: &mut [i64]));
        });
    }

    fn rows<T: Send>(self, n: usize, table: &mut [T], add: impl Fn(usize, &mut [T]) + Sync) {
        if n * table.len().div_ceil(self.cols) < PARALLEL || rayon::current_num_threads() == 1 {
            table.chunks_mut(self.cols).enumerate().for_each(|(row, cells)| add(row, cells));
        } else {
            table.par_chunks_mut(self.cols).enumerate().for_each(|(row, cells)| add(row, cells));
        }
    }
}

#[inline(always)]
fn row_f32(insert: Insert<'_>, row: usize, x: &[f32], cells: &mut [f32]) {
    let (mut at, mut buckets, mut signs) = ([0; TILE], [0; TILE], [0; TILE]);
    for (tile, x) in x.chunks(TILE).enumerate() {
        let (at, buckets, signs) = (&mut at[..x.len()], &mut buckets[..x.len()], &mut signs[..x.len()]);
        insert.places.fill(tile * TILE, at);
        insert.hasher.place_all(row, insert.cols as u64, at, buckets, signs);
        for (value, &x) in signs.iter_mut().zip(x) {
            *value ^= x.to_bits();
        }
        for (&bucket, &value) in buckets.iter().zip(&*signs) {
            cells[bucket as usize] += f32::from_bits(value);
        }
    }
}

#[inline(always)]
fn row_quantised(insert: Insert<'_>, row: usize, x: &[f32], scale: f64, cells: &mut [i64]) {
    let mut integers = [0; TILE];
    let (mut at, mut buckets, mut signs) = ([0; TILE], [0; TILE], [0; TILE]);
    for (tile, x) in x.chunks(TILE).enumerate() {
        let n = x.len();
        insert.places.fill(tile * TILE, &mut at[..n]);
        insert.hasher.place_all(row, insert.cols as u64, &at[..n], &mut buckets[..n], &mut signs[..n]);
        fixed::quantise_all(x, scale, &mut integers[..n]);
        add_integers(&buckets[..n], &signs[..n], &integers[..n], cells);
    }
}

#[inline(always)]
fn row_integers(insert: Insert<'_>, row: usize, x: &[i64], cells: &mut [i64]) {
    let (mut at, mut buckets, mut signs) = ([0; TILE], [0; TILE], [0; TILE]);
    for (tile, x) in x.chunks(TILE).enumerate() {
        let n = x.len();
        insert.places.fill(tile * TILE, &mut at[..n]);
        insert.hasher.place_all(row, insert.cols as u64, &at[..n], &mut buckets[..n], &mut signs[..n]);
        add_integers(&buckets[..n], &signs[..n], x, cells);
    }
}

#[inline(always)]
fn add_integers(buckets: &[u32], signs: &[u32], x: &[i64], cells: &mut [i64]) {
    for ((&bucket, &sign), &x) in buckets.iter().zip(signs).zip(x) {
        let minus = (sign as i32 >> 31) as i64; // −1 for −, else 0
        let cell = &mut cells[bucket as usize];
        *cell = cell.wrapping_add((x ^ minus).wrapping_sub(minus));
    }
}
