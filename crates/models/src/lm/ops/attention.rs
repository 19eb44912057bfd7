//! Attention from queries, keys and values to the heads' mixes, without a tensor of scores.
//!
//! A tile of queries meets only the keys from the first to the last that its mask shows, so causality and windows cost
//! nothing where there is nothing to see. The heads of a group read one key head. In the backward pass p is computed
//! again; with g = ∂L/∂z: dv = pᵀg, ds = scale·p ⊙ (g·vᵀ − Σ p ⊙ g·vᵀ), dq = ds·k, dk = dsᵀ·q.

use candle_core::{CpuStorage, CustomOp3, Layout, Result as Candle, Shape as Dims, Tensor, backend::BackendStorage};

use super::{
    Ops, composed,
    float::{Float, sum2},
    simd::vectorised,
    softmax::softmax_row,
    tasks::{by_dtype, cpu, each, read},
};
use crate::{
    Result,
    matmul::{Shape, matmul},
};

/// Queries of a tile.
const TILE: usize = 64;

impl Ops {
    /// Attention of queries `[B, T, H, hd]` to keys and values `[B, S, Hkv, hd]`, with `mask` `[B or 1, 1, T, S]` of 0 and
    /// −∞ added to the scaled (and capped) scores: z `[B, T, H, hd]`.
    pub fn attention(self, [q, k, v]: [&Tensor; 3], mask: &Tensor, scale: f64, softcap: Option<f64>) -> Result<Tensor> {
        if !self.fuses(&[q, k, v, mask]) {
            let scores = composed::scores(q, k, scale)?;
            let scores = softcap.map_or(Ok(scores.clone()), |cap| composed::softcap(&scores, cap))?;
            return composed::mix(&composed::softmax(&scores.broadcast_add(mask)?)?, v);
        }
        let ((b, t, h, hd), (_, s, n_kv, _)) = (q.dims4()?, k.dims4()?);
        let fits = h % n_kv == 0
            && k.dims() == [b, s, n_kv, hd]
            && v.dims() == k.dims()
            && (mask.dims() == [b, 1, t, s] || mask.dims() == [1, 1, t, s]);
        if !fits {
            return Err(candle_core::Error::Msg(format!(
                "attention of {:?} to {:?} and {:?} under a mask of {:?}",
                q.dims(),
                k.dims(),
                v.dims(),
                mask.dims()
            ))
            .into());
        }
        let dense = |x: &Tensor| if x.stride()[3] == 1 { Ok(x.clone()) } else { x.contiguous() };
        let mask = mask.contiguous()?;
        let shown = visible(&mask)?;
        let op = Attention { b, t, s, h, n_kv, hd, scale, softcap, mask, shown };
        Ok(dense(q)?.apply_op3(&dense(k)?, &dense(v)?, op)?)
    }
}

fn visible(mask: &Tensor) -> Candle<Vec<(usize, usize)>> {
    let (_, _, t, s) = mask.dims4()?;
    by_dtype!(mask.dtype(), T => {
        read!(T; mask = mask);
        Ok(shown(mask, t, s))
    })
}

/// From the first to the last key that any query of a tile sees, tile by tile.
fn shown<T: Float>(mask: &[T], t: usize, s: usize) -> Vec<(usize, usize)> {
    let seen = |x: &T| x.to_f64() != f64::NEG_INFINITY;
    let range = |tile: &[T]| {
        tile.chunks_exact(s).fold((s, 0), |(from, to), row| {
            let first = row[..from].iter().position(seen).unwrap_or(from);
            let last = row[to..].iter().rposition(seen).map_or(to, |last| to + last + 1);
            (first, last)
        })
    };
    mask.chunks_exact(t * s).flat_map(|rows| rows.chunks(TILE * s).map(range)).collect()
}

struct Attention {
    b: usize,
    t: usize,
    s: usize,
    h: usize,
    n_kv: usize,
    hd: usize,
    scale: f64,
    softcap: Option<f64>,
    mask: Tensor,
    /// Keys of each tile, for each row of the mask.
    shown: Vec<(usize, usize)>,
}

/// A tensor `[B, n, heads, hd]` as matrices of one head each.
#[derive(Clone, Copy)]
struct Heads<'a, T> {
    values: &'a [T],
    strides: [usize; 3],
    hd: usize,
}

impl<'a, T: Float> Heads<'a, T> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> Candle<Self> {
        let stride = layout.stride();
        let hd = layout.shape().dims4()?.3;
        if stride[3] != 1 {
            candle_core::bail!("heads of stride {stride:?}");
        }
        let values = &T::slice(storage)?[layout.start_offset()..];
        Ok(Self { values, strides: [stride[0], stride[1], stride[2]], hd })
    }

    /// `n` rows of a head from row `first`.
    fn rows(self, batch: usize, head: usize, first: usize, n: usize) -> (&'a [T], Shape) {
        let [b, t, h] = self.strides;
        (&self.values[batch * b + first * t + head * h..], Shape::strided(n, self.hd, t))
    }
}

