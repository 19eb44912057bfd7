//! `adapter_config.json`, as PEFT writes and reads it.
//!
//! Keys that nobody here knows are kept and written back. Those that change the forward pass, and that this crate can't
//! follow, are refused by name, and so is an unknown switch (`use_…`, `…_config`) that is on.

use serde_json::{Map, Value, json};

use super::targets::{Layers, Matcher, PatternMap, Targets, strings};
use crate::{
    Error, Result,
    lm::config::keys::{Keys, wrong},
};

/// A low-rank adapter to be made: the table `[lora]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSpec {
    /// Rank of A `[r, in]` and B `[out, r]`.
    pub r: usize,
    /// α: the change is α/r · B A, or α/√r · B A.
    pub alpha: f64,
    /// Modules that are changed.
    pub targets: Targets,
    /// Modules that are not, though `targets` names them.
    pub exclude: Option<Targets>,
    /// Layers that are changed; `None`: all. Only with a list of targets.
    pub layers: Option<Vec<usize>>,
    /// Parameters that are changed beside the modules: `mlp.experts.gate_up_proj`, `mlp.experts.down_proj`,
    /// `mlp.gate.weight`.
    pub target_parameters: Vec<String>,
    /// Rank by regular expressions of a path's end, the first that matches.
    pub rank_pattern: Vec<(String, usize)>,
    /// α by regular expressions of a path's end, the first that matches.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Probability with which an input of A is dropped in training.
    pub dropout: f64,
    /// Scale α/√r (rsLoRA).
    pub rs: bool,
    /// Directions and magnitudes apart (DoRA).
    pub dora: bool,
    /// A bias beside B.
    pub bias: bool,
    /// Whether A keeps its random values (LoRA-FA, LoRI).
    pub freeze_a: bool,
    /// How A begins.
    pub init: InitA,
}

/// How A begins; B begins at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitA {
    /// U(−1/√in, 1/√in), which is Kaiming-uniform with a = √5.
    #[default]
    Uniform,
    /// N(0, 1/r²).
    Gaussian,
}

impl Default for AdapterSpec {
    /// r = 16, α = 32, all projections, no dropout.
    fn default() -> Self {
        Self {
            r: 16,
            alpha: 32.0,
            targets: Targets::AllLinear,
            exclude: None,
            layers: None,
            target_parameters: Vec::new(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            dropout: 0.0,
            rs: false,
            dora: false,
            bias: false,
            freeze_a: false,
            init: InitA::Uniform,
        }
    }
}

impl AdapterSpec {
    /// The keys that PEFT needs; `base` names the model, `conv1d` says that its projections are stored as `[in, out]`.
    pub(super) fn to_json(&self, base: Option<&str>, conv1d: bool) -> Map<String, Value> {
        let pattern = |list: Vec<(String, Value)>| Value::Object(list.into_iter().collect());
        let ranks = self.rank_pattern.iter().map(|(key, r)| (key.clone(), (*r).into())).collect();
        let alphas = self.alpha_pattern.iter().map(|(key, alpha)| (key.clone(), number(*alpha))).collect();
        let json = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "revision": null,
            "inference_mode": true,
            "r": self.r,
            "lora_alpha": number(self.alpha),
            "lora_dropout": self.dropout,
            "target_modules": self.targets.to_json(),
            "exclude_modules": self.exclude.as_ref().map(Targets::to_json),
            "bias": "none",
            "fan_in_fan_out": conv1d,
            "use_rslora": self.rs,
            "use_dora": self.dora,
            "init_lora_weights": match self.init {
                InitA::Uniform => Value::from(true),
                InitA::Gaussian => "gaussian".into(),
            },
            "modules_to_save": null,
            "rank_pattern": pattern(ranks),
            "alpha_pattern": pattern(alphas),
            "layers_to_transform": self.layers,
            "layers_pattern": null,
            "lora_bias": self.bias,
            "peft_version": "0.21.2",
        });
        let Value::Object(mut json) = json else { return Map::new() };
        if !self.target_parameters.is_empty() {
            json.insert("target_parameters".to_owned(), self.target_parameters.as_slice().into());
        }
        json
    }
}

/// PEFT types α as an integer.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { Value::from(x as i64) } else { x.into() }
}

/// What `adapter_config.json` says.
#[derive(Clone, Debug)]
pub(super) struct AdapterConfig {
    pub r: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub rs: bool,
    pub dora: bool,
    pub bias: bool,
    pub targets: Option<Matcher>,
    pub exclude: Option<Matcher>,
    pub layers: Option<Layers>,
    pub target_parameters: Vec<String>,
    pub rank_pattern: PatternMap<usize>,
    pub alpha_pattern: PatternMap<f64>,
    /// The file, written back on save.
    pub json: Map<String, Value>,
}

/// Keys that change what is computed, in ways this crate doesn't follow.
const UNSUPPORTED: &[&str] = &[
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "modules_to_save",
    "monteclora_config",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
    "ensure_weight_tying",
];

/// Switches that are followed, or that change training or loading only.
const HARMLESS: &[&str] = &[
    "use_rslora",
    "use_dora",
    "runtime_config",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "megatron_config",
];

/// Ways to begin that leave the base model as it is.
const PLAIN_INITS: &[&str] = &["gaussian", "orthogonal", "eva"];

