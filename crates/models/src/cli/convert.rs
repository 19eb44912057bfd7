//! `models convert`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use candle_core::{DType, Device};
use clap::Args;
use serde_json::json;

use super::{Precision, load_model};
use crate::lm::SaveOptions;

pub(super) const EXAMPLE: &str = "Examples:\n  ashlar models convert ./Llama-3.2-1B --dtype bf16 --out ./Llama-3.2-1B-bf16\n  ashlar models \
     convert ./Llama-3.2-1B --adapter ./lora --merge --dtype bf16 --out ./merged\n\nThe new folder loads in transformers \
     4 and 5. Experts are written one tensor each, GPT-2's projections as [in, out].";

/// Flags of `convert`.
#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// Checkpoint folder: config.json and safetensors.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// dtype of the written weights.
    #[arg(long, value_enum)]
    dtype: Precision,
    /// The new folder; nothing may stand there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Bytes of weights a file, with K, M or G for thousands, millions, billions.
    #[arg(long, value_name = "BYTES", default_value = "5G", allow_negative_numbers = true)]
    shard_size: String,
    /// Add the adapters to the weights.
    #[arg(long, requires = "adapter")]
    merge: bool,
    /// PEFT adapter to merge; repeat it for more, which are added in order.
    #[arg(long, value_name = "DIR", requires = "merge")]
    adapter: Vec<PathBuf>,
}

pub(super) fn run(args: &ConvertArgs) -> Result<Answer, Failure> {
    let shard_bytes = bytes(&args.shard_size)?;
    let dtype = args.dtype.dtype();
    // A sum in half precision would lose what the adapter adds.
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let mut model = load_model(&args.path, if args.merge { wide } else { dtype }, &Device::Cpu, &args.adapter)?;
    if args.merge {
        model = model.merge()?;
    }
    let saved = model.save(&args.out, &SaveOptions { dtype: Some(dtype), shard_bytes })?;
    let (out, files) = (args.out.display().to_string(), saved.shards.len());
    let text = format!("{out}: {} tensors, {} bytes in {files} file{}", saved.tensors, saved.bytes, plural(files));
    let json = json!({
        "output": out, "tensors": saved.tensors, "bytes": saved.bytes, "files": saved.shards,
        "params": model.spec().num_params(), "merged": args.adapter.len(),
    });
    Ok(Answer::new(json, text))
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn bytes(text: &str) -> Result<u64, Failure> {
    let units = [('K', 1_000), ('M', 1_000_000), ('G', 1_000_000_000)];
    let unit = units.iter().find(|(letter, _)| text.ends_with([*letter, letter.to_ascii_lowercase()]));
    let (digits, factor) = unit.map_or((text, 1), |(_, factor)| (&text[..text.len() - 1], *factor));
    digits.parse().ok().filter(|&n| n > 0).and_then(|n: u64| n.checked_mul(factor)).ok_or_else(|| {
        Failure::usage(format!("--shard-size {text}: it must be a number of bytes above 0"))
            .help("write 500000000, 500M or 5G")
    })
}
