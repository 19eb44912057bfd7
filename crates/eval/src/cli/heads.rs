//! `eval heads …`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, json};

use super::show;
use crate::{
    Error, Result,
    heads::{self, Attention, Compat, Score, Side, Values, threshold},
    tensors::{Tensor, TensorFile},
};

const SCORE: &str = "\
Examples:
  ashlar eval heads score --input layer3.json --score ahon-ln
  ashlar eval heads score --input layer3.safetensors --score all --valid-len 57

The file holds one layer and one sample: `attn` (H × S × S, after the softmax, causal), `value` (H_kv × S × d, repeated to
query heads here), and for fhon and fhon-ln `w_o` (H × d × D, each head's rows of the output projection).
Scores: awft, aeqd, ftvvn, avvn, lthon, ahon, fhon, each also with -ln, and lthon-hn.";
const THRESHOLD: &str = "\
Example:
  ashlar eval heads threshold --input scores.json --fraction 0.15 --side less

The file holds {\"scores\": [...]}, those of all layers, samples and heads.";

/// Inactive attention heads.
#[derive(Subcommand, Clone, Debug)]
pub enum HeadsCommand {
    /// Each head's scores for inactivity.
    #[command(after_help = SCORE)]
    Score(ScoreArgs),
    /// The threshold below or above which a fraction of the scores lies.
    #[command(after_help = THRESHOLD)]
    Threshold(ThresholdArgs),
}

/// `heads score`.
#[derive(Args, Clone, Debug)]
pub struct ScoreArgs {
    /// JSON, or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// A score's name, or all.
    #[arg(long, value_name = "NAME")]
    pub score: String,
    /// Tokens that are no padding [default: all].
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    pub valid_len: Option<usize>,
    /// Average awft and aeqd over padded query rows too, as the published code does.
    #[arg(long, value_enum)]
    pub compat: Option<CompatArg>,
}

/// Whose padding.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CompatArg {
    /// The published code's.
    Official,
}

/// `heads threshold`.
#[derive(Args, Clone, Debug)]
pub struct ThresholdArgs {
    /// JSON, or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Fraction of the scores that is to lie beyond.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub fraction: f64,
    /// On which side heads are inactive.
    #[arg(long, value_enum)]
    pub side: SideArg,
}

/// A side.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SideArg {
    /// Inactive below the threshold.
    Less,
    /// Inactive above it.
    Greater,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &HeadsCommand) -> Result<Answer, Failure> {
    Ok(match command {
        HeadsCommand::Score(args) => score(args)?,
        HeadsCommand::Threshold(args) => {
            let file = TensorFile::read(&args.input)?;
            let scores = file.need("scores")?.data();
            let side = match args.side {
                SideArg::Less => Side::Less,
                SideArg::Greater => Side::Greater,
            };
            let found = threshold(scores, args.fraction, side)?;
            let json = json!({ "threshold": found, "n": scores.len(), "fraction": args.fraction, "side": json!(side) });
            show::answer(json)
        }
    })
}

fn score(args: &ScoreArgs) -> Result<Answer> {
    // The name first: a typing mistake needn't wait for a large file.
    let asked = if args.score == "all" { None } else { Some(args.score.parse::<Score>()?) };
    let file = TensorFile::read(&args.input)?;
    let (heads, len) = attention_shape(&file, file.need("attn")?)?;
    let compat = if args.compat.is_some() { Compat::Official } else { Compat::Ours };
    let valid = args.valid_len.unwrap_or(len);
    let rows = if compat == Compat::Official { len } else { valid };
    let attention = Attention::causal(file.need("attn")?.data(), heads, len, rows)?;
    let values = values_of(&file, file.need("value")?)?;
    let w_o = file.get("w_o").map(|w_o| w_o_of(&file, w_o)).transpose()?;
    let scores: Vec<Score> = match asked {
        Some(score) => vec![score],
        None => Score::ALL.iter().copied().filter(|score| w_o.is_some() || !score.needs_w_o()).collect(),
    };
    let found = heads::score(&attention, &values, w_o, valid, compat, &scores)?;
    let (mut by_name, mut sides) = (Map::new(), Map::new());
    for (score, heads) in scores.iter().zip(found) {
        by_name.insert(score.name().to_owned(), heads.into());
        sides.insert(score.name().to_owned(), json!(score.side()));
    }
    Ok(show::answer(json!({
        "scores": by_name, "inactive": sides, "heads": heads, "len": len, "valid_len": valid,
        "compat": args.compat.map(|_| "official"),
    })))
}

/// Heads and tokens of `attn`, H × S × S, or S × S for one head.
pub(super) fn attention_shape(file: &TensorFile, tensor: &Tensor) -> Result<(usize, usize)> {
    match *tensor.shape() {
        [heads, queries, keys] if queries == keys => Ok((heads, keys)),
        [queries, keys] if queries == keys => Ok((1, keys)),
        _ => Err(shape(file, "the attention", tensor, "H × S × S")),
    }
}

/// The values, H_kv × S × d, or S × d for one head.
pub(super) fn values_of<'a>(file: &TensorFile, tensor: &'a Tensor) -> Result<Values<'a, f64>> {
    match *tensor.shape() {
        [heads, len, dim] => Values::new(tensor.data(), heads, len, dim),
        [len, dim] => Values::new(tensor.data(), 1, len, dim),
        _ => Err(shape(file, "`value`", tensor, "H × S × d")),
    }
}

fn w_o_of<'a>(file: &TensorFile, tensor: &'a Tensor) -> Result<(&'a [f64], usize)> {
    match *tensor.shape() {
        [_, _, columns] | [_, columns] => Ok((tensor.data(), columns)),
        _ => Err(shape(file, "`w_o`", tensor, "H × d × D")),
    }
}

pub(super) fn shape(file: &TensorFile, what: &str, tensor: &Tensor, expected: &str) -> Error {
    let found: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    Error::Undefined(format!("{}: {what} is {}, it must be {expected}", file.file(), found.join(" × ")))
}
