//! `models verify`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Exit, Failure};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use serde_json::json;

use super::LoadArgs;
use crate::{
    Error,
    lm::{HookSet, Input},
};

pub(super) const EXAMPLE: &str = "Example:\n  ashlar models verify ./checkpoint --fixture expected.safetensors\n\nThe fixture holds `ids` [B, T] and `mask` \
     [B, T] (integers; 1 is a token) and `logits` [n, V], those of the n tokens row by row. scripts/fixtures/models.py \
     makes such files with transformers in float64. Exit code 3 says that a logit is off by more than the tolerance.";

/// Flags of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    model: LoadArgs,
    /// Reference ids, mask and logits.
    #[arg(long, value_name = "FILE.safetensors")]
    fixture: PathBuf,
    /// Largest absolute difference of a logit.
    #[arg(long, default_value_t = 2e-4, allow_negative_numbers = true)]
    tolerance: f64,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Answer, Failure> {
    if args.tolerance.is_nan() || args.tolerance < 0.0 {
        return Err(Failure::usage(format!("--tolerance {}: it must be 0 or more", args.tolerance)));
    }
    let (input, reference) = fixture(args)?;
    let model = args.model.load()?;
    let logits = model.forward(&input, None, &HookSet::new())?;
    let vocab = model.spec().vocab;
    let count: usize = input.lengths().iter().sum();
    if reference.dims() != [count, vocab] {
        let found = reference.dims();
        return Err(wrong(
            args,
            &format!("`logits` has the shape {found:?}, but {count} tokens give [{count}, {vocab}]"),
        ));
    }
    let ours = at_tokens(&logits, &input)?;
    let theirs = reference.to_dtype(DType::F64).and_then(|x| x.to_vec2::<f64>()).map_err(Error::from)?;

    let (mut max_abs, mut max_rel, mut sum, mut agree) = (0_f64, 0_f64, 0.0, 0);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let largest = theirs.iter().fold(0_f64, |max, x| max.max(x.abs()));
        for (a, b) in ours.iter().zip(theirs) {
            let off = (a - b).abs();
            // A NaN is off by more than anything.
            let off = if off.is_nan() { f64::INFINITY } else { off };
            max_abs = max_abs.max(off);
            max_rel = max_rel.max(off / largest.max(f64::MIN_POSITIVE));
            sum += off;
        }
        agree += usize::from(argmax(ours) == argmax(theirs));
    }
    let ok = max_abs <= args.tolerance;
    let (mean_abs, top1) = (sum / (count * vocab) as f64, agree as f64 / count as f64);
    let number = |x: f64| if x.is_finite() { json!(x) } else { json!("inf") };
    let json = json!({
        "max_abs": number(max_abs), "mean_abs": number(mean_abs), "max_rel": number(max_rel), "top1_agree": top1,
        "tolerance": args.tolerance, "ok": ok,
    });
    let verdict = if ok { "equal" } else { "NOT equal" };
    let text = format!(
        "{verdict} within {:e}: largest difference {max_abs:.2e} ({max_rel:.2e} of the row's largest logit), mean \
         {mean_abs:.2e}, same top token in {:.1} %",
        args.tolerance,
        100.0 * top1,
    );
    Ok(Answer::new(json, text).with_exit(if ok { Exit::Done } else { Exit::Gate }))
}

/// Logits [B, T, V] at the tokens, row by row.
fn at_tokens(logits: &Tensor, input: &Input) -> crate::Result<Vec<Vec<f64>>> {
    let kept: Vec<u32> = (0_u32..).zip(input.is_token()).filter_map(|(i, real)| real.then_some(i)).collect();
    let count = kept.len();
    let kept = Tensor::from_vec(kept, count, &Device::Cpu)?;
    Ok(logits.flatten(0, 1)?.index_select(&kept, 0)?.to_dtype(DType::F64)?.to_vec2::<f64>()?)
}

fn argmax(row: &[f64]) -> Option<usize> {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)))
}

fn wrong(args: &VerifyArgs, what: &str) -> Failure {
    Failure::usage(format!("{}: {what}", args.fixture.display()))
        .help("the file needs integer tensors `ids` and `mask` [B, T] and float `logits` [tokens, V]")
}

fn fixture(args: &VerifyArgs) -> Result<(Input, Tensor), Failure> {
    let path = &args.fixture;
    let bytes = std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.clone(), source })?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| wrong(args, &format!("not a readable safetensors file: {error}")))?;
    let get = |name: &str| tensors.get(name).ok_or_else(|| wrong(args, &format!("there is no tensor `{name}`")));
    let integers = |name: &str| -> Result<Vec<Vec<i64>>, Failure> {
        let tensor = get(name)?;
        if tensor.rank() != 2 || tensor.dtype().is_float() {
            let (found, dtype) = (tensor.dims(), tensor.dtype());
            return Err(wrong(args, &format!("`{name}` is {dtype:?} {found:?}, not integers [B, T]")));
        }
        Ok(tensor.to_dtype(DType::I64).and_then(|x| x.to_vec2::<i64>()).map_err(Error::from)?)
    };
    let real: Vec<Vec<bool>> = integers("mask")?.iter().map(|row| row.iter().map(|&m| m != 0).collect()).collect();
    let id = |&id: &i64| u32::try_from(id).map_err(|_| wrong(args, &format!("`ids` holds {id}, which is no token id")));
    let row = |row: &Vec<i64>| row.iter().map(id).collect();
    let ids = integers("ids")?.iter().map(row).collect::<Result<_, Failure>>()?;
    Ok((Input::masked(ids, real)?, get("logits")?.clone()))
}
