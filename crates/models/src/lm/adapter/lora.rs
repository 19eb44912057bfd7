//! The low-rank change of one projection, and DoRA's split of a weight into magnitude and direction.
//!
//! LoRA (Hu et al., 2021): y = x Wᵀ + s · (x̃ Aᵀ) Bᵀ, with x̃ the dropped input. DoRA (Liu et al., 2024): the weight is
//! diag(m / n) · (W + s B A), n the norms of its rows, through which no gradient flows; as a change of y that is
//! (m/n − 1) · x̃ Wᵀ + (m/n) · s · (x̃ Aᵀ) Bᵀ, in which both terms see the dropped input, as in PEFT.

use std::sync::Arc;

use ashlar_kernels::rng::stream;
use candle_core::{D, DType, Tensor};
use rand::Rng;

use crate::{Result, lm::forward::Pass};

/// Dropout of one training step: its masks come from streams of (seed, step, site), whatever runs beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout {
    /// Seed of the run.
    pub seed: u64,
    /// The step, or the pass where a step has several.
    pub step: u64,
}

impl Dropout {
    /// x with each value dropped with probability p, the others scaled by 1/(1 − p).
    fn apply(self, x: &Tensor, p: f64, site: &str) -> Result<Tensor> {
        let mut rng = stream(self.seed, &["dropout", &self.step.to_string(), site]);
        let kept = (1.0 / (1.0 - p)) as f32;
        let mask: Vec<f32> = (0..x.elem_count()).map(|_| if rng.random::<f64>() < p { 0.0 } else { kept }).collect();
        Ok((x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?)
    }
}

/// One expert's share of a change that is stored for all experts together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub expert: usize,
    pub experts: usize,
    /// Output rows from..to.
    pub from: usize,
    pub to: usize,
}

/// A low-rank change of one projection.
#[derive(Clone, Debug)]
pub(in crate::lm) struct Lora {
    /// A `[r, in]`; of all experts `[E r, in]`.
    pub(super) a: Tensor,
    /// B `[out, r]`; of all experts `[out, r E]`.
    pub(super) b: Tensor,
    pub(super) share: Option<Share>,
    /// Bias beside B `[out]`.
    pub(super) bias: Option<Tensor>,
    /// DoRA's m `[out]`.
    pub(super) magnitude: Option<Tensor>,
    pub(super) scale: f64,
    pub(super) dropout: f64,
    /// Names the dropout stream.
    pub(super) site: Arc<str>,
    /// DoRA's row norms, where neither W nor the change is trained.
    pub(super) norms: Option<Tensor>,
}

/// x Wᵀ + b with the changes added in order, x `[.., in]`, W `[out, in]`.
pub(in crate::lm) fn project(
    changes: &[Lora],
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    pass: &Pass,
) -> Result<Tensor> {
    match changes {
        [] => pass.linear(x, w, b),
        [one] if one.is_plain(pass) && pass.tape.is_none() => {
            let (down, up) = one.factors()?;
            pass.ops.lora_linear(x, w, b, &down, &up, one.scale)
        }
        all => {
            let base = pass.linear(x, w, None)?;
            let mut y = match b {
                Some(b) => base.broadcast_add(b)?,
                None => base.clone(),
            };
            for change in all {
                y = (y + change.of(x, &base, w, pass)?)?;
            }
            Ok(y)
        }
    }
}

/// The weight that the changes make of W `[out, in]`: W + Σ Δ, summed in f32 at least.
pub(in crate::lm) fn weight(changes: &[Lora], w: &Tensor) -> Result<Tensor> {
    if changes.is_empty() {
        return Ok(w.clone());
    }
    let base = w.to_dtype(wide(w.dtype()))?;
    let mut sum = base.clone();
    for change in changes {
        let (down, up) = change.factors()?;
        let low = (up.to_dtype(base.dtype())?.matmul(&down.to_dtype(base.dtype())?)? * change.scale)?;
        let delta = match &change.magnitude {
            None => low,
            Some(magnitude) => {
                let ratio = (magnitude / change.norms(w)?)?.to_dtype(base.dtype())?.unsqueeze(1)?;
                ((&base + low)?.broadcast_mul(&ratio)? - &base)?
            }
        };
        sum = (sum + delta)?;
    }
    Ok(sum.to_dtype(w.dtype())?)
}

