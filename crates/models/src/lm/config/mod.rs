//! [`ModelSpec`]: what a `config.json` of any family and either dialect means, in one flat struct.
//!
//! transformers 4.x and 5.x write different keys (`rope_theta` and `rope_scaling` or one `rope_parameters`,
//! `torch_dtype` or `dtype`, `num_experts` or `num_local_experts`); both are read. A key that is absent means the family's
//! class default, which differs between families; a key that is `null` means none. Keys that would change the numbers
//! and aren't supported are errors, other unknown keys are kept and written back.

pub(super) mod keys;
mod layers;
mod rope;
mod write;

use serde_json::{Map, Value};

pub use layers::MoeSpec;
pub use rope::{RopeScaling, RopeSpec};

use self::keys::{Key, Keys, wrong};
use super::family::{BiasRule, Family, FamilyRow, NormKind, NormPlace, QkNorm};
use crate::{Error, Result};

/// Activation of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// x · σ(x).
    Silu,
    /// x · Φ(x).
    Gelu,
    /// The tanh approximation of GELU (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// max(x, 0).
    Relu,
}

const ACTIVATIONS: &[(&str, Act)] = &[
    ("silu", Act::Silu),
    ("swish", Act::Silu),
    ("gelu", Act::Gelu),
    ("gelu_new", Act::GeluTanh),
    ("gelu_pytorch_tanh", Act::GeluTanh),
    ("relu", Act::Relu),
];

/// A decoder-only transformer, whatever its family.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Family.
    pub family: Family,
    /// Tokens, V.
    pub vocab: usize,
    /// Width of the residual stream, d.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Query heads, H.
    pub n_heads: usize,
    /// Key and value heads; divides H.
    pub n_kv: usize,
    /// Size of a head, hd.
    pub head_dim: usize,
    /// Width of a dense MLP.
    pub d_ff: usize,
    /// Longest sequence.
    pub max_pos: usize,
    /// Kind of norm.
    pub norm: NormKind,
    /// Where norms stand in a block.
    pub norm_place: NormPlace,
    /// Norm of queries and keys.
    pub qk_norm: QkNorm,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub o_bias: bool,
    /// Biases in the MLP.
    pub mlp_bias: bool,
    /// Activation.
    pub act: Act,
    /// Whether the MLP is act(gate) ⊙ up.
    pub gated: bool,
    /// Rotary positions.
    pub rope: Option<RopeSpec>,
    /// Whether rotation is computed in f32 and then cast.
    pub rope_in_f32: bool,
    /// Learned position embeddings (GPT-2).
    pub learned_pos: bool,
    /// Factor of the token embeddings (Gemma: √d), rounded to the model's dtype when applied.
    pub embed_scale: Option<f64>,
    /// Factor of the attention scores.
    pub attn_scale: f64,
    /// c in c·tanh(score / c).
    pub attn_softcap: Option<f64>,
    /// c in c·tanh(logit / c).
    pub final_softcap: Option<f64>,
    /// One a layer: key j is visible to query i iff 0 ≤ i − j < window.
    pub window: Vec<Option<usize>>,
    /// Bound of |q|, |k| and |v|.
    pub clip_qkv: Option<f64>,
    /// One a layer: experts in place of the dense MLP.
    pub moe: Vec<Option<MoeSpec>>,
    /// Weight of the load-balancing loss.
    pub router_aux_coef: f64,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// dtype that the weights are stored in, by its torch name.
    pub dtype: Option<String>,
    /// Tokens that end a generation.
    pub eos: Vec<u32>,
    /// Token that starts a text.
    pub bos: Option<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Standard deviation of fresh weights.
    pub init_std: f64,
    /// The configuration as it was read, written back on save.
    pub extra: Map<String, Value>,
    /// What was read with a doubt: pairs of keys that disagree.
    pub warnings: Vec<String>,
}

impl ModelSpec {
    /// Reads the JSON of a `config.json`.
    ///
    /// # Errors
    /// Where a key has a wrong type or range, a shape is missing, or something would change the numbers and isn't
    /// supported.
    pub fn from_hf(config: &Value) -> Result<Self> {
        let map = config.as_object().ok_or_else(|| wrong("config.json", config, "a JSON object"))?;
        let keys = Keys(map);
        let found = keys.text("model_type")?.ok().ok_or(Error::ConfigMissing { key: "model_type" })?;
        let family = Family::find(found).ok_or_else(|| {
            let known = Family::model_types().join(", ");
            wrong("model_type", &Value::from(found), format!("a supported family: {known}"))
        })?;
        refuse_unsupported(&keys, family)?;
        if family == Family::Gpt2 { read_gpt2(&keys, map) } else { read_rotary(&keys, family.row(), map) }
    }

