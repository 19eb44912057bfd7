//! Per-example norms and weighted sums from what a layer saw, without its per-example gradients.
//!
//! A linear layer with inputs A `[N, S, d]` and output gradients B `[N, S, p]` has gᵢ = BᵢᵀAᵢ `[p, d]` (S: positions of a
//! sequence, or of an image after [`unfold`]). Then ‖gᵢ‖² = ⟨AᵢAᵢᵀ, BᵢBᵢᵀ⟩ = Σₛₜ (aₛ·aₜ)(bₛ·bₜ) (Goodfellow 2015; Li et al.
//! 2022), summed over pairs of positions *before* anything is squared: the sum of ‖aₛ‖²‖bₛ‖² over positions is another
//! number.
//!
//! | layer | squared norm | weighted sum Σ cᵢgᵢ | flops of the norm |
//! |---|---|---|---|
//! | linear, convolution | [`linear_squared_norms`] | [`linear_weighted_sum`] | min(N·S²(d+p), 2N·S·p·d) |
//! | embedding | [`embedding_squared_norms`] | [`embedding_weighted_sum`] | 3N·S·d |
//! | embedding tied to the head | both, and 2·[`tied_cross_terms`] | both, into the same sum | N·S²·d |
//! | bias, norm layers | [`channel_gradients`], then [`squared_norms`] | [`weighted_sum`] | 2N·S·d |
//!
//! Inner products are f32 in blocks of 128 terms; products of two of them are exact in f64 and summed there. The bits
//! do not depend on the device or the number of threads, and a weighted sum has those of the same sum of explicit
//! gradients.

mod embedding;
mod unfold;

pub use embedding::{embedding_squared_norms, embedding_weighted_sum, tied_cross_terms};
use rayon::prelude::*;
pub use unfold::{Window, positions_first, unfold};

use super::mismatch;
use super::sums::{self, add_scaled, chunks, reduce};
use super::tile::{DEPTH, SIDE, Side, Tile, inner, products, transpose};
use crate::simd;
use crate::{Error, Result};

/// Which way to a linear layer's norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormMethod {
    /// Gram where 2S² ≤ p·d, else explicit (the mixed rule of Bu et al. 2022).
    #[default]
    Mixed,
    /// Inner products of positions.
    Gram,
    /// Tiles of gᵢ, squared and forgotten.
    Explicit,
}

/// Shape of a linear layer's record: A is `[N, S, d]`, B is `[N, S, p]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Examples, N.
    pub samples: usize,
    /// Positions of each, S.
    pub positions: usize,
    /// Inputs, d.
    pub inputs: usize,
    /// Outputs, p.
    pub outputs: usize,
}

impl LinearShape {
    pub(crate) fn check(&self, inputs: usize, gradients: usize) -> Result<()> {
        if self.positions == 0 || self.inputs == 0 || self.outputs == 0 {
            return Err(Error::parameter("a dimension", 0, "positions, inputs and outputs must be at least 1"));
        }
        let count = |width: usize| self.samples.checked_mul(self.positions).and_then(|rows| rows.checked_mul(width));
        if count(self.inputs) != Some(inputs) {
            return Err(mismatch("the inputs", inputs, "their shape", count(self.inputs).unwrap_or(usize::MAX)));
        }
        if count(self.outputs) != Some(gradients) {
            return Err(mismatch("the gradients", gradients, "their shape", count(self.outputs).unwrap_or(usize::MAX)));
        }
        Ok(())
    }

    /// What [`NormMethod::Mixed`] stands for here.
    pub const fn resolve(&self, method: NormMethod) -> NormMethod {
        match method {
            NormMethod::Mixed => {
                let gram = 2 * self.positions as u128 * self.positions as u128;
                if gram <= self.outputs as u128 * self.inputs as u128 { NormMethod::Gram } else { NormMethod::Explicit }
            }
            other => other,
        }
    }

    pub(crate) const fn a_row(&self) -> usize {
        self.positions * self.inputs
    }
    pub(crate) const fn b_row(&self) -> usize {
        self.positions * self.outputs
    }
}

/// ‖BᵢᵀAᵢ‖² for each example, `[N]`.
///
/// # Errors
/// Shapes that don't fit.
pub fn linear_squared_norms(shape: LinearShape, a: &[f32], b: &[f32], method: NormMethod) -> Result<Vec<f64>> {
    shape.check(a.len(), b.len())?;
    if shape.positions == 1 && shape.resolve(method) == NormMethod::Gram {
        // ‖a‖²·‖b‖²
        let (a, b) = (squared_norms(a, shape.inputs)?, squared_norms(b, shape.outputs)?);
        return Ok(a.iter().zip(&b).map(|(a, b)| a * b).collect());
    }
    let rows = a.par_chunks(shape.a_row()).zip(b.par_chunks(shape.b_row()));
    let of = if shape.resolve(method) == NormMethod::Gram { gram } else { explicit };
    let level = simd::level();
    Ok(rows.map(|(a, b)| simd::with_level(level, || of(shape, a, b))).collect())
}

fn gram(shape: LinearShape, a: &[f32], b: &[f32]) -> f64 {
    let level = simd::level();
    let (a, b) = (transpose(a, shape.inputs), transpose(b, shape.outputs)); // [d, S], [p, S]
    let side = |x, at| Side::new(x, shape.positions, at);
    let tiles = shape.positions.div_ceil(SIDE);
    let partial = |pair: usize| {
        let (i, j) = (pair / tiles, pair % tiles);
        if j < i {
            return 0.0; // as its mirror image, which counts twice
        }
        let (mut p, mut q): (Tile, Tile) = ([[0.0; SIDE]; SIDE], [[0.0; SIDE]; SIDE]);
        products(level, side(&a, i), side(&a, j), shape.inputs, &mut p);
        products(level, side(&b, i), side(&b, j), shape.outputs, &mut q);
        let sum = inner(&p, &q, side(&a, i).count, side(&a, j).count);
        if i == j { sum } else { 2.0 * sum }
    };
    in_order(tiles * tiles, partial)
}

