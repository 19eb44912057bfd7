//! `eval guard …`.

use std::{collections::BTreeMap, path::PathBuf};

use ashlar_cli::{Answer, Failure};
use ashlar_stats::rank;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::show;
use crate::{
    Error, Result, Table,
    guard::{Confusion, Dialect, Verdict, interval, threshold::calibrate},
};

const SCORE: &str = "\
Examples:
  ashlar eval guard score --data replies.jsonl --pred reply --gold label
  ashlar eval guard score --data replies.jsonl --pred reply --gold label --by n_rules
  ashlar eval guard score --data margins.csv --score margin --gold label

FAIL is the positive class. A reply without a verdict is scored as the wrong one. --score takes a column that is larger
the more it speaks for FAIL, best the difference of the log-probabilities of FAIL and PASS.";

/// Guard models.
#[derive(Subcommand, Clone, Debug)]
pub enum GuardCommand {
    /// Error rates of verdicts, and thresholds of scores.
    #[command(after_help = SCORE)]
    Score(ScoreArgs),
}

/// `guard score`.
#[derive(Args, Clone, Debug)]
pub struct ScoreArgs {
    /// JSONL or CSV with one row an example.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the guard's replies.
    #[arg(long, value_name = "COL", required_unless_present = "score")]
    pub pred: Option<String>,
    /// Column of the truth, PASS or FAIL.
    #[arg(long, value_name = "COL")]
    pub gold: String,
    /// How replies are written: dynaguard, llamaguard, shieldgemma, wildguard, guardreasoner, nemoguard.
    #[arg(long, default_value = "dynaguard")]
    pub dialect: String,
    /// Column whose values the examples are also counted by.
    #[arg(long, value_name = "COL")]
    pub by: Option<String>,
    /// Column of scores for FAIL.
    #[arg(long, value_name = "COL")]
    pub score: Option<String>,
    /// Target of the false positive rate at which the recall is told.
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true)]
    pub target_fpr: f64,
    /// Confidence of the intervals.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub level: f64,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &GuardCommand) -> Result<Answer, Failure> {
    let GuardCommand::Score(args) = command;
    Ok(score(args)?)
}

fn score(args: &ScoreArgs) -> Result<Answer> {
    let dialect = Dialect::named(&args.dialect)?;
    let table = Table::read(&args.data)?;
    let gold = gold(&table, &args.gold)?;
    let mut json = json!({});
    if let Some(column) = &args.pred {
        let replies = table.column_text_optional(column)?;
        let said: Vec<Option<Verdict>> =
            replies.iter().map(|reply| reply.as_ref().and_then(|reply| dialect.parse(reply))).collect();
        let pairs = || said.iter().copied().zip(gold.iter().copied());
        json = figures(Confusion::of(pairs()), args.level)?;
        if let Some(column) = &args.by {
            json["by"] = json!(by(&table, column, pairs(), args.level)?);
        }
    } else if args.by.is_some() {
        return Err(Error::Undefined("--by counts verdicts: it needs --pred".to_owned()));
    }
    if let Some(column) = &args.score {
        let scores = table.column_f64(column)?;
        let fail: Vec<bool> = gold.iter().map(|&truth| truth == Verdict::Fail).collect();
        let found = calibrate(&scores, &fail, args.target_fpr)?;
        let se = rank::auroc(&scores, &fail).ok();
        json["auroc"] = rank::auc(&scores, &fail)?.into();
        json["auroc_se"] = se.map(|a| a.se).into();
        json["auroc_lo"] = se.map(|a| a.low).into();
        json["auroc_hi"] = se.map(|a| a.high).into();
        json["best_f1"] = json!(found.best_f1);
        json["at_fpr"] = json!(found.at_fpr);
        json["at_fpr"]["target"] = args.target_fpr.into();
    }
    Ok(show::answer(json))
}

fn gold(table: &Table, column: &str) -> Result<Vec<Verdict>> {
    let words = table.column_text(column)?;
    let one = |(row, word): (usize, &String)| {
        Verdict::from_word(word).ok_or_else(|| table.cell_error(row, column, format!("`{word:.60}`"), "PASS or FAIL"))
    };
    words.iter().enumerate().map(one).collect()
}

fn figures(counts: Confusion, level: f64) -> Result<Value> {
    let (tp, fp, fn_, tn) = (counts.tp, counts.fp, counts.fn_, counts.tn);
    let ends = |k, n| interval(k, n, level).map(|i| i.map(|i| [i.low, i.high]));
    Ok(json!({
        "tp": tp, "fp": fp, "fn": fn_, "tn": tn, "nulls": counts.nulls(),
        "precision": counts.precision(), "recall": counts.recall(), "f1": counts.f1(),
        "accuracy": counts.accuracy(), "fpr": counts.fpr(), "fpr_over_n": counts.fpr_over_n(),
        "n": counts.n(), "level": level,
        "ci": {
            "precision": ends(tp, tp + fp)?, "recall": ends(tp, tp + fn_)?,
            "f1": counts.f1_interval(level)?.map(|i| [i.low, i.high]),
            "accuracy": ends(tp + tn, counts.n())?, "fpr": ends(fp, fp + tn)?,
        },
    }))
}

/// The figures of each value of a column, numbers in their order.
fn by(
    table: &Table,
    column: &str,
    pairs: impl Iterator<Item = (Option<Verdict>, Verdict)>,
    level: f64,
) -> Result<Vec<Value>> {
    let names = table.column_text(column)?;
    let mut groups: BTreeMap<&str, Vec<(Option<Verdict>, Verdict)>> = BTreeMap::new();
    for (name, pair) in names.iter().zip(pairs) {
        groups.entry(name).or_default().push(pair);
    }
    let mut order: Vec<&str> = groups.keys().copied().collect();
    let number = |name: &str| name.parse().unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let one = |name: &str| {
        let mut json = figures(Confusion::of(groups.get(name).into_iter().flatten().copied()), level)?;
        json[column] = name.into();
        Ok(json)
    };
    order.into_iter().map(one).collect()
}
