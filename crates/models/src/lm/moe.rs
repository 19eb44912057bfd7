//! Mixture of experts: a router, its experts, and qwen2_moe's shared expert.

use candle_core::{D, DType, Tensor};

use super::{
    block::{DenseMlp, Linear},
    config::{ModelSpec, MoeSpec},
    executor::{ExpertCall, Routing},
    family::Family,
    forward::Pass,
    hooks::Site,
    load::Params,
    names,
};
use crate::{Error, Result};

/// A sparse layer's weights.
#[derive(Clone, Debug)]
pub(super) struct SparseMlp {
    moe: MoeSpec,
    gate: Linear,
    experts: Vec<DenseMlp>,
    /// The shared expert and its gate [1, d].
    shared: Option<(DenseMlp, Linear)>,
}

impl SparseMlp {
    pub fn new(params: &Params, spec: &ModelSpec, at: &str, moe: MoeSpec) -> Result<Self> {
        let names = names::moe(spec.family);
        let block = format!("{at}{}", names.block);
        let expert = |e: usize| DenseMlp::gated(params, &format!("{block}.experts.{e}"), names.expert, false);
        let shared = match moe.shared {
            None => None,
            Some(_) => Some((
                DenseMlp::gated(
                    params,
                    &format!("{block}.shared_expert"),
                    ["gate_proj", "up_proj", "down_proj"],
                    false,
                )?,
                Linear::new(params, &format!("{block}.shared_expert_gate"), false)?,
            )),
        };
        Ok(Self {
            moe,
            gate: Linear::new(params, &format!("{block}.gate"), false)?,
            experts: (0..moe.experts).map(expert).collect::<Result<_>>()?,
            shared,
        })
    }

    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let mut all = vec![&mut self.gate];
        all.extend(self.experts.iter_mut().flat_map(DenseMlp::linears_mut));
        if let Some((expert, gate)) = &mut self.shared {
            all.extend(expert.linears_mut());
            all.push(gate);
        }
        all
    }

    pub fn count(&self) -> usize {
        self.experts.len()
    }

    /// x [B, T, d], the norm of `residual` → [B, T, d].
    pub fn forward(&self, x: &Tensor, residual: &Tensor, l: usize, pass: &Pass) -> Result<Tensor> {
        let (batch, t, d) = x.dims3()?;
        let (rows, residual) = (x.reshape((batch * t, d))?, residual.reshape((batch * t, d))?); // [N, d]
        let routing = self.route(&rows, pass, |site, x| pass.at(l, site, x))?;
        let call = ExpertCall { layer: l, x: &rows, residual: &residual, routing: &routing, experts: self, pass };
        let out = match pass.executor {
            Some(executor) => executor.run(&call)?,
            None => self.grouped(&call)?,
        };
        let mut out = out.reshape((batch, t, d))?;
        if let Some((expert, gate)) = &self.shared {
            let open = candle_nn::ops::sigmoid(&gate.forward(x, pass)?)?;
            let y = expert.expert(x, pass)?.broadcast_mul(&open)?;
            out = (out + pass.at(l, Site::SharedOut, y)?)?;
        }
        Ok(out)
    }

    /// The router's choice for rows [N, d]; `at` is called at each of its sites.
    pub fn route(&self, rows: &Tensor, pass: &Pass, at: impl Fn(Site, Tensor) -> Result<Tensor>) -> Result<Routing> {
        let logits = at(Site::RouterLogits, self.gate.forward(rows, pass)?)?; // [N, E]
        let wide = if rows.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let probabilities = pass.ops.softmax(&logits.to_dtype(wide)?)?;
        let idx = at(Site::ExpertIdx, top_k(&probabilities, self.moe.top_k)?)?; // [N, k] u32
        let mut weights = probabilities.gather(&idx, 1)?;
        if self.moe.renorm {
            weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        }
        // Mixtral keeps the weights in f32 and casts each weighted row; the others cast the weights.
        if pass.spec.family != Family::Mixtral {
            weights = weights.to_dtype(rows.dtype())?;
        }
        let weights = at(Site::ExpertWeights, weights)?;
        Ok(Routing { logits, idx, weights })
    }

    /// Expert e on rows [n, d].
    pub fn expert(&self, e: usize, rows: &Tensor, pass: &Pass) -> Result<Tensor> {
        let found = self.experts.len();
        self.experts.get(e).ok_or(Error::Length { what: "the experts", expected: e + 1, found })?.expert(rows, pass)
    }

    /// Every expert once on the rows that chose it, weighted and summed, [N, d].
    pub fn grouped(&self, call: &ExpertCall) -> Result<Tensor> {
        let (x, l, pass) = (call.x, call.layer, call.pass);
        let weights = call.routing.weights.flatten_all()?;
        let hooked = pass.hooks.wants(l, Site::ExpertPost) || pass.hooks.wants(l, Site::ExpertOut);
        // The experts' outputs one after the other, with each row's token and the place of its weight.
        let (mut outputs, mut owners, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (e, (tokens, slots)) in by_expert(&call.routing.idx, self.experts.len())?.into_iter().enumerate() {
            // A hook sees every expert, also one without tokens.
            if tokens.is_empty() && !hooked {
                continue;
            }
            let n = tokens.len();
            let _rows = pass.tape.as_ref().map(|tape| tape.tokens(&tokens));
            let rows = pass.ops.gather_rows(x, &tokens)?;
            let y = if hooked {
                let at = |site, y| pass.at_expert(l, site, e, &tokens, y);
                if n == 0 {
                    at(Site::ExpertPost, Tensor::zeros((0, self.moe.d_ff), x.dtype(), x.device())?)?;
                    at(Site::ExpertOut, rows)?;
                    continue;
                }
                at(Site::ExpertOut, self.experts[e].inner(&rows, pass, |inner| at(Site::ExpertPost, inner))?)?
            } else {
                self.experts[e].expert(&rows, pass)?
            };
            outputs.push(y);
            owners.extend(tokens);
            // Weight of each row: flat index token · k + slot.
            places.extend(slots);
        }
        if outputs.is_empty() {
            return Ok(x.zeros_like()?);
        }
        let weights = weights.index_select(&Tensor::new(places, x.device())?, 0)?;
        pass.ops.combine_rows(&Tensor::cat(&outputs, 0)?, &weights, &owners, x.dim(0)?)
    }
}

