//! [`ModelSpec`] as a `config.json`.
//!
//! A model that was loaded gets its own file back, with the keys that changed; one built in code, or changed since it was
//! loaded, a complete file. Both speak both dialects (`rope_theta` and `rope_scaling` beside `rope_parameters`,
//! `torch_dtype` beside `dtype`), so that transformers 4 and 5 read them alike. Whatever is written has been read back first: a specification
//! that no file of its family can say is refused.

use serde_json::{Map, Value, json};

use super::{ACTIVATIONS, ModelSpec, RopeScaling, RopeSpec};
use crate::{
    Error, Result,
    lm::family::{BiasRule, Family, FamilyRow, NormKind, WindowRule},
};

impl ModelSpec {
    /// A `config.json` that [`from_hf`](Self::from_hf) reads as this model, its weights stored as `dtype` (torch's name).
    ///
    /// # Errors
    /// Where the family's file can't say it: a window on the odd layers of a mistral, for instance.
    pub fn to_hf(&self, dtype: &str) -> Result<Value> {
        let mut config = self.extra.clone();
        config.insert("tie_word_embeddings".to_owned(), self.tied.into());
        for key in ["dtype", "torch_dtype"] {
            config.insert(key.to_owned(), dtype.into());
        }
        for (key, value) in self.dialects() {
            config.entry(key).or_insert(value);
        }
        let unchanged = Value::Object(config.clone());
        if self.is_said_by(&unchanged) {
            return Ok(unchanged);
        }
        let Value::Object(complete) = self.complete() else { return Err(self.unsayable()) };
        config.extend(complete);
        let complete = Value::Object(config);
        if self.is_said_by(&complete) { Ok(complete) } else { Err(self.unsayable()) }
    }

    /// The keys that one major version of transformers writes and the other reads.
    fn dialects(&self) -> Map<String, Value> {
        let mut keys = Map::new();
        if let Some(Value::Object(rope)) = self.rope.as_ref().map(rope) {
            keys.extend(rope);
        }
        if let (Family::Qwen3Moe, Some(moe)) = (self.family, self.moe.iter().flatten().next()) {
            keys.extend(QWEN3_EXPERTS.iter().map(|&name| (name.to_owned(), moe.experts.into())));
        }
        keys
    }

    fn unsayable(&self) -> Error {
        Error::NoConfig { family: self.family.model_type() }
    }

    /// Whether a file means this model.
    fn is_said_by(&self, config: &Value) -> bool {
        let bare = |spec: &Self| Self { extra: Map::new(), warnings: Vec::new(), dtype: None, ..spec.clone() };
        Self::from_hf(config).is_ok_and(|read| bare(&read) == bare(self))
    }

    /// Every key that the family's readers look at.
    fn complete(&self) -> Value {
        let row = self.family.row();
        let act = if ACTIVATIONS.contains(&(row.act.1, self.act)) {
            row.act.1
        } else {
            ACTIVATIONS.iter().find(|(_, act)| *act == self.act).map_or("", |(name, _)| *name)
        };
        let mut config = json!({
            "architectures": [architecture(self.family)],
            "model_type": self.family.model_type(),
            "vocab_size": self.vocab,
            "initializer_range": self.init_std,
            "bos_token_id": self.bos,
            "eos_token_id": one_or_list(&self.eos),
            "pad_token_id": self.pad,
            row.act.0: act,
        });
        let (NormKind::Rms { eps, .. } | NormKind::Layer { eps, .. }) = self.norm;
        if let Some(key) = row.eps_key {
            config[key] = eps.into();
        }
        let more = if self.family == Family::Gpt2 { self.learned() } else { self.rotary(row) };
        for part in [more, self.windows(row), self.experts(row), self.rope.as_ref().map_or(Value::Null, rope)] {
            let (Value::Object(config), Value::Object(part)) = (&mut config, part) else { continue };
            config.extend(part);
        }
        config
    }

    fn learned(&self) -> Value {
        json!({
            "n_embd": self.d_model,
            "n_layer": self.n_layers,
            "n_head": self.n_heads,
            "n_positions": self.max_pos,
            "n_inner": self.d_ff,
            "scale_attn_weights": true,
        })
    }

    fn rotary(&self, row: &FamilyRow) -> Value {
        let mut config = json!({
            "hidden_size": self.d_model,
            "intermediate_size": self.d_ff,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_pos,
        });
        match row.bias {
            BiasRule::Key => config["attention_bias"] = self.qkv_bias.into(),
            BiasRule::QkvKey => config["qkv_bias"] = self.qkv_bias.into(),
            BiasRule::Never | BiasRule::Qkv | BiasRule::Always => {}
        }
        if self.family == Family::Llama {
            config["mlp_bias"] = self.mlp_bias.into();
        }
        if row.clip_qkv {
            config["clip_qkv"] = self.clip_qkv.into();
        }
        if self.family == Family::Gemma2 {
            config["query_pre_attn_scalar"] = whole(self.attn_scale.powi(-2));
            config["attn_logit_softcapping"] = self.attn_softcap.into();
            config["final_logit_softcapping"] = self.final_softcap.into();
        }
        config
    }

