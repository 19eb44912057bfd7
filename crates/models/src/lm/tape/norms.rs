//! Squared norms of every example's gradient.

use candle_core::DType;
use rayon::prelude::*;

use super::{Left, Parameter, Record};
use crate::{
    Result,
    lm::ops::product::{Element, on_cpu},
    matmul::{Real, Shape, matmul},
};

/// Rows of one tile of the Gram matrices, which are never whole in memory.
const TILE: usize = 64;

/// ‖Σ over the uses of a parameter‖² of every example.
pub(super) fn squared(parameter: &Parameter, examples: usize) -> Result<Vec<f64>> {
    if parameter.dtype == DType::F64 {
        in_dtype::<f64>(parameter, examples)
    } else {
        in_dtype::<f32>(parameter, examples)
    }
}

fn in_dtype<T: Element>(parameter: &Parameter, examples: usize) -> Result<Vec<f64>> {
    let mut vectors: Option<Vec<f64>> = None;
    let mut uses: Vec<Vec<Use<T>>> = (0..examples).map(|_| Vec::new()).collect();
    for record in &parameter.records {
        match record {
            Record::Vector(values) => match &mut vectors {
                Some(sum) => sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += x),
                None => vectors = Some(values.clone()),
            },
            Record::Outer { a, b, rows } => {
                let (storage, layout) = a.storage_and_layout();
                let (a, d) = (on_cpu::<T>(&storage, layout)?, layout.dims()[1]);
                let dense = match b {
                    Left::Dense(b) => Some((b.storage_and_layout(), b.dims()[1])),
                    Left::Token(_) => None,
                };
                let dense = match &dense {
                    Some(((storage, layout), p)) => Some((on_cpu::<T>(storage, layout)?, *p)),
                    None => None,
                };
                for (uses, list) in uses.iter_mut().zip(rows.lists(examples)) {
                    let pick = |x: &[T], width: usize| -> Vec<T> {
                        list.iter().flat_map(|&row| &x[row as usize * width..][..width]).copied().collect()
                    };
                    let left = match (b, dense) {
                        (Left::Token(tokens), _) => Side::Token(list.iter().map(|&row| tokens[row as usize]).collect()),
                        (Left::Dense(_), Some((b, p))) => Side::Dense(pick(b, p), p),
                        (Left::Dense(_), None) => continue,
                    };
                    uses.push(Use { a: pick(a, d), d, left, rows: list.len() });
                }
            }
        }
    }
    let p = parameter.dims.first().copied().unwrap_or(0);
    let outer: Vec<f64> = uses.par_iter().map(|uses| of_example(uses, p)).collect();
    Ok(match vectors {
        Some(sum) => {
            let n = sum.len() / examples.max(1);
            sum.chunks_exact(n.max(1)).map(|sum| sum.iter().map(|x| x * x).sum()).collect()
        }
        None => outer,
    })
}

/// One use of a parameter by one example.
struct Use<T> {
    /// `[S, d]`.
    a: Vec<T>,
    d: usize,
    left: Side<T>,
    rows: usize,
}

enum Side<T> {
    /// `[S, p]` and p.
    Dense(Vec<T>, usize),
    Token(Vec<u32>),
}

fn of_example<T: Element>(uses: &[Use<T>], p: usize) -> f64 {
    let rows: usize = uses.iter().map(|one| one.rows).sum();
    let d = uses.first().map_or(0, |one| one.d);
    let all_tokens = uses.iter().all(|one| matches!(one.left, Side::Token(_)));
    if all_tokens {
        return by_token(uses);
    }
    if 2 * rows * rows > p * d {
        return instantiated(uses, p, d);
    }
    let mut sum = 0.0;
    for (i, one) in uses.iter().enumerate() {
        sum += inner(one, one);
        for other in &uses[i + 1..] {
            sum += 2.0 * inner(one, other);
        }
    }
    // Rounding may leave a little below 0; a NaN has to stay one.
    if sum < 0.0 { 0.0 } else { sum }
}

