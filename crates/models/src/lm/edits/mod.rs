//! Ready-made edits of activations, and at which tokens they act.
//!
//! All are made of differentiable operations, so that gradients flow through them and into a vector that is a `Var`.

mod patch;
mod place;

use std::{fmt, sync::Arc};

use candle_core::{D, DType, Device, Tensor};

use self::place::{Tokens, spread};
pub use self::{
    patch::{Align, Patch},
    place::Where,
};
use super::{
    config::ModelSpec,
    hooks::{Hook, HookCtx, HookPoint, Site},
};
use crate::{Error, Result};

/// How much of a vector is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coef {
    /// c · v.
    Abs(f64),
    /// c · ‖x‖ · v / ‖v‖, x the activation of the token.
    Rel(f64),
}

/// What is done to an activation x, whose last dimension is D.
#[derive(Clone, Debug)]
pub enum Edit {
    /// x + c · v.
    Add {
        /// The vector [D].
        v: Tensor,
        /// How much of it.
        coef: Coef,
    },
    /// x − (1 − keep) · BᵀB x: what lies in the span of an orthonormal basis is scaled by `keep`.
    ProjectOut {
        /// The basis B [r, D], rows orthonormal.
        basis: Tensor,
        /// 0 removes all of it.
        keep: f64,
    },
    /// x + (target − x · d) · d, d the direction at unit length.
    SetProjection {
        /// The direction [D].
        dir: Tensor,
        /// Its component afterwards.
        target: f64,
    },
    /// c · x.
    Scale(f64),
    /// A value in place of x, of its shape or one that broadcasts to it.
    Replace(Tensor),
    /// 0 in place of these heads; at sites with a dimension of heads.
    ZeroHeads(Vec<usize>),
    /// A mean [H, D] in place of these heads; at sites [B, T, H, D].
    MeanHeads {
        /// The heads.
        heads: Vec<usize>,
        /// One row a head of the model.
        mean: Tensor,
    },
    /// x ⊙ mask, mask [D]: 0 silences a neuron, at any site a coordinate.
    MaskNeurons(Tensor),
    /// x held between two numbers.
    Clamp {
        /// Lower.
        low: f64,
        /// Upper.
        high: f64,
    },
    /// What another run had at the same point.
    Patch(Patch),
    /// Whatever a hook returns.
    Custom(CustomEdit),
}

/// A hook as an [`Edit`].
#[derive(Clone)]
pub struct CustomEdit(Arc<dyn Hook>);

impl fmt::Debug for CustomEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomEdit")
    }
}

/// An edit at some tokens: a [`Hook`].
#[derive(Clone, Debug)]
pub struct EditHook {
    edit: Edit,
    at: Where,
}

impl Edit {
    /// What another run had at the same point.
    pub fn patch(from: &super::hooks::Captured) -> Self {
        Self::Patch(Patch::new(from))
    }

    /// A hook as an edit, so that it can act at some tokens only.
    pub fn custom(hook: impl Hook + 'static) -> Self {
        Self::Custom(CustomEdit(Arc::new(hook)))
    }

    /// The edit at every token.
    pub fn everywhere(self) -> EditHook {
        EditHook { edit: self, at: Where::All }
    }

    /// The edit at some tokens.
    pub fn at(self, at: Where) -> EditHook {
        EditHook { edit: self, at }
    }

    fn apply(&self, x: &Tensor, ctx: &HookCtx) -> Result<Tensor> {
        let site = ctx.point.site;
        let (dtype, device) = (x.dtype(), x.device());
        let like = |t: &Tensor| t.to_device(device).and_then(|t| t.to_dtype(dtype));
        Ok(match self {
            Self::Add { v, coef: Coef::Abs(c) } => x.broadcast_add(&(like(v)? * *c)?)?,
            Self::Add { v, coef: Coef::Rel(c) } => {
                let size = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
                x.broadcast_add(&(size.broadcast_mul(&unit(&like(v)?)?)? * *c)?)?
            }
            Self::ProjectOut { basis, keep } => {
                let basis = like(basis)?; // [r, D]
                let inside = super::ops::linear(&super::ops::linear(x, &basis, None)?, &basis.t()?, None)?;
                (x - (inside * (1.0 - keep))?)?
            }
            Self::SetProjection { dir, target } => {
                let dir = unit(&like(dir)?)?;
                let now = x.broadcast_mul(&dir)?.sum_keepdim(D::Minus1)?;
                x.broadcast_add(&now.affine(-1.0, *target)?.broadcast_mul(&dir)?)?
            }
            Self::Scale(c) => (x * *c)?,
            Self::Replace(value) => like(value)?.broadcast_as(x.shape())?.contiguous()?,
            Self::ZeroHeads(heads) => x.broadcast_mul(&keep_heads(x, site, heads)?)?,
            Self::MeanHeads { heads, mean } => {
                let keep = keep_heads(x, site, heads)?;
                let mean = like(mean)?.unsqueeze(0)?.unsqueeze(0)?; // [1, 1, H, D]
                x.broadcast_mul(&keep)?.broadcast_add(&mean.broadcast_mul(&keep.affine(-1.0, 1.0)?)?)?
            }
            Self::MaskNeurons(mask) => x.broadcast_mul(&like(mask)?)?,
            Self::Clamp { low, high } => x.clamp(*low, *high)?,
            Self::Patch(patch) => patch.apply(x, ctx, None)?,
            Self::Custom(hook) => hook.0.call(x.clone(), ctx)?,
        })
    }

