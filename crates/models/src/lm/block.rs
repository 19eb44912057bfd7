//! One block: attention and MLP between their norms.

use candle_core::Tensor;

use super::{
    adapter::{self, Lora},
    config::ModelSpec,
    executor::Routing,
    family::{Family, NormKind, NormPlace, QkNorm},
    forward::Pass,
    hooks::Site,
    load::Params,
    moe::SparseMlp,
    names, ops,
};
use crate::{Error, Result};

/// A projection.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// Its parameters' name without `.weight`.
    pub name: String,
    w: Tensor,
    b: Option<Tensor>,
    /// Low-rank changes, in the order in which they are added.
    pub lora: Vec<Lora>,
}

impl Linear {
    pub fn new(params: &Params, name: &str, bias: bool) -> Result<Self> {
        let b = if bias { Some(get(params, &format!("{name}.bias"))?) } else { None };
        Ok(Self { name: name.to_owned(), w: get(params, &format!("{name}.weight"))?, b, lora: Vec::new() })
    }

    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        adapter::project(&self.lora, x, &self.w, self.b.as_ref(), pass)
    }

    /// Several projections of one x.
    pub fn forward_all<const N: usize>(all: [&Self; N], x: &Tensor, pass: &Pass) -> Result<[Tensor; N]> {
        // A tape records each projection by itself.
        if pass.tape.is_none() && all.iter().all(|linear| linear.lora.is_empty()) {
            return pass.ops.linears(x, all.map(|linear| (&linear.w, linear.b.as_ref())));
        }
        let mut results = all.map(|_| x.clone());
        for (result, linear) in results.iter_mut().zip(all) {
            *result = linear.forward(x, pass)?;
        }
        Ok(results)
    }

    /// Adds a change.
    pub fn add(&mut self, change: Lora) -> Result<()> {
        self.lora.push(change.with_fixed_norms(&self.w)?);
        Ok(())
    }

    /// The weight with its changes.
    pub fn weight(&self) -> Result<Tensor> {
        adapter::weight(&self.lora, &self.w)
    }

    /// The bias with its changes.
    pub fn bias(&self) -> Result<Option<Tensor>> {
        adapter::bias(&self.lora, self.b.as_ref())
    }
}

/// A parameter; the loader and the initialiser have made all of them.
pub(super) fn get(params: &Params, name: &str) -> Result<Tensor> {
    params.get(name).cloned().ok_or_else(|| Error::NoParam { name: name.to_owned() })
}

/// A norm with its weights.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    kind: NormKind,
    w: Option<Tensor>,
    b: Option<Tensor>,
}

impl Norm {
    pub fn new(params: &Params, name: &str, kind: NormKind) -> Result<Self> {
        let affine = !matches!(kind, NormKind::Layer { affine: false, .. });
        let layer = matches!(kind, NormKind::Layer { affine: true, .. });
        Ok(Self {
            kind,
            w: if affine { Some(get(params, &format!("{name}.weight"))?) } else { None },
            b: if layer { Some(get(params, &format!("{name}.bias"))?) } else { None },
        })
    }

    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        if let Some(tape) = &pass.tape {
            return tape.norm(pass.ops, x, [self.w.as_ref(), self.b.as_ref()], self.kind);
        }
        match (self.kind, &self.w) {
            (NormKind::Rms { eps, weight }, Some(w)) => pass.ops.rms_norm(x, w, eps, weight),
            (NormKind::Layer { eps, .. } | NormKind::Rms { eps, .. }, w) => {
                pass.ops.layer_norm(x, w.as_ref().zip(self.b.as_ref()), eps)
            }
        }
    }
}

/// Query, key and value projections: three matrices, or GPT-2's one.
#[derive(Clone, Debug)]
enum Qkv {
    Separate([Linear; 3]),
    Fused(Linear),
}

/// A block's weights.
#[derive(Clone, Debug)]
pub(super) struct Block {
    qkv: Qkv,
    out: Linear,
    q_norm: Option<Norm>,
    k_norm: Option<Norm>,
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
    mlp: Mlp,
}

#[derive(Clone, Debug)]
enum Mlp {
    Dense(DenseMlp),
    Sparse(SparseMlp),
}