/// Lookups only: rows of equal tokens are one row of the gradient.
fn by_token<T: Element>(uses: &[Use<T>]) -> f64 {
    let mut rows: std::collections::BTreeMap<u32, Vec<f64>> = std::collections::BTreeMap::new();
    for one in uses {
        let Side::Token(tokens) = &one.left else { continue };
        for (token, a) in tokens.iter().zip(one.a.chunks_exact(one.d)) {
            let sum = rows.entry(*token).or_insert_with(|| vec![0.0; one.d]);
            sum.iter_mut().zip(a).for_each(|(sum, a)| *sum += Real::to_f64(*a));
        }
    }
    rows.values().flatten().map(|x| x * x).sum()
}

/// From the gradient itself.
fn instantiated<T: Element>(uses: &[Use<T>], p: usize, d: usize) -> f64 {
    let mut sum = vec![T::default(); p * d];
    for one in uses {
        let a = (&*one.a, Shape::row_major(one.rows, d));
        match &one.left {
            Side::Dense(b, p) if one.rows > 0 => {
                matmul((&mut sum, Shape::row_major(*p, d)), true, (b, Shape::row_major(one.rows, *p).t()), a);
            }
            Side::Dense(..) => {}
            Side::Token(tokens) => {
                for (token, a) in tokens.iter().zip(one.a.chunks_exact(d)) {
                    sum[*token as usize * d..][..d].iter_mut().zip(a).for_each(|(sum, a)| *sum += *a);
                }
            }
        }
    }
    sum.iter().map(|x| Real::to_f64(*x) * Real::to_f64(*x)).sum()
}

/// Σ_{s,r} ⟨a_s, a'_r⟩⟨b_s, b'_r⟩, in tiles.
fn inner<T: Element>(one: &Use<T>, other: &Use<T>) -> f64 {
    let (s, r) = (one.rows, other.rows);
    let (mut of_a, mut of_b) = (vec![T::default(); TILE * r], vec![T::default(); TILE * r]);
    let mut sum = 0.0;
    for from in (0..s).step_by(TILE) {
        let n = TILE.min(s - from);
        gram(&mut of_a[..n * r], &one.a[from * one.d..][..n * one.d], &other.a, one.d, r);
        let tile = &mut of_b[..n * r];
        match (&one.left, &other.left) {
            (Side::Dense(b, p), Side::Dense(other, _)) => gram(tile, &b[from * p..][..n * p], other, *p, r),
            (Side::Token(tokens), Side::Token(other)) => {
                for (tile, token) in tile.chunks_exact_mut(r).zip(&tokens[from..]) {
                    for (tile, other) in tile.iter_mut().zip(other) {
                        *tile = if token == other { <T as Real>::ONE } else { T::default() };
                    }
                }
            }
            (Side::Token(tokens), Side::Dense(b, p)) => {
                for (tile, token) in tile.chunks_exact_mut(r).zip(&tokens[from..]) {
                    for (tile, b) in tile.iter_mut().zip(b.chunks_exact(*p)) {
                        *tile = b[*token as usize];
                    }
                }
            }
            (Side::Dense(b, p), Side::Token(tokens)) => {
                for (tile, b) in tile.chunks_exact_mut(r).zip(b[from * p..].chunks_exact(*p)) {
                    for (tile, token) in tile.iter_mut().zip(tokens) {
                        *tile = b[*token as usize];
                    }
                }
            }
        }
        sum += of_a[..n * r].iter().zip(&of_b[..n * r]).map(|(a, b)| Real::to_f64(*a) * Real::to_f64(*b)).sum::<f64>();
    }
    sum
}

/// x yᵀ, x `[n, width]`, y `[r, width]`.
fn gram<T: Real>(dst: &mut [T], x: &[T], y: &[T], width: usize, r: usize) {
    let n = x.len() / width;
    if n * r > 0 {
        matmul(
            (dst, Shape::row_major(n, r)),
            false,
            (x, Shape::row_major(n, width)),
            (y, Shape::row_major(r, width).t()),
        );
    }
}