fn explicit(shape: LinearShape, a: &[f32], b: &[f32]) -> f64 {
    let level = simd::level();
    let columns = shape.inputs.div_ceil(SIDE);
    let partial = |at: usize| {
        let (left, right) = (Side::new(b, shape.outputs, at / columns), Side::new(a, shape.inputs, at % columns));
        let mut g: Tile = [[0.0; SIDE]; SIDE];
        products(level, left, right, shape.positions, &mut g);
        inner(&g, &g, left.count, right.count)
    };
    in_order(shape.outputs.div_ceil(SIDE) * columns, partial)
}

/// Partial results, perhaps by several threads, summed in their order.
fn in_order(count: usize, partial: impl Fn(usize) -> f64 + Sync + Send) -> f64 {
    if rayon::current_num_threads() == 1 || count < 16 {
        return reduce((0..count).map(partial));
    }
    reduce((0..count).into_par_iter().map(partial).collect::<Vec<_>>().into_iter())
}

/// Adds Σᵢ cᵢ·BᵢᵀAᵢ to `sum` `[p, d]`; examples with c = 0 are not looked at.
///
/// # Errors
/// Shapes that don't fit.
pub fn linear_weighted_sum(shape: LinearShape, a: &[f32], b: &[f32], factors: &[f32], sum: &mut [f32]) -> Result<()> {
    shape.check(a.len(), b.len())?;
    if factors.len() != shape.samples {
        return Err(mismatch("the factors", factors.len(), "the examples", shape.samples));
    }
    if sum.len() != shape.outputs * shape.inputs {
        return Err(mismatch("the sum", sum.len(), "outputs x inputs", shape.outputs * shape.inputs));
    }
    let level = simd::level();
    sum.par_chunks_mut(SIDE * shape.inputs).enumerate().for_each(|(band, sum)| {
        let mut g: Tile = [[0.0; SIDE]; SIDE];
        for tile in 0..shape.inputs.div_ceil(SIDE) {
            for ((a, b), &factor) in a.chunks(shape.a_row()).zip(b.chunks(shape.b_row())).zip(factors) {
                if factor == 0.0 {
                    continue;
                }
                let (left, right) = (Side::new(b, shape.outputs, band), Side::new(a, shape.inputs, tile));
                products(level, left, right, shape.positions, &mut g);
                for (g, sum) in g.iter().zip(sum.chunks_mut(shape.inputs)) {
                    add_scaled(level, factor, &g[..right.count], &mut sum[right.first..][..right.count]);
                }
            }
        }
    });
    Ok(())
}

/// Squared norms `[N]` of explicit gradients `[N, columns]`.
///
/// # Errors
/// A length that isn't whole rows.
pub fn squared_norms(gradients: &[f32], columns: usize) -> Result<Vec<f64>> {
    check_rows(gradients.len(), columns)?;
    Ok(sums::squared_norms(&[columns], &chunks(&[columns]), gradients, columns))
}

/// Adds Σᵢ cᵢ·gᵢ of explicit gradients `[N, columns]` to `sum` `[columns]`.
///
/// # Errors
/// Shapes that don't fit.
pub fn weighted_sum(gradients: &[f32], factors: &[f32], sum: &mut [f32]) -> Result<()> {
    check_rows(gradients.len(), sum.len())?;
    if gradients.len() / sum.len() != factors.len() {
        return Err(mismatch("the factors", factors.len(), "the examples", gradients.len() / sum.len()));
    }
    let level = simd::level();
    let columns = sum.len();
    for (row, &factor) in gradients.chunks(columns).zip(factors) {
        add_scaled(level, factor, row, sum);
    }
    Ok(())
}

fn check_rows(elements: usize, columns: usize) -> Result<()> {
    if columns == 0 || !elements.is_multiple_of(columns) {
        let whole = elements.checked_div(columns).unwrap_or(0) * columns;
        return Err(mismatch("the gradients", elements, "whole rows", whole));
    }
    Ok(())
}

/// Per-example gradients of a scale or a bias, `[N, d]`: Σₛ x̂ₛ∘bₛ with the normalised inputs x̂ `[N, S, d]`, or Σₛ bₛ
/// without.
///
/// # Errors
/// Shapes that don't fit.
pub fn channel_gradients(x: Option<&[f32]>, b: &[f32], positions: usize, channels: usize) -> Result<Vec<f32>> {
    let row = positions * channels;
    check_rows(b.len(), row)?;
    if let Some(x) = x
        && x.len() != b.len()
    {
        return Err(mismatch("the inputs", x.len(), "the gradients", b.len()));
    }
    let sample = |at: usize| {
        let b = &b[at * row..][..row];
        let x = x.map(|x| &x[at * row..][..row]);
        let mut total = vec![0.0_f32; channels];
        for from in (0..positions).step_by(DEPTH) {
            let mut part = vec![0.0_f32; channels];
            for s in from..positions.min(from + DEPTH) {
                let b = &b[s * channels..][..channels];
                match x {
                    Some(x) => {
                        let x = &x[s * channels..][..channels];
                        part.iter_mut().zip(x).zip(b).for_each(|((part, x), b)| *part += x * b);
                    }
                    None => part.iter_mut().zip(b).for_each(|(part, b)| *part += b),
                }
            }
            total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
        }
        total
    };
    Ok((0..b.len() / row).into_par_iter().flat_map_iter(sample).collect())
}
