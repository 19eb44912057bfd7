//! `models inspect`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::json;

use crate::lm::{HookPoint, ModelSpec, MoeSpec, checkpoint_bytes, read_config};

pub(super) const EXAMPLE: &str = "Example:\n  ashlar models inspect ./Llama-3.2-1B --format json";

/// Flags of `inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Checkpoint folder: config.json and safetensors.
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

pub(super) fn run(args: &InspectArgs) -> Result<Answer, Failure> {
    let spec = read_config(&args.path)?;
    let bytes = checkpoint_bytes(&args.path)?;
    for warning in &spec.warnings {
        tracing::warn!("{}: {warning}", args.path.display());
    }
    let moe = spec.moe.iter().flatten().next();
    let sparse: Vec<usize> = (0..spec.n_layers).filter(|&l| spec.moe[l].is_some()).collect();
    let hooks: Vec<String> = HookPoint::all(&spec)
        .iter()
        // One line for all experts of a layer.
        .filter(|point| point.expert.is_none_or(|e| e == 0))
        .map(|point| point.to_string().replace(".experts.0.", ".experts.{e}."))
        .collect();
    let json = json!({
        "family": spec.family.model_type(),
        "params": spec.num_params(),
        "layers": spec.n_layers,
        "d_model": spec.d_model,
        "heads": spec.n_heads,
        "kv_heads": spec.n_kv,
        "head_dim": spec.head_dim,
        "d_ff": spec.d_ff,
        "vocab": spec.vocab,
        "max_positions": spec.max_pos,
        "dtype": spec.dtype,
        "bytes": bytes,
        "tied": spec.tied,
        "window": spec.window,
        "moe": moe.map(|moe| json!({
            "experts": moe.experts, "top_k": moe.top_k, "d_ff": moe.d_ff, "renorm": moe.renorm,
            "shared_d_ff": moe.shared, "layers": sparse,
        })),
        "hooks": hooks,
    });
    Ok(Answer::new(json, text(&spec, moe, sparse.len(), bytes, hooks.len())))
}

fn text(spec: &ModelSpec, moe: Option<&MoeSpec>, sparse: usize, bytes: u64, hooks: usize) -> String {
    let mut lines = vec![
        ("family", spec.family.model_type().to_owned()),
        ("parameters", spec.num_params().to_string()),
        ("layers", format!("{} of width {}", spec.n_layers, spec.d_model)),
        ("heads", format!("{} of size {}, {} for keys and values", spec.n_heads, spec.head_dim, spec.n_kv)),
        ("MLP", format!("width {}", spec.d_ff)),
    ];
    if let Some(moe) = moe {
        let shared = moe.shared.map_or_else(String::new, |width| format!(", a shared one of width {width}"));
        let of = format!("{} of {} a token, width {}{shared}, in {sparse} layers", moe.top_k, moe.experts, moe.d_ff);
        lines.push(("experts", of));
    }
    let mut windows: Vec<usize> = spec.window.iter().flatten().copied().collect();
    windows.dedup();
    if let Some(window) = windows.first() {
        let layers = spec.window.iter().flatten().count();
        lines.push(("window", format!("{window} in {layers} layers")));
    }
    lines.push(("vocabulary", format!("{}{}", spec.vocab, if spec.tied { ", head tied" } else { "" })));
    lines.push(("positions", spec.max_pos.to_string()));
    lines.push(("stored as", format!("{}, {bytes} bytes", spec.dtype.as_deref().unwrap_or("unknown dtype"))));
    lines.push(("hook points", format!("{hooks} (--format json lists them)")));
    lines.iter().map(|(key, value)| format!("{key:<12} {value}")).collect::<Vec<_>>().join("\n")
}
