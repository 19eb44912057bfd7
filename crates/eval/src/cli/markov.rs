//! `eval markov`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::show;
use crate::{
    Result, Table,
    markov::{Counts, Trajectories, second_order},
};

pub const EXAMPLE: &str = "\
Examples:
  ashlar eval markov --counts 720,80,45,155 --p0 0.8
  ashlar eval markov --data trajectories.jsonl

A row of trajectories.jsonl is one question: {\"id\": \"q1\", \"correct\": [1, 1, 0, null]} (null: unparsed, counted as
wrong), perhaps with \"answers\": [\"A\", \"A\", \"C\", null].";

/// `markov`.
#[derive(Args, Clone, Debug)]
pub struct MarkovArgs {
    /// Pairs of consecutive answers: right to right, right to wrong, wrong to right, wrong to wrong.
    #[arg(
        long,
        value_name = "TT,TF,FT,FF",
        allow_hyphen_values = true,
        required_unless_present = "data",
        conflicts_with = "data"
    )]
    pub counts: Option<String>,
    /// JSONL or CSV of trajectories.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// First-turn accuracy [default: the trajectories'].
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub p0: Option<f64>,
    /// Turns whose accuracy is told, the first included.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    pub turns: usize,
    /// Replicates of the cluster bootstrap over questions; with trajectories only.
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true)]
    pub bootstrap: usize,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Confidence of the bootstrap's interval.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub level: f64,
}

/// Runs the command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(args: &MarkovArgs) -> Result<Answer, Failure> {
    let json = match (&args.counts, &args.data) {
        (Some(counts), _) => base(parse(counts)?, args.p0, args.turns)?,
        (None, Some(path)) => of_trajectories(&Trajectories::read(&Table::read(path)?)?, args)?,
        (None, None) => return Err(Failure::usage("--counts or --data is needed")),
    };
    Ok(show::answer(json))
}

fn parse(text: &str) -> Result<Counts, Failure> {
    let wrong = |part: &str| {
        Failure::usage(format!("--counts {text}: `{part}` is no count, it must be a whole number of at least 0")).help(
            "give four, for instance 720,80,45,155: right to right, right to wrong, wrong to right, wrong to wrong",
        )
    };
    let mut counts = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        counts.push(digits.then(|| part.parse().ok()).flatten().ok_or_else(|| wrong(part))?);
    }
    match counts[..] {
        [tt, tf, ft, ff] => Ok(Counts { tt, tf, ft, ff }),
        _ => Err(Failure::usage(format!("--counts {text}: {} numbers, four are needed: TT,TF,FT,FF", counts.len()))),
    }
}

fn base(counts: Counts, first: Option<f64>, turns: usize) -> Result<Value> {
    let chain = counts.chain();
    // Checks the flags even where there is no accuracy to tell.
    let checked = chain.accuracy(first.unwrap_or(0.5), turns)?;
    Ok(json!({
        "p_tf": chain.p_tf, "p_ft": chain.p_ft,
        "stationary": chain.stationary, "stationary_se": chain.stationary_se,
        "lambda": chain.lambda, "half_life": chain.half_life,
        "p0": first, "accuracy": first.and(checked),
        "flip_rate": counts.flip_rate(), "counts": counts, "reason": chain.reason,
    }))
}

fn of_trajectories(found: &Trajectories, args: &MarkovArgs) -> Result<Value> {
    let counts = found.counts();
    let chain = counts.chain();
    let mut json = base(counts, args.p0.or_else(|| found.first_accuracy()), args.turns)?;
    ashlar_stats::interval::wilson(0, 1, args.level)?;
    let spread = found.bootstrap(args.bootstrap, args.seed, args.level)?;
    // Turns of one question aren't independent: the delta method's error stands aside.
    let delta = json["stationary_se"].take();
    if chain.stationary.is_some() {
        json["stationary_se"] = spread.se.into();
        json["stationary_lo"] = spread.lo.into();
        json["stationary_hi"] = spread.hi.into();
    }
    json["stationary_se_delta"] = delta;
    json["boot"] = json!({
        "iters": spread.iters, "undefined": spread.undefined, "seed": args.seed, "level": args.level,
    });
    json["questions"] = found.correct.len().into();
    json["unparsed"] = found.unparsed.into();
    json["ever_flipped"] = found.ever_flipped().into();
    json["fit"] = json!(found.fit(&chain)?);
    json["markov_test"] = json!(second_order(&found.correct));
    if let Some(states) = found.states() {
        json["states"] = json!(states.chain());
    }
    Ok(json)
}
