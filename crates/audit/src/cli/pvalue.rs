//! `audit pvalue`.

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::json;

use super::{OutArgs, save, scores_file::parse_count, table};
use crate::{OneRun, select::delta_note};

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit pvalue --canaries 1000 --guesses 100 --correct 80 --epsilon 1 --delta 1e-5";

/// `audit pvalue`.
#[derive(Args, Clone, Debug)]
pub struct PvalueArgs {
    /// Canaries whose inclusion was decided by a coin.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub canaries: u64,
    /// Canaries guessed about; the others are abstentions.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub guesses: u64,
    /// Right guesses.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub correct: u64,
    /// The claimed epsilon.
    #[arg(long, value_name = "EPS", allow_hyphen_values = true)]
    pub epsilon: f64,
    /// The claimed delta.
    #[arg(long, value_name = "DELTA", default_value_t = 1e-5, allow_hyphen_values = true)]
    pub delta: f64,
    #[command(flatten)]
    pub(crate) output: OutArgs,
}

pub(super) fn run(args: &PvalueArgs) -> Result<Answer, Failure> {
    let run = OneRun::new(args.canaries, args.guesses, args.correct)?;
    let p_value = run.p_value(args.epsilon, args.delta)?;
    let note = delta_note(args.delta, args.canaries);
    if let Some(note) = &note {
        tracing::warn!("{}", note.trim_start_matches("warning: "));
    }
    let mut rows = vec![
        ("p_value", format!("{p_value:.6e}")),
        ("claim", format!("epsilon {}, delta {}", args.epsilon, args.delta)),
        ("guesses", format!("{} right of {}, about {} canaries", args.correct, args.guesses, args.canaries)),
    ];
    rows.extend(note.iter().map(|note| ("note", note.clone())));
    let answer = json!({
        "p_value": p_value, "canaries": args.canaries, "guesses": args.guesses, "correct": args.correct,
        "epsilon": args.epsilon, "delta": args.delta, "notes": note.iter().collect::<Vec<_>>(),
    });
    save(Answer::new(answer, table(&rows)), args.output.out.as_deref())
}
