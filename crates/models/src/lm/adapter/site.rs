//! What an adapter changes in a model: one site a module or parameter, with the names of its tensors.

use super::config::AdapterConfig;
use super::targets::ends_in;
use crate::{
    Error, Result,
    lm::{
        config::ModelSpec,
        names::{self, ParamKind},
    },
};

/// Where a low-rank change is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The projection of this name.
    Linear(String),
    /// The output head.
    Head,
    /// The token table.
    Embedding,
    /// All experts of a layer, their gate and up projections (as one, rows gate then up) or their down projections.
    Experts { layer: usize, gate_up: bool },
}

/// A module or parameter that an adapter may change.
struct Module {
    /// Its path in transformers 5.
    path: String,
    /// Where its tensors stand: the path, without the parameter's own name.
    key: String,
    place: Place,
    input: usize,
    output: usize,
    /// Copies in one tensor.
    experts: usize,
    /// Only transformers 4 has it as a module: routers and single experts.
    older: bool,
}

/// One low-rank change.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Path of its tensors, without `base_model.model.`.
    pub key: String,
    pub place: Place,
    pub r: usize,
    pub scale: f64,
    pub input: usize,
    pub output: usize,
    pub experts: usize,
    pub bias: bool,
    pub dora: bool,
}

/// Prefix of every tensor in PEFT's files.
pub(super) const PREFIX: &str = "base_model.model.";

impl Site {
    pub fn name(&self, suffix: &str) -> String {
        format!("{PREFIX}{}.{suffix}", self.key)
    }

    pub fn a(&self) -> String {
        self.name(if self.place == Place::Embedding { "lora_embedding_A" } else { "lora_A.weight" })
    }

    pub fn b(&self) -> String {
        self.name(if self.place == Place::Embedding { "lora_embedding_B" } else { "lora_B.weight" })
    }

    pub fn b_bias(&self) -> String {
        self.name("lora_B.bias")
    }

    pub fn magnitude(&self) -> String {
        self.name("lora_magnitude_vector")
    }

    /// Names and shapes of its tensors.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let rows = self.experts * self.r;
        let mut list = vec![(self.a(), vec![rows, self.input]), (self.b(), vec![self.output, rows])];
        if self.bias {
            list.push((self.b_bias(), vec![self.output]));
        }
        if self.dora {
            list.push((self.magnitude(), vec![self.output]));
        }
        list
    }
}

/// The sites of an adapter in a model.
///
/// `bare`: paths stand without the `model.` or `transformer.` that a head's wrapper adds. `has` says whether a file has a
/// tensor; modules that only transformers 4 knows take part where the file has theirs.
///
/// # Errors
/// Where nothing matches, a tied table would be changed, or a combination isn't defined.
pub(super) fn sites(
    spec: &ModelSpec,
    config: &AdapterConfig,
    bare: bool,
    has: impl Fn(&str) -> bool,
) -> Result<Vec<Site>> {
    let prefix = if bare { names::base_prefix(spec.family) } else { "" };
    let strip = |path: &str| path.strip_prefix(prefix).unwrap_or(path).to_owned();
    let site = |path: &str, key: String, module: &Module| {
        let (r, scale) = config.rank_and_scale(path);
        let embedding = module.place == Place::Embedding;
        Site {
            key,
            place: module.place.clone(),
            r,
            scale,
            input: module.input,
            output: module.output,
            experts: module.experts,
            bias: config.bias && !embedding,
            dora: config.dora,
        }
    };
    let mut sites = Vec::new();
    let modules = modules(spec);
    for module in &modules {
        let path = strip(&module.path);
        if !config.chooses(&path, matches!(module.place, Place::Linear(_))) {
            continue;
        }
        let site = site(&path, path.clone(), module);
        if module.older && !has(&site.a()) {
            continue;
        }
        if matches!(module.place, Place::Head | Place::Embedding) && spec.tied {
            return Err(Error::TiedTarget { module: path });
        }
        if module.place == Place::Embedding && (config.dora || config.bias || config.dropout > 0.0) {
            let key = if config.dora {
                "use_dora"
            } else if config.bias {
                "lora_bias"
            } else {
                "lora_dropout"
            };
            return Err(Error::Config {
                key: key.to_owned(),
                found: "on".to_owned(),
                expected: format!("off where the embedding {path} is a target"),
            });
        }
        sites.push(site);
    }
    let parameters = parameters(spec);
    let chosen = |path: &str| config.target_parameters.iter().any(|entry| ends_in(path, entry));
    for module in &parameters {
        if !chosen(&strip(&module.path)) {
            continue;
        }
        // Of two parameters of one module the first is wrapped first, and stands a level deeper.
        let deeper = matches!(module.place, Place::Experts { gate_up: true, .. })
            && parameters
                .iter()
                .any(|other| other.key == module.key && other.path != module.path && chosen(&strip(&other.path)));
        let key = format!("{}{}", strip(&module.key), if deeper { ".base_layer" } else { "" });
        sites.push(site(&strip(&module.path), key, module));
    }
    if sites.is_empty() {
        return Err(no_targets(config, &modules, &parameters));
    }
    Ok(sites)
}