    fn windows(&self, row: &FamilyRow) -> Value {
        let size = self.window.iter().flatten().next();
        let listed = || {
            let name = |window: &Option<usize>| if window.is_some() { "sliding_attention" } else { "full_attention" };
            self.window.iter().map(name).collect::<Vec<_>>()
        };
        match row.window {
            WindowRule::Never => Value::Null,
            WindowRule::All { .. } => json!({ "sliding_window": size }),
            WindowRule::AllIfUsed => json!({ "use_sliding_window": size.is_some(), "sliding_window": size }),
            WindowRule::Even => json!({ "sliding_window": size.copied().unwrap_or(4096), "layer_types": listed() }),
            WindowRule::FromMaxWindowLayers | WindowRule::EvenBelowMaxWindowLayers => {
                let first = self.window.iter().position(Option::is_some).unwrap_or(self.n_layers);
                let last = self.window.iter().rposition(Option::is_some).map_or(0, |l| l + 1);
                let from = row.window == WindowRule::FromMaxWindowLayers;
                json!({
                    "use_sliding_window": size.is_some(),
                    "sliding_window": size,
                    "max_window_layers": if from { first } else { last },
                    "layer_types": listed(),
                })
            }
        }
    }

    fn experts(&self, row: &FamilyRow) -> Value {
        let Some(rule) = row.moe else { return Value::Null };
        let moe = self.moe.iter().flatten().next();
        let names: &[&str] = match self.family {
            Family::Mixtral => &["num_local_experts"],
            Family::Qwen3Moe => QWEN3_EXPERTS,
            _ => &["num_experts"],
        };
        let mut config = json!({ "router_aux_loss_coef": self.router_aux_coef });
        for &name in names {
            config[name] = moe.map_or(0, |moe| moe.experts).into();
        }
        let Some(moe) = moe else { return config };
        config["num_experts_per_tok"] = moe.top_k.into();
        config[rule.width_key] = moe.d_ff.into();
        if !rule.renorm_always {
            config["norm_topk_prob"] = moe.renorm.into();
        }
        if let Some(width) = moe.shared {
            config["shared_expert_intermediate_size"] = width.into();
        }
        if rule.sparse_step {
            let dense: Vec<usize> = (0..self.n_layers).filter(|&l| self.moe[l].is_none()).collect();
            config["decoder_sparse_step"] = 1.into();
            config["mlp_only_layers"] = dense.into();
        }
        config
    }
}

/// What transformers 4 and 5 call the number of qwen3_moe's experts; the other families have one name.
const QWEN3_EXPERTS: &[&str] = &["num_experts", "num_local_experts"];

/// Both dialects; the older one's null says that the newer one holds.
fn rope(rope: &RopeSpec) -> Value {
    let scaling = match rope.scaling {
        RopeScaling::Default => Value::Null,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor, "original_max_position_embeddings": whole(original),
        }),
    };
    let mut parameters = scaling.clone();
    if parameters.is_null() {
        parameters = json!({ "rope_type": "default" });
    }
    parameters["rope_theta"] = rope.theta.into();
    json!({ "rope_theta": rope.theta, "rope_scaling": scaling, "rope_parameters": parameters })
}

/// A number as an integer where a rounding away from one: readers check the type.
fn whole(x: f64) -> Value {
    let n = x.round();
    if (x - n).abs() <= 1e-9 * n && n < 1e15 { Value::from(n as u64) } else { x.into() }
}

fn one_or_list(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [id] => (*id).into(),
        ids => ids.into(),
    }
}

/// The class that transformers loads.
fn architecture(family: Family) -> &'static str {
    match family {
        Family::Llama => "LlamaForCausalLM",
        Family::Mistral => "MistralForCausalLM",
        Family::Qwen2 => "Qwen2ForCausalLM",
        Family::Qwen3 => "Qwen3ForCausalLM",
        Family::Gemma2 => "Gemma2ForCausalLM",
        Family::Olmo => "OlmoForCausalLM",
        Family::Olmo2 => "Olmo2ForCausalLM",
        Family::Gpt2 => "GPT2LMHeadModel",
        Family::Mixtral => "MixtralForCausalLM",
        Family::Qwen2Moe => "Qwen2MoeForCausalLM",
        Family::Qwen3Moe => "Qwen3MoeForCausalLM",
        Family::Olmoe => "OlmoeForCausalLM",
    }
}