    /// Parameters in all, a tied head counted once.
    pub fn num_params(&self) -> u64 {
        let of = |p: super::names::ParamInfo| p.shape.iter().map(|&n| n as u128).product::<u128>();
        // A file may claim shapes whose product no machine holds.
        u64::try_from(super::names::parameters(self).into_iter().map(of).sum::<u128>()).unwrap_or(u64::MAX)
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all key heads together.
    pub fn kv_width(&self) -> usize {
        self.n_kv * self.head_dim
    }
}

/// Keys that would change the numbers.
fn refuse_unsupported(keys: &Keys, family: Family) -> Result<()> {
    let null = Value::Null;
    let value = |key: &str| keys.0.get(key).unwrap_or(&null);
    if !value("quantization_config").is_null() {
        let remedy = "no quantised checkpoint: dequantise it first";
        return Err(wrong("quantization_config", value("quantization_config"), remedy));
    }
    if family != Family::Gemma2 {
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if !value(key).is_null() {
                return Err(wrong(key, value(key), format!("null: {} has no such cap", family.model_type())));
            }
        }
    }
    let partial = value("partial_rotary_factor");
    if !partial.is_null() && partial.as_f64() != Some(1.0) {
        return Err(wrong("partial_rotary_factor", partial, "1"));
    }
    if family == Family::Gpt2 {
        let traps = [
            ("scale_attn_by_inverse_layer_idx", false),
            ("reorder_and_upcast_attn", false),
            ("scale_attn_weights", true),
            ("add_cross_attention", false),
        ];
        for (key, usual) in traps {
            if keys.flag(key, usual)? != usual {
                return Err(wrong(key, value(key), format!("{usual}")));
            }
        }
    }
    Ok(())
}

fn activation(keys: &Keys, row: &FamilyRow) -> Result<Act> {
    let (key, default) = row.act;
    let name = keys.text(key)?.or(default, default);
    ACTIVATIONS.iter().find(|(known, _)| *known == name).map(|&(_, act)| act).ok_or_else(|| {
        let known: Vec<&str> = ACTIVATIONS.iter().map(|(known, _)| *known).collect();
        wrong(key, &Value::from(name), known.join(", "))
    })
}

fn norm(keys: &Keys, row: &FamilyRow) -> Result<NormKind> {
    let Some(key) = row.eps_key else { return Ok(row.norm) };
    Ok(match row.norm {
        NormKind::Rms { eps, weight } => NormKind::Rms { eps: keys.positive(key)?.or(eps, eps), weight },
        NormKind::Layer { eps, affine } => NormKind::Layer { eps: keys.positive(key)?.or(eps, eps), affine },
    })
}

fn dtype(keys: &Keys) -> Result<Option<String>> {
    let newer = keys.text("dtype")?.ok();
    Ok(match newer {
        Some(name) => Some(name),
        None => keys.text("torch_dtype")?.ok(),
    }
    .map(str::to_owned))
}

