//! The parameters of a model: the names and shapes of a Hugging Face checkpoint.
//!
//! Both major versions of transformers write one tensor an expert; version 5 can also write all experts of a layer as
//! one (`mlp.experts.gate_up_proj`, rows gate then up), which [`load`](super::load) splits. GPT-2 stores its projections
//! as [in, out]; here every matrix is [out, in], and `transposed` says that the file has it the other way.

use super::{
    config::{ModelSpec, MoeSpec},
    family::{Family, NormKind, NormPlace, QkNorm},
};

/// What a parameter is, as far as its fresh values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Token or position table.
    Embedding,
    /// Matrix [out, in].
    Linear,
    /// Matrix [out, in] whose output is added to the residual stream.
    ResidualOut,
    /// Weight of a norm.
    Norm,
    /// Bias.
    Bias,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamInfo {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape here; matrices are [out, in].
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParamKind,
    /// Whether the checkpoint has the matrix as [in, out].
    pub transposed: bool,
}

impl ParamInfo {
    /// Shape in the checkpoint.
    pub fn file_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

/// All parameters in the order of the forward pass; a tied head is not listed.
pub fn parameters(spec: &ModelSpec) -> Vec<ParamInfo> {
    let mut list = List(Vec::new());
    if spec.family == Family::Gpt2 {
        gpt2(spec, &mut list);
    } else {
        rotary(spec, &mut list);
    }
    list.0
}

/// Prefix that a base model's checkpoint leaves out.
pub(crate) fn base_prefix(family: Family) -> &'static str {
    if family == Family::Gpt2 { "transformer." } else { "model." }
}

/// Name of the token table.
pub(crate) fn embedding(family: Family) -> &'static str {
    if family == Family::Gpt2 { "transformer.wte.weight" } else { "model.embed_tokens.weight" }
}

/// Prefix of a layer's parameters.
pub(crate) fn layer(family: Family, l: usize) -> String {
    if family == Family::Gpt2 { format!("transformer.h.{l}.") } else { format!("model.layers.{l}.") }
}

/// Names of a sparse layer's parts, which mixtral spells differently.
pub(crate) struct MoeNames {
    /// Folder of gate and experts.
    pub block: &'static str,
    /// gate, up and down projection of an expert.
    pub expert: [&'static str; 3],
}

pub(crate) fn moe(family: Family) -> MoeNames {
    if family == Family::Mixtral {
        MoeNames { block: "block_sparse_moe", expert: ["w1", "w3", "w2"] }
    } else {
        MoeNames { block: "mlp", expert: ["gate_proj", "up_proj", "down_proj"] }
    }
}

struct List(Vec<ParamInfo>);

impl List {
    fn add(&mut self, name: String, shape: &[usize], kind: ParamKind) {
        self.0.push(ParamInfo { name, shape: shape.to_vec(), kind, transposed: false });
    }

    fn linear(&mut self, name: &str, out: usize, input: usize, bias: bool, kind: ParamKind) {
        self.add(format!("{name}.weight"), &[out, input], kind);
        if bias {
            self.add(format!("{name}.bias"), &[out], ParamKind::Bias);
        }
    }

