//! Norm layers and embeddings on a runtime.

use super::{THREADS, elsewhere, host, reduce, shape};
use crate::Result;
use crate::clip::ghost;
use crate::clip::{TokenGroups, mismatch};
use crate::launch::{Buf, KernelId, Runtime, start};

/// [`ghost::channel_gradients`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn channel_gradients(
    rt: &Runtime,
    x: Option<&Buf<f32>>,
    b: &Buf<f32>,
    positions: usize,
    channels: usize,
) -> Result<Buf<f32>> {
    rt.check(b)?;
    if let Some(x) = x {
        rt.check(x)?;
        if x.len() != b.len() {
            return Err(mismatch("the inputs", x.len(), "the gradients", b.len()));
        }
    }
    let Some(launcher) = rt.launcher() else {
        let x = x.map(|x| host(rt, x)).transpose()?;
        return rt.take(ghost::channel_gradients(x, host(rt, b)?, positions, channels)?);
    };
    let row = positions * channels;
    if row == 0 || !b.len().is_multiple_of(row) {
        return Err(mismatch("the gradients", b.len(), "whole rows", b.len().checked_div(row).unwrap_or(0) * row));
    }
    let samples = b.len() / row;
    let mut out = rt.zeros(samples * channels)?;
    let args = [
        x.into(),
        b.into(),
        (samples as u64).into(),
        (positions as u64).into(),
        (channels as u64).into(),
        (&mut out).into(),
    ];
    // SAFETY: x (if any) and b have their shape, `out` a row of channels a sample; all of `rt`.
    unsafe { start(launcher, KernelId::ClipChannels, shape(launcher, samples * channels, 1), args)? };
    Ok(out)
}

/// [`ghost::embedding_squared_norms`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn embedding_squared_norms(rt: &Runtime, groups: &TokenGroups, b: &Buf<f32>, width: usize) -> Result<Vec<f64>> {
    rt.check(b)?;
    let Some(launcher) = rt.launcher() else { return ghost::embedding_squared_norms(groups, host(rt, b)?, width) };
    check_embedding(groups, b, width)?;
    let count = groups.starts.len() - 1;
    let (rows, starts) = (rt.upload(&groups.rows)?, rt.upload(&groups.starts)?);
    let mut partial = rt.zeros::<f64>(count)?;
    if count > 0 {
        let args = [
            b.into(),
            (&rows).into(),
            (&starts).into(),
            (count as u64).into(),
            (width as u64).into(),
            (&mut partial).into(),
        ];
        // SAFETY: the groups' rows are rows of b, `partial` has a place a group; all of `rt`.
        unsafe { start(launcher, KernelId::ClipGroupSquares, shape(launcher, count, 32), args)? };
    }
    let mut squared = rt.zeros(groups.samples)?;
    if groups.samples > 0 {
        reduce(rt, launcher, &partial, &rt.upload(&groups.of_sample)?, &mut squared)?;
    }
    squared.into_vec()
}

fn check_embedding(groups: &TokenGroups, b: &Buf<f32>, width: usize) -> Result<()> {
    let rows = groups.samples * groups.positions_per_sample;
    if width == 0 || rows.checked_mul(width) != Some(b.len()) {
        return Err(mismatch("the gradients", b.len(), "tokens x width", rows.saturating_mul(width)));
    }
    Ok(())
}

/// [`ghost::embedding_weighted_sum`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn embedding_weighted_sum(
    rt: &Runtime,
    groups: &TokenGroups,
    b: &Buf<f32>,
    factors: &[f32],
    sum: &mut Buf<f32>,
) -> Result<()> {
    rt.check(b)?;
    rt.check(sum)?;
    let Some(launcher) = rt.launcher() else {
        let sum = sum.host_mut().ok_or_else(|| elsewhere(rt))?;
        return ghost::embedding_weighted_sum(groups, host(rt, b)?, factors, sum);
    };
    let width = sum.len() / groups.vocabulary.max(1);
    check_embedding(groups, b, width)?;
    if factors.len() != groups.samples {
        return Err(mismatch("the factors", factors.len(), "the examples", groups.samples));
    }
    if sum.len() != groups.vocabulary * width {
        return Err(mismatch("the sum", sum.len(), "vocabulary x width", groups.vocabulary * width));
    }
    if groups.tokens.is_empty() {
        return Ok(());
    }
    let lists =
        [&groups.rows, &groups.starts, &groups.tokens, &groups.token_starts, &groups.by_token, &groups.sample_of];
    let lists = lists.map(|list| rt.upload(list));
    let [rows, starts, tokens, token_starts, by_token, sample_of] = lists;
    let [rows, starts, tokens] = [rows?, starts?, tokens?];
    let [token_starts, by_token, sample_of] = [token_starts?, by_token?, sample_of?];
    let factors = rt.upload(factors)?;
    let count = groups.tokens.len();
    let args = [
        b.into(),
        (&rows).into(),
        (&starts).into(),
        (&tokens).into(),
        (&token_starts).into(),
        (count as u64).into(),
        (&by_token).into(),
        (&sample_of).into(),
        (&factors).into(),
        (width as u64).into(),
        sum.into(),
    ];
    // SAFETY: the groups' rows are rows of b, their samples have factors, their tokens rows of `sum`; all of `rt`.
    unsafe { start(launcher, KernelId::ClipEmbedding, shape(launcher, count, THREADS), args) }
}
