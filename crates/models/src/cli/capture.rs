//! `models capture`.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use ashlar_cli::{Answer, Failure, write_file};
use candle_core::DType;
use clap::Args;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::{LoadArgs, rows::Rows};
use crate::{
    Error,
    lm::{CaptureSpec, HookPoint, Input, Model, Select, TextModel},
};

pub(super) const EXAMPLE: &str = "Example:\n  ashlar models capture ./Llama-3.2-1B --data prompts.jsonl --at \
     'blocks.*.hook_resid_post@last,blocks.3.attn.hook_z@-4..' --out acts.safetensors\n\nAn entry of --at is the name of a \
     site, with * for a layer, an expert or a part of the name, then the tokens: @last, @all (default), @mean, a position \
     (@0, @-1) or a range (@2..5, @-3..). The file holds, under the site's name, one row a selected token, and beside it \
     NAME@row and NAME@position (i64) that say which token each is; a mean has NAME@row alone. Keys of scores and patterns \
     are the row's positions, NaN beyond its end. `tokens` [rows, longest] are the ids with -1 beyond a row's end, \
     `lengths` [rows] says where that is. Numbers are f32, indices of experts i64.";

/// Flags of `capture`.
#[derive(Args, Debug)]
pub struct CaptureArgs {
    #[command(flatten)]
    model: LoadArgs,
    #[command(flatten)]
    rows: Rows,
    /// Sites and tokens.
    #[arg(long, value_name = "SITE@TOKENS,…")]
    at: String,
    /// Where to write the activations.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Rows that go through the model together.
    #[arg(long, value_name = "ROWS", default_value_t = 8)]
    batch: usize,
}

/// What is kept of one point: rows [n, …] one after the other.
#[derive(Default)]
struct Kept {
    values: Vec<f32>,
    /// Shape of a row.
    shape: Vec<usize>,
    rows: Vec<i64>,
    positions: Vec<i64>,
}

pub(super) fn run(args: &CaptureArgs) -> Result<Answer, Failure> {
    if args.batch == 0 {
        return Err(Failure::usage("--batch 0: it must be at least 1".to_owned()));
    }
    let what = CaptureSpec::parse(&args.at)?.by_token();
    let rows = args.rows.read()?;
    let model = TextModel::around(args.model.load()?, args.model.folder())?;
    let rows = rows.tokens(&model)?;
    let model = model.model;
    let points = what.resolve(model.spec())?;
    // All of them before the first: a wrong id at the end shall not cost the work before it.
    for (row, ids) in rows.iter().enumerate() {
        Input::rows(std::slice::from_ref(ids))?.with_rows(vec![row])?.fits(model.spec())?;
    }
    let start = Instant::now();
    let mut kept: BTreeMap<HookPoint, Kept> = BTreeMap::new();
    for (batch, ids) in rows.chunks(args.batch).enumerate() {
        let first = batch * args.batch;
        let input = Input::rows(ids)?.with_rows((first..first + ids.len()).collect())?;
        gather(&model, &input, &what, &points, &mut kept)?;
    }
    let wall_s = start.elapsed().as_secs_f64();
    let bytes = encode(&rows, &points, &kept)?;
    write_file(&args.out, &bytes)?;

    let out = args.out.display().to_string();
    let shape = |kept: &Kept| [&[kept.rows.len()], kept.shape.as_slice()].concat();
    let tensors: BTreeMap<String, Vec<usize>> = kept.iter().map(|(p, k)| (p.to_string(), shape(k))).collect();
    let text = format!(
        "{out}: {} activations of {} rows ({wall_s:.2} s)\n{}",
        tensors.len(),
        rows.len(),
        tensors.iter().map(|(name, shape)| format!("  {name} {shape:?}")).collect::<Vec<_>>().join("\n"),
    );
    let at = what.to_string();
    let json = json!({
        "output": out, "at": at, "rows": rows.len(), "tensors": tensors, "bytes": bytes.len(), "batch": args.batch,
        "wall_s": wall_s,
    });
    Ok(Answer::new(json, text))
}