    fn norm(&mut self, name: &str, width: usize, kind: NormKind) {
        let affine = !matches!(kind, NormKind::Layer { affine: false, .. });
        if affine {
            self.add(format!("{name}.weight"), &[width], ParamKind::Norm);
        }
        if matches!(kind, NormKind::Layer { affine: true, .. }) {
            self.add(format!("{name}.bias"), &[width], ParamKind::Bias);
        }
    }
}

fn rotary(spec: &ModelSpec, list: &mut List) {
    let d = spec.d_model;
    list.add(embedding(spec.family).to_owned(), &[spec.vocab, d], ParamKind::Embedding);
    for l in 0..spec.n_layers {
        let at = layer(spec.family, l);
        if spec.norm_place != NormPlace::Post {
            list.norm(&format!("{at}input_layernorm"), d, spec.norm);
        }
        let attention = format!("{at}self_attn");
        list.linear(&format!("{attention}.q_proj"), spec.q_width(), d, spec.qkv_bias, ParamKind::Linear);
        list.linear(&format!("{attention}.k_proj"), spec.kv_width(), d, spec.qkv_bias, ParamKind::Linear);
        list.linear(&format!("{attention}.v_proj"), spec.kv_width(), d, spec.qkv_bias, ParamKind::Linear);
        list.linear(&format!("{attention}.o_proj"), d, spec.q_width(), spec.o_bias, ParamKind::ResidualOut);
        let widths = match spec.qk_norm {
            QkNorm::None => None,
            QkNorm::PerHead => Some((spec.head_dim, spec.head_dim)),
            QkNorm::Whole => Some((spec.q_width(), spec.kv_width())),
        };
        if let Some((q, k)) = widths {
            list.norm(&format!("{attention}.q_norm"), q, spec.norm);
            list.norm(&format!("{attention}.k_norm"), k, spec.norm);
        }
        list.norm(&format!("{at}post_attention_layernorm"), d, spec.norm);
        match spec.norm_place {
            NormPlace::Pre => {}
            NormPlace::Post => list.norm(&format!("{at}post_feedforward_layernorm"), d, spec.norm),
            NormPlace::PreAndPost => {
                list.norm(&format!("{at}pre_feedforward_layernorm"), d, spec.norm);
                list.norm(&format!("{at}post_feedforward_layernorm"), d, spec.norm);
            }
        }
        match &spec.moe[l] {
            None => mlp(list, &format!("{at}mlp"), ["gate_proj", "up_proj", "down_proj"], d, spec.d_ff, spec.mlp_bias),
            Some(experts) => sparse(spec, list, &at, experts),
        }
    }
    list.norm("model.norm", d, spec.norm);
    if !spec.tied {
        list.linear("lm_head", spec.vocab, d, false, ParamKind::Linear);
    }
}

fn mlp(list: &mut List, at: &str, [gate, up, down]: [&str; 3], d: usize, d_ff: usize, bias: bool) {
    list.linear(&format!("{at}.{gate}"), d_ff, d, bias, ParamKind::Linear);
    list.linear(&format!("{at}.{up}"), d_ff, d, bias, ParamKind::Linear);
    list.linear(&format!("{at}.{down}"), d, d_ff, bias, ParamKind::ResidualOut);
}

fn sparse(spec: &ModelSpec, list: &mut List, at: &str, experts: &MoeSpec) {
    let (d, names) = (spec.d_model, moe(spec.family));
    let block = format!("{at}{}", names.block);
    list.linear(&format!("{block}.gate"), experts.experts, d, false, ParamKind::Linear);
    for e in 0..experts.experts {
        mlp(list, &format!("{block}.experts.{e}"), names.expert, d, experts.d_ff, false);
    }
    if let Some(width) = experts.shared {
        let shared = ["gate_proj", "up_proj", "down_proj"];
        mlp(list, &format!("{block}.shared_expert"), shared, d, width, false);
        list.linear(&format!("{block}.shared_expert_gate"), 1, d, false, ParamKind::Linear);
    }
}

fn gpt2(spec: &ModelSpec, list: &mut List) {
    let d = spec.d_model;
    list.add(embedding(spec.family).to_owned(), &[spec.vocab, d], ParamKind::Embedding);
    list.add("transformer.wpe.weight".to_owned(), &[spec.max_pos, d], ParamKind::Embedding);
    for l in 0..spec.n_layers {
        let at = layer(spec.family, l);
        list.norm(&format!("{at}ln_1"), d, spec.norm);
        let first = list.0.len();
        list.linear(&format!("{at}attn.c_attn"), 3 * d, d, true, ParamKind::Linear);
        list.linear(&format!("{at}attn.c_proj"), d, d, true, ParamKind::ResidualOut);
        list.norm(&format!("{at}ln_2"), d, spec.norm);
        list.linear(&format!("{at}mlp.c_fc"), spec.d_ff, d, true, ParamKind::Linear);
        list.linear(&format!("{at}mlp.c_proj"), d, spec.d_ff, true, ParamKind::ResidualOut);
        for param in &mut list.0[first..] {
            param.transposed = param.shape.len() == 2;
        }
    }
    list.norm("transformer.ln_f", d, spec.norm);
    if !spec.tied {
        list.linear("lm_head", spec.vocab, d, false, ParamKind::Linear);
    }
}