impl AdapterConfig {
    pub fn read(json: &Value) -> Result<Self> {
        let map = json.as_object().ok_or_else(|| wrong("adapter_config.json", json, "a JSON object"))?;
        let keys = Keys(map);
        let kind = keys.text("peft_type")?.ok().ok_or(Error::ConfigMissing { key: "peft_type" })?;
        if !kind.eq_ignore_ascii_case("LORA") {
            return Err(wrong("peft_type", &kind.into(), unknown_kind(&keys, kind)));
        }
        refuse_unsupported(&keys)?;
        let rank = |keys: &Keys, key: &str| match keys.size(key)?.ok() {
            Some(r) if r > 0 => Ok(r),
            Some(r) => Err(wrong(key, &r.into(), "a rank of at least 1")),
            None => Err(Error::ConfigMissing { key: "r" }),
        };
        let alpha =
            |keys: &Keys, key: &str| keys.number(key)?.ok().ok_or_else(|| wrong(key, &keys.0[key], "a finite number"));
        let targets = Targets::read(&keys, "target_modules")?;
        let layers = Layers::read(&keys)?;
        if layers.is_some() && !matches!(targets, Some(Targets::List(_))) {
            let expected = "null, unless target_modules is a list (a string says the layers itself)";
            return Err(wrong("layers_to_transform", &map["layers_to_transform"], expected));
        }
        let dropout = keys.number("lora_dropout")?.or(0.0, 0.0);
        if !(0.0..1.0).contains(&dropout) {
            return Err(wrong("lora_dropout", &dropout.into(), "at least 0 and below 1"));
        }
        let config = Self {
            r: rank(&keys, "r")?,
            alpha: if map.contains_key("lora_alpha") {
                alpha(&keys, "lora_alpha")?
            } else {
                return Err(Error::ConfigMissing { key: "lora_alpha" });
            },
            dropout,
            rs: keys.flag("use_rslora", false)?,
            dora: keys.flag("use_dora", false)?,
            bias: keys.flag("lora_bias", false)?,
            targets: targets.map(|targets| targets.compile("target_modules")).transpose()?,
            exclude: Targets::read(&keys, "exclude_modules")?
                .map(|targets| targets.compile("exclude_modules"))
                .transpose()?,
            layers,
            target_parameters: strings(&keys, "target_parameters")?,
            rank_pattern: PatternMap::read(&keys, "rank_pattern", rank)?,
            alpha_pattern: PatternMap::read(&keys, "alpha_pattern", alpha)?,
            json: map.clone(),
        };
        if config.bias && config.dora {
            return Err(wrong("lora_bias", &true.into(), "false where use_dora is true"));
        }
        if !config.target_parameters.is_empty() {
            for (key, on) in [("lora_dropout", dropout > 0.0), ("use_dora", config.dora), ("lora_bias", config.bias)] {
                if on {
                    return Err(wrong(key, &map[key], "0 or false where target_parameters names parameters"));
                }
            }
        }
        Ok(config)
    }

    /// Whether a module takes part; `linear` says that it is a projection other than the head.
    pub fn chooses(&self, path: &str, linear: bool) -> bool {
        let excluded = self.exclude.as_ref().is_some_and(|exclude| exclude.matches(path, linear));
        !excluded
            && self.targets.as_ref().is_some_and(|targets| targets.matches(path, linear))
            && self.layers.as_ref().is_none_or(|layers| layers.holds(path))
    }

    /// Rank and scale of a module or parameter.
    pub fn rank_and_scale(&self, path: &str) -> (usize, f64) {
        let r = self.rank_pattern.get(path).unwrap_or(self.r);
        let alpha = self.alpha_pattern.get(path).unwrap_or(self.alpha);
        (r, if self.rs { alpha / (r as f64).sqrt() } else { alpha / r as f64 })
    }
}

fn unknown_kind(keys: &Keys, kind: &str) -> String {
    let saved = keys.0.get("save_projection").and_then(Value::as_bool);
    if kind.eq_ignore_ascii_case("VERA") && saved == Some(false) {
        return "LORA; this VeRA adapter was saved without its projections, which only torch's generator makes again: \
                load it in PEFT and save it with save_projection=True"
            .to_owned();
    }
    "LORA (with use_rslora, use_dora): other adapters are not read".to_owned()
}

fn refuse_unsupported(keys: &Keys) -> Result<()> {
    let off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    for (key, value) in keys.0 {
        let unknown_switch = (key.starts_with("use_") || key.ends_with("_config")) && !HARMLESS.contains(&key.as_str());
        if (unknown_switch || UNSUPPORTED.contains(&key.as_str())) && !off(value) {
            return Err(wrong(key, value, "null or false: it changes the forward pass in a way that is not supported"));
        }
    }
    let bias = keys.text("bias")?.or("none", "none");
    if bias != "none" {
        return Err(wrong("bias", &bias.into(), "none: trained biases of the base model are not read"));
    }
    match keys.0.get("init_lora_weights") {
        None | Some(Value::Null | Value::Bool(_)) => Ok(()),
        Some(Value::String(name)) if PLAIN_INITS.contains(&name.as_str()) => Ok(()),
        Some(other) => Err(wrong(
            "init_lora_weights",
            other,
            "true, false, gaussian, orthogonal or eva: others change the base model's weights; in PEFT, save such an \
             adapter with path_initial_model_for_weight_conversion",
        )),
    }
}