fn gather(
    model: &Model,
    input: &Input,
    what: &CaptureSpec,
    points: &[(HookPoint, Select)],
    kept: &mut BTreeMap<HookPoint, Kept>,
) -> Result<(), Error> {
    let captured = model.capture(input, what)?;
    for &(point, _) in points {
        let (Some(x), Some(rows)) = (captured.get(point), captured.rows(point)) else { continue };
        let into = kept.entry(point).or_default();
        let n = rows.len();
        let shape = x.dims()[1..].to_vec();
        let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if into.shape.is_empty() {
            into.shape.clone_from(&shape);
        }
        into.append(&values, n, &shape);
        into.rows.extend(rows.iter().map(|&row| row as i64));
        into.positions.extend(captured.tokens(point).into_iter().flatten().map(|token| i64::from(token.position)));
    }
    Ok(())
}

impl Kept {
    /// n more rows; where the last dimension, keys, is another than before, the shorter get NaN on the right.
    fn append(&mut self, values: &[f32], n: usize, shape: &[usize]) {
        let last = |shape: &[usize]| shape.last().copied().unwrap_or(1);
        let (old, new) = (last(&self.shape), last(shape));
        let wide = old.max(new);
        if wide > old {
            self.values = widen(&self.values, old, wide);
            if let Some(last) = self.shape.last_mut() {
                *last = wide;
            }
        }
        if n == 0 {
            return;
        }
        if wide > new {
            self.values.extend(widen(values, new, wide));
        } else {
            self.values.extend_from_slice(values);
        }
    }
}

fn widen(values: &[f32], from: usize, to: usize) -> Vec<f32> {
    let more = to - from;
    values.chunks_exact(from.max(1)).flat_map(|row| row.iter().copied().chain((0..more).map(|_| f32::NAN))).collect()
}

fn encode(
    rows: &[Vec<u32>],
    points: &[(HookPoint, Select)],
    kept: &BTreeMap<HookPoint, Kept>,
) -> Result<Vec<u8>, Failure> {
    let integers = |values: &mut dyn Iterator<Item = i64>| values.flat_map(i64::to_le_bytes).collect::<Vec<u8>>();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let padded = rows.iter().flat_map(|row| {
        let ids = row.iter().map(|&id| i64::from(id));
        ids.chain((row.len()..longest).map(|_| -1))
    });
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = vec![
        ("tokens".into(), Dtype::I64, vec![rows.len(), longest], integers(&mut { padded })),
        ("lengths".into(), Dtype::I64, vec![rows.len()], integers(&mut rows.iter().map(|row| row.len() as i64))),
    ];
    for (point, kept) in kept {
        let shape = [&[kept.rows.len()], kept.shape.as_slice()].concat();
        tensors.push(if point.site == crate::lm::Site::ExpertIdx {
            (point.to_string(), Dtype::I64, shape, integers(&mut kept.values.iter().map(|&x| x as i64)))
        } else {
            (point.to_string(), Dtype::F32, shape, kept.values.iter().flat_map(|x| x.to_le_bytes()).collect())
        });
        let n = vec![kept.rows.len()];
        tensors.push((format!("{point}@row"), Dtype::I64, n.clone(), integers(&mut kept.rows.iter().copied())));
        if points.iter().any(|(p, select)| p == point && *select != Select::Mean) {
            tensors.push((format!("{point}@position"), Dtype::I64, n, integers(&mut kept.positions.iter().copied())));
        }
    }
    let failed = |error| Failure::running(format!("cannot encode the activations: {error}"));
    let mut views = Vec::with_capacity(tensors.len());
    for tensor in &tensors {
        let (name, dtype, shape, bytes) = tensor;
        views.push((name.clone(), TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?));
    }
    safetensors::serialize(views, None).map_err(failed)
}
