//! Optimiser steps with state for the kept coordinates alone.

use rayon::prelude::*;

use super::Support;
use super::support::{PART, Part, run, same, split};
use crate::simd::{self, vectorised};
use crate::{Error, Result};

/// The factors of one AdamW step (decoupled decay, Loshchilov and Hutter 2019), in the order of operations of the dense
/// optimiser, so that kept coordinates get its bits:
///
/// ```text
/// g ← scale·g;  m ← m + (1−β₁)(g − m);  v ← β₂v + (1−β₂)g²
/// w ← w·keep − rate·m / (√v/root + ε)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    pub(crate) scale: f32,
    pub(crate) keep: f32,
    pub(crate) rate: f32,
    pub(crate) root: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) eps: f32,
}

fn checked(what: &'static str, value: f32, fits: bool, expected: &'static str) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::parameter(what, value, expected)) }
}

impl AdamWStep {
    /// For step number `step`, which counts from 1, with gradients times `scale` (a clip factor).
    ///
    /// # Errors
    /// Step 0; betas outside [0, 1); ε not above 0; a rate, decay or scale that is negative or not finite.
    pub fn new(step: u64, lr: f32, [beta1, beta2]: [f32; 2], eps: f32, weight_decay: f32, scale: f32) -> Result<Self> {
        if step == 0 {
            return Err(Error::parameter("step", step, "at least 1"));
        }
        for (what, beta) in [("beta1", beta1), ("beta2", beta2)] {
            checked(what, beta, (0.0..1.0).contains(&beta), "in [0, 1)")?;
        }
        checked("eps", eps, eps.is_finite() && eps > 0.0, "finite and above 0")?;
        for (what, x) in [("lr", lr), ("weight_decay", weight_decay), ("scale", scale)] {
            checked(what, x, x.is_finite() && x >= 0.0, "finite and not negative")?;
        }
        let power = |beta: f32| (beta as f64).powf(step as f64);
        Ok(Self {
            scale,
            keep: (1.0 - lr as f64 * weight_decay as f64) as f32,
            rate: (lr as f64 / (1.0 - power(beta1))) as f32,
            root: (1.0 - power(beta2)).sqrt() as f32,
            beta1,
            beta2,
            eps,
        })
    }

