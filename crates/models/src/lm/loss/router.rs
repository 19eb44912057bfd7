//! Losses on the routers of mixtures of experts.

use candle_core::{D, DType, Tensor};

use crate::{
    Result,
    lm::{moe::top_k, ops::softmax},
};

/// Logits [N, E] of every sparse layer, the rows that are tokens kept, one under the other.
fn pooled(logits: &[Tensor], rows: &[bool]) -> Result<Tensor> {
    let all = Tensor::cat(logits, 0)?;
    let wide = if all.dtype() == DType::F64 { all } else { all.to_dtype(DType::F32)? };
    if rows.iter().all(|&real| real) {
        return Ok(wide);
    }
    let again = rows.iter().cycle().take(rows.len() * logits.len());
    let kept: Vec<u32> = (0u32..).zip(again).filter(|(_, real)| **real).map(|(i, _)| i).collect();
    let n = kept.len();
    Ok(wide.index_select(&Tensor::from_vec(kept, n, wide.device())?, 0)?)
}

/// E · Σ_e f_e · P_e; balanced, this is k.
pub(super) fn load_balancing(logits: &[Tensor], k: usize, rows: &[bool]) -> Result<Tensor> {
    let p = softmax(&pooled(logits, rows)?)?; // [rows, E]
    let (n, experts) = p.dims2()?;
    let mut share = vec![0.0; experts];
    for e in top_k(&p, k)?.flatten_all()?.to_vec1::<u32>()? {
        share[e as usize] += 1.0 / n as f64;
    }
    let f = Tensor::from_vec(share, experts, p.device())?.to_dtype(p.dtype())?;
    Ok(((p.mean(0)? * f)?.sum_all()? * experts as f64)?)
}

/// Mean of lse².
pub(super) fn z_loss(logits: &[Tensor], rows: &[bool]) -> Result<Tensor> {
    let z = pooled(logits, rows)?;
    let max = z.max_keepdim(D::Minus1)?.detach();
    let lse = (z.broadcast_sub(&max)?.exp()?.sum_keepdim(D::Minus1)?.log()? + max)?;
    Ok(lse.sqr()?.mean_all()?)
}
