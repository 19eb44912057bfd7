//! Selection by magnitude: [`TopK`] on tensors.
//!
//! Tensors of any shape are searched as one vector, in row-major order. On a GPU the winners stay there.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Shape, Tensor};

use super::inplace::{self, Both};
use super::op::{self, Op1};
use crate::SparseVec;
use crate::launch::{Buf, Runtime};
use crate::topk::{TopK, TopKStats};

/// The winners' places.
pub(super) struct Indices {
    pub topk: TopK,
    pub stats: Arc<OnceLock<TopKStats>>,
}

impl Op1 for Indices {
    const NAME: &'static str = "topk";
    type In = f32;
    type Out = u32;

    fn shape(&self, x: &Shape) -> Shape {
        // The count was resolved when the search succeeded.
        let k = self.topk.k.resolve(x.elem_count() as u64).unwrap_or(0);
        Shape::from(k as usize)
    }

    fn cpu(&self, x: &[f32], _: &[usize]) -> crate::Result<Vec<u32>> {
        let (top, stats) = self.topk.select(x)?;
        let _ = self.stats.set(stats);
        Ok(top.into_parts().0)
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<u32>> {
        let (indices, _, stats) = self.topk.run_on_device(rt, x)?;
        let _ = self.stats.set(stats);
        Ok(indices)
    }
}

/// Places `[k]` (u32, ascending) of the winners among x's elements, and what the search found out.
///
/// # Errors
/// As [`TopK::select`]; a tensor that isn't f32.
pub fn indices(x: &Tensor, topk: &TopK) -> Result<(Tensor, TopKStats)> {
    let stats = Arc::new(OnceLock::new());
    // Integers have no gradient, so nothing is lost with the tape.
    let indices = op::apply(Indices { topk: *topk, stats: stats.clone() }, &x.detach())?;
    match stats.get() {
        Some(stats) => Ok((indices, *stats)),
        None => candle_core::bail!("topk found nothing out: please report this"),
    }
}

/// Winners: places `[k]` (u32, ascending), values `[k]`, and what the search found out.
///
/// The values' gradient goes to the places they came from. Under [`NanPolicy::AsZero`](crate::topk::NanPolicy::AsZero) a
/// NaN's value is 0 and gets none.
///
/// # Errors
/// As [`indices`].
pub fn top_k(x: &Tensor, topk: &TopK) -> Result<(Tensor, Tensor, TopKStats)> {
    let (indices, stats) = indices(x, topk)?;
    let values = x.flatten_all()?.index_select(&indices, 0)?;
    Ok((indices, topk.clean(&values)?, stats))
}

/// x with all but the winners set to 0, in x's shape.
///
/// The gradient passes at the places kept and is 0 elsewhere: the selection itself is a constant of the input.
///
/// # Errors
/// As [`indices`].
pub fn sparsify(x: &Tensor, topk: &TopK) -> Result<(Tensor, TopKStats)> {
    let (indices, values, stats) = top_k(x, topk)?;
    // Set, not added: −0 stays −0.
    let kept = Tensor::zeros(x.elem_count(), x.dtype(), x.device())?.scatter(&indices, &values, 0)?;
    Ok((kept.reshape(x.shape())?, stats))
}

/// The winners on the host, for the wire; no gradient.
///
/// # Errors
/// As [`indices`].
pub fn sparse(x: &Tensor, topk: &TopK) -> Result<(SparseVec, TopKStats)> {
    op::read::<f32, _>("topk", x, |x| topk.select(x), |rt, x| topk.run(rt, x))
}

/// Error feedback in place: e ← e + lr·g, the winners are taken out and set to 0 in e ([`TopK::error_feedback`]).
///
/// # Errors
/// As there; tensors that aren't f32, an e that isn't contiguous, tensors on the tape (detach them), different devices.
pub fn error_feedback(e: &Tensor, g: &Tensor, lr: f32, topk: &TopK) -> Result<(SparseVec, TopKStats)> {
    let both = Both {
        name: "topk error feedback",
        cpu: |e: &mut [f32], g: &[f32]| topk.error_feedback(e, g, lr),
        device: |rt: &Runtime, e: &mut Buf<f32>, g: &Buf<f32>| topk.run_error_feedback(rt, e, g, lr),
    };
    inplace::run(e, g, both)
}

impl TopK {
    /// Values as the kernel would give them.
    fn clean(&self, values: &Tensor) -> Result<Tensor> {
        if self.nan != crate::topk::NanPolicy::AsZero {
            return Ok(values.clone());
        }
        values.ne(values)?.where_cond(&values.zeros_like()?, values)
    }
}
