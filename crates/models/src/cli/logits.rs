//! `models logits`.

use std::{collections::HashMap, path::PathBuf, time::Instant};

use ashlar_cli::{Answer, Failure, write_file};
use candle_core::{D, DType, Tensor};
use clap::Args;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::LoadArgs;
use crate::lm::{HookSet, Input};

pub(super) const EXAMPLE: &str = "Example:\n  ashlar models logits ./Llama-3.2-1B --token-ids 128000,9906,1917 --output \
                                  logits.safetensors\n\nThe file holds the f32 tensor `logits` [B, T, V], after the final \
                                  softcap. Rows of other lengths: repeat --token-ids; rows are then filled with NaN on the \
                                  right, and `lengths` says where each ends.";

/// Flags of `logits`.
#[derive(Args, Debug)]
pub struct LogitsArgs {
    #[command(flatten)]
    model: LoadArgs,
    /// Token ids of one row, separated by commas; repeat it for more rows. None is added.
    #[arg(long = "token-ids", value_name = "ID,ID,…", required = true, allow_hyphen_values = true)]
    token_ids: Vec<String>,
    /// Where to write the tensor.
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

pub(super) fn run(args: &LogitsArgs) -> Result<Answer, Failure> {
    let rows: Vec<Vec<u32>> =
        args.token_ids.iter().enumerate().map(|(row, text)| parse(row, text)).collect::<Result<_, _>>()?;
    let input = Input::rows(&rows)?;
    let model = args.model.load()?;
    let start = Instant::now();
    let logits = model.forward(&input, None, &HookSet::new())?;
    let wall_s = start.elapsed().as_secs_f64();

    let lengths = input.lengths();
    let top1 = last_top1(&logits)?;
    let values = right_padded(&logits, &lengths)?;
    let shape = logits.dims().to_vec();
    write_file(&args.output, &encode(&values, &shape, &lengths)?)?;

    let params = model.spec().num_params();
    let output = args.output.display().to_string();
    let text = format!("{output}: logits {shape:?}, f32; most likely next token {top1:?} ({wall_s:.2} s)");
    let json = json!({
        "output": output, "shape": shape, "dtype": "f32", "top1": top1, "params": params, "wall_s": wall_s,
    });
    Ok(Answer::new(json, text))
}

pub(super) fn parse(row: usize, text: &str) -> Result<Vec<u32>, Failure> {
    let id = |(index, text): (usize, &str)| {
        text.trim().parse().map_err(|_| {
            Failure::usage(format!("--token-ids, row {row}: entry {index} is {text:?}, not a token id"))
                .help("write non-negative integers separated by commas: --token-ids 3,17,4")
        })
    };
    text.split(',').enumerate().map(id).collect()
}

/// Most likely next token of each row.
fn last_top1(logits: &Tensor) -> crate::Result<Vec<u32>> {
    let last = logits.narrow(1, logits.dim(1)? - 1, 1)?.squeeze(1)?;
    Ok(last.argmax(D::Minus1)?.to_vec1::<u32>()?)
}

/// Rows with their padding moved from the left to the right, as NaN.
fn right_padded(logits: &Tensor, lengths: &[usize]) -> crate::Result<Vec<f32>> {
    let (_, columns, vocab) = logits.dims3()?;
    let mut values = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    for (row, &length) in values.chunks_exact_mut(columns * vocab).zip(lengths) {
        row.rotate_left((columns - length) * vocab);
        row[length * vocab..].fill(f32::NAN);
    }
    Ok(values)
}

fn encode(values: &[f32], shape: &[usize], lengths: &[usize]) -> Result<Vec<u8>, Failure> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let ends: Vec<u8> = lengths.iter().flat_map(|&n| (n as i64).to_le_bytes()).collect();
    let failed = |error: safetensors::SafeTensorError| Failure::running(format!("cannot encode the logits: {error}"));
    let views = HashMap::from([
        ("logits", TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes).map_err(failed)?),
        ("lengths", TensorView::new(safetensors::Dtype::I64, vec![lengths.len()], &ends).map_err(failed)?),
    ]);
    safetensors::serialize(views, None).map_err(failed)
}