/// Indices of the k largest of each row, ties to the lower index, [N, k].
pub(super) fn top_k(p: &Tensor, k: usize) -> Result<Tensor> {
    let rows = p.detach().to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let n = rows.len();
    let mut idx = Vec::with_capacity(n * k);
    let mut order: Vec<u32> = Vec::new();
    for row in rows {
        order.clear();
        order.extend(0..row.len() as u32);
        // A NaN sorts last; the sort is stable, so the lower index of equals stays first.
        let key = |e: &u32| if row[*e as usize].is_nan() { f64::NEG_INFINITY } else { row[*e as usize] };
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        idx.extend_from_slice(&order[..k]);
    }
    Ok(Tensor::from_vec(idx, (n, k), p.device())?)
}

/// For each expert the tokens that chose it, and where their weights stand in the flat [N · k].
fn by_expert(idx: &Tensor, experts: usize) -> Result<Vec<(Vec<u32>, Vec<u32>)>> {
    let mut lists = vec![(Vec::new(), Vec::new()); experts];
    let mut flat = 0;
    for (token, row) in idx.to_vec2::<u32>()?.into_iter().enumerate() {
        for e in row {
            if let Some((tokens, slots)) = lists.get_mut(e as usize) {
                tokens.push(token as u32);
                slots.push(flat);
            }
            flat += 1;
        }
    }
    Ok(lists)
}
