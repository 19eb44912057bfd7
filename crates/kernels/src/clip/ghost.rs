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

use rayon::prelude::*;

use super::sums::{self, add_scaled, chunks, reduce, square};
use super::tile::{DEPTH, SIDE, Side, Tile, inner, products, transpose};
use super::{TokenGroups, mismatch};
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

fn check_embedding(groups: &TokenGroups, b: usize, width: usize) -> Result<()> {
    let rows = groups.samples * groups.positions_per_sample;
    if width == 0 || rows.checked_mul(width) != Some(b) {
        return Err(mismatch("the gradients", b, "tokens x width", rows.saturating_mul(width)));
    }
    Ok(())
}

/// Σ of a group's rows of B `[N · S, d]`.
fn group_sum(groups: &TokenGroups, group: usize, b: &[f32], sum: &mut [f32]) {
    let width = sum.len();
    let rows = groups.rows_of(group);
    sum.copy_from_slice(&b[rows[0] as usize * width..][..width]);
    for &row in &rows[1..] {
        sum.iter_mut().zip(&b[row as usize * width..][..width]).for_each(|(sum, b)| *sum += b);
    }
}

/// Squared norms `[N]` of an embedding's gradients: positions with the same token are summed before they are squared. B is
/// `[N, S, d]`, with any scale of the embedding's output included.
///
/// # Errors
/// Shapes that don't fit.
pub fn embedding_squared_norms(groups: &TokenGroups, b: &[f32], width: usize) -> Result<Vec<f64>> {
    check_embedding(groups, b.len(), width)?;
    let level = simd::level();
    let sample = |at: usize| {
        let mut sum = vec![0.0; width];
        let group = |group: u64| {
            group_sum(groups, group as usize, b, &mut sum);
            sum.chunks(sums::CHUNK).map(|chunk| square(level, chunk)).sum::<f64>()
        };
        reduce((groups.of_sample[at]..groups.of_sample[at + 1]).map(group))
    };
    Ok((0..groups.samples).into_par_iter().map(sample).collect())
}

/// Adds Σᵢ cᵢ·gᵢ of an embedding to `sum` `[vocabulary, d]`; rows of tokens that do not occur are not touched.
///
/// # Errors
/// Shapes that don't fit.
pub fn embedding_weighted_sum(groups: &TokenGroups, b: &[f32], factors: &[f32], sum: &mut [f32]) -> Result<()> {
    let width = sum.len() / groups.vocabulary.max(1);
    check_embedding(groups, b.len(), width)?;
    if factors.len() != groups.samples {
        return Err(mismatch("the factors", factors.len(), "the examples", groups.samples));
    }
    if sum.len() != groups.vocabulary * width {
        return Err(mismatch("the sum", sum.len(), "vocabulary x width", groups.vocabulary * width));
    }
    let level = simd::level();
    let mut own = vec![0.0; width];
    for (at, &token) in groups.tokens.iter().enumerate() {
        let sum = &mut sum[token as usize * width..][..width];
        for &group in &groups.by_token[groups.token_starts[at] as usize..groups.token_starts[at + 1] as usize] {
            let factor = factors[groups.sample_of[group as usize] as usize];
            if factor != 0.0 {
                group_sum(groups, group as usize, b, &mut own);
                add_scaled(level, factor, &own, sum);
            }
        }
    }
    Ok(())
}

