//! Embeddings: positions with the same token share a row, and a head may share the table.

use rayon::prelude::*;

use super::LinearShape;
use crate::clip::sums::{self, add_scaled, reduce, square};
use crate::clip::tile::{SIDE, Side, Tile, inner, products, transpose};
use crate::clip::{TokenGroups, mismatch};
use crate::simd;
use crate::{Error, Result};

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

/// ⟨g_embedding, g_head⟩ for each example `[N]` where both are one parameter `[V, d]`: `Σₛ Σᵣ bᵣ[tₛ]·⟨aᵣ, eₛ⟩` with tokens t
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
