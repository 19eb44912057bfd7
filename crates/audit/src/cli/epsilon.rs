//! `audit epsilon`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Exit, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::{
    OutArgs, number, optional, save,
    scores_file::{self, parse_count},
    table,
};
use crate::{
    Adjacency, Audit, Confusion, Method, OneRun, Plan, Result, Select, Validity,
    select::{ceiling_note, delta_note},
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar audit epsilon --method one-run --canaries 1000 --guesses 100 --correct 95 --delta 1e-5
  ashlar audit epsilon --method clopper-pearson --members 1000 --nonmembers 1000 --tp 950 --fp 10
  ashlar audit epsilon --method one-run-fdp --scores scores.json --select bonferroni --fail-above 4";

/// `audit epsilon`.
#[derive(Args, Clone, Debug)]
pub struct EpsilonArgs {
    /// How the bound is computed.
    #[arg(long, value_enum, default_value_t = Method::OneRun)]
    pub method: Method,
    /// Canaries whose inclusion was decided by a coin (one-run, one-run-fdp).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub canaries: Option<u64>,
    /// Canaries guessed about; the others are abstentions (one-run, one-run-fdp).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub guesses: Option<u64>,
    /// Right guesses (one-run, one-run-fdp).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub correct: Option<u64>,
    /// Members tested (clopper-pearson, gdp, bayes).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub members: Option<u64>,
    /// Non-members tested (clopper-pearson, gdp, bayes).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub nonmembers: Option<u64>,
    /// Members found (clopper-pearson, gdp, bayes).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub tp: Option<u64>,
    /// Non-members flagged (clopper-pearson, gdp, bayes).
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = "Counts")]
    pub fp: Option<u64>,
    /// Scores in place of counts: {"members": [...], "nonmembers": [...]}, higher = more likely a member.
    #[arg(long, value_name = "FILE.json", help_heading = "Scores")]
    pub scores: Option<PathBuf>,
    /// How the guesses are chosen from the scores [default: fixed].
    #[arg(long, value_enum, requires = "scores", help_heading = "Scores")]
    pub select: Option<Select>,
    /// Highest scores guessed "in"; several, comma-separated, are candidates to select from.
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = parse_count, allow_negative_numbers = true,
          requires = "scores", help_heading = "Scores")]
    pub k_plus: Vec<u64>,
    /// Lowest scores guessed "out", paired with --k-plus.
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = parse_count, allow_negative_numbers = true,
          requires = "scores", help_heading = "Scores")]
    pub k_minus: Vec<u64>,
    /// Delta at which epsilon is bounded.
    #[arg(long, value_name = "DELTA", default_value_t = 1e-5, allow_hyphen_values = true)]
    pub delta: f64,
    /// One-sided confidence of the lower bound; the mass of the whole interval for bayes.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_hyphen_values = true)]
    pub confidence: f64,
    /// The epsilon that is claimed: exit with 3 if the bound exceeds it.
    #[arg(long, value_name = "EPS", allow_hyphen_values = true)]
    pub fail_above: Option<f64>,
    /// What a canary's coin decided: its presence, or which record of a pair was used.
    #[arg(long, value_enum, default_value_t)]
    pub adjacency: Adjacency,
    /// Exactly half of the canaries were included, in place of a coin each: the one-run theorems don't cover that.
    #[arg(long)]
    pub balanced: bool,
    #[command(flatten)]
    pub(crate) output: OutArgs,
}

pub(super) fn run(args: &EpsilonArgs) -> Result<Answer, Failure> {
    if let Some(claim) = args.fail_above.filter(|claim| !(*claim >= 0.0 && claim.is_finite())) {
        return Err(Failure::usage(format!("--fail-above {claim}: it must be a finite number, at least 0")));
    }
    let mut audit = match &args.scores {
        Some(path) => from_scores(args, path)?,
        None => from_counts(args)?,
    };
    if args.balanced && audit.bound.method.is_one_run() && audit.bound.valid == Validity::Valid {
        audit.bound.valid = Validity::Heuristic;
        audit.notes.push("balanced inclusion: the coins are not independent, as the one-run theorems need".to_owned());
    }
    for note in &audit.notes {
        tracing::warn!("{}", note.trim_start_matches("warning: "));
    }
    let exceeded = args.fail_above.is_some_and(|claim| audit.bound.epsilon_lower > claim);
    let answer = save(Answer::new(as_json(args, &audit), as_text(args, &audit)), args.output.out.as_deref())?;
    Ok(if exceeded { answer.with_exit(Exit::Gate) } else { answer })
}

