//! The training loss: next-token cross-entropy, and what mixtures of experts add to it.
//!
//! ```text
//! ce  = mean or sum over labelled columns of  lse(z) − z[label]       lse(z) = ln Σ exp z
//! z   = coefficient · mean lse(z)²                                    off by default
//! aux = coefficient · E · Σ_e f_e · P_e                               over all rows of all sparse layers pooled
//! ```
//!
//! f_e is the number of rows that have expert e among their k, over the rows, so that Σ f = k and a balanced router
//! has aux = k; P_e is the mean of the router's softmax. Padding rows don't count. This is `load_balancing_loss_func` of
//! transformers, and the coefficient is the checkpoint's `router_aux_loss_coef`.

mod batch;
mod gradients;
mod router;
#[cfg(test)]
mod test;

use candle_core::{D, DType, Tensor};

pub use batch::{Batch, IGNORE};
pub use gradients::Gradients;

use super::{
    forward::PassOptions,
    hooks::{Captured, HookPoint, HookSet, Site},
    model::Model,
    ops::{self, Ops},
    recompute::Recompute,
};
use crate::{Error, Result};

/// How the cross-entropies of the labelled columns become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossReduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// What the loss is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossOptions {
    /// Mean or sum of the cross-entropies.
    pub reduction: LossReduction,
    /// Weight of the mean of lse(logits)².
    pub z_loss: f64,
    /// Weight of the load-balancing loss; `None`: the checkpoint's.
    pub router_aux: Option<f64>,
    /// Weight of the mean of lse(router logits)².
    pub router_z: f64,
}

/// The loss of a batch: a scalar with its graph, and its parts as numbers.
#[derive(Debug)]
pub struct Loss {
    /// Weighted sum of the parts.
    pub value: Tensor,
    /// The parts.
    pub parts: LossParts,
    recompute: Option<Recompute>,
}

/// Parts of a loss, before their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossParts {
    /// The weighted sum.
    pub total: f64,
    /// Cross-entropy in nats, mean or sum.
    pub cross_entropy: f64,
    /// Labelled columns.
    pub tokens: usize,
    /// Mean of lse(logits)², where it is weighted.
    pub z: Option<f64>,
    /// Load-balancing loss, of models with experts.
    pub router_aux: Option<f64>,
    /// Mean of lse(router logits)², where it is weighted.
    pub router_z: Option<f64>,
}

impl Model {
    /// The mean next-token loss of a batch.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and where no column has a label or one is no token.
    pub fn loss(&self, batch: &Batch) -> Result<Loss> {
        self.loss_with(batch, &HookSet::new(), &LossOptions::default(), &PassOptions::default())
    }

    /// The loss with hooks and options.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn loss_with(&self, batch: &Batch, hooks: &HookSet, options: &LossOptions, pass: &PassOptions) -> Result<Loss> {
        batch.check(self.spec.vocab)?;
        let sparse = self.spec.moe.iter().flatten().next().copied();
        let aux = options.router_aux.unwrap_or(self.spec.router_aux_coef);
        let router = sparse.filter(|_| aux != 0.0 || options.router_z != 0.0);
        let (hooks, captured) = match (router, &pass.recompute) {
            (Some(_), None) => self.capture_routers(hooks)?,
            _ => (hooks.clone(), Captured::default()),
        };
        let pass = PassOptions { last_only: false, ..pass.clone() };
        let logits = self.forward_with(&batch.input, None, &hooks, &pass)?;

        let mut parts = LossParts { tokens: batch.tokens(), ..LossParts::default() };
        let mut terms = Vec::new();
        let (ce, lse) = cross_entropy(self.ops, &logits, batch, options.reduction, options.z_loss != 0.0)?;
        parts.cross_entropy = number(&ce)?;
        terms.push(ce);
        if let Some(z) = lse {
            parts.z = Some(number(&z)?);
            terms.push((z * options.z_loss)?);
        }
        if let Some(moe) = router {
            let logits: Vec<Tensor> = match &pass.recompute {
                Some(recompute) => recompute.take_routers(),
                None => self.router_points().filter_map(|point| captured.get(point)).collect(),
            };
            let rows: Vec<bool> = batch.input.is_token().collect();
            if aux != 0.0 {
                let value = router::load_balancing(&logits, moe.top_k, &rows)?;
                parts.router_aux = Some(number(&value)?);
                terms.push((value * aux)?);
            }
            if options.router_z != 0.0 {
                let value = router::z_loss(&logits, &rows)?;
                parts.router_z = Some(number(&value)?);
                terms.push((value * options.router_z)?);
            }
        }
        let mut terms = terms.into_iter();
        let mut value = terms.next().ok_or(Error::EmptyBatch)?;
        for term in terms {
            value = (value + term)?;
        }
        parts.total = number(&value)?;
        Ok(Loss { value, parts, recompute: pass.recompute })
    }

    fn router_points(&self) -> impl Iterator<Item = HookPoint> + '_ {
        let sparse = self.spec.moe.iter().enumerate().filter(|(_, moe)| moe.is_some());
        sparse.map(|(l, _)| HookPoint::of(l, Site::RouterLogits))
    }

    /// The hooks, and after them a capture of every router's logits with their graph.
    fn capture_routers(&self, hooks: &HookSet) -> Result<(HookSet, Captured)> {
        let points: Vec<HookPoint> = self.router_points().collect();
        hooks.clone().capture(&self.spec, &points)
    }
}

impl Loss {
    /// Gradients of the model's trainable parameters.
    ///
    /// candle walks the graph by recursion: a graph much deeper than a model's (a long unrolled generation) needs
    /// [`on_deep_stack`](super::on_deep_stack).
    ///
    /// # Errors
    /// [`Error::Frozen`] where the model has no trainable parameter.
    pub fn backward(&self, model: &Model) -> Result<Gradients> {
        if model.vars().is_empty() {
            let names: Vec<String> = model.params().keys().cloned().collect();
            return Err(Error::Frozen { names });
        }
        let mut store = self.value.backward()?;
        if let Some(recompute) = &self.recompute {
            recompute.deliver(&mut store)?;
        }
        Ok(Gradients::new(store, model))
    }
}

fn number(x: &Tensor) -> Result<f64> {
    Ok(x.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

/// Cross-entropy over the labelled columns, and if asked for their mean lse².
fn cross_entropy(
    ops: Ops,
    logits: &Tensor,
    batch: &Batch,
    reduction: LossReduction,
    z_loss: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (b, t, v) = logits.dims3()?;
    let z = logits.reshape((b * t, v))?;
    let labels = batch.flat_labels();
    let found: Vec<Option<u32>> = labels.iter().map(|&label| u32::try_from(label).ok()).collect();
    let fused = match reduction {
        LossReduction::Mean => ops::Reduction::Mean,
        LossReduction::Sum => ops::Reduction::Sum,
    };
    let ce = ops.cross_entropy(&z, &found, fused, 0.0)?;
    if !z_loss {
        return Ok((ce, None));
    }
    let wide = if logits.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let kept: Vec<u32> = (0u32..).zip(&found).filter(|(_, label)| label.is_some()).map(|(i, _)| i).collect();
    let n = kept.len();
    let z = z.to_dtype(wide)?.index_select(&Tensor::from_vec(kept, n, z.device())?, 0)?;
    // A constant shift: no gradient flows through the maximum.
    let max = z.max_keepdim(D::Minus1)?.detach();
    let lse = (z.broadcast_sub(&max)?.exp()?.sum_keepdim(D::Minus1)?.log()? + max)?; // [N, 1]
    Ok((ce, Some(lse.sqr()?.mean_all()?)))
}
