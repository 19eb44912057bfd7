//! `eval guard …`.

use std::{collections::BTreeMap, path::PathBuf};

use ashlar_cli::{Answer, Failure};
use ashlar_stats::{rank, special::ln_sum_exp};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

use super::show;
use crate::{
    Error, Result, Table,
    em::judge,
    guard::{Confusion, Dialect, Verdict, interval, threshold::calibrate, token_margin},
};

const SCORE: &str = "\
Examples:
  ashlar eval guard score --data replies.jsonl --pred reply --gold label
  ashlar eval guard score --data replies.jsonl --pred reply --gold label --by n_rules
  ashlar eval guard score --data margins.csv --score margin --gold label
  ashlar eval guard score --data first-token.jsonl --logprobs top20 --gold label

FAIL is the positive class. A reply without a verdict is scored as the wrong one. --score takes a
column that is larger the more it speaks for FAIL, best the difference of the log-probabilities of
FAIL and PASS. --logprobs makes that difference: its column holds what an endpoint reports of the
verdict's first token, {\"FAIL\": -0.2, \" PASS\": -1.9, ...} or [{\"token\": \"FAIL\", \"logprob\": -0.2},
...], usually the 20 likeliest; a side that is not among them counts as -100.";

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
    #[arg(long, value_name = "COL", required_unless_present_any = ["score", "logprobs"])]
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
    /// Ascending borders of buckets, for a --by column of numbers: below E1, E1 to E2, …, E_n and above.
    #[arg(long, value_name = "E1,E2", value_delimiter = ',', requires = "by", allow_negative_numbers = true)]
    pub edges: Option<Vec<f64>>,
    /// Column of scores for FAIL.
    #[arg(long, value_name = "COL")]
    pub score: Option<String>,
    /// Column of the log-probabilities of the verdict's first token, whose margin is the score for FAIL.
    #[arg(long, value_name = "COL", conflicts_with = "score")]
    pub logprobs: Option<String>,
    /// First tokens of FAIL, each counted with and without a leading space [default: FAIL].
    #[arg(long, value_name = "TOKEN,…", value_delimiter = ',', requires = "logprobs",
          value_parser = NonEmptyStringValueParser::new())]
    pub fail_token: Vec<String>,
    /// First tokens of PASS [default: PASS].
    #[arg(long, value_name = "TOKEN,…", value_delimiter = ',', requires = "logprobs",
          value_parser = NonEmptyStringValueParser::new())]
    pub pass_token: Vec<String>,
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
            json["by"] = json!(by(&table, column, args.edges.as_deref(), pairs(), args.level)?);
        }
    } else if args.by.is_some() {
        return Err(Error::Undefined("--by counts verdicts: it needs --pred".to_owned()));
    }
    let scores = match (&args.score, &args.logprobs) {
        (Some(column), _) => Some(table.column_f64(column)?),
        (None, Some(column)) => Some(margins(&table, column, args, &mut json)?),
        (None, None) => None,
    };
    if let Some(scores) = scores {
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

/// Each row's margin of FAIL over PASS; what was looked for is added to the answer.
fn margins(table: &Table, column: &str, args: &ScoreArgs, json: &mut Value) -> Result<Vec<f64>> {
    let unnamed = args.fail_token.is_empty() || args.pass_token.is_empty();
    if unnamed && args.dialect != "dynaguard" {
        // A word's first token is the tokeniser's affair: `unsafe` may begin with `un`.
        let what = format!("--logprobs with --dialect {} needs --fail-token and --pass-token", args.dialect);
        return Err(Error::Undefined(what));
    }
    let (fail, pass) = (spellings(&args.fail_token, "FAIL"), spellings(&args.pass_token, "PASS"));
    if let Some(both) = fail.iter().find(|token| pass.contains(token)) {
        return Err(Error::Undefined(format!("`{}` is a --fail-token and a --pass-token", both.trim_start())));
    }
    let sides = [&fail, &pass].map(|side| side.iter().map(String::as_str).collect::<Vec<_>>());
    let [fail, pass] = [&sides[0], &sides[1]];
    let mut neither = 0_u64;
    let mut scores = Vec::with_capacity(table.len());
    for (row, cell) in table.column(column)?.into_iter().enumerate() {
        let logprobs = first_token(table, row, column, cell)?;
        neither += u64::from(!fail.iter().chain(pass).any(|&token| logprobs.contains_key(token)));
        scores.push(token_margin(&logprobs, fail, pass));
    }
    json["fail_tokens"] = json!(fail);
    json["pass_tokens"] = json!(pass);
    json["n_neither"] = neither.into();
    Ok(scores)
}

/// Both spellings of each token, or of the default: with and without a leading space they are two tokens.
fn spellings(tokens: &[String], default: &str) -> Vec<String> {
    let given = tokens.iter().map(String::as_str).chain(tokens.is_empty().then_some(default));
    let mut all: Vec<String> = given.map(str::trim_start).flat_map(|t| [t.to_owned(), format!(" {t}")]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The log-probabilities of one cell; a CSV's holds the JSON as text.
fn first_token(table: &Table, row: usize, column: &str, cell: &Value) -> Result<BTreeMap<String, f64>> {
    let wrong = |found: String, expected| table.cell_error(row, column, found, expected);
    let pairs = match cell {
        Value::String(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
        _ => Ok(cell.clone()),
    };
    let pairs = pairs.and_then(|json| judge::pairs(&json));
    let pairs = pairs.map_err(|what| wrong(what, "log-probabilities by token"))?;
    judge::score(&pairs).map_err(|error| wrong(error.to_string(), "the first token's distribution"))?;
    let mut logprobs = BTreeMap::new();
    for (token, logprob) in pairs {
        // Two ids can have one text: their probabilities add up.
        logprobs.entry(token).and_modify(|sum| *sum = ln_sum_exp(&[*sum, logprob])).or_insert(logprob);
    }
    Ok(logprobs)
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

/// The bucket of a value, from its border up to below the next.
fn bucket(edges: &[f64], value: f64) -> String {
    let above = edges.iter().take_while(|&&edge| edge <= value).count();
    match (above.checked_sub(1).and_then(|below| edges.get(below)), edges.get(above)) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("{low} and above"),
        (None, Some(high)) => format!("below {high}"),
        (None, None) => "all".to_owned(),
    }
}

/// The figures of each value of a column, or of each bucket, numbers in their order.
fn by(
    table: &Table,
    column: &str,
    edges: Option<&[f64]>,
    pairs: impl Iterator<Item = (Option<Verdict>, Verdict)>,
    level: f64,
) -> Result<Vec<Value>> {
    let names = match edges {
        None => table.column_text(column)?,
        Some(edges) => {
            if !edges.is_sorted_by(|a, b| a < b) {
                return Err(Error::Undefined(format!("--edges {edges:?}: the borders must ascend")));
            }
            table.column_f64(column)?.into_iter().map(|value| bucket(edges, value)).collect()
        }
    };
    let mut groups: BTreeMap<&str, Vec<(Option<Verdict>, Verdict)>> = BTreeMap::new();
    for (name, pair) in names.iter().zip(pairs) {
        groups.entry(name).or_default().push(pair);
    }
    let mut order: Vec<&str> = groups.keys().copied().collect();
    // A bucket is known by its lower border.
    let number = |name: &str| match name.split(' ').next().unwrap_or(name).parse() {
        Ok(number) => number,
        Err(_) if name.starts_with("below") => f64::NEG_INFINITY,
        Err(_) => f64::INFINITY,
    };
    order.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let one = |name: &str| {
        let mut json = figures(Confusion::of(groups.get(name).into_iter().flatten().copied()), level)?;
        json[column] = name.into();
        Ok(json)
    };
    order.into_iter().map(one).collect()
}
