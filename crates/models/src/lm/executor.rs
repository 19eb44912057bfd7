//! Who runs the experts of a sparse layer.
//!
//! A model runs its own, grouped by expert. [`Model::with_executor`](super::Model::with_executor) puts something else in
//! their place: a counter, experts that are fetched from a slower memory when they are needed, a prediction that is
//! executed. The router stays the model's.

use std::{fmt, sync::Arc};

use candle_core::Tensor;

use super::{
    forward::Pass,
    hooks::{HookPoint, Layout, Site},
    moe::SparseMlp,
};
use crate::{Error, Result};

/// What a router says about N tokens.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Router logits `[N, E]`.
    pub logits: Tensor,
    /// The chosen experts `[N, k]`, u32, best first.
    pub idx: Tensor,
    /// Their weights `[N, k]`: renormalised where the family does so; f32 in mixtral, else in the model's dtype.
    pub weights: Tensor,
}

/// One layer's experts and what they are asked: N = B·T rows, those of padding included.
pub struct ExpertCall<'a> {
    /// The layer.
    pub layer: usize,
    /// Input of router and experts `[N, d]`.
    pub x: &'a Tensor,
    /// The residual stream between attention and MLP `[N, d]`: what x is the norm of.
    pub residual: &'a Tensor,
    /// What this layer's router says, hooks included.
    pub routing: &'a Routing,
    pub(super) experts: &'a SparseMlp,
    pub(super) pass: &'a Pass<'a>,
}

impl ExpertCall<'_> {
    /// Rows, positions and phase of the batch.
    pub fn layout(&self) -> &Layout {
        &self.pass.layout
    }

    /// Whether each of the N rows is a token, not padding.
    pub fn is_token(&self) -> impl Iterator<Item = bool> + '_ {
        self.layout().real.iter().flatten().copied()
    }

    /// Experts of this layer, E.
    pub fn experts(&self) -> usize {
        self.experts.count()
    }

    /// One of the model's own experts on rows `[n, d]`, not weighted.
    ///
    /// # Errors
    /// Where there is no such expert, or candle fails.
    pub fn expert(&self, expert: usize, rows: &Tensor) -> Result<Tensor> {
        self.experts.expert(expert, rows, self.pass)
    }

    /// What the model does by itself: Σ over the chosen experts of weight · expert(x), `[N, d]`, with a backward, and
    /// with the hooks at single experts.
    ///
    /// # Errors
    /// As a forward pass.
    pub fn own(&self) -> Result<Tensor> {
        self.experts.grouped(self)
    }

    /// What another layer's norm and router make of a residual stream `[N, d]`; no hooks run.
    ///
    /// With this layer's residual and the next sparse layer it predicts which experts will be needed there while this
    /// layer's still run.
    ///
    /// # Errors
    /// Where that layer has no router.
    pub fn route(&self, layer: usize, residual: &Tensor) -> Result<Routing> {
        let block = self.pass.blocks.get(layer).ok_or_else(|| no_router(layer, self.pass))?;
        block.route(residual, self.pass)?.ok_or_else(|| no_router(layer, self.pass))
    }

    /// The next layer that has a router.
    pub fn next_sparse(&self) -> Option<usize> {
        let moe = &self.pass.spec.moe;
        (self.layer + 1..moe.len()).find(|&l| moe[l].is_some())
    }
}

impl fmt::Debug for ExpertCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpertCall").field("layer", &self.layer).field("rows", &self.x.dims()).finish_non_exhaustive()
    }
}

fn no_router(layer: usize, pass: &Pass) -> Error {
    HookPoint::of(layer, Site::RouterLogits).missing(pass.spec)
}

/// Runs the experts of the sparse layers; qwen2_moe's shared expert stays the model's.
pub trait ExpertExecutor: Send + Sync {
    /// The weighted sum of the experts' outputs `[N, d]`, in the dtype of `call.x`.
    ///
    /// It is part of the graph: with a model that trains, it must have a backward.
    ///
    /// # Errors
    /// Whatever stops the forward pass.
    fn run(&self, call: &ExpertCall) -> Result<Tensor>;

    /// Whether hooks at single experts run, as they do in [`ExpertCall::own`]. If not, they are refused.
    fn runs_hooks(&self) -> bool {
        false
    }
}

/// An executor that a model can hold.
#[derive(Clone)]
pub(super) struct Shared(pub Arc<dyn ExpertExecutor>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpertExecutor")
    }
}

impl Shared {
    pub fn run(&self, call: &ExpertCall) -> Result<Tensor> {
        for site in [Site::ExpertPost, Site::ExpertOut] {
            if call.pass.hooks.wants(call.layer, site) && !self.0.runs_hooks() {
                return Err(Error::ExecutorHooks { layer: call.layer, site: site.info().name });
            }
        }
        let out = self.0.run(call)?;
        if out.dims() != call.x.dims() {
            let (expected, found) = (call.x.dims().to_vec(), out.dims().to_vec());
            return Err(Error::ExecutorShape { layer: call.layer, expected, found });
        }
        Ok(out)
    }
}