/// act(gate x) ⊙ up x, or act(up x), then down.
#[derive(Clone, Debug)]
pub(super) struct DenseMlp {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
}

impl DenseMlp {
    pub fn gated(params: &Params, at: &str, [gate, up, down]: [&str; 3], bias: bool) -> Result<Self> {
        let linear = |name: &str| Linear::new(params, &format!("{at}.{name}"), bias);
        Ok(Self { gate: Some(linear(gate)?), up: linear(up)?, down: linear(down)? })
    }

    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        self.gate.iter_mut().chain([&mut self.up, &mut self.down]).collect()
    }

    /// Without hooks: an expert.
    pub fn expert(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.inner(x, pass, Ok)
    }

    /// An expert, `at` called on its neurons.
    pub fn inner(&self, x: &Tensor, pass: &Pass, at: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let act = pass.spec.act;
        let inner = match &self.gate {
            Some(gate) => {
                let [gate, up] = Linear::forward_all([gate, &self.up], x, pass)?;
                pass.ops.gated(&gate, &up, act)?
            }
            None => pass.ops.activate(&self.up.forward(x, pass)?, act)?,
        };
        self.down.forward(&at(inner)?, pass)
    }

    fn forward(&self, x: &Tensor, l: usize, pass: &Pass) -> Result<Tensor> {
        let act = pass.spec.act;
        let inner = match &self.gate {
            Some(gate) => {
                let [pre, up] = Linear::forward_all([gate, &self.up], x, pass)?;
                let pre = pass.at(l, Site::MlpPre, pre)?;
                let up = pass.at(l, Site::MlpPreLinear, up)?;
                pass.ops.gated(&pre, &up, act)?
            }
            None => pass.ops.activate(&pass.at(l, Site::MlpPre, self.up.forward(x, pass)?)?, act)?,
        };
        self.down.forward(&pass.at(l, Site::MlpPost, inner)?, pass)
    }
}

