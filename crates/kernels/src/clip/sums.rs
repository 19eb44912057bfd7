//! Norms and clipped sums of gradients `[N, D]`, chunk by chunk: the order of additions that `clip.cu` has too.

use rayon::prelude::*;

use super::{Clipper, Factors, Finish};
use crate::noise::TILE;
use crate::simd::{self, Level, vectorised};

/// Columns whose squares are summed in f32; chunks start at a layer's first column.
pub(crate) const CHUNK: usize = 2048;
/// Interleaved partial sums of a chunk.
const LANES: usize = 64;
/// Rows that fit are summed right after their norms, from the cache: a quarter of a common second-level cache, which the
/// sum shares. Asking for the next rows meanwhile (`prefetcht1`) took a quarter longer.
const CACHE_BYTES: usize = 256 << 10;
/// Rows that no second-level cache holds are still summed four at a time while they fit into a shared third-level cache.
const SHARED_BYTES: usize = 16 << 20;
/// Chunks that pass over the rows together: shorter runs of a row leave the prefetcher behind (1.6 times slower measured
/// with single chunks), longer ones the sum outside the cache.
const BLOCK: usize = 16;
/// Rows added while a column's sum stays in a register.
const ROWS: usize = 4;
/// Elements below which one thread does it all.
const PARALLEL: usize = 1 << 16;

/// Part of a layer: its first column, how many, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub start: usize,
    pub len: usize,
    pub layer: usize,
    /// Of the layer.
    pub layer_start: usize,
}

pub(crate) fn chunks(layers: &[usize]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut layer_start = 0;
    for (layer, &columns) in layers.iter().enumerate() {
        for at in (0..columns).step_by(CHUNK) {
            chunks.push(Chunk { start: layer_start + at, len: CHUNK.min(columns - at), layer, layer_start });
        }
        layer_start += columns;
    }
    chunks
}

