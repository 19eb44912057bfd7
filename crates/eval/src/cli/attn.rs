//! `eval attn …`.

use std::path::{Path, PathBuf};

use ashlar_cli::{Answer, Failure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    heads::{attention_shape, values_of},
    show,
};
use crate::{
    Error, Result,
    attn::{self, Grid, Locality, column_share, density, locality, overlap, sinks},
    heads::Attention,
    tensors::TensorFile,
};

const ANALYZE: &str = "\
Examples:
  ashlar eval attn analyze --input map.json
  ashlar eval attn analyze --input maps.safetensors --tensor layer44 --grid 4,5,5 --sink 10

The file holds `attn` (S × S or H × S × S, rows sum to 1) and perhaps `grid` ([T, H, W] of the video tokens, which come
first unless \"text_first\": true) and `value` (S × d or H × S × d).";
const SIMILARITY: &str = "\
Example:
  ashlar eval attn similarity prompt-a.json prompt-b.json --grid 4,5,5

The shuffled figures are those of maps whose tokens were permuted: near-uniform maps are alike to anything.";

/// Attention maps.
#[derive(Subcommand, Clone, Debug)]
pub enum AttnCommand {
    /// Density, sinks, column shares and locality of a map.
    #[command(after_help = ANALYZE)]
    Analyze(AnalyzeArgs),
    /// How alike two maps are, beside a shuffled baseline.
    #[command(after_help = SIMILARITY)]
    Similarity(SimilarityArgs),
}

/// How a file's maps are to be read.
#[derive(Args, Clone, Debug)]
pub struct MapArgs {
    /// Name of the maps in the file.
    #[arg(long, value_name = "NAME", default_value = "attn")]
    pub tensor: String,
    /// Frames, rows and columns of the video tokens [default: the file's].
    #[arg(long, value_name = "T,H,W", value_delimiter = ',', num_args = 1)]
    pub grid: Option<Vec<usize>>,
    /// The text tokens come before the video tokens.
    #[arg(long)]
    pub text_first: bool,
    /// Refuse weights on later tokens.
    #[arg(long)]
    pub causal: bool,
}

/// `attn analyze`.
#[derive(Args, Clone, Debug)]
pub struct AnalyzeArgs {
    /// JSON, or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    #[command(flatten)]
    pub map: MapArgs,
    /// Mass that the density's weights must hold.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    pub theta: f64,
    /// A token is a sink if its column share times S is above this.
    #[arg(long, value_name = "X", default_value_t = 20.0, allow_negative_numbers = true)]
    pub sink: f64,
    /// Frames that count as near for the local mass.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub radius_time: usize,
    /// Patches that count as near for the local mass.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub radius_space: usize,
}

/// `attn similarity`.
#[derive(Args, Clone, Debug)]
pub struct SimilarityArgs {
    /// JSON, or .safetensors.
    pub a: PathBuf,
    /// The other, of the same shape.
    pub b: PathBuf,
    #[command(flatten)]
    pub map: MapArgs,
    /// Permutations of the baseline.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub shuffles: u16,
    /// Seed of the permutations.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &AttnCommand) -> Result<Answer, Failure> {
    Ok(match command {
        AttnCommand::Analyze(args) => analyze(args)?,
        AttnCommand::Similarity(args) => similarity(args)?,
    })
}

/// A file with the shape of its maps.
struct Maps {
    file: TensorFile,
    name: String,
    heads: usize,
    len: usize,
    causal: bool,
    grid: Option<Grid>,
}

impl Maps {
    fn read(path: &Path, args: &MapArgs) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let (heads, len) = attention_shape(&file, file.need(&args.tensor)?)?;
        let text_first = args.text_first || file.note("text_first") == Some("true");
        let grid = match &args.grid {
            Some(shape) => Some(shape.clone()),
            None => file.integers("grid")?,
        };
        let grid = match grid.as_deref() {
            None => None,
            Some(&[frames, height, width]) => Some(Grid::new([frames, height, width], len, text_first)?),
            Some(other) => {
                let n = other.len();
                return Err(Error::Undefined(format!(
                    "the grid has {n} numbers, three are needed: frames, rows, columns"
                )));
            }
        };
        Ok(Self { file, name: args.tensor.clone(), heads, len, causal: args.causal, grid })
    }

    fn attention(&self) -> Result<Attention<'_, f64>> {
        let data = self.file.need(&self.name)?.data();
        if self.causal {
            Attention::causal(data, self.heads, self.len, self.len)
        } else {
            Attention::bidirectional(data, self.heads, self.len)
        }
    }
}

