//! Norms and clipped sums of gradients `[N, D]`, chunk by chunk: the order of additions that `clip.cu` has too.

use rayon::prelude::*;

use super::{Clipper, Finish};
use crate::Result;
use crate::noise::TILE;
use crate::simd::{self, Level, vectorised};

/// Columns whose squares are summed in f32; chunks start at a layer's first column.
pub(crate) const CHUNK: usize = 2048;
/// Interleaved partial sums of a chunk.
const LANES: usize = 64;
/// Rows that fit are summed right after their norms, from the cache; half of a common second-level cache.
const CACHE_BYTES: usize = 512 << 10;
/// Chunks that pass over the rows together: shorter runs of a row leave the prefetcher behind (1.6 times slower measured
/// with single chunks), longer ones the sum outside the cache.
const BLOCK: usize = 16;
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
    let row = |row: &[f32]| {
        let partials: Vec<f64> = if row.len() < PARALLEL || rayon::current_num_threads() == 1 {
            chunks.iter().map(|chunk| square(level, &row[chunk.start..][..chunk.len])).collect()
        } else {
            chunks.par_iter().map(|chunk| square(level, &row[chunk.start..][..chunk.len])).collect()
        };
        let mut from = 0;
        let of_layer = layers.iter().map(|&columns| {
            let until = from + columns.div_ceil(CHUNK);
            let sum = reduce(partials[from..until].iter().copied());
            from = until;
            sum
        });
        of_layer.collect::<Vec<f64>>()
    };
    if gradients.len() < PARALLEL || rayon::current_num_threads() == 1 {
        gradients.chunks(columns).flat_map(row).collect()
    } else {
        gradients.par_chunks(columns).flat_map_iter(row).collect()
    }
}

#[inline(always)]
fn add_scaled_body(factor: f32, x: &[f32], sum: &mut [f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

/// sum ← sum + factor·x; a factor of 0 leaves it, whatever x holds.
pub(crate) fn add_scaled(level: Level, factor: f32, x: &[f32], sum: &mut [f32]) {
    if factor != 0.0 {
        vectorised!(level, add_scaled_body(factor: f32, x: &[f32], sum: &mut [f32]));
    }
}

/// Adds clipped rows; the squared norms `[N, layers]`.
pub(super) fn accumulate(
    clipper: &Clipper,
    gradients: &[f32],
    sum: &mut [f32],
    finish: Option<&Finish>,
) -> Result<Vec<f64>> {
    let columns = sum.len();
    let chunks = chunks(clipper.layers());
    let threads = rayon::current_num_threads();
    // Groups of rows change no order: each column meets its rows one after another.
    let fit = CACHE_BYTES * threads / (4 * columns);
    let rows = gradients.len() / columns;
    let group = if fit == 0 { rows.max(1) } else { fit.min(rows.max(1)) };
    let groups: Vec<&[f32]> = if rows == 0 { vec![&[]] } else { gradients.chunks(group * columns).collect() };

    let mut all = Vec::with_capacity(rows * clipper.layers().len());
    for (at, rows) in groups.iter().enumerate() {
        let squared = squared_norms(clipper.layers(), &chunks, rows, columns);
        let factors = clipper.factors(squared)?;
        let last = if at + 1 == groups.len() { finish } else { None };
        add_rows(&chunks, rows, columns, factors.values(), clipper.layers().len(), sum, last);
        all.extend_from_slice(factors.squared_norms());
    }
    Ok(all)
}

fn add_rows(
    chunks: &[Chunk],
    gradients: &[f32],
    columns: usize,
    factors: &[f32],
    layers: usize,
    sum: &mut [f32],
    finish: Option<&Finish>,
) {
    let level = simd::level();
    let mut rest = sum;
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (part, after) = rest.split_at_mut(chunk.len);
        parts.push((chunk, part));
        rest = after;
    }
    let work = |block: &mut [(&Chunk, &mut [f32])]| {
        for (row, factors) in gradients.chunks(columns).zip(factors.chunks(layers)) {
            for (chunk, sum) in &mut *block {
                add_scaled(level, factors[chunk.layer], &row[chunk.start..][..chunk.len], sum);
            }
        }
        if let Some(finish) = finish {
            for (chunk, sum) in block {
                finish_chunk(level, chunk, finish, sum);
            }
        }
    };
    if rayon::current_num_threads() == 1 || columns < 2 * CHUNK || gradients.len().max(columns) < PARALLEL {
        parts.chunks_mut(BLOCK).for_each(work);
    } else {
        parts.par_chunks_mut(BLOCK).for_each(work);
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