/// Σx² of a chunk.
#[inline(always)]
fn square_body(x: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane += x * x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x * x;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

pub(crate) fn square(level: Level, x: &[f32]) -> f64 {
    vectorised!(level, square_body(x: &[f32]) -> f32) as f64
}

/// Sum of partial results: 32 interleaved lanes, then a tree.
pub(crate) fn reduce(partials: impl Iterator<Item = f64>) -> f64 {
    let mut lanes = [0.0; 32];
    for (at, partial) in partials.enumerate() {
        lanes[at % 32] += partial;
    }
    tree(lanes)
}

pub(crate) fn tree(mut lanes: [f64; 32]) -> f64 {
    let mut half = 16;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Squared norms `[N, layers]` of `[N, D]`.
pub(crate) fn squared_norms(layers: &[usize], chunks: &[Chunk], gradients: &[f32], columns: usize) -> Vec<f64> {
    let level = simd::level();
    // A sum of one partial result is that.
    let sum = |partials: &mut dyn ExactSizeIterator<Item = f64>| match partials.len() {
        1 => partials.next().map_or(0.0, |partial| 0.0 + partial),
        _ => reduce(partials),
    };
    let row = |row: &[f32], to: &mut Vec<f64>| {
        let of = |chunk: &Chunk| square(level, &row[chunk.start..][..chunk.len]);
        let several = row.len() >= PARALLEL && rayon::current_num_threads() > 1;
        let partials: Vec<f64> = if several { chunks.par_iter().map(of).collect() } else { Vec::new() };
        let mut from = 0;
        for &columns in layers {
            let until = from + columns.div_ceil(CHUNK);
            to.push(if several {
                sum(&mut partials[from..until].iter().copied())
            } else {
                sum(&mut chunks[from..until].iter().map(of))
            });
            from = until;
        }
    };
    if gradients.len() < PARALLEL || rayon::current_num_threads() == 1 {
        let mut squared = Vec::with_capacity(gradients.len() / columns * layers.len());
        gradients.chunks(columns).for_each(|x| row(x, &mut squared));
        return squared;
    }
    let of_row = |x| {
        let mut squared = Vec::with_capacity(layers.len());
        row(x, &mut squared);
        squared
    };
    gradients.par_chunks(columns).flat_map_iter(of_row).collect()
}

#[inline(always)]
fn add_scaled_body(factor: f32, x: &[f32], sum: &mut [f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

#[inline(always)]
fn add_four_body(factors: [f32; ROWS], a: &[f32], b: &[f32], c: &[f32], d: &[f32], sum: &mut [f32]) {
    let [f, g, h, i] = factors;
    let n = sum.len();
    let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
    for at in 0..n {
        sum[at] = sum[at] + f * a[at] + g * b[at] + h * c[at] + i * d[at];
    }
}

/// sum ← sum + factor·x for four rows, one after another, with the sum in a register.
fn add_four(level: Level, rows: [(f32, &[f32]); ROWS], sum: &mut [f32]) {
    let factors = rows.map(|(factor, _)| factor);
    let [(_, a), (_, b), (_, c), (_, d)] = rows;
    vectorised!(level, add_four_body(factors: [f32; ROWS], a: &[f32], b: &[f32], c: &[f32], d: &[f32], sum: &mut [f32]));
}

/// sum ← sum + factor·x; a factor of 0 leaves it, whatever x holds.
pub(crate) fn add_scaled(level: Level, factor: f32, x: &[f32], sum: &mut [f32]) {
    if factor != 0.0 {
        vectorised!(level, add_scaled_body(factor: f32, x: &[f32], sum: &mut [f32]));
    }
}

/// Adds clipped rows.
pub(super) fn accumulate(clipper: &Clipper, gradients: &[f32], sum: &mut [f32], finish: Option<&Finish>) -> Factors {
    let columns = sum.len();
    let layers = clipper.layers().len();
    let chunks = chunks(clipper.layers());
    let threads = rayon::current_num_threads();
    // Groups of rows change no order: each column meets its rows one after another.
    let shared = if ROWS * 4 * columns <= SHARED_BYTES { ROWS } else { 0 };
    let fit = (CACHE_BYTES * threads / (4 * columns)).max(shared);
    let rows = gradients.len() / columns;
    let group = if fit == 0 { rows.max(1) } else { fit.min(rows.max(1)) };
    let groups: Vec<&[f32]> = if rows == 0 { vec![&[]] } else { gradients.chunks(group * columns).collect() };

    let (mut squared, mut values) = (Vec::with_capacity(rows * layers), Vec::with_capacity(rows * layers));
    for (at, rows) in groups.iter().enumerate() {
        let norms = squared_norms(clipper.layers(), &chunks, rows, columns);
        let factors = clipper.values(&norms);
        let finish = if at + 1 == groups.len() { finish } else { None };
        Rows { gradients: rows, columns, factors: &factors, layers, finish }.add(&chunks, sum);
        squared.extend(norms);
        values.extend(factors);
    }
    clipper.counted(squared, values)
}

/// Rows to add, and what is done with them.
struct Rows<'a> {
    gradients: &'a [f32],
    columns: usize,
    /// `[N, layers]`
    factors: &'a [f32],
    layers: usize,
    finish: Option<&'a Finish>,
}

impl Rows<'_> {
    fn add(&self, chunks: &[Chunk], sum: &mut [f32]) {
        let level = simd::level();
        let mut rest = sum;
        let mut blocks = Vec::with_capacity(chunks.len().div_ceil(BLOCK));
        for block in chunks.chunks(BLOCK) {
            let (part, after) = rest.split_at_mut(block.iter().map(|chunk| chunk.len).sum());
            blocks.push((block, part));
            rest = after;
        }
        let work = |(block, sum): (&[Chunk], &mut [f32])| self.add_block(level, block, sum);
        if rayon::current_num_threads() == 1
            || self.columns < 2 * CHUNK
            || self.gradients.len().max(self.columns) < PARALLEL
        {
            blocks.into_iter().for_each(work);
        } else {
            blocks.into_par_iter().for_each(work);
        }
    }

    /// All rows' parts in a block of chunks.
    fn add_block(&self, level: Level, block: &[Chunk], sum: &mut [f32]) {
        let count = self.gradients.len() / self.columns;
        for first in (0..count).step_by(ROWS) {
            let mut rest = &mut *sum;
            // Chunks of one layer share their factors, and long runs suit the prefetcher.
            for run in block.chunk_by(|a, b| a.layer == b.layer) {
                let (sum, after) = rest.split_at_mut(run.iter().map(|chunk| chunk.len).sum());
                self.add_run(level, first..count.min(first + ROWS), run[0], sum);
                rest = after;
            }
        }
        if let Some(finish) = self.finish {
            let mut rest = sum;
            for chunk in block {
                let (sum, after) = rest.split_at_mut(chunk.len);
                finish_chunk(level, chunk, finish, sum);
                rest = after;
            }
        }
    }

    /// At most four rows' parts from `chunk` on.
    fn add_run(&self, level: Level, rows: std::ops::Range<usize>, chunk: Chunk, sum: &mut [f32]) {
        // A factor of 0 leaves the sum, whatever its row holds.
        let mut part = [(0.0, &[][..]); ROWS];
        let mut used = 0;
        for row in rows {
            let at = row * self.columns + chunk.start;
            let factor = self.factors[row * self.layers + chunk.layer];
            if factor != 0.0 {
                part[used] = (factor, &self.gradients[at..at + sum.len()]);
                used += 1;
            }
        }
        if used == ROWS {
            add_four(level, part, sum);
        } else {
            part[..used].iter().for_each(|(factor, x)| add_scaled(level, *factor, x, sum));
        }
    }
}

fn finish_chunk(level: Level, chunk: &Chunk, finish: &Finish, sum: &mut [f32]) {
    let (first, _) = finish.noise.coordinates();
    let noise = finish.noise.param(first + chunk.layer as u32);
    let mut z = [0.0; TILE];
    for (at, sum) in sum.chunks_mut(TILE).enumerate() {
        noise.tile(level, (chunk.start - chunk.layer_start + at * TILE) as u64, &mut z);
        crate::noise::added_tile(level, &z[..sum.len()], finish.scale, finish.divisor, sum);
    }
}