fn analyze(args: &AnalyzeArgs) -> Result<Answer> {
    if !(args.theta > 0.0 && args.theta <= 1.0) {
        return Err(Error::Range { name: "--theta", value: args.theta, expected: "above 0 and at most 1" });
    }
    if !(args.sink.is_finite() && args.sink >= 0.0) {
        return Err(Error::Range { name: "--sink", value: args.sink, expected: "finite and at least 0" });
    }
    let maps = Maps::read(&args.input, &args.map)?;
    let attention = maps.attention()?;
    let heads = maps.heads;
    let densities: Vec<f64> = (0..heads).map(|head| density(&attention, head, args.theta)).collect();
    let shares: Vec<Vec<f64>> = (0..heads).map(|head| column_share(&attention, head)).collect();
    let mut found = sinks(&shares, args.sink, maps.grid.as_ref());
    if let Some(values) = maps.file.get("value") {
        let values = values_of(&maps.file, values)?;
        if values.len() != maps.len || heads % values.heads() != 0 {
            let (kv, tokens) = (values.heads(), values.len());
            let what = format!("values of {kv} heads and {tokens} tokens don't fit these maps");
            return Err(Error::Undefined(what));
        }
        for sink in &mut found {
            let head = sink.heads.first().map_or(0, |head| head / (heads / values.heads()));
            sink.value_norm_ratio = Some(attn::value_norm_ratio(&values, head, sink.index));
        }
    }
    let local: Option<Vec<Locality>> = maps.grid.as_ref().map(|grid| {
        let radius = (args.radius_time, args.radius_space);
        (0..heads).map(|head| locality(&attention, head, grid, radius)).collect()
    });
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let column = |j: usize| shares.iter().map(|share| share[j]).sum::<f64>() / heads as f64;
    let mut json = json!({
        "density": mean(&densities),
        "sinks": found.iter().map(|sink| sink.index).collect::<Vec<_>>(),
        "column_share": (0..maps.len).map(column).collect::<Vec<_>>(),
        "local_mass": null,
        "heads": heads, "len": maps.len, "theta": args.theta, "sink": args.sink,
        "sink_overlap": overlap(&found, heads),
        "sinks_text": maps.grid.as_ref().map(|_| found.iter().filter(|s| s.text == Some(true)).count()),
        "sinks_video": maps.grid.as_ref().map(|_| found.iter().filter(|s| s.text == Some(false)).count()),
        "sink_details": found,
    });
    match &local {
        Some(local) => summarise(&mut json, local),
        None => json["reason"] = "no local mass without a grid of the video tokens".into(),
    }
    if heads > 1 {
        let one = |head: usize| {
            let of: Vec<usize> = found.iter().filter(|s| s.heads.contains(&head)).map(|s| s.index).collect();
            let mut json = json!({ "density": densities[head], "sinks": of, "column_share": shares[head] });
            if let Some(local) = &local {
                json["local_mass"] = local[head].local_mass.into();
                json["profile"] = json!(local[head].profile);
            }
            json
        };
        json["each"] = (0..heads).map(one).collect::<Vec<Value>>().into();
    }
    Ok(show::answer(json))
}

/// Means over heads.
fn summarise(json: &mut Value, local: &[Locality]) {
    let n = local.len() as f64;
    let masses: Option<Vec<f64>> = local.iter().map(|l| l.local_mass).collect();
    json["local_mass"] = masses.map(|masses| masses.iter().sum::<f64>() / n).into();
    json["local_mass_uniform"] = local[0].uniform.into();
    json["video_mass"] = (local.iter().map(|l| l.video_mass).sum::<f64>() / n).into();
    json["text_mass"] = (local.iter().map(|l| l.text_mass).sum::<f64>() / n).into();
    let cell = |t: usize, s: usize| local.iter().map(|l| l.profile[t][s]).sum::<f64>() / n;
    let profile = &local[0].profile;
    let rows = (0..profile.len()).map(|t| (0..profile[t].len()).map(|s| cell(t, s)).collect::<Vec<f64>>());
    json["profile"] = json!(rows.collect::<Vec<_>>());
}

fn similarity(args: &SimilarityArgs) -> Result<Answer> {
    let (a, b) = (Maps::read(&args.a, &args.map)?, Maps::read(&args.b, &args.map)?);
    if a.grid != b.grid {
        return Err(Error::Undefined("the two files have different grids".to_owned()));
    }
    let shuffles = usize::from(args.shuffles);
    let found = attn::similarity(&a.attention()?, &b.attention()?, a.grid.as_ref(), shuffles, args.seed);
    let found = found.ok_or_else(|| {
        let shape = |m: &Maps| format!("{} × {} × {}", m.heads, m.len, m.len);
        Error::Undefined(format!("the maps have different shapes: {} and {}", shape(&a), shape(&b)))
    })?;
    let mean = |of: fn(&attn::Similarity) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let mut json = json!({
        "cosine": mean(|s| s.cosine), "jsd": mean(|s| s.jsd), "one_minus_jsd": 1.0 - mean(|s| s.jsd),
        "cosine_shuffled": mean(|s| s.cosine_shuffled), "jsd_shuffled": mean(|s| s.jsd_shuffled),
        "heads": a.heads, "len": a.len, "shuffles": shuffles, "seed": args.seed,
    });
    if found.len() > 1 {
        json["each"] = json!(found);
    }
    Ok(show::answer(json))
}
