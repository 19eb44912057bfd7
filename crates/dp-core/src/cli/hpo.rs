//! `dp-core hpo-budget`.

use ashlar_cli::{Answer, Exit, Failure};
use ashlar_stats::tradeoff;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    events,
    show::{self, Lines},
};
use crate::{
    Error,
    hpo::{Search, Trials, final_epsilon, total},
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar dp-core hpo-budget --trials 0.05x3,0.1x3 --final 0.96 --delta 1e-5
  ashlar dp-core hpo-budget --trials 0.05x3,0.1x3 --target 1.0 --delta 1e-5

Exit codes with --target: 0 if the final run may spend something, 3 if the trials alone cost the
target or more (final_epsilon is then 0 and epsilon what the trials cost).";

/// `dp-core hpo-budget`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("end").required(true).args(["final_run", "target"]))]
pub struct HpoArgs {
    /// The trials, losers included: `0.05x3,0.1x3` is three runs at epsilon 0.05 and three at 0.1, each calibrated to
    /// its own epsilon at the same delta.
    #[arg(long, value_name = "EPSxN,…", allow_hyphen_values = true)]
    trials: String,
    /// The epsilon of the final run: what does everything cost?
    #[arg(long = "final", value_name = "EPS", allow_hyphen_values = true)]
    final_run: Option<f64>,
    /// The epsilon of everything: what may the final run spend?
    #[arg(long, value_name = "EPS", allow_hyphen_values = true)]
    target: Option<f64>,
    /// Probability with which the guarantee may fail.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    delta: f64,
}

pub(super) fn run(args: &HpoArgs) -> Result<Answer, Failure> {
    let trials = trials(&args.trials)?;
    let found = match (args.final_run, args.target) {
        (Some(epsilon), _) => total(&trials, epsilon, args.delta)?,
        (None, Some(target)) => match final_epsilon(&trials, target, args.delta) {
            Err(Error::Spent { spent, target, .. }) => return Ok(nothing_left(args, &trials, spent, target)),
            found => found?,
        },
        (None, None) => return Err(Failure::usage("give --final EPS or --target EPS")),
    };
    let mut json = Map::new();
    for (key, value) in in_order(&found, args.target.is_some()) {
        json.insert(key.to_owned(), show::number(value));
    }
    asked(&mut json, args, &trials);
    let mut lines = Lines::default();
    lines
        .add("final run", format!("epsilon {}, mu {}", show::digits(found.final_epsilon), show::digits(found.final_mu)))
        .add("everything", format!("epsilon {}, mu {}", show::digits(found.epsilon), show::digits(found.mu_total)))
        .add("delta", show::digits(args.delta))
        .add("trials", described(args, &trials));
    Ok(show::answer(json, &lines))
}

/// The answer "no": the gate's exit code, with what the trials cost.
fn nothing_left(args: &HpoArgs, trials: &[Trials], spent: f64, target: f64) -> Answer {
    let mut json = Map::new();
    json.insert("final_epsilon".to_owned(), json!(0.0));
    json.insert("final_mu".to_owned(), json!(0.0));
    json.insert("epsilon".to_owned(), show::number(spent));
    // None where ε is infinite.
    json.insert("mu_total".to_owned(), json!(tradeoff::mu(spent, args.delta).ok()));
    asked(&mut json, args, trials);
    let mut lines = Lines::default();
    lines
        .add("final run", format!("nothing is left of epsilon {}", show::digits(target)))
        .add("trials alone", format!("epsilon {}", show::digits(spent)))
        .add("delta", show::digits(args.delta))
        .add("trials", described(args, trials));
    show::answer(json, &lines).with_exit(Exit::Gate)
}

/// What was asked, and what the answer is worth.
fn asked(json: &mut Map<String, Value>, args: &HpoArgs, trials: &[Trials]) {
    json.insert("delta".to_owned(), json!(args.delta));
    json.insert("bound".to_owned(), json!("exact"));
    let list: Vec<Value> = trials.iter().map(|t| json!({ "epsilon": t.epsilon, "runs": t.runs })).collect();
    json.insert("trials".to_owned(), Value::Array(list));
    if let Some(target) = args.target {
        json.insert("target".to_owned(), json!(target));
    }
}

fn described(args: &HpoArgs, trials: &[Trials]) -> String {
    let runs: u128 = trials.iter().map(|t| u128::from(t.runs)).sum();
    format!("{runs} full-batch Gaussian runs, losers included: {}", args.trials)
}

/// What was asked comes first.
fn in_order(found: &Search, target: bool) -> [(&'static str, f64); 4] {
    let total = ("epsilon", found.epsilon);
    let mu_total = ("mu_total", found.mu_total);
    let last = ("final_epsilon", found.final_epsilon);
    let final_mu = ("final_mu", found.final_mu);
    if target { [last, final_mu, total, mu_total] } else { [total, mu_total, last, final_mu] }
}

fn trials(text: &str) -> Result<Vec<Trials>, Failure> {
    text.split(',').enumerate().map(|(index, one)| trial(index + 1, one)).collect()
}

fn trial(index: usize, text: &str) -> Result<Trials, Failure> {
    let wrong = |what: String| {
        Failure::usage(format!("--trials, entry {index} `{text}`: {what}"))
            .help("write EPSxN, for instance 0.05x3 for three runs at epsilon 0.05")
    };
    let (epsilon, runs) = text.trim().rsplit_once('x').ok_or_else(|| wrong("there is no `x`".to_owned()))?;
    let epsilon: f64 = epsilon.trim().parse().map_err(|_| wrong(format!("`{epsilon}` is no number")))?;
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(wrong(format!("epsilon = {epsilon} must be positive and finite")));
    }
    let runs = events::count(runs).map_err(wrong)?;
    if runs == 0 {
        return Err(wrong("0 runs: at least 1 is expected".to_owned()));
    }
    Ok(Trials { epsilon, runs })
}
