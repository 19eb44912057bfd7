//! Composed of candle operations that have a backward.
//!
//! Norms, softmax and, where the family asks for it, rotation are computed in f32 for half-precision inputs and in f64
//! for f64.

use candle_core::{D, DType, Tensor};

use crate::Result;
use crate::lm::{config::Act, family::RmsWeight};

/// The dtype in which a norm or softmax of `dtype` is computed.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// x Wᵀ + b, x [.., in], W [out, in].
pub(in crate::lm) fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let width = dims.pop().unwrap_or(0);
    let rows: usize = dims.iter().product();
    dims.push(w.dim(0)?);
    let y = x.reshape((rows, width))?.matmul(&w.t()?)?.reshape(dims)?;
    Ok(match b {
        Some(b) => y.broadcast_add(b)?,
        None => y,
    })
}

/// x / sqrt(mean(x²) + eps) over the last dimension, times w.
pub(in crate::lm) fn rms_norm(x: &Tensor, w: &Tensor, eps: f64, weight: RmsWeight) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(wide(dtype))?;
    let normal = x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?)?;
    Ok(match weight {
        RmsWeight::AfterCast => normal.to_dtype(dtype)?.broadcast_mul(w)?,
        RmsWeight::BeforeCast => normal.broadcast_mul(&w.to_dtype(wide(dtype))?)?.to_dtype(dtype)?,
        RmsWeight::PlusOne => normal.broadcast_mul(&(w.to_dtype(wide(dtype))? + 1.0)?)?.to_dtype(dtype)?,
    })
}

/// (x − mean) / sqrt(var + eps) over the last dimension, then weight and bias.
pub(in crate::lm) fn layer_norm(x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(wide(dtype))?;
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let normal = x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?)?.to_dtype(dtype)?;
    Ok(match affine {
        Some((w, b)) => normal.broadcast_mul(w)?.broadcast_add(b)?,
        None => normal,
    })
}

/// Rotates the halves of the last dimension: x·cos + [−x₂, x₁]·sin; cos and sin broadcast to x `[B, T, H, hd]`.
pub(in crate::lm) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    // cos and sin come in the dtype in which the family rotates.
    let x = x.to_dtype(cos.dtype())?;
    let half = x.dim(D::Minus1)? / 2;
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned = Tensor::cat(&[&second.neg()?, &first], D::Minus1)?;
    Ok((x.broadcast_mul(cos)? + turned.broadcast_mul(sin)?)?.to_dtype(dtype)?)
}

/// scale · q kᵀ of queries `[B, T, H, hd]` and keys `[B, S, Hkv, hd]`: `[B, H, T, S]`.
pub(in crate::lm) fn scores(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    let ((batch, t, heads, hd), (_, s, n_kv, _)) = (q.dims4()?, k.dims4()?);
    // The queries of a group share a key head: they become more rows of it, and keys are never repeated.
    let q = q.transpose(1, 2)?.contiguous()?.reshape((batch, n_kv, heads / n_kv * t, hd))?;
    let scores = (q.matmul(&k.permute((0, 2, 3, 1))?.contiguous()?)? * scale)?;
    Ok(scores.reshape((batch, heads, t, s))?)
}

/// Values `[B, S, Hkv, hd]` mixed by a pattern `[B, H, T, S]`: `[B, T, H, hd]`.
pub(in crate::lm) fn mix(pattern: &Tensor, v: &Tensor) -> Result<Tensor> {
    let ((batch, heads, t, s), (_, _, n_kv, hd)) = (pattern.dims4()?, v.dims4()?);
    let grouped = pattern.reshape((batch, n_kv, heads / n_kv * t, s))?;
    let z = grouped.matmul(&v.transpose(1, 2)?.contiguous()?)?.reshape((batch, heads, t, hd))?;
    Ok(z.transpose(1, 2)?.contiguous()?)
}

/// Softmax over the last dimension.
pub(in crate::lm) fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = x.to_dtype(wide(dtype))?;
    // A constant shift: no gradient flows through the maximum.
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?.to_dtype(dtype)?)
}

/// c · tanh(x / c).
pub(in crate::lm) fn softcap(x: &Tensor, cap: f64) -> Result<Tensor> {
    Ok(((x / cap)?.tanh()? * cap)?)
}

/// The activation.
pub(in crate::lm) fn activate(x: &Tensor, act: Act) -> Result<Tensor> {
    Ok(match act {
        Act::Silu => x.silu()?,
        Act::Gelu => x.gelu_erf()?,
        Act::GeluTanh => x.gelu()?,
        Act::Relu => x.relu()?,
    })
}