    /// Vectors and heads that fit the point.
    fn check(&self, spec: &ModelSpec, point: HookPoint) -> Result<()> {
        let width = |what: &'static str, v: &Tensor, rank: Option<usize>| {
            let (Some(wanted), dims) = (point.width(spec), v.dims()) else { return Ok(()) };
            let last = dims.last().copied().unwrap_or(1);
            // A rank of `None` says that the tensor may broadcast.
            if rank.map_or(last == 1 || last == wanted, |rank| dims.len() == rank && last == wanted) {
                return Ok(());
            }
            let expected = format!("a last dimension of {wanted}, that of {point}");
            Err(Error::Setting { name: what, found: format!("{dims:?}"), expected })
        };
        match self {
            Self::Add { v, .. } => width("vector of an edit", v, None),
            Self::ProjectOut { basis, .. } => width("basis of an edit", basis, Some(2)),
            Self::SetProjection { dir, .. } => width("direction of an edit", dir, Some(1)),
            Self::Replace(value) => width("value of an edit", value, None),
            Self::MaskNeurons(mask) => width("mask of an edit", mask, None),
            Self::ZeroHeads(heads) => check_heads(spec, point, heads),
            Self::MeanHeads { heads, mean } => {
                check_heads(spec, point, heads)?;
                width("mean of an edit of heads", mean, Some(2))
            }
            Self::Patch(_) => Patch::check(point.site),
            Self::Custom(hook) => hook.0.check(spec, point),
            Self::Scale(_) | Self::Clamp { .. } => Ok(()),
        }
    }
}

impl Hook for EditHook {
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor> {
        // An expert that no token chose.
        if x.elem_count() == 0 {
            return Ok(x);
        }
        let flags = match self.at.tokens(ctx) {
            // Rows that an edit doesn't touch stay the same to the bit.
            Tokens::None => return Ok(x),
            Tokens::All => return self.edit.apply(&x, ctx),
            Tokens::Some(flags) => flags,
        };
        if let Edit::Patch(patch) = &self.edit {
            return patch.apply(&x, ctx, Some(&flags));
        }
        let edited = self.edit.apply(&x, ctx)?;
        let mask = spread(flags, &x, ctx)?;
        Ok(mask.broadcast_as(x.shape())?.where_cond(&edited.broadcast_as(x.shape())?, &x)?)
    }

    fn check(&self, spec: &ModelSpec, point: HookPoint) -> Result<()> {
        self.edit.check(spec, point)
    }
}

/// Heads that the point has.
fn check_heads(spec: &ModelSpec, point: HookPoint, heads: &[usize]) -> Result<()> {
    let Some(axis) = point.site.heads_axis() else {
        let (found, expected) = (point.site.info().name.to_owned(), "a site with a dimension of heads".to_owned());
        return Err(Error::Setting { name: "site of an edit of heads", found, expected });
    };
    let count = point.dims(spec, 1, 1, 1).map_or(0, |dims| dims[axis]);
    if let Some(head) = heads.iter().find(|&&head| head >= count) {
        let expected = format!("below the {count} heads of the site");
        return Err(Error::Setting { name: "head", found: head.to_string(), expected });
    }
    Ok(())
}

fn unit(v: &Tensor) -> Result<Tensor> {
    Ok(v.broadcast_div(&v.sqr()?.sum_all()?.sqrt()?)?)
}

/// 0 for these heads, 1 for the others, of a shape that broadcasts to `x`.
fn keep_heads(x: &Tensor, site: Site, heads: &[usize]) -> Result<Tensor> {
    // Checked when the hook was added.
    let axis = site.heads_axis().unwrap_or(0);
    let count = x.dim(axis)?;
    let keep: Vec<f32> = (0..count).map(|head| if heads.contains(&head) { 0.0 } else { 1.0 }).collect();
    let mut shape = vec![1; x.rank()];
    shape[axis] = count;
    Ok(Tensor::from_vec(keep, shape, &Device::Cpu)?.to_device(x.device())?.to_dtype(x.dtype())?)
}

/// A zero variable of a shape that is added at a place; [`HookSet::grad_probes`](super::HookSet::grad_probes) knows the shapes: its gradient is that of the loss with respect to the activation there.
///
/// candle keeps gradients of variables only, so an activation's own can't be read; shapes as the site's.
pub fn grad_probe(shape: &[usize], dtype: DType, device: &Device) -> Result<(candle_core::Var, EditHook)> {
    let probe = candle_core::Var::zeros(shape, dtype, device)?;
    let v = probe.as_tensor().clone();
    Ok((probe, Edit::Add { v, coef: Coef::Abs(1.0) }.everywhere()))
}
