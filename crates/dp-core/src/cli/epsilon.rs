//! `dp-core epsilon` and `dp-core delta`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::json;

use super::{
    args::{AccountantArgs, EventArgs},
    events, plot, show,
};

pub(super) const EPSILON_EXAMPLE: &str = "\
Examples:
  ashlar dp-core epsilon --mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000 --delta 1e-5
  ashlar dp-core epsilon --event gaussian:nm=1.0,q=0.01,steps=500 --event laplace:nm=20,steps=5 --delta 1e-6
  ashlar dp-core epsilon --events history.json --delta 1e-5 --plot epsilon.svg";

pub(super) const DELTA_EXAMPLE: &str = "\
Example:
  ashlar dp-core delta --mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000 --epsilon 1.0";

/// `dp-core epsilon`.
#[derive(Args, Clone, Debug)]
pub struct EpsilonArgs {
    #[command(flatten)]
    events: EventArgs,
    /// Probability with which the guarantee may fail.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    delta: f64,
    #[command(flatten)]
    accountant: AccountantArgs,
    /// Number of examples N, to warn of a delta of 1/N and more.
    #[arg(long, value_name = "N", value_parser = events::count, allow_hyphen_values = true)]
    examples: Option<u64>,
    /// Draw epsilon over the steps, one curve an accountant.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// `dp-core delta`.
#[derive(Args, Clone, Debug)]
pub struct DeltaArgs {
    #[command(flatten)]
    events: EventArgs,
    /// The epsilon at which delta is asked.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    epsilon: f64,
    #[command(flatten)]
    accountant: AccountantArgs,
    /// Number of examples N, to warn of a delta of 1/N and more.
    #[arg(long, value_name = "N", value_parser = events::count, allow_hyphen_values = true)]
    examples: Option<u64>,
}

pub(super) fn epsilon(args: &EpsilonArgs) -> Result<Answer, Failure> {
    let events = args.events.read()?;
    let accountant = args.accountant.build(args.plot.is_some())?;
    let bound = accountant.epsilon(&events, args.delta)?;
    let mut warnings = bound.warnings.clone();
    warnings.extend(weak(args.delta, args.examples)?);
    let (mut json, mut lines) =
        show::bound(("epsilon", "delta"), (&bound, args.delta), accountant.as_ref(), &events, &warnings);
    if let Some(file) = &args.plot {
        plot::write(file, &events, args.delta, &args.accountant)?;
        json.insert("plot".to_owned(), json!(file.display().to_string()));
        lines.add("plot", file.display().to_string());
    }
    Ok(show::answer(json, &lines))
}

pub(super) fn delta(args: &DeltaArgs) -> Result<Answer, Failure> {
    let events = args.events.read()?;
    let accountant = args.accountant.build(false)?;
    let bound = accountant.delta(&events, args.epsilon)?;
    let mut warnings = bound.warnings.clone();
    warnings.extend(weak(bound.value, args.examples)?);
    let (json, lines) =
        show::bound(("delta", "epsilon"), (&bound, args.epsilon), accountant.as_ref(), &events, &warnings);
    Ok(show::answer(json, &lines))
}

/// The warning that δ ≥ 1/N deserves: publishing one example in full is (0, 1/N)-DP.
fn weak(delta: f64, examples: Option<u64>) -> Result<Option<String>, Failure> {
    match examples {
        Some(0) => Err(Failure::usage("--examples = 0: it must be at least 1")),
        Some(n) if delta >= 1.0 / n as f64 => Ok(Some(format!(
            "delta = {delta} is not below 1/N = 1/{n}: publishing one random example in full would satisfy it"
        ))),
        _ => Ok(None),
    }
}
