//! Ready-made edits of activations, and at which tokens they act.
//!
//! All are made of differentiable operations, so that gradients flow through them and into a vector that is a `Var`.

use candle_core::{D, DType, Device, Tensor};

use super::hooks::{Hook, HookCtx, Site};
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
    /// x ⊙ mask, mask [D]: neurons, or any coordinates.
    Mask(Tensor),
    /// x held between two numbers.
    Clamp {
        /// Lower.
        low: f64,
        /// Upper.
        high: f64,
    },
}

/// The tokens at which an edit acts; positions are counted in each row without its padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Where {
    /// Everywhere.
    #[default]
    All,
    /// The last token of this call: of a prompt its last, then each new one.
    Last,
    /// The last n tokens of this call.
    LastN(usize),
    /// These positions of the row; negative ones count from the end of the prompt.
    Positions(Vec<i64>),
    /// The tokens of the prompt.
    PromptOnly,
    /// The tokens after the prompt, as they are read through a cache.
    GeneratedOnly,
}

impl Where {
    /// One row of flags for each row of the batch, padding never chosen.
    fn chosen(&self, ctx: &HookCtx) -> Vec<Vec<bool>> {
        let row = |(b, (positions, real)): (usize, (&Vec<u32>, &Vec<bool>))| {
            let prompt = ctx.prompt.get(b).copied().unwrap_or(0);
            let last = real.iter().rposition(|&real| real).map_or(0, |column| positions[column]);
            let acts = |position: u32| match self {
                Self::All => true,
                Self::Last => position == last,
                Self::LastN(n) => u64::from(position) + *n as u64 > u64::from(last),
                Self::Positions(list) => list.iter().any(|&p| {
                    let p = if p < 0 { p.saturating_add(prompt as i64) } else { p };
                    p == i64::from(position)
                }),
                Self::PromptOnly => (position as usize) < prompt,
                Self::GeneratedOnly => position as usize >= prompt,
            };
            positions.iter().zip(real).map(|(&position, &real)| real && acts(position)).collect()
        };
        ctx.positions.iter().zip(ctx.real).enumerate().map(row).collect()
    }

    /// 1 where the edit acts, of a shape that broadcasts to `x`; `None`: everywhere.
    fn mask(&self, x: &Tensor, ctx: &HookCtx) -> Result<Option<Tensor>> {
        if *self == Self::All {
            return Ok(None);
        }
        let rows = self.chosen(ctx);
        let (batch, columns) = (rows.len(), rows.first().map_or(0, Vec::len));
        let flat: Vec<u8> = rows.into_iter().flatten().map(u8::from).collect();
        let mut shape = vec![1; x.rank()];
        match ctx.point.site {
            Site::AttnScores | Site::Pattern => (shape[0], shape[2]) = (batch, columns), // [B, H, T, S]
            Site::RouterLogits | Site::ExpertWeights | Site::ExpertIdx => shape[0] = batch * columns, // [N, ·]
            _ => (shape[0], shape[1]) = (batch, columns),
        }
        Ok(Some(Tensor::from_vec(flat, shape, x.device())?))
    }
}

/// An edit at some tokens: a [`Hook`].
#[derive(Clone, Debug)]
pub struct EditHook {
    edit: Edit,
    at: Where,
}

impl Edit {
    /// The edit at every token.
    pub fn everywhere(self) -> EditHook {
        EditHook { edit: self, at: Where::All }
    }

    /// The edit at some tokens.
    pub fn at(self, at: Where) -> EditHook {
        EditHook { edit: self, at }
    }

    fn apply(&self, x: &Tensor, site: Site) -> Result<Tensor> {
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
            Self::Mask(mask) => x.broadcast_mul(&like(mask)?)?,
            Self::Clamp { low, high } => x.clamp(*low, *high)?,
        })
    }
}

impl Hook for EditHook {
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor> {
        let edited = self.edit.apply(&x, ctx.point.site)?;
        Ok(match self.at.mask(&x, ctx)? {
            None => edited,
            Some(mask) => mask.broadcast_as(x.shape())?.where_cond(&edited, &x)?,
        })
    }
}

fn unit(v: &Tensor) -> Result<Tensor> {
    Ok(v.broadcast_div(&v.sqr()?.sum_all()?.sqrt()?)?)
}

/// 0 for these heads, 1 for the others, of a shape that broadcasts to `x`.
fn keep_heads(x: &Tensor, site: Site, heads: &[usize]) -> Result<Tensor> {
    let axis = match site {
        Site::AttnScores | Site::Pattern => 1, // [B, H, T, S]
        Site::Q | Site::K | Site::V | Site::RotQ | Site::RotK | Site::Z | Site::AttnResult => 2, // [B, T, H, ·]
        other => {
            let (found, expected) = (other.info().name.to_owned(), "a site with a dimension of heads".to_owned());
            return Err(Error::Setting { name: "site of an edit of heads", found, expected });
        }
    };
    let count = x.dim(axis)?;
    if let Some(head) = heads.iter().find(|&&head| head >= count) {
        let expected = format!("below the {count} heads of the site");
        return Err(Error::Setting { name: "head", found: head.to_string(), expected });
    }
    let keep: Vec<f32> = (0..count).map(|head| if heads.contains(&head) { 0.0 } else { 1.0 }).collect();
    let mut shape = vec![1; x.rank()];
    shape[axis] = count;
    Ok(Tensor::from_vec(keep, shape, &Device::Cpu)?.to_device(x.device())?.to_dtype(x.dtype())?)
}

/// A zero variable that is added at a place: its gradient is that of the loss with respect to the activation there.
///
/// candle keeps gradients of variables only, so an activation's own can't be read; shapes as the site's.
pub fn grad_probe(shape: &[usize], dtype: DType, device: &Device) -> Result<(candle_core::Var, EditHook)> {
    let probe = candle_core::Var::zeros(shape, dtype, device)?;
    let v = probe.as_tensor().clone();
    Ok((probe, Edit::Add { v, coef: Coef::Abs(1.0) }.everywhere()))
}