impl Block {
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let mut all: Vec<&mut Linear> = match &mut self.qkv {
            Qkv::Separate(parts) => parts.iter_mut().collect(),
            Qkv::Fused(all) => vec![all],
        };
        all.push(&mut self.out);
        match &mut self.mlp {
            Mlp::Dense(mlp) => all.extend(mlp.linears_mut()),
            Mlp::Sparse(mlp) => all.extend(mlp.linears_mut()),
        }
        all
    }

    pub fn new(params: &Params, spec: &ModelSpec, l: usize) -> Result<Self> {
        let at = names::layer(spec.family, l);
        let linear = |name: &str, bias| Linear::new(params, &format!("{at}{name}"), bias);
        let norm = |name: &str| Norm::new(params, &format!("{at}{name}"), spec.norm);
        if spec.family == Family::Gpt2 {
            return Ok(Self {
                qkv: Qkv::Fused(linear("attn.c_attn", true)?),
                out: linear("attn.c_proj", true)?,
                q_norm: None,
                k_norm: None,
                before_attention: Some(norm("ln_1")?),
                after_attention: None,
                before_mlp: Some(norm("ln_2")?),
                after_mlp: None,
                mlp: Mlp::Dense(DenseMlp {
                    gate: None,
                    up: linear("mlp.c_fc", true)?,
                    down: linear("mlp.c_proj", true)?,
                }),
            });
        }
        let qk = |name: &str| match spec.qk_norm {
            QkNorm::None => Ok(None),
            QkNorm::PerHead | QkNorm::Whole => norm(name).map(Some),
        };
        // HF calls the norm before the MLP of a pre-norm block, and the one after attention of the others, the same.
        let names: [Option<&str>; 4] = match spec.norm_place {
            NormPlace::Pre => [Some("input_layernorm"), None, Some("post_attention_layernorm"), None],
            NormPlace::Post => [None, Some("post_attention_layernorm"), None, Some("post_feedforward_layernorm")],
            NormPlace::PreAndPost => [
                Some("input_layernorm"),
                Some("post_attention_layernorm"),
                Some("pre_feedforward_layernorm"),
                Some("post_feedforward_layernorm"),
            ],
        };
        let [before_attention, after_attention, before_mlp, after_mlp] = names.map(|name| name.map(norm).transpose());
        let dense = ["gate_proj", "up_proj", "down_proj"];
        Ok(Self {
            qkv: Qkv::Separate([
                linear("self_attn.q_proj", spec.qkv_bias)?,
                linear("self_attn.k_proj", spec.qkv_bias)?,
                linear("self_attn.v_proj", spec.qkv_bias)?,
            ]),
            out: linear("self_attn.o_proj", spec.o_bias)?,
            q_norm: qk("self_attn.q_norm")?,
            k_norm: qk("self_attn.k_norm")?,
            before_attention: before_attention?,
            after_attention: after_attention?,
            before_mlp: before_mlp?,
            after_mlp: after_mlp?,
            mlp: match spec.moe[l] {
                None => Mlp::Dense(DenseMlp::gated(params, &format!("{at}mlp"), dense, spec.mlp_bias)?),
                Some(moe) => Mlp::Sparse(SparseMlp::new(params, spec, &at, moe)?),
            },
        })
    }

    /// x [B, T, d] → [B, T, d].
    pub fn forward(&self, x: Tensor, l: usize, pass: &mut Pass) -> Result<Tensor> {
        let x = pass.at(l, Site::ResidPre, x)?;
        let input = match &self.before_attention {
            Some(norm) => pass.at(l, Site::Ln1, norm.forward(&x, pass)?)?,
            None => x.clone(),
        };
        let mut a = self.attention(&input, l, pass)?;
        if let Some(norm) = &self.after_attention {
            a = norm.forward(&a, pass)?;
        }
        let x = (x + pass.at(l, Site::AttnOut, a)?)?;

        let x = pass.at(l, Site::ResidMid, x)?;
        let input = match &self.before_mlp {
            Some(norm) => pass.at(l, Site::Ln2, norm.forward(&x, pass)?)?,
            None => x.clone(),
        };
        let mut m = match &self.mlp {
            Mlp::Dense(mlp) => mlp.forward(&input, l, pass)?,
            Mlp::Sparse(mlp) => mlp.forward(&input, &x, l, pass)?,
        };
        if let Some(norm) = &self.after_mlp {
            m = norm.forward(&m, pass)?;
        }
        let x = (x + pass.at(l, Site::MlpOut, m)?)?;
        pass.at(l, Site::ResidPost, x)
    }

    /// What the router says about a residual stream [N, d] before this block's MLP; `None` in a dense layer.
    pub fn route(&self, residual: &Tensor, pass: &Pass) -> Result<Option<Routing>> {
        let Mlp::Sparse(mlp) = &self.mlp else { return Ok(None) };
        let x = match &self.before_mlp {
            Some(norm) => norm.forward(residual, pass)?,
            None => residual.clone(),
        };
        mlp.route(&x, pass, |_, x| Ok(x)).map(Some)
    }

    /// Queries, keys and values [B, T, heads, hd], normed, clipped and biased.
    fn project(&self, x: &Tensor, pass: &Pass) -> Result<[Tensor; 3]> {
        let spec = pass.spec;
        let (batch, t, _) = x.dims3()?;
        let (q_width, kv_width) = (spec.q_width(), spec.kv_width());
        let [mut q, mut k, mut v] = match &self.qkv {
            Qkv::Separate(parts) => Linear::forward_all([&parts[0], &parts[1], &parts[2]], x, pass)?,
            Qkv::Fused(all) => {
                let all = all.forward(x, pass)?;
                [
                    all.narrow(2, 0, q_width)?,
                    all.narrow(2, q_width, kv_width)?,
                    all.narrow(2, q_width + kv_width, kv_width)?,
                ]
            }
        };
        if spec.qk_norm == QkNorm::Whole {
            (q, k) = (norm(self.q_norm.as_ref(), q, pass)?, norm(self.k_norm.as_ref(), k, pass)?);
        }
        if let Some(c) = spec.clip_qkv {
            (q, k, v) = (q.clamp(-c, c)?, k.clamp(-c, c)?, v.clamp(-c, c)?);
        }
        q = q.reshape((batch, t, spec.n_heads, spec.head_dim))?;
        k = k.reshape((batch, t, spec.n_kv, spec.head_dim))?;
        v = v.reshape((batch, t, spec.n_kv, spec.head_dim))?;
        if spec.qk_norm == QkNorm::PerHead {
            (q, k) = (norm(self.q_norm.as_ref(), q, pass)?, norm(self.k_norm.as_ref(), k, pass)?);
        }
        Ok([q, k, v])
    }

    fn attention(&self, x: &Tensor, l: usize, pass: &mut Pass) -> Result<Tensor> {
        let spec = pass.spec;
        let [q, k, v] = self.project(x, pass)?;
        let mut q = pass.at(l, Site::Q, q)?; // [B, T, H, hd]
        let mut k = pass.at(l, Site::K, k)?; // [B, T, Hkv, hd]
        let v = pass.at(l, Site::V, v)?;
        if let Some((cos, sin)) = &pass.rotation {
            q = pass.ops.rope(&q, cos, sin)?;
            k = pass.ops.rope(&k, cos, sin)?;
            q = pass.at(l, Site::RotQ, q)?;
            k = pass.at(l, Site::RotK, k)?;
        }
        let (k, v) = match &mut pass.cache {
            Some(cache) => {
                let (k, v) = cache.append(l, &k.transpose(1, 2)?, &v.transpose(1, 2)?)?;
                (k.transpose(1, 2)?, v.transpose(1, 2)?)
            }
            None => (k, v),
        };
        let unhooked = !pass.hooks.wants(l, Site::AttnScores) && !pass.hooks.wants(l, Site::Pattern);
        if unhooked && pass.cache.is_some() {
            let (q, k, v) = (q.transpose(1, 2)?.contiguous()?, k.transpose(1, 2)?, v.transpose(1, 2)?);
            let found = pass.ops.cached_attention(&q, [&k, &v], pass.mask(l)?, spec.attn_scale, spec.attn_softcap)?;
            if let Some(z) = found {
                return self.output(z, l, pass);
            }
        }
        let mask = pass.mask(l)?;
        let z = if unhooked {
            pass.ops.attention([&q, &k, &v], mask, spec.attn_scale, spec.attn_softcap)?
        } else {
            let mut scores = ops::scores(&q, &k, spec.attn_scale)?;
            if let Some(cap) = spec.attn_softcap {
                scores = pass.ops.softcap(&scores, cap)?;
            }
            let pattern = pass.ops.masked_softmax(&pass.at(l, Site::AttnScores, scores)?, mask)?;
            ops::mix(&pass.at(l, Site::Pattern, pattern)?, &v)?
        };
        self.output(z, l, pass)
    }

    /// The output projection of each head's mix z [B, T, H, hd].
    fn output(&self, z: Tensor, l: usize, pass: &Pass) -> Result<Tensor> {
        let (batch, t, _, _) = z.dims4()?;
        let z = pass.at(l, Site::Z, z)?;
        if pass.hooks.wants(l, Site::AttnResult) {
            return self.per_head(&z, l, pass);
        }
        self.out.forward(&z.reshape((batch, t, pass.spec.q_width()))?, pass)
    }

    /// The output as a sum over heads, each of which can be read and edited.
    fn per_head(&self, z: &Tensor, l: usize, pass: &Pass) -> Result<Tensor> {
        let hd = pass.spec.head_dim;
        let w = self.out.weight()?;
        if pass.tape.is_some() && w.track_op() {
            let reason = "attn.hook_result is hooked, where the weight is used head by head";
            return Err(Error::Tape { name: self.out.name.clone(), reason });
        }
        let of = |h: usize| pass.ops.linear(&z.narrow(2, h, 1)?.squeeze(2)?, &w.narrow(1, h * hd, hd)?, None);
        let heads = (0..pass.spec.n_heads).map(of).collect::<Result<Vec<_>>>()?;
        let sum = pass.at(l, Site::AttnResult, Tensor::stack(&heads, 2)?)?.sum(2)?;
        Ok(match self.out.bias()? {
            Some(b) => sum.broadcast_add(&b)?,
            None => sum,
        })
    }
}

fn norm(norm: Option<&Norm>, x: Tensor, pass: &Pass) -> Result<Tensor> {
    norm.map_or(Ok(x.clone()), |norm| norm.forward(&x.contiguous()?, pass))
}
