//! Models from scratch: specifications of small models of every family, and their fresh weights.
//!
//! Matrices and tables are drawn from N(0, `init_std`²), norms start at 1 (Gemma's, which multiply by 1 + w, at 0) and
//! biases at 0; GPT-2 scales the projections that write into the residual stream by 1/√(2L). Each parameter has a random
//! stream of its own, named after it, so that its values depend on nothing but seed, name and shape.

use std::str::FromStr;

use ashlar_kernels::rng::stream;
use candle_core::{DType, Device, Tensor};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    config::ModelSpec,
    family::{Family, NormKind, RmsWeight},
    load::Params,
    model::Model,
    names::{self, ParamInfo, ParamKind},
};
use crate::{Error, Result};

/// How fresh weights are drawn.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Whether projections into the residual stream are scaled by 1/√(2L); `None`: as the family does (GPT-2 only).
    pub scale_residual: Option<bool>,
    /// dtype of the weights.
    pub dtype: DType,
    /// Where they are.
    pub device: Device,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { scale_residual: None, dtype: DType::F32, device: Device::Cpu }
    }
}

impl Model {
    /// A model with fresh f32 weights on the CPU.
    ///
    /// # Errors
    /// Where candle can't allocate.
    pub fn init(spec: ModelSpec, seed: u64) -> Result<Self> {
        Self::init_with(spec, seed, &InitOptions::default())
    }

    /// [`init`](Self::init) with options.
    ///
    /// # Errors
    /// As there.
    pub fn init_with(spec: ModelSpec, seed: u64, options: &InitOptions) -> Result<Self> {
        let scale = options.scale_residual.unwrap_or(spec.family == Family::Gpt2);
        let residual = if scale { (2.0 * spec.n_layers as f64).powf(-0.5) } else { 1.0 };
        let params: Result<Params> = names::parameters(&spec)
            .into_iter()
            .map(|param| {
                let values = fresh(&param, &spec, seed, residual);
                let tensor = Tensor::from_vec(values, param.shape, &options.device)?.to_dtype(options.dtype)?;
                Ok((param.name, tensor))
            })
            .collect();
        Self::from_params(spec, params?)
    }
}

fn fresh(param: &ParamInfo, spec: &ModelSpec, seed: u64, residual: f64) -> Vec<f32> {
    let count = param.shape.iter().product();
    let std = match param.kind {
        ParamKind::Bias => return vec![0.0; count],
        ParamKind::Norm => {
            let plus_one = matches!(spec.norm, NormKind::Rms { weight: RmsWeight::PlusOne, .. });
            return vec![if plus_one { 0.0 } else { 1.0 }; count];
        }
        ParamKind::Embedding | ParamKind::Linear => spec.init_std,
        ParamKind::ResidualOut => spec.init_std * residual,
    };
    let mut rng = stream(seed, &["init", &param.name]);
    (0..count).map(|_| (std * rng.sample::<f64, _>(StandardNormal)) as f32).collect()
}

/// The shape of a model to be made: the table `[model.init]`.
///
/// What is left out follows from the rest: a head per key, the width of the MLP ⅔ · 4 d cut to a multiple of 64 (4 d in
/// GPT-2), 8 experts of that width of which a token takes 2.
///
/// ```
/// use ashlar_models::lm::{Family, InitSpec};
///
/// let base: InitSpec = "base:llama".parse()?;
/// assert_eq!((base.layers, base.d_model, base.heads), (4, 128, 4));
/// assert_eq!(base.spec(65)?.num_params(), 771_456);
/// assert_eq!("tiny:gemma2:3x64x2".parse::<InitSpec>()?, InitSpec::new(Family::Gemma2, 3, 64, 2));
/// # Ok::<(), ashlar_models::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InitSpec {
    /// Family, by its `model_type`.
    pub family: Family,
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads; divides `d_model`.
    pub heads: usize,
    /// Key and value heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of the MLP, or of one expert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_ff: Option<usize>,
    /// Tokens; left out, the tokenizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab: Option<usize>,
    /// Longest sequence (default 512).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pos: Option<usize>,
    /// Experts a layer, of families that have them (default 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<usize>,
    /// Experts a token (default 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Weight of the load-balancing loss (default: the family's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_aux_coef: Option<f64>,
    /// Seed of the weights (default: the run's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Layers, width and heads by size.
const SIZES: &[(&str, [usize; 3])] = &[("tiny", [2, 128, 4]), ("base", [4, 128, 4]), ("small", [4, 192, 6])];

impl InitSpec {
    /// A model of a family with `layers` blocks of width `d_model` and `heads` heads.
    pub fn new(family: Family, layers: usize, d_model: usize, heads: usize) -> Self {
        Self {
            family,
            layers,
            d_model,
            heads,
            kv_heads: None,
            d_ff: None,
            vocab: None,
            max_pos: None,
            experts: None,
            top_k: None,
            router_aux_coef: None,
            seed: None,
        }
    }

    /// The specification for `vocab` tokens (this table's own `vocab` must not be smaller).
    ///
    /// # Errors
    /// As [`ModelSpec::from_hf`], for numbers that don't go together.
    pub fn spec(&self, vocab: usize) -> Result<ModelSpec> {
        let vocab = match self.vocab {
            Some(own) if own < vocab => {
                let expected = format!("at least the {vocab} tokens of the tokenizer");
                return Err(Error::Setting { name: "vocab", found: own.to_string(), expected });
            }
            Some(own) => own,
            None => vocab,
        };
        ModelSpec::from_hf(&self.config(vocab)?)
    }

