//! `topk`.

use std::{path::PathBuf, time::Instant};

use ashlar_cli::{Answer, Failure, write_file};
use clap::Args;
use serde_json::json;

use super::parse_count;
use crate::{
    files,
    topk::{Count, TopK},
};

/// Selects the k largest magnitudes: ties keep the lowest index, NaN ranks above infinity.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  ashlar-kernels topk --input grads.safetensors --tensor g -k 1% --zero-source --out top.safetensors"
)]
pub(super) struct TopkArgs {
    /// Safetensors file to read.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Name of the f32 tensor.
    #[arg(long, value_name = "NAME")]
    tensor: String,
    /// How many: a count, or a share with %.
    #[arg(short, value_name = "K", value_parser = parse_count, allow_hyphen_values = true)]
    k: Count,
    /// Also write the tensor with the selected elements zeroed, as `residual`.
    #[arg(long)]
    zero_source: bool,
    /// Safetensors file to write: `idx` (u32) and `val` (f32).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &TopkArgs) -> Result<Answer, Failure> {
    let mut tensor = files::read_tensor(&args.input, &args.tensor)?;
    let start = Instant::now();
    let topk = TopK::new(args.k);
    let found = if args.zero_source { topk.select_and_zero(&mut tensor.values) } else { topk.select(&tensor.values) };
    let (top, stats) = found.map_err(|error| error.of(&args.tensor))?;
    let wall_s = start.elapsed().as_secs_f64();
    if let Some(out) = &args.out {
        write_file(out, &files::sparse_bytes(&top, args.zero_source.then_some(&tensor))?)?;
    }
    let gb_per_s = 4.0 * stats.n as f64 / wall_s / 1e9;
    // JSON has no NaN and no infinity.
    let threshold =
        if stats.threshold.is_finite() { json!(stats.threshold) } else { json!(stats.threshold.to_string()) };
    let json = json!({
        "n": stats.n, "k": stats.k, "threshold": threshold, "nnz": top.nnz(), "nan_count": stats.nan_count,
        "device": "cpu", "wall_s": wall_s, "gb_per_s": gb_per_s,
    });
    let nans = if stats.nan_count == 0 { String::new() } else { format!(", {} NaN", stats.nan_count) };
    let text = format!(
        "{} of {} elements, magnitude {} and above{nans} ({:.3} ms, {gb_per_s:.1} GB/s)",
        stats.k,
        stats.n,
        stats.threshold,
        wall_s * 1e3
    );
    Ok(Answer::new(json, text))
}