fn read_rotary(keys: &Keys, row: &FamilyRow, map: &Map<String, Value>) -> Result<ModelSpec> {
    let mut warnings = Vec::new();
    let (d_model, n_layers, n_heads) =
        (keys.shape("hidden_size")?, keys.layers("num_hidden_layers")?, keys.shape("num_attention_heads")?);
    let n_kv = match keys.size("num_key_value_heads")? {
        Key::Is(n) => n,
        Key::Null => n_heads,
        Key::Absent if row.kv_absent_is_heads => n_heads,
        Key::Absent => return Err(Error::ConfigMissing { key: "num_key_value_heads" }),
    };
    if n_kv == 0 || n_heads % n_kv != 0 {
        return Err(wrong(
            "num_key_value_heads",
            &Value::from(n_kv),
            format!("a divisor of the {n_heads} query heads"),
        ));
    }
    let head_dim = match keys.size("head_dim")?.ok().or(row.head_dim.filter(|_| !map.contains_key("head_dim"))) {
        Some(n) => n,
        None if d_model % n_heads == 0 => d_model / n_heads,
        None => return Err(wrong("hidden_size", &Value::from(d_model), format!("a multiple of the {n_heads} heads"))),
    };
    if head_dim == 0 || head_dim % 2 != 0 {
        return Err(wrong("head_dim", &Value::from(head_dim), "an even number above 0"));
    }
    let max_pos = keys.shape("max_position_embeddings")?;
    let gemma = row.family == Family::Gemma2;
    let scale_of = if gemma { keys.positive("query_pre_attn_scalar")?.or(256.0, 256.0) } else { head_dim as f64 };
    let (qkv_bias, o_bias) = match row.bias {
        BiasRule::Never => (false, false),
        BiasRule::Key => [keys.flag("attention_bias", false)?; 2].into(),
        BiasRule::Qkv => (true, false),
        BiasRule::QkvKey => (keys.flag("qkv_bias", true)?, false),
        BiasRule::Always => (true, true),
    };
    let cap = |key: &str, absent: f64| -> Result<Option<f64>> {
        if !gemma {
            return Ok(None);
        }
        Ok(match keys.positive(key)? {
            Key::Is(cap) => Some(cap),
            Key::Null => None,
            Key::Absent => Some(absent),
        })
    };
    Ok(ModelSpec {
        family: row.family,
        vocab: keys.shape("vocab_size")?,
        d_model,
        n_layers,
        n_heads,
        n_kv,
        head_dim,
        // Only experts have a width in a file of an all-sparse family.
        d_ff: keys.shape("intermediate_size")?,
        max_pos,
        norm: norm(keys, row)?,
        norm_place: row.place,
        qk_norm: row.qk_norm,
        qkv_bias,
        o_bias,
        mlp_bias: row.family == Family::Llama && keys.flag("mlp_bias", false)?,
        act: activation(keys, row)?,
        gated: true,
        rope: Some(RopeSpec::read(keys, row.rope_theta.unwrap_or(1e4), max_pos)?),
        rope_in_f32: row.rope_in_f32,
        learned_pos: false,
        embed_scale: gemma.then(|| (d_model as f64).sqrt()),
        attn_scale: scale_of.powf(-0.5),
        attn_softcap: cap("attn_logit_softcapping", 50.0)?,
        final_softcap: cap("final_logit_softcapping", 30.0)?,
        window: layers::windows(keys, row, n_layers)?,
        clip_qkv: if row.clip_qkv { keys.positive("clip_qkv")?.ok() } else { None },
        moe: layers::experts(keys, row, n_layers, &mut warnings)?,
        router_aux_coef: match row.moe {
            Some(rule) => keys.number("router_aux_loss_coef")?.or(0.0, rule.aux_coef),
            None => 0.0,
        },
        tied: keys.flag("tie_word_embeddings", row.tied)?,
        dtype: dtype(keys)?,
        eos: keys.ids("eos_token_id")?,
        bos: keys.ids("bos_token_id")?.first().copied(),
        pad: keys.ids("pad_token_id")?.first().copied(),
        init_std: keys.positive("initializer_range")?.or(0.02, 0.02),
        extra: map.clone(),
        warnings,
    })
}

fn read_gpt2(keys: &Keys, map: &Map<String, Value>) -> Result<ModelSpec> {
    let row = Family::Gpt2.row();
    let (d_model, n_layers, n_heads) = (keys.shape("n_embd")?, keys.layers("n_layer")?, keys.shape("n_head")?);
    if d_model % n_heads != 0 {
        return Err(wrong("n_embd", &Value::from(d_model), format!("a multiple of the {n_heads} heads")));
    }
    let head_dim = d_model / n_heads;
    let d_ff = keys.size("n_inner")?.or(4 * d_model, 4 * d_model);
    if d_ff == 0 {
        return Err(wrong("n_inner", &Value::from(0), "at least 1, or null for 4 n_embd"));
    }
    Ok(ModelSpec {
        family: Family::Gpt2,
        vocab: keys.shape("vocab_size")?,
        d_model,
        n_layers,
        n_heads,
        n_kv: n_heads,
        head_dim,
        d_ff,
        max_pos: keys.shape("n_positions")?,
        norm: norm(keys, row)?,
        norm_place: row.place,
        qk_norm: row.qk_norm,
        qkv_bias: true,
        o_bias: true,
        mlp_bias: true,
        act: activation(keys, row)?,
        gated: false,
        rope: None,
        rope_in_f32: false,
        learned_pos: true,
        embed_scale: None,
        attn_scale: (head_dim as f64).powf(-0.5),
        attn_softcap: None,
        final_softcap: None,
        window: vec![None; n_layers],
        clip_qkv: None,
        moe: vec![None; n_layers],
        router_aux_coef: 0.0,
        tied: keys.flag("tie_word_embeddings", row.tied)?,
        dtype: dtype(keys)?,
        eos: keys.ids("eos_token_id")?,
        bos: keys.ids("bos_token_id")?.first().copied(),
        pad: keys.ids("pad_token_id")?.first().copied(),
        init_std: keys.positive("initializer_range")?.or(0.02, 0.02),
        extra: map.clone(),
        warnings: Vec::new(),
    })
}