    /// `config.json`.
    fn config(&self, vocab: usize) -> Result<Value> {
        let (d, heads) = (self.d_model, self.heads);
        if heads == 0 || !d.is_multiple_of(heads) {
            let expected = format!("a divisor of the width, {d}");
            return Err(Error::Setting { name: "heads", found: heads.to_string(), expected });
        }
        let max_pos = self.max_pos.unwrap_or(512);
        if self.family == Family::Gpt2 {
            self.refuse("kv_heads", self.kv_heads)?;
            self.refuse("experts", self.experts)?;
            self.refuse("top_k", self.top_k)?;
            return Ok(json!({
                "model_type": "gpt2", "vocab_size": vocab, "n_embd": d, "n_layer": self.layers, "n_head": heads,
                "n_inner": self.d_ff, "n_positions": max_pos, "tie_word_embeddings": true,
            }));
        }
        let d_ff = self.d_ff.unwrap_or_else(|| two_thirds(d));
        let mut config = json!({
            "model_type": self.family.model_type(), "vocab_size": vocab, "hidden_size": d, "head_dim": d / heads,
            "num_hidden_layers": self.layers, "num_attention_heads": heads,
            "num_key_value_heads": self.kv_heads.unwrap_or(heads), "intermediate_size": d_ff,
            "max_position_embeddings": max_pos, "tie_word_embeddings": self.family == Family::Gemma2,
        });
        let mut set = |key: &str, value: Value| config[key] = value;
        match self.family {
            Family::Gemma2 => set("query_pre_attn_scalar", json!(d / heads)),
            Family::Mistral | Family::Mixtral => set("sliding_window", Value::Null),
            _ => {}
        }
        if self.family.row().moe.is_none() {
            self.refuse("experts", self.experts)?;
            self.refuse("top_k", self.top_k)?;
            return Ok(config);
        }
        let experts = self.experts.unwrap_or(8);
        set(if self.family == Family::Mixtral { "num_local_experts" } else { "num_experts" }, json!(experts));
        set("num_experts_per_tok", json!(self.top_k.unwrap_or(2.min(experts))));
        if let Some(coef) = self.router_aux_coef {
            set("router_aux_loss_coef", json!(coef));
        }
        if matches!(self.family, Family::Qwen2Moe | Family::Qwen3Moe) {
            set("moe_intermediate_size", json!(d_ff));
            set("norm_topk_prob", json!(true));
        }
        if self.family == Family::Qwen2Moe {
            set("shared_expert_intermediate_size", json!(d_ff));
        }
        Ok(config)
    }

    fn refuse(&self, name: &'static str, value: Option<usize>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let expected = format!("left out: {} has no such thing", self.family.model_type());
        Err(Error::Setting { name, found: value.to_string(), expected })
    }
}

/// ⅔ of 4 d, the width at which a gated MLP has the parameters of a plain one, cut to a multiple of 64.
fn two_thirds(d: usize) -> usize {
    let full = d.saturating_mul(8) / 3;
    if full >= 64 { full / 64 * 64 } else { full.max(1) }
}

impl FromStr for InitSpec {
    type Err = Error;

    /// `SIZE:FAMILY` with SIZE tiny (2×128, 4 heads), base (4×128, 4) or small (4×192, 6), or `SIZE:FAMILY:LxDxH`;
    /// `tiny:moe` is a mixtral of 2×96 with 4 heads.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let wrong = |expected: String| Error::Setting { name: "init", found: text.to_owned(), expected };
        let form = || wrong("SIZE:FAMILY or tiny:FAMILY:LxDxH, for instance tiny:llama:2x128x4".to_owned());
        let (size, family, shape) = match parts.as_slice() {
            [size, family] => (*size, *family, None),
            [size, family, shape] => (*size, *family, Some(*shape)),
            _ => return Err(form()),
        };
        let known = SIZES.iter().find(|(name, _)| *name == size);
        let mut dims = known.ok_or_else(|| wrong("a size tiny, base or small before the first colon".to_owned()))?.1;
        if family == "moe" && size == "tiny" {
            dims = [2, 96, 4];
        }
        if let Some(shape) = shape {
            let numbers: Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
            dims = numbers.ok().and_then(|n| n.try_into().ok()).ok_or_else(form)?;
        }
        let name = if family == "moe" { "mixtral" } else { family };
        let family = Family::find(name)
            .ok_or_else(|| wrong(format!("a family: {}, moe (mixtral)", Family::model_types().join(", "))))?;
        let [layers, d_model, heads] = dims;
        Ok(Self::new(family, layers, d_model, heads))
    }
}

impl ModelSpec {
    /// A small model of a family: `layers` blocks of width `d` with `heads` heads, over `vocab` tokens.
    ///
    /// # Errors
    /// For numbers that don't go together.
    pub fn tiny(family: Family, layers: usize, d: usize, heads: usize, vocab: usize) -> Result<Self> {
        InitSpec::new(family, layers, d, heads).spec(vocab)
    }
}