fn no_targets(config: &AdapterConfig, modules: &[Module], parameters: &[Module]) -> Error {
    let mut available: Vec<String> = Vec::new();
    let last = |module: &Module| module.path.rsplit('.').next().unwrap_or_default().to_owned();
    let parameter = |module: &Module| module.path.splitn(4, '.').nth(3).unwrap_or_default().to_owned();
    for name in modules.iter().filter(|m| !m.older).map(last).chain(parameters.iter().map(parameter)) {
        if !available.contains(&name) {
            available.push(name);
        }
    }
    let shown =
        |key: &str| config.json.get(key).filter(|value| !value.is_null()).map(|value| format!("{key} = {value}"));
    let wanted: Vec<String> = ["target_modules", "exclude_modules", "layers_to_transform", "target_parameters"]
        .into_iter()
        .filter_map(shown)
        .collect();
    Error::NoTargets { wanted: wanted.join(", "), available }
}

/// Last segments of the paths of all projections but the head.
pub(super) fn linear_names(spec: &ModelSpec) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for module in modules(spec) {
        let name = module.path.rsplit('.').next().unwrap_or_default();
        if matches!(module.place, Place::Linear(_)) && !module.older && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Every module that can be a target, in the order of the forward pass.
fn modules(spec: &ModelSpec) -> Vec<Module> {
    let block = names::moe(spec.family).block;
    let router = format!(".{block}.gate");
    let mut list = Vec::new();
    for param in names::parameters(spec) {
        let Some(path) = param.name.strip_suffix(".weight").map(str::to_owned) else { continue };
        let [output, input] = param.shape[..] else { continue };
        let (place, input, output) = match param.kind {
            _ if path == "lm_head" => (Place::Head, input, output),
            ParamKind::Linear | ParamKind::ResidualOut => (Place::Linear(path.clone()), input, output),
            // A table is a projection of one-hot rows: A [r, V], B [d, r].
            ParamKind::Embedding if param.name == names::embedding(spec.family) => (Place::Embedding, output, input),
            _ => continue,
        };
        let sparse = spec.family.row().moe.is_some();
        let older = sparse && (path.contains(".experts.") || path.ends_with(&router));
        list.push(Module { key: path.clone(), path, place, input, output, experts: 1, older });
    }
    if spec.tied {
        let (input, output) = (spec.d_model, spec.vocab);
        let path = "lm_head".to_owned();
        list.push(Module { key: path.clone(), path, place: Place::Head, input, output, experts: 1, older: false });
    }
    list
}

/// The parameters of sparse layers that are no modules in transformers 5.
fn parameters(spec: &ModelSpec) -> Vec<Module> {
    let block = names::moe(spec.family).block;
    let mut list = Vec::new();
    for (layer, moe) in spec.moe.iter().enumerate() {
        let Some(moe) = moe else { continue };
        let at = names::layer(spec.family, layer);
        let (d, ff, experts) = (spec.d_model, moe.d_ff, moe.experts);
        let gate = format!("{at}mlp.gate");
        list.push(Module {
            path: format!("{gate}.weight"),
            key: gate,
            place: Place::Linear(format!("{at}{block}.gate")),
            input: d,
            output: experts,
            experts: 1,
            older: false,
        });
        for (name, gate_up, input, output) in [("gate_up_proj", true, d, 2 * ff), ("down_proj", false, ff, d)] {
            let key = format!("{at}mlp.experts");
            let path = format!("{key}.{name}");
            list.push(Module {
                path,
                key,
                place: Place::Experts { layer, gate_up },
                input,
                output,
                experts,
                older: false,
            });
        }
    }
    list
}
