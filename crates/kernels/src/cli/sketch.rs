//! `sketch accumulate | merge | unsketch | info`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure, write_file};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::parse_count;
use crate::{
    files,
    sketch::{Coefficients, CountSketch, HashFamily, SketchConfig},
    topk::Count,
};

#[derive(Subcommand, Clone, Debug)]
pub(super) enum SketchCommand {
    /// Add a tensor to a sketch.
    Accumulate(AccumulateArgs),
    /// Add sketches of one configuration.
    Merge(MergeArgs),
    /// Recover the k heaviest coordinates.
    Unsketch(UnsketchArgs),
    /// Say what a sketch is.
    Info(InfoArgs),
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Hash {
    #[default]
    Fmix64,
    Poly61,
    Csvec,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  ashlar-kernels sketch accumulate --input grads.safetensors --tensor g --cols 4000 --out a.safetensors"
)]
pub(super) struct AccumulateArgs {
    /// Safetensors file to read.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Name of the f32 tensor.
    #[arg(long, value_name = "NAME")]
    tensor: String,
    /// Add to this sketch instead of a new one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rows", "cols", "seed", "hash", "blocks", "scale_log2"])]
    sketch: Option<PathBuf>,
    /// Rows, odd (csvec: any).
    #[arg(long, default_value_t = 5)]
    rows: u32,
    /// Columns.
    #[arg(long, required_unless_present = "sketch")]
    cols: Option<u64>,
    /// Seed of the hashes.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Hash family.
    #[arg(long, value_enum, default_value_t)]
    hash: Hash,
    /// Blocks of the csvec family.
    #[arg(long, default_value_t = 1)]
    blocks: u32,
    /// Keep sums as integers of 2^-S: the same bits for any order and split.
    #[arg(long, value_name = "S")]
    scale_log2: Option<i32>,
    /// Sketch file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  ashlar-kernels sketch merge a.safetensors b.safetensors --out sum.safetensors")]
pub(super) struct MergeArgs {
    /// Sketch files.
    #[arg(required = true, value_name = "FILE")]
    sketches: Vec<PathBuf>,
    /// Sketch file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  ashlar-kernels sketch unsketch sum.safetensors -k 500 --out top.safetensors")]
pub(super) struct UnsketchArgs {
    /// Sketch file.
    #[arg(value_name = "FILE")]
    sketch: PathBuf,
    /// How many coordinates: a count, or a share with %.
    #[arg(short, value_name = "K", value_parser = parse_count, allow_hyphen_values = true)]
    k: Count,
    /// Safetensors file to write: `idx` (u32) and `val` (f32).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  ashlar-kernels sketch info sum.safetensors")]
pub(super) struct InfoArgs {
    /// Sketch file.
    #[arg(value_name = "FILE")]
    sketch: PathBuf,
}

pub(super) fn run(command: &SketchCommand) -> Result<Answer, Failure> {
    match command {
        SketchCommand::Accumulate(args) => accumulate(args),
        SketchCommand::Merge(args) => merge(args),
        SketchCommand::Unsketch(args) => unsketch(args),
        SketchCommand::Info(args) => Ok(about(&files::read_sketch(&args.sketch)?)),
    }
}

fn accumulate(args: &AccumulateArgs) -> Result<Answer, Failure> {
    let x = files::read_tensor(&args.input, &args.tensor)?.values;
    let mut sketch = if let Some(path) = &args.sketch { files::read_sketch(path)? } else { new_sketch(args, x.len())? };
    if x.len() as u64 != sketch.config().d {
        let d = sketch.config().d;
        return Err(Failure::usage(format!("'{}' has {} elements: the sketch is of {d}", args.tensor, x.len())));
    }
    sketch.accumulate(&x, 0)?;
    write_file(&args.out, &files::sketch_bytes(&sketch)?)?;
    Ok(about(&sketch))
}

fn new_sketch(args: &AccumulateArgs, d: usize) -> Result<CountSketch, Failure> {
    let hash = match args.hash {
        Hash::Fmix64 => HashFamily::Fmix64,
        Hash::Poly61 => HashFamily::Poly61,
        Hash::Csvec => HashFamily::Csvec { blocks: args.blocks, coef: Coefficients::Torch },
    };
    let config = SketchConfig::new(d as u64, args.rows, args.cols.unwrap_or(0), args.seed).hash(hash);
    Ok(CountSketch::new(args.scale_log2.map_or(config, |scale| config.fixed(scale)))?)
}

fn merge(args: &MergeArgs) -> Result<Answer, Failure> {
    let mut sum: Option<CountSketch> = None;
    for path in &args.sketches {
        let next = files::read_sketch(path)?;
        match &mut sum {
            None => sum = Some(next),
            Some(sum) => sum.merge(&next).map_err(|error| {
                Failure::usage(format!("{} and {}: {error}", args.sketches[0].display(), path.display()))
            })?,
        }
    }
    let Some(sum) = sum else { return Err(Failure::usage("no sketches given")) };
    write_file(&args.out, &files::sketch_bytes(&sum)?)?;
    Ok(about(&sum))
}

fn unsketch(args: &UnsketchArgs) -> Result<Answer, Failure> {
    let sketch = files::read_sketch(&args.sketch)?;
    let start = std::time::Instant::now();
    let top = sketch.unsketch(args.k.resolve(sketch.config().d)?)?;
    let wall_s = start.elapsed().as_secs_f64();
    if let Some(out) = &args.out {
        write_file(out, &files::sparse_bytes(&top, None)?)?;
    }
    let threshold = top.val().iter().map(|x| x.abs()).fold(f32::INFINITY, f32::min);
    let json = json!({ "n": top.len(), "k": top.nnz(), "threshold": threshold, "device": "cpu", "wall_s": wall_s });
    Ok(Answer::new(json, format!("{} of {} coordinates, estimates of {threshold} and above", top.nnz(), top.len())))
}

fn about(sketch: &CountSketch) -> Answer {
    let config = sketch.config();
    let nonzero = sketch.to_f32().table_f32().iter().filter(|&&cell| cell != 0.0).count();
    let l2 = sketch.l2();
    let mut json = serde_json::to_value(config).unwrap_or_default();
    if let Value::Object(object) = &mut json {
        object.insert("l2".to_owned(), if l2.is_finite() { json!(l2) } else { json!(l2.to_string()) });
        object.insert("nonzero_cells".to_owned(), json!(nonzero));
    }
    let text = format!(
        "{} coordinates in {} x {} cells ({:?}, {:?}, seed {}); {nonzero} cells are not zero; l2 about {l2:.6}",
        config.d, config.rows, config.cols, config.hash, config.table, config.seed
    );
    Answer::new(json, text)
}