/// ⟨g_embedding, g_head⟩ for each example `[N]` where both are one parameter `[V, d]`: Σₛ Σᵣ bᵣ[tₛ]·⟨aᵣ, eₛ⟩ with tokens t
/// `[N, S]`, embedding gradients e `[N, S, d]`, head inputs a `[N, R, d]` and logit gradients b `[N, R, V]`. The squared norm
/// of their sum is ‖g_embedding‖² + ‖g_head‖² + 2·this.
///
/// # Errors
/// Shapes that don't fit; a token that isn't below V.
pub fn tied_cross_terms(tokens: &[u32], e: &[f32], head: LinearShape, a: &[f32], b: &[f32]) -> Result<Vec<f64>> {
    head.check(a.len(), b.len())?;
    let (width, vocabulary) = (head.inputs, head.outputs);
    if e.len() != tokens.len() * width || !tokens.len().is_multiple_of(head.samples.max(1)) {
        return Err(mismatch("the embedding's gradients", e.len(), "tokens x width", tokens.len() * width));
    }
    if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        return Err(Error::OutOfRange { offset: token as u64, end: token as u64 + 1, d: vocabulary as u64 });
    }
    let level = simd::level();
    let positions = tokens.len() / head.samples.max(1);
    let sample = |at: usize| {
        let tokens = &tokens[at * positions..][..positions];
        let e = transpose(&e[at * positions * width..][..positions * width], width);
        let a = transpose(&a[at * head.a_row()..][..head.a_row()], width);
        let b = &b[at * head.b_row()..][..head.b_row()];
        let columns = positions.div_ceil(SIDE);
        let partial = |tile: usize| {
            let (left, right) =
                (Side::new(&a, head.positions, tile / columns), Side::new(&e, positions, tile % columns));
            let (mut p, mut q): (Tile, Tile) = ([[0.0; SIDE]; SIDE], [[0.0; SIDE]; SIDE]);
            products(level, left, right, width, &mut p);
            for r in 0..left.count {
                for s in 0..right.count {
                    q[r][s] = b[(left.first + r) * vocabulary + tokens[right.first + s] as usize];
                }
            }
            inner(&p, &q, left.count, right.count)
        };
        reduce((0..head.positions.div_ceil(SIDE) * columns).map(partial))
    };
    Ok((0..head.samples).into_par_iter().map(sample).collect())
}

/// A convolution's window: the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Step within a window.
    pub dilation: usize,
}

impl Window {
    /// Windows along an axis of so many pixels.
    pub fn count(&self, pixels: usize) -> Result<usize> {
        let Self { kernel, stride, padding, dilation } = *self;
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(Error::parameter("the window", 0, "kernel, stride and dilation must be at least 1"));
        }
        let reach = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let padded = pixels.saturating_add(padding.saturating_mul(2));
        if reach > padded {
            return Err(Error::parameter("the window", reach, "it must not exceed the padded image"));
        }
        Ok((padded - reach) / stride + 1)
    }
}

/// Images `[N, C, H, W]` as a linear layer's inputs `[N, H'·W', C·k·k]`: a convolution's weight `[p, C, k, k]` is then a
/// matrix `[p, C·k·k]`, and its output gradients `[N, p, H', W']` are B after [`positions_first`]. Also H'·W'.
///
/// # Errors
/// Shapes that don't fit; a window larger than the image.
pub fn unfold(images: &[f32], [channels, height, width]: [usize; 3], window: Window) -> Result<(Vec<f32>, usize)> {
    let (rows, columns) = (window.count(height)?, window.count(width)?);
    let pixels = channels * height * width;
    check_rows(images.len(), pixels)?;
    let k = window.kernel;
    let features = channels * k * k;
    let mut out = vec![0.0; images.len() / pixels * rows * columns * features];
    for (at, out) in out.chunks_mut(features).enumerate() {
        let (image, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
        for (feature, out) in out.iter_mut().enumerate() {
            let (channel, ky, kx) = (feature / (k * k), feature / k % k, feature % k);
            let y = (row * window.stride + ky * window.dilation).wrapping_sub(window.padding);
            let x = (column * window.stride + kx * window.dilation).wrapping_sub(window.padding);
            if y < height && x < width {
                *out = images[image * pixels + (channel * height + y) * width + x];
            }
        }
    }
    Ok((out, rows * columns))
}

/// `[N, C, S]` to `[N, S, C]`.
///
/// # Errors
/// Shapes that don't fit.
pub fn positions_first(x: &[f32], channels: usize, positions: usize) -> Result<Vec<f32>> {
    check_rows(x.len(), channels * positions)?;
    Ok(x.chunks(channels * positions).flat_map(|x| transpose(x, positions)).collect())
}