/// The bias that the changes make of b `[out]`: b + Σ s b_B.
pub(in crate::lm) fn bias(changes: &[Lora], b: Option<&Tensor>) -> Result<Option<Tensor>> {
    let mut sum = b.cloned();
    for change in changes {
        let Some(bias) = &change.bias else { continue };
        let bias = (bias * change.scale)?;
        sum = Some(match sum {
            Some(sum) => (sum + bias)?,
            None => bias,
        });
    }
    Ok(sum)
}

fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

impl Lora {
    /// Whether it is s · (x Aᵀ) Bᵀ and nothing else in this pass.
    fn is_plain(&self, pass: &Pass) -> bool {
        self.bias.is_none() && self.magnitude.is_none() && (self.dropout == 0.0 || pass.dropout.is_none())
    }

    /// A `[r, in]` and B `[out, r]`.
    ///
    /// Of all experts together A is expert-major (a view [E, r, in]) and B rank-major (a view [out, r, E]).
    fn factors(&self) -> Result<(Tensor, Tensor)> {
        let Some(share) = self.share else { return Ok((self.a.clone(), self.b.clone())) };
        let r = self.a.dim(0)? / share.experts;
        let a = self.a.narrow(0, share.expert * r, r)?;
        let b = self.b.reshape((self.b.dim(0)?, r, share.experts))?;
        let b = b.narrow(0, share.from, share.to - share.from)?.narrow(2, share.expert, 1)?.squeeze(2)?;
        Ok((a, b.contiguous()?))
    }

    /// What it adds to y; `base` is x Wᵀ.
    fn of(&self, x: &Tensor, base: &Tensor, w: &Tensor, pass: &Pass) -> Result<Tensor> {
        let dropped = match pass.dropout {
            Some(dropout) if self.dropout > 0.0 => Some(dropout.apply(x, self.dropout, &self.site)?),
            _ => None,
        };
        let input = dropped.as_ref().unwrap_or(x);
        let (down, up) = self.factors()?;
        let inner = pass.linear(input, &down, None)?;
        let low = (pass.linear(&inner, &up, self.bias.as_ref())? * self.scale)?;
        let Some(magnitude) = &self.magnitude else { return Ok(low) };
        let ratio = (magnitude / self.norms(w)?)?; // [out]
        let base = if dropped.is_some() { pass.ops.linear(input, w, None)? } else { base.clone() };
        Ok((base.broadcast_mul(&(&ratio - 1.0)?)? + low.broadcast_mul(&ratio)?)?)
    }

    /// The same change; its norms are computed once where nothing that they depend on is trained.
    pub(in crate::lm) fn with_fixed_norms(mut self, w: &Tensor) -> Result<Self> {
        let trained = [&self.a, &self.b, w].into_iter().any(Tensor::is_variable);
        if self.magnitude.is_some() && !trained {
            self.norms = Some(self.norms(w)?);
        }
        Ok(self)
    }

    /// Back to norms that are computed in every pass.
    pub(in crate::lm) fn forget_norms(&mut self) {
        self.norms = None;
    }

    /// Norms of the rows of W + s B A, `[out]`, without gradient.
    pub(super) fn norms(&self, w: &Tensor) -> Result<Tensor> {
        if let Some(norms) = &self.norms {
            return Ok(norms.clone());
        }
        let wide = wide(w.dtype());
        let (down, up) = self.factors()?;
        let low = up.detach().to_dtype(wide)?.matmul(&down.detach().to_dtype(wide)?)?;
        let changed = (w.detach().to_dtype(wide)? + (low * self.scale)?)?;
        Ok(changed.sqr()?.sum(D::Minus1)?.sqrt()?.to_dtype(w.dtype())?)
    }

    /// Rows `ids` `[N]` of the change of a table: A `[r, V]`, B `[d, r]`, result `[N, d]`.
    pub(in crate::lm) fn rows(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        let inner = self.a.index_select(ids, 1)?.t()?.contiguous()?;
        Ok((pass.ops.linear(&inner, &self.b, None)? * self.scale)?)
    }

    /// The change of a table as a whole, `[V, d]`.
    pub(super) fn table(&self) -> Result<Tensor> {
        Ok((self.a.t()?.matmul(&self.b.t()?)? * self.scale)?)
    }
}