    /// Steps the kept coordinates of `w: [len]`; the others stay as they are, without decay. `g` holds `len` gradients,
    /// or the `nnz` kept ones; the moments `m` and `v` hold `nnz` (zeros before the first step). A gradient that isn't
    /// finite reaches its own coordinate only.
    ///
    /// # Errors
    /// Slices of other lengths.
    pub fn apply(&self, at: &Support, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> Result<()> {
        let dense = check(at, w.len(), g.len(), m.len())?;
        same("m", m.len() as u64, "v", v.len() as u64)?;
        let level = simd::level();
        let parts = split(at.idx(), w, 1).into_par_iter().enumerate();
        parts.zip(m.par_chunks_mut(PART)).zip(v.par_chunks_mut(PART)).for_each(|(((n, part), m), v)| {
            let Part { idx, base, dst } = part;
            let g = if dense { g } else { &g[n * PART..] };
            let rule = AdamW { step: *self, m, v };
            vectorised!(level, tiles(idx: &[u32], base: u32, dst: &mut [f32], g: &[f32], dense: bool, rule: AdamW<'_>));
        });
        Ok(())
    }
}

/// The factors of one step of SGD with momentum (dampening 0), in the order of operations of the dense optimiser:
///
/// ```text
/// g ← g + decay·w;  b ← momentum·b + g
/// w ← w − lr·b      or w − lr·(g + momentum·b) with Nesterov
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    pub(crate) lr: f32,
    pub(crate) momentum: f32,
    pub(crate) weight_decay: f32,
    pub(crate) nesterov: bool,
}

impl SgdStep {
    /// Checked factors.
    ///
    /// # Errors
    /// A momentum outside [0, 1); a rate or decay that is negative or not finite; Nesterov without momentum.
    pub fn new(lr: f32, momentum: f32, weight_decay: f32, nesterov: bool) -> Result<Self> {
        checked("momentum", momentum, (0.0..1.0).contains(&momentum), "in [0, 1)")?;
        for (what, x) in [("lr", lr), ("weight_decay", weight_decay)] {
            checked(what, x, x.is_finite() && x >= 0.0, "finite and not negative")?;
        }
        if nesterov && momentum == 0.0 {
            return Err(Error::parameter("nesterov", nesterov, "false without momentum"));
        }
        Ok(Self { lr, momentum, weight_decay, nesterov })
    }

    /// Steps the kept coordinates of `w: [len]`. `g` holds `len` gradients, or the `nnz` kept ones; the momentum `b`
    /// holds `nnz` (zeros before the first step).
    ///
    /// # Errors
    /// Slices of other lengths.
    pub fn apply(&self, at: &Support, w: &mut [f32], g: &[f32], b: &mut [f32]) -> Result<()> {
        let dense = check(at, w.len(), g.len(), b.len())?;
        let level = simd::level();
        let parts = split(at.idx(), w, 1).into_par_iter().enumerate();
        parts.zip(b.par_chunks_mut(PART)).for_each(|((n, part), b)| {
            let Part { idx, base, dst } = part;
            let g = if dense { g } else { &g[n * PART..] };
            let rule = Sgd { step: *self, b };
            vectorised!(level, tiles(idx: &[u32], base: u32, dst: &mut [f32], g: &[f32], dense: bool, rule: Sgd<'_>));
        });
        Ok(())
    }
}

/// Checks the lengths; whether `g` is dense (where all are kept both readings agree).
pub(crate) fn check(at: &Support, w: usize, g: usize, state: usize) -> Result<bool> {
    at.check(w, state, 1)?;
    let dense = g as u64 == at.len();
    if !dense {
        same("the indices", at.nnz() as u64, "the gradient", g as u64)?;
    }
    Ok(dense)
}

/// Kept values brought together at once: gathered and scattered one by one, worked on as vectors.
const TILE: usize = 256;

/// An optimiser's arithmetic, with its state. A trait, not a closure: the compiler must inline it into the copy for each
/// level of instructions.
trait Rule {
    /// Steps kept values `at..` on, which lie one after the other.
    fn step(&mut self, at: usize, w: &mut [f32], g: &[f32]);
}

/// Brings the kept weights and gradients of each tile together, steps, and puts the weights back; those that lie together
/// in `w` are worked on in place.
#[inline(always)]
fn tiles(idx: &[u32], base: u32, w: &mut [f32], g: &[f32], dense: bool, mut rule: impl Rule) {
    let (mut kept_w, mut kept_g) = ([0.0; TILE], [0.0; TILE]);
    for (n, idx) in idx.chunks(TILE).enumerate() {
        let g = match run(idx, 0) {
            _ if !dense => &g[n * TILE..][..idx.len()],
            Some(run) => &g[run],
            None => collect(idx, 0, g, &mut kept_g),
        };
        if let Some(run) = run(idx, base) {
            rule.step(n * TILE, &mut w[run], g);
            continue;
        }
        let kept_w = collect(idx, base, w, &mut kept_w);
        rule.step(n * TILE, kept_w, g);
        for (&from, &i) in kept_w.iter().zip(idx) {
            w[(i - base) as usize] = from;
        }
    }
}

#[inline(always)]
fn collect<'a>(idx: &[u32], base: u32, from: &[f32], to: &'a mut [f32; TILE]) -> &'a mut [f32] {
    let to = &mut to[..idx.len()];
    for (to, &i) in to.iter_mut().zip(idx) {
        *to = from[(i - base) as usize];
    }
    to
}

struct AdamW<'a> {
    step: AdamWStep,
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Rule for AdamW<'_> {
    #[inline(always)]
    fn step(&mut self, at: usize, w: &mut [f32], g: &[f32]) {
        let AdamWStep { scale, keep, rate, root, beta1, beta2, eps } = self.step;
        let (m, v) = (&mut self.m[at..][..w.len()], &mut self.v[at..][..w.len()]);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * scale;
            *m += (1.0 - beta1) * (g - *m);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = *w * keep - rate * *m / (v.sqrt() / root + eps);
        }
    }
}

struct Sgd<'a> {
    step: SgdStep,
    b: &'a mut [f32],
}

impl Rule for Sgd<'_> {
    #[inline(always)]
    fn step(&mut self, at: usize, w: &mut [f32], g: &[f32]) {
        let SgdStep { lr, momentum, weight_decay, nesterov } = self.step;
        for ((w, &g), b) in w.iter_mut().zip(g).zip(&mut self.b[at..]) {
            let g = g + weight_decay * *w;
            *b = momentum * *b + g;
            *w -= lr * if nesterov { g + momentum * *b } else { *b };
        }
    }
}