fn from_scores(args: &EpsilonArgs, path: &std::path::Path) -> Result<Audit, Failure> {
    if let Some(flag) = counts(args).into_iter().find_map(|(flag, count)| count.map(|_| flag)) {
        return Err(Failure::usage(format!(
            "--{flag} and --scores exclude each other: the counts come from the scores"
        )));
    }
    let select = args.select.unwrap_or_default();
    if select == Select::MaxUncorrected && args.fail_above.is_some() {
        return Err(Failure::usage("--select max-uncorrected gives no bound, so that --fail-above can't gate on it")
            .help("select with bonferroni, split or multi-split, or fix the guesses beforehand"));
    }
    let plan = Plan {
        select,
        k_plus: args.k_plus.clone(),
        k_minus: args.k_minus.clone(),
        delta: args.delta,
        confidence: args.confidence,
        claim: args.fail_above,
        seed: args.output.seed,
        ..Plan::new(args.method)
    };
    Ok(scores_file::read(path)?.audit(&plan)?)
}

/// The counts as typed.
fn counts(args: &EpsilonArgs) -> [(&'static str, Option<u64>); 7] {
    [
        ("canaries", args.canaries),
        ("guesses", args.guesses),
        ("correct", args.correct),
        ("members", args.members),
        ("nonmembers", args.nonmembers),
        ("tp", args.tp),
        ("fp", args.fp),
    ]
}

/// The counts that the method needs, and no others.
fn needed<const N: usize>(args: &EpsilonArgs, flags: [&'static str; N]) -> Result<[u64; N], Failure> {
    let (method, list) = (args.method.name(), flags.map(|flag| format!("--{flag}")).join(", "));
    let mut values = [0; N];
    for (flag, count) in counts(args) {
        match (flags.iter().position(|&needed| needed == flag), count) {
            (Some(place), Some(count)) => values[place] = count,
            (Some(_), None) => {
                return Err(Failure::usage(format!("--method {method} needs --{flag}"))
                    .help(format!("give {list}, or --scores FILE")));
            }
            (None, Some(_)) => {
                return Err(Failure::usage(format!("--{flag} is not a count of --method {method}"))
                    .help(format!("it takes {list}, or --scores FILE")));
            }
            (None, None) => {}
        }
    }
    Ok(values)
}

fn from_counts(args: &EpsilonArgs) -> Result<Audit, Failure> {
    let (delta, confidence) = (args.delta, args.confidence);
    let mut audit = match args.method {
        Method::OneRun | Method::OneRunFdp => {
            let [canaries, guesses, correct] = needed(args, ["canaries", "guesses", "correct"])?;
            let run = OneRun::new(canaries, guesses, correct)?;
            let bound_of = |run: &OneRun| match args.method {
                Method::OneRun => run.epsilon_lower(delta, confidence),
                _ => run.epsilon_lower_fdp(delta, confidence),
            };
            let mut audit = Audit::of_bound(bound_of(&run)?);
            audit.epsilon_ceiling = Some(bound_of(&run.all_correct())?.epsilon_lower);
            audit.canaries = canaries;
            audit.guesses = Some(guesses);
            audit.correct = Some(correct);
            if args.method == Method::OneRun {
                audit.p_value_at_zero = Some(run.p_value(0.0, delta)?);
                audit.notes.extend(delta_note(delta, canaries));
            }
            audit
        }
        Method::ClopperPearson | Method::Gdp | Method::Bayes => {
            let [members, nonmembers, tp, fp] = needed(args, ["members", "nonmembers", "tp", "fp"])?;
            let confusion = Confusion::new(members, nonmembers, tp, fp)?;
            let bound_of = |confusion: &Confusion| match args.method {
                Method::ClopperPearson => confusion.clopper_pearson(delta, confidence),
                Method::Gdp => confusion.gdp(delta, confidence),
                _ => confusion.bayes(delta, confidence),
            };
            let mut audit = Audit::of_bound(bound_of(&confusion)?);
            audit.epsilon_ceiling = Some(match args.method {
                // Without the upper end, which costs as much again.
                Method::Bayes => confusion.all_correct().bayes_lower(delta, confidence)?,
                _ => bound_of(&confusion.all_correct())?.epsilon_lower,
            });
            audit.canaries = members.saturating_add(nonmembers);
            if args.method != Method::Bayes {
                audit.error_rates = Some(confusion.error_rates(confidence)?);
            }
            audit
        }
        Method::OneShotGaussian => {
            return Err(Failure::usage(
                "--method one-shot-gaussian needs --scores FILE: counts don't hold what it uses",
            ));
        }
    };
    let ceiling = audit.epsilon_ceiling.unwrap_or(f64::INFINITY);
    if let Some(claim) = args.fail_above.filter(|claim| ceiling <= *claim) {
        audit.notes.push(ceiling_note(ceiling, claim));
    }
    Ok(audit)
}

fn as_json(args: &EpsilonArgs, audit: &Audit) -> Value {
    let bound = &audit.bound;
    let mut answer = json!({
        "epsilon_lower": number(bound.epsilon_lower),
        "epsilon_upper": optional(bound.epsilon_upper),
        "mu_lower": optional(bound.mu_lower),
        "p_value_at_zero": audit.p_value_at_zero,
        "fpr_upper": audit.error_rates.map(|rates| rates.fpr_upper),
        "fnr_upper": audit.error_rates.map(|rates| rates.fnr_upper),
        "epsilon_ceiling": optional(audit.epsilon_ceiling),
        "method": bound.method,
        "kind": kind(bound.method),
        "valid": bound.valid,
        "assumes": bound.assumes(),
        "adjacency": args.adjacency,
        "delta": bound.delta,
        "confidence": bound.confidence,
        "canaries": audit.canaries,
        "guesses": audit.guesses,
        "correct": audit.correct,
    });
    if let (Some(fields), true) = (answer.as_object_mut(), args.scores.is_some()) {
        fields.insert("select".to_owned(), json!(audit.select.map(Select::name)));
        fields.insert("candidates".to_owned(), json!(audit.candidates));
        fields.insert("level".to_owned(), json!(audit.level));
        fields.insert("k_plus".to_owned(), json!(audit.k_plus));
        fields.insert("k_minus".to_owned(), json!(audit.k_minus));
        fields.insert("threshold".to_owned(), json!(audit.threshold));
        fields.insert("threshold_out".to_owned(), json!(audit.threshold_out));
        fields.insert("seed".to_owned(), json!(args.output.seed));
    }
    if let (Some(fields), Some(claim)) = (answer.as_object_mut(), args.fail_above) {
        fields.insert("fail_above".to_owned(), json!(claim));
        fields.insert("exceeded".to_owned(), json!(bound.epsilon_lower > claim));
    }
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("notes".to_owned(), json!(audit.notes));
    }
    answer
}

fn kind(method: Method) -> &'static str {
    if method == Method::Bayes { "credible" } else { "confidence" }
}