/// The tile of some queries: rows of the mask, and the keys that they see.
struct Tile<'a, T> {
    first: usize,
    rows: usize,
    from: usize,
    keys: usize,
    /// The mask from the first query's first key on.
    mask: &'a [T],
}

impl Attention {
    /// A tile's part of the mask; `None` if it sees nothing.
    fn tile<'a, T: Float>(&self, mask: &'a [T], batch: usize, tile: usize) -> Option<Tile<'a, T>> {
        let tiles = self.t.div_ceil(TILE);
        // One mask for all, or one for each.
        let row = if self.shown.len() == tiles { 0 } else { batch };
        let (from, to) = self.shown[row * tiles + tile];
        let first = tile * TILE;
        let rows = TILE.min(self.t - first);
        (from < to).then(|| Tile {
            first,
            rows,
            from,
            keys: to - from,
            mask: &mask[(row * self.t + first) * self.s + from..],
        })
    }

    fn work(&self) -> Work {
        Work { scale: self.scale, cap: self.softcap, stride: self.s }
    }

    /// p of a tile's queries, `[rows, keys]`; `slopes` gets the softcap's slopes, if there is one.
    fn pattern<T: Float>(&self, q: (&[T], Shape), k: (&[T], Shape), tile: &Tile<T>, p: &mut [T], slopes: &mut [T]) {
        matmul((&mut *p, Shape::row_major(tile.rows, tile.keys)), false, q, (k.0, k.1.t()));
        let (keys, mask, work) = (tile.keys, tile.mask, self.work());
        vectorised!(weigh::<T: Float>(p: &mut [T], slopes: &mut [T], keys: usize, mask: &[T], work: Work));
    }

    fn forward<T: Float>(&self, q: Heads<T>, k: Heads<T>, v: Heads<T>) -> Candle<Vec<T>> {
        let width = self.h * self.hd;
        let mut z = vec![T::default(); self.b * self.t * width];
        read!(T; mask = self.mask);
        let tiles = z
            .chunks_mut(self.t * width)
            .enumerate()
            .flat_map(|(batch, z)| z.chunks_mut(TILE * width).enumerate().map(move |(tile, z)| (batch, tile, z)));
        self.each(tiles, |(batch, tile, z)| {
            let Some(tile) = self.tile(mask, batch, tile) else { return };
            let mut p = vec![T::default(); tile.rows * tile.keys];
            let mut slopes = vec![T::default(); if self.softcap.is_some() { p.len() } else { 0 }];
            for head in 0..self.h {
                let of = head / (self.h / self.n_kv);
                let q = q.rows(batch, head, tile.first, tile.rows);
                self.pattern(q, k.rows(batch, of, tile.from, tile.keys), &tile, &mut p, &mut slopes);
                let z = (&mut z[head * self.hd..], Shape::strided(tile.rows, self.hd, width));
                let p = (p.as_slice(), Shape::row_major(tile.rows, tile.keys));
                matmul(z, false, p, v.rows(batch, of, tile.from, tile.keys));
            }
        });
        Ok(z)
    }

    /// On all threads where that is worth waking them.
    fn each<T: Send>(&self, tasks: impl IntoIterator<Item = T>, run: impl Fn(T) + Sync) {
        if self.b * self.h * self.t * self.s * self.hd < 1 << 17 {
            tasks.into_iter().for_each(run);
        } else {
            each(tasks, run);
        }
    }

    /// dq, dk and dv.
    fn backward<T: Float>(&self, [q, k, v]: [Heads<T>; 3], dz: &[T]) -> Candle<[Vec<T>; 3]> {
        let [width, kv_width] = [self.h * self.hd, self.n_kv * self.hd];
        let group = width / self.n_kv;
        let dz = Heads { values: dz, strides: [self.t * width, width, self.hd], hd: self.hd };
        read!(T; mask = self.mask);
        // A task owns a key head of a batch row, with its queries.
        let mut parts: Vec<[Vec<T>; 3]> = Vec::new();
        parts.resize_with(self.b * self.n_kv, || {
            let zeros = |n: usize| vec![T::default(); n];
            [zeros(self.t * group), zeros(self.s * self.hd), zeros(self.s * self.hd)]
        });
        self.each(parts.iter_mut().enumerate(), |(i, part)| {
            self.group_gradients([q, k, v], dz, mask, (i / self.n_kv, i % self.n_kv), part);
        });
        let gather = |which: usize, rows: usize, width: usize| {
            let mut out = vec![T::default(); self.b * rows * width];
            let part = width / self.n_kv;
            let batches = out.chunks_mut(rows * width).zip(parts.chunks(self.n_kv));
            self.each(batches, |(out, parts)| {
                for (head, from) in parts.iter().enumerate() {
                    for (out, from) in out.chunks_exact_mut(width).zip(from[which].chunks_exact(part)) {
                        out[head * part..][..part].copy_from_slice(from);
                    }
                }
            });
            out
        };
        Ok([gather(0, self.t, width), gather(1, self.s, kv_width), gather(2, self.s, kv_width)])
    }

    /// The gradients of a key head, its values and its group's queries.
    fn group_gradients<T: Float>(
        &self,
        [q, k, v]: [Heads<T>; 3],
        dz: Heads<T>,
        mask: &[T],
        (batch, of): (usize, usize),
        [dq, dk, dv]: &mut [Vec<T>; 3],
    ) {
        let (group, hd) = (self.h / self.n_kv, self.hd);
        let (mut p, mut ds, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        for tile in 0..self.t.div_ceil(TILE) {
            let Some(tile) = self.tile(mask, batch, tile) else { continue };
            let area = tile.rows * tile.keys;
            let shape = Shape::row_major(tile.rows, tile.keys);
            p.resize(area, T::default());
            ds.resize(area, T::default());
            slopes.resize(if self.softcap.is_some() { area } else { 0 }, T::default());
            let (keys, values) = (k.rows(batch, of, tile.from, tile.keys), v.rows(batch, of, tile.from, tile.keys));
            let span = tile.from * hd..(tile.from + tile.keys) * hd;
            for member in 0..group {
                let head = of * group + member;
                let queries = q.rows(batch, head, tile.first, tile.rows);
                let grad = dz.rows(batch, head, tile.first, tile.rows);
                self.pattern(queries, keys, &tile, &mut p, &mut slopes);
                let rows = Shape::row_major(tile.keys, hd);
                matmul((&mut dv[span.clone()], rows), true, (&p, shape.t()), grad);
                matmul((&mut ds, shape), false, grad, (values.0, values.1.t()));
                let (p, ds, slopes, keys_n, scale) = (&p[..], &mut ds[..], &slopes[..], tile.keys, self.scale);
                vectorised!(score_gradients::<T: Float>(
                    p: &[T], ds: &mut [T], slopes: &[T], keys_n: usize, scale: f64));
                let to = &mut dq[(tile.first * group + member) * hd..];
                matmul((to, Shape::strided(tile.rows, hd, group * hd)), false, (ds, shape), keys);
                matmul((&mut dk[span.clone()], rows), true, (ds, shape.t()), queries);
            }
        }
    }
}

