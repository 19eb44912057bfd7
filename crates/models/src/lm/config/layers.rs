//! What differs from layer to layer: sliding windows and experts.

use serde_json::Value;

use super::keys::{Key, Keys, wrong};
use crate::{
    Error, Result,
    lm::family::{FamilyRow, WindowRule},
};

/// Experts of a sparse layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoeSpec {
    /// Experts, E.
    pub experts: usize,
    /// Experts a token, k.
    pub top_k: usize,
    /// Width of an expert.
    pub d_ff: usize,
    /// Whether the k weights are divided by their sum.
    pub renorm: bool,
    /// Width of the shared expert, where there is one.
    pub shared: Option<usize>,
}

/// One window a layer.
pub(super) fn windows(keys: &Keys, row: &FamilyRow, n_layers: usize) -> Result<Vec<Option<usize>>> {
    let all = |window: Option<usize>| Ok(vec![window; n_layers]);
    // transformers 5 writes 0 for none.
    let size = |absent: Option<usize>| -> Result<Option<usize>> {
        Ok(match keys.size("sliding_window")? {
            Key::Is(0) | Key::Null => None,
            Key::Is(n) => Some(n),
            Key::Absent => absent,
        })
    };
    let used = || keys.flag("use_sliding_window", false);
    let window = match row.window {
        WindowRule::Never => return all(None),
        WindowRule::All { absent } => return all(size(absent)?),
        WindowRule::AllIfUsed => return all(if used()? { size(Some(4096))? } else { None }),
        WindowRule::Even => size(Some(4096))?,
        WindowRule::FromMaxWindowLayers | WindowRule::EvenBelowMaxWindowLayers => {
            if used()? {
                size(Some(4096))?
            } else {
                None
            }
        }
    };
    let max = keys.size("max_window_layers")?.or(28, 28);
    let slides: Vec<bool> = match layer_types(keys, n_layers)? {
        Some(types) => types,
        None => (0..n_layers)
            .map(|i| match row.window {
                WindowRule::Even => i % 2 == 0,
                WindowRule::EvenBelowMaxWindowLayers => i % 2 == 0 && i < max,
                _ => i >= max,
            })
            .collect(),
    };
    Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
}

/// `layer_types`, where it is given: whether each layer slides.
fn layer_types(keys: &Keys, n_layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(list) = keys.list("layer_types")? else { return Ok(None) };
    if list.len() != n_layers {
        let found = Value::from(list.len());
        return Err(wrong("layer_types (its length)", &found, format!("one entry for each of the {n_layers} layers")));
    }
    let slides = |value: &Value| match value.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(wrong("layer_types", value, "sliding_attention or full_attention")),
    };
    list.iter().map(slides).collect::<Result<_>>().map(Some)
}

/// One set of experts a layer, `None` where the layer is dense.
pub(super) fn experts(
    keys: &Keys,
    row: &FamilyRow,
    n_layers: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<Option<MoeSpec>>> {
    let Some(rule) = row.moe else { return Ok(vec![None; n_layers]) };
    let experts = match (keys.size("num_local_experts")?.ok(), keys.size("num_experts")?.ok()) {
        (Some(a), Some(b)) if a != b => {
            warnings.push(format!("num_local_experts = {a} and num_experts = {b} disagree: taking {a}"));
            a
        }
        (Some(n), _) | (None, Some(n)) => n,
        (None, None) => return Err(Error::ConfigMissing { key: "num_local_experts" }),
    };
    if experts == 0 {
        if rule.sparse_step {
            return Ok(vec![None; n_layers]);
        }
        return Err(wrong("num_local_experts", &Value::from(0), "at least 1"));
    }
    if experts > 10_000 || experts * n_layers > 1_000_000 {
        return Err(wrong("num_local_experts", &Value::from(experts), "at most 10000 a layer and a million in all"));
    }
    let top_k = keys.size("num_experts_per_tok")?.or(rule.top_k, rule.top_k);
    if top_k == 0 || top_k > experts {
        return Err(wrong("num_experts_per_tok", &Value::from(top_k), format!("from 1 to the {experts} experts")));
    }
    let spec = MoeSpec {
        experts,
        top_k,
        d_ff: keys.shape(rule.width_key)?,
        renorm: rule.renorm_always || keys.flag("norm_topk_prob", false)?,
        shared: if rule.shared { Some(keys.shape("shared_expert_intermediate_size")?) } else { None },
    };
    let step = if rule.sparse_step { keys.size("decoder_sparse_step")?.or(1, 1) } else { 1 };
    if step == 0 {
        return Err(wrong("decoder_sparse_step", &Value::from(0), "at least 1"));
    }
    let dense: Vec<u64> = match keys.list("mlp_only_layers")? {
        Some(list) if rule.sparse_step => list
            .iter()
            .map(|value| value.as_u64().ok_or_else(|| wrong("mlp_only_layers", value, "a list of layer numbers")))
            .collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    Ok((0..n_layers).map(|i| Some(spec).filter(|_| (i + 1) % step == 0 && !dense.contains(&(i as u64)))).collect())
}