fn as_text(args: &EpsilonArgs, audit: &Audit) -> String {
    let bound = &audit.bound;
    let confidence = format!("{} {}, delta {}", bound.confidence, kind(bound.method), bound.delta);
    let mut rows = vec![("epsilon_lower", format!("{:.6}  ({confidence})", bound.epsilon_lower))];
    let mut row = |name, value: Option<f64>| rows.extend(value.map(|value| (name, format!("{value:.6}"))));
    row("epsilon_upper", bound.epsilon_upper);
    row("mu_lower", bound.mu_lower);
    row("p_value_at_zero", audit.p_value_at_zero);
    row("fpr_upper", audit.error_rates.map(|rates| rates.fpr_upper));
    row("fnr_upper", audit.error_rates.map(|rates| rates.fnr_upper));
    row("epsilon_ceiling", audit.epsilon_ceiling);
    row("threshold", audit.threshold);
    if let (Some(guesses), Some(correct)) = (audit.guesses, audit.correct) {
        rows.push(("guesses", format!("{correct} right of {guesses}, about {} canaries", audit.canaries)));
    }
    if let Some(select) = audit.select {
        rows.push(("select", format!("{} of {} candidates, level {}", select.name(), audit.candidates, audit.level)));
    }
    rows.push(("method", bound.method.name().to_owned()));
    rows.push(("valid", bound.valid.name().to_owned()));
    rows.push(("assumes", bound.assumes().to_owned()));
    rows.push(("adjacency", args.adjacency.name().to_owned()));
    if let Some(claim) = args.fail_above {
        let verdict = if bound.epsilon_lower > claim { "exceeded" } else { "not exceeded" };
        rows.push(("fail_above", format!("{claim}: {verdict}")));
    }
    rows.extend(audit.notes.iter().map(|note| ("note", note.clone())));
    table(&rows)
}