/// How raw products become scores, and how far apart the mask's rows are.
#[derive(Clone, Copy)]
struct Work {
    scale: f64,
    cap: Option<f64>,
    stride: usize,
}

#[inline(always)]
fn weigh<T: Float, const FMA: bool>(p: &mut [T], slopes: &mut [T], keys: usize, mask: &[T], work: Work) {
    let scale = T::from_f64(work.scale);
    if let Some(cap) = work.cap {
        let (inner, cap) = (T::from_f64(work.scale / cap), T::from_f64(cap));
        for (p, slope) in p.iter_mut().zip(slopes) {
            let tanh = (*p * inner).fast_tanh::<FMA>();
            *slope = T::ONE - tanh * tanh;
            *p = tanh * cap;
        }
    } else {
        for p in p.iter_mut() {
            *p *= scale;
        }
    }
    for (row, mask) in p.chunks_exact_mut(keys).zip(mask.chunks(work.stride)) {
        row.iter_mut().zip(mask).for_each(|(p, &mask)| *p += mask);
        softmax_row::<T, FMA>(row);
    }
}

/// From ∂L/∂p to the gradient of the raw products.
#[inline(always)]
fn score_gradients<T: Float, const FMA: bool>(p: &[T], ds: &mut [T], slopes: &[T], keys: usize, scale: f64) {
    let scale = T::from_f64(scale);
    for (p, ds) in p.chunks_exact(keys).zip(ds.chunks_exact_mut(keys)) {
        let mean = sum2(p, ds, |p, g| p * g);
        ds.iter_mut().zip(p).for_each(|(ds, &p)| *ds = p * (*ds - mean) * scale);
    }
    ds.iter_mut().zip(slopes).for_each(|(ds, &slope)| *ds *= slope);
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Candle<(CpuStorage, Dims)> {
        let out = by_dtype!(q.dtype(), T => {
            T::storage(self.forward::<T>(Heads::new(q, lq)?, Heads::new(k, lk)?, Heads::new(v, lv)?)?)
        });
        Ok((out, lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Candle<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(q.dtype(), T => {
            let ((sq, lq), (sk, lk), (sv, lv)) = (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
            let heads = [Heads::new(cpu(&sq)?, lq)?, Heads::new(cpu(&sk)?, lk)?, Heads::new(cpu(&sv)?, lv)?];
            read!(T; grad = grad);
            let [dq, dk, dv] = self.backward::<T>(heads, grad)?;
            Ok((Some(T::tensor(dq, q.shape())?), Some(T::tensor(dk, k.shape())?), Some(T::tensor(dv, v.shape())?)))
        })
    }
}
