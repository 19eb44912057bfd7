//! Activation checkpointing: a block keeps its input only, and is computed again in the backward pass.
//!
//! The block becomes one operation of the tape. Its forward runs the block and drops the graph that arose; its backward
//! runs the block again on a variable of the same values and walks that graph. The same operations run on the same
//! values, so that gradients have the bits of the plain pass. Memory: one block's intermediates in place of all blocks';
//! cost: one more forward.
//!
//! Hooks inside a block run twice, each time on the same values; what they capture has no graph to the rest.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor, Var, backprop::GradStore};

use super::{
    forward::KeptPass,
    hooks::{HookPoint, Site},
};
use crate::Result;

/// Where the blocks of a recomputing pass leave what can't travel along the tape: gradients of their parameters.
///
/// One value serves one pass: give it in [`PassOptions`](super::PassOptions), call `backward`, then
/// [`deliver`](Self::deliver). [`Model::loss_with`](super::Model::loss_with) and [`Loss::backward`](super::Loss::backward)
/// do so by themselves.
#[derive(Clone, Debug, Default)]
pub struct Recompute(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    gradients: Vec<GradStore>,
    /// Router logits [N, E] of the sparse layers, on the outer tape.
    routers: Vec<Tensor>,
}

impl Recompute {
    /// For one pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the blocks left to the gradients of the rest.
    ///
    /// # Errors
    /// Where candle can't add.
    pub fn deliver(&self, into: &mut GradStore) -> Result<()> {
        for store in std::mem::take(&mut self.left().gradients) {
            into.extend(store)?;
        }
        Ok(())
    }

    /// Router logits of the pass, layer by layer.
    pub(super) fn take_routers(&self) -> Vec<Tensor> {
        std::mem::take(&mut self.left().routers)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block's output [B, T, d].
    pub(super) fn block(&self, kept: &Arc<KeptPass>, x: &Tensor, l: usize) -> Result<Tensor> {
        // Without a variable below it, the tape would leave the block out, and its parameters without gradients.
        let untracked = if x.track_op() { None } else { Some(Var::from_tensor(&x.detach())?) };
        let x = untracked.as_ref().map_or(x, Var::as_tensor);
        let op = BlockOp { l, kept: kept.clone(), left: self.clone(), out: Mutex::new(None) };
        let (y, router) = op.run(&x.detach())?;
        let (len, shape) = (y.elem_count(), y.shape().clone());
        let router_shape = router.as_ref().map(|router| router.shape().clone());
        *op.out.lock().unwrap_or_else(PoisonError::into_inner) = Some(joined(y.detach(), router)?.detach());
        // Below the first trainable parameter nothing is on the tape, and candle would record no operation: an adapter on
        // a frozen base would get no gradient, without a word.
        let x = if x.track_op() { x.contiguous()? } else { Var::from_tensor(x)?.as_tensor().clone() };
        let out = x.apply_op1(op)?;
        if let Some(shape) = router_shape {
            let router = out.narrow(0, len, shape.elem_count())?.reshape(shape)?;
            self.left().routers.push(router);
        }
        Ok(out.narrow(0, 0, len)?.reshape(shape)?)
    }
}

/// Output and router logits, one after the other in one dimension: a custom operation has one result.
fn joined(y: Tensor, router: Option<Tensor>) -> Result<Tensor> {
    let y = y.flatten_all()?;
    Ok(match router {
        None => y,
        Some(router) => Tensor::cat(&[y, router.flatten_all()?], 0)?,
    })
}

struct BlockOp {
    l: usize,
    kept: Arc<KeptPass>,
    left: Recompute,
    /// What the forward gives.
    out: Mutex<Option<Tensor>>,
}

impl BlockOp {
    /// The block's output, and the router's logits in a sparse layer.
    fn run(&self, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let (l, point) = (self.l, HookPoint::of(self.l, Site::RouterLogits));
        if self.kept.spec.moe[l].is_none() {
            return Ok((self.kept.blocks[l].forward(x.clone(), l, &mut self.kept.pass(&self.kept.hooks))?, None));
        }
        let (hooks, captured) = self.kept.hooks.clone().capture(&self.kept.spec, &[point])?;
        let y = self.kept.blocks[l].forward(x.clone(), l, &mut self.kept.pass(&hooks))?;
        Ok((y, captured.get(point)))
    }

    fn again(&self, x: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let x = Var::from_tensor(&x.detach())?;
        let (y, router) = self.run(x.as_tensor())?;
        // The gradient of Σ y·g with respect to y is g, to the bit.
        let mut store = (joined(y, router)? * gradient)?.sum_all()?.backward()?;
        let dx = store.remove(x.as_tensor());
        self.left.left().gradients.push(store);
        Ok(dx)
    }
}

impl CustomOp1 for BlockOp {
    fn name(&self) -> &'static str {
        "recomputed block"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner).take();
        let out = out.ok_or_else(|| candle_core::Error::msg("a recomputed block runs once"))?.force_contiguous()?;
        let (storage, _) = out.storage_and_layout();
        match &*storage {
            Storage::Cpu(values) => Ok((values.clone(), out.shape().clone())),
            _ => Err(candle_core::Error::msg("blocks are recomputed on the CPU only")),
        }
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.again(x, gradient).map_err(candle_core::Error::wrap)
    }
}
