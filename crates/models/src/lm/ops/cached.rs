//! Attention of a few new queries over cached keys and values, which are read where they lie.
//!
//! A step of a generation has one query a head and sequence and thousands of keys. The composed attention transposes and
//! copies the whole cache for it; here a task is one key head of one sequence: scores s = scale · q kᵀ for all queries of
//! its group, c·tanh(s/c), the mask, a softmax in f32, and the mix of values. There is no backward.

use candle_core::{DType, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::{
    Ops,
    gemv::{FEW, Weight, dots, mix},
};
use crate::Result;

/// Multiplications below which one thread is faster.
const SMALL: usize = 1 << 15;

impl Ops {
    /// The mix `[B, T, H, hd]` of values for queries `[B, H, T, hd]`; keys and values `[B, Hkv, S, hd]`, mask
    /// `[B or 1, 1, T, S]` added to the scores. `None` where the composed operations have to do it: with a graph, with
    /// more than a few queries, on another device.
    pub(in crate::lm) fn cached_attention(
        self,
        q: &Tensor,
        [k, v]: [&Tensor; 2],
        mask: &Tensor,
        scale: f64,
        softcap: Option<f64>,
    ) -> Result<Option<Tensor>> {
        let tracked = q.track_op() || k.track_op() || v.track_op();
        let rows_together = |x: &Tensor| matches!(*x.stride(), [_, _, row, 1] if x.dims().last() == Some(&row));
        let fits = self == Self::Fused && !tracked && q.device().is_cpu() && q.dim(2)? <= FEW;
        if !fits || !rows_together(k) || !rows_together(v) {
            return Ok(None);
        }
        Ok(match q.dtype() {
            DType::F32 => Some(attend::<f32>(q, [k, v], mask, scale, softcap)?),
            DType::BF16 => Some(attend::<bf16>(q, [k, v], mask, scale, softcap)?),
            _ => None,
        })
    }
}

/// One key head of one sequence and the queries that share it.
struct Task<'a, W> {
    /// `[G·T, hd]`.
    q: &'a [f32],
    /// `[S, hd]`.
    k: &'a [W],
    v: &'a [W],
    /// `[T, S]`.
    mask: &'a [f32],
}

fn attend<W: Weight + candle_core::WithDType>(
    q: &Tensor,
    [k, v]: [&Tensor; 2],
    mask: &Tensor,
    scale: f64,
    softcap: Option<f64>,
) -> Result<Tensor> {
    let (batch, heads, t, hd) = q.dims4()?;
    let (kv_heads, s) = (k.dim(1)?, k.dim(2)?);
    let group = heads / kv_heads;
    let flat = |x: &Tensor| x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    let (queries, mask) = (flat(q)?, flat(mask)?);
    let ((ks, lk), (vs, lv)) = (k.storage_and_layout(), v.storage_and_layout());
    let (k_all, v_all) = (all::<W>(&ks)?, all::<W>(&vs)?);
    let of = |layout: &candle_core::Layout, b: usize, h: usize| {
        layout.start_offset() + b * layout.stride()[0] + h * layout.stride()[1]
    };
    let tasks: Vec<Task<W>> = (0..batch * kv_heads)
        .map(|i| {
            let (b, h) = (i / kv_heads, i % kv_heads);
            let mask_row = if mask.len() == t * s { 0 } else { b };
            Task {
                q: &queries[i * group * t * hd..][..group * t * hd],
                k: &k_all[of(lk, b, h)..][..s * hd],
                v: &v_all[of(lv, b, h)..][..s * hd],
                mask: &mask[mask_row * t * s..][..t * s],
            }
        })
        .collect();
    let run = |task: &Task<W>| task.run(hd, t, s, scale as f32, softcap.map(|cap| cap as f32));
    let small = batch * heads * t * s * hd < SMALL;
    let parts: Vec<Vec<f32>> =
        if small { tasks.iter().map(run).collect() } else { tasks.par_iter().map(run).collect() };
    // [B, Hkv, G, T, hd] → [B, T, H, hd].
    let mut z = vec![W::narrow(0.0); batch * t * heads * hd];
    for (i, part) in parts.iter().enumerate() {
        let (b, h) = (i / kv_heads, i % kv_heads);
        for (row, part) in part.chunks_exact(hd).enumerate() {
            let (g, column) = (row / t, row % t);
            let at = ((b * t + column) * heads + h * group + g) * hd;
            z[at..at + hd].iter_mut().zip(part).for_each(|(z, x)| *z = W::narrow(*x));
        }
    }
    Ok(Tensor::from_vec(z, (batch, t, heads, hd), q.device())?)
}

/// All of a storage: the views of a cache aren't contiguous.
fn all<W: candle_core::WithDType>(storage: &candle_core::Storage) -> candle_core::Result<&[W]> {
    let candle_core::Storage::Cpu(storage) = storage else { candle_core::bail!("the cache isn't on a CPU") };
    W::cpu_storage_as_slice(storage)
}

impl<W: Weight> Task<'_, W> {
    fn run(&self, hd: usize, t: usize, s: usize, scale: f32, softcap: Option<f32>) -> Vec<f32> {
        let rows = self.q.len() / hd; // G·T
        // Keys that no query sees, before a window or in the padding, are left out.
        let seen = |row: &[f32]| row.iter().position(|&m| m > f32::NEG_INFINITY).unwrap_or(s);
        let first = self.mask.chunks_exact(s).map(seen).min().unwrap_or(0);
        let n = s - first;
        let mut scores = vec![0.0; n * rows]; // [n, G·T]
        dots(self.q, hd, &self.k[first * hd..], &mut scores);
        let mut out = vec![0.0; rows * hd];
        let mut p = vec![0.0; n];
        for (row, out) in out.chunks_exact_mut(hd).enumerate() {
            let mask = &self.mask[(row % t) * s + first..][..n];
            let mut max = f32::NEG_INFINITY;
            for ((p, scores), mask) in p.iter_mut().zip(scores.chunks_exact(rows)).zip(mask) {
                let score = scores[row] * scale;
                *p = softcap.map_or(score, |cap| cap * (score / cap).tanh()) + mask;
                max = max.max(*p);
            }
            let mut sum = 0.0;
            for p in &mut p {
                *p = (*p - max).exp();
                sum += *p;
            }
            for p in &mut p {
                *p /= sum;
            }
            mix(&p, &self.v[first * hd..], out);
        }
        out
    }
}
