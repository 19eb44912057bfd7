//! `eval stats …`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use ashlar_stats::{
    cluster::{Correction, clustered_mean},
    combinatorial::{pass_at_k, pass_hat_k},
    interval::{t_mean, wilson},
    mean,
    paired::paired,
    rank,
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::show;
use crate::{Error, Result, Table, clusters::clusters, lm_eval, resample};

const WILSON: &str = "\
Example:
  ashlar eval stats wilson --k 37 --n 50";
const MEAN: &str = "\
Example:
  ashlar eval stats mean --data samples.jsonl --value correct --cluster passage";
const BOOTSTRAP: &str = "\
Example:
  ashlar eval stats bootstrap --data samples.jsonl --value ll --stat perplexity --iters 2000 --compat lm-eval";
const PAIRED: &str = "\
Example:
  ashlar eval stats paired --data both.csv --a tuned --b base --cluster passage";
const AUROC: &str = "\
Example:
  ashlar eval stats auroc --data scores.csv --score p_fail --label is_fail";
const PASS_AT_K: &str = "\
Example:
  ashlar eval stats pass-at-k --n 20 --c 7 --k 5";

/// Intervals, paired comparisons, AUROC, pass@k.
#[derive(Subcommand, Clone, Debug)]
pub enum StatsCommand {
    /// Wilson's interval of a proportion.
    #[command(after_help = WILSON)]
    Wilson(WilsonArgs),
    /// A mean with its standard error, clustered if the items come in groups.
    #[command(after_help = MEAN)]
    Mean(MeanArgs),
    /// The bootstrap standard error of a mean, median or perplexity.
    #[command(after_help = BOOTSTRAP)]
    Bootstrap(BootstrapArgs),
    /// Two models on the same items: difference, clustered error, exact McNemar.
    #[command(after_help = PAIRED)]
    Paired(PairedArgs),
    /// AUROC with DeLong's standard error.
    #[command(after_help = AUROC)]
    Auroc(AurocArgs),
    /// The chance that one of k attempts is right, and that all are.
    #[command(after_help = PASS_AT_K)]
    PassAtK(PassAtKArgs),
}

/// `stats wilson`.
#[derive(Args, Clone, Debug)]
pub struct WilsonArgs {
    /// Successes.
    #[arg(long, allow_negative_numbers = true)]
    pub k: u64,
    /// Trials.
    #[arg(long, allow_negative_numbers = true)]
    pub n: u64,
    /// Confidence of the interval.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub level: f64,
}

/// `stats mean`.
#[derive(Args, Clone, Debug)]
pub struct MeanArgs {
    /// JSONL or CSV.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the values.
    #[arg(long, value_name = "COL")]
    pub value: String,
    /// Column that says which items belong together.
    #[arg(long, value_name = "COL")]
    pub cluster: Option<String>,
    /// Confidence of the interval.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub level: f64,
    /// Whether C clusters' variance is scaled by C/(C − 1).
    #[arg(long, value_enum, default_value_t)]
    pub cluster_correction: ClusterCorrection,
}

/// How the clustered variance is scaled.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ClusterCorrection {
    /// By C/(C − 1).
    #[default]
    Finite,
    /// Not at all.
    None,
}

/// `stats bootstrap`.
#[derive(Args, Clone, Debug)]
pub struct BootstrapArgs {
    /// JSONL or CSV.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the values (log-likelihoods for a perplexity).
    #[arg(long, value_name = "COL")]
    pub value: String,
    /// What the error is of.
    #[arg(long, value_enum)]
    pub stat: Stat,
    /// Replicates.
    #[arg(long, value_name = "N", default_value_t = 100_000, allow_negative_numbers = true)]
    pub iters: usize,
    /// Seed of the draws [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Draw as lm-evaluation-harness does, bit for bit (its chunks, seeds and upper median).
    #[arg(long, value_enum)]
    pub compat: Option<Compat>,
}

/// A statistic that can be bootstrapped.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Stat {
    /// Σx/n.
    Mean,
    /// The middle value.
    Median,
    /// exp(−Σx/n).
    Perplexity,
}

/// Whose bootstrap.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Compat {
    /// lm-evaluation-harness'.
    LmEval,
}

/// `stats paired`.
#[derive(Args, Clone, Debug)]
pub struct PairedArgs {
    /// JSONL or CSV with one row an item.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the first model's scores.
    #[arg(long, value_name = "COL")]
    pub a: String,
    /// Column of the second model's scores.
    #[arg(long, value_name = "COL")]
    pub b: String,
    /// Column that says which items belong together.
    #[arg(long, value_name = "COL")]
    pub cluster: Option<String>,
}

/// `stats auroc`.
#[derive(Args, Clone, Debug)]
pub struct AurocArgs {
    /// JSONL or CSV.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the scores.
    #[arg(long, value_name = "COL")]
    pub score: String,
    /// Column of the labels, 0 and 1 (or false and true).
    #[arg(long, value_name = "COL")]
    pub label: String,
}

/// `stats pass-at-k`.
#[derive(Args, Clone, Debug)]
pub struct PassAtKArgs {
    /// Attempts.
    #[arg(long, allow_negative_numbers = true)]
    pub n: u64,
    /// Right ones among them.
    #[arg(long, allow_negative_numbers = true)]
    pub c: u64,
    /// Attempts that are allowed.
    #[arg(long, allow_negative_numbers = true)]
    pub k: u64,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &StatsCommand) -> Result<Answer, Failure> {
    Ok(match command {
        StatsCommand::Wilson(args) => run_wilson(args)?,
        StatsCommand::Mean(args) => run_mean(args)?,
        StatsCommand::Bootstrap(args) => return run_bootstrap(args),
        StatsCommand::Paired(args) => run_paired(args)?,
        StatsCommand::Auroc(args) => run_auroc(args)?,
        StatsCommand::PassAtK(args) => {
            let (any, all) = (pass_at_k(args.n, args.c, args.k), pass_hat_k(args.n, args.c, args.k));
            show::answer(json!({
                "pass_at_k": any.map_err(Error::from)?, "pass_hat_k": all.map_err(Error::from)?,
                "n": args.n, "c": args.c, "k": args.k,
            }))
        }
    })
}

fn run_wilson(args: &WilsonArgs) -> Result<Answer> {
    let interval = wilson(args.k, args.n, args.level)?;
    let p = args.k as f64 / args.n as f64;
    Ok(show::answer(json!({
        "p": p, "lo": interval.low, "hi": interval.high, "k": args.k, "n": args.n, "level": args.level,
    })))
}

fn run_mean(args: &MeanArgs) -> Result<Answer> {
    let table = Table::read(&args.data)?;
    let values = table.column_f64(&args.value)?;
    let groups = args.cluster.as_ref().map(|column| clusters(&table, column)).transpose()?;
    let mut json = json!({
        "n": values.len(), "mean": mean(&values)?, "se": null, "se_clustered": null, "n_clusters": null,
        "lo": null, "hi": null, "level": args.level,
    });
    // A level outside (0, 1) is refused with one value too.
    wilson(0, 1, args.level)?;
    if values.len() < 2 {
        json["n_clusters"] = groups.map(|_| 1).into();
        json["reason"] = "one value has no standard error".into();
        return Ok(show::answer(json));
    }
    let correction = match args.cluster_correction {
        ClusterCorrection::Finite => Correction::Finite,
        ClusterCorrection::None => Correction::None,
    };
    // Without clusters every item is one of its own.
    let own: Vec<usize> = (0..values.len()).collect();
    let found = clustered_mean(&values, groups.as_deref().unwrap_or(&own), correction, args.level)?;
    json["se"] = found.se.into();
    let interval = if groups.is_some() {
        json["se_clustered"] = found.se_clustered.into();
        json["n_clusters"] = found.n_clusters.into();
        if found.n_clusters == 1 {
            json["reason"] = "one cluster has no standard error".into();
        }
        found.interval
    } else {
        Some(t_mean(&values, args.level)?)
    };
    json["lo"] = interval.map(|i| i.low).into();
    json["hi"] = interval.map(|i| i.high).into();
    Ok(show::answer(json))
}

fn run_bootstrap(args: &BootstrapArgs) -> Result<Answer, Failure> {
    if let (Some(seed), Some(_)) = (args.seed, args.compat) {
        return Err(Failure::usage(format!("--seed {seed}: with --compat lm-eval chunk i is drawn with seed i"))
            .help("leave --seed out"));
    }
    let values = Table::read(&args.data)?.column_f64(&args.value)?;
    let compat = args.compat.is_some();
    let statistic = match args.stat {
        Stat::Mean => resample::Statistic::Mean,
        Stat::Median if compat => resample::Statistic::UpperMedian,
        Stat::Median => resample::Statistic::Median,
        Stat::Perplexity => resample::Statistic::Perplexity,
    };
    let seed = args.seed.unwrap_or(0);
    let found = if compat {
        lm_eval::bootstrap(&values, statistic, args.iters)?
    } else {
        resample::bootstrap(&values, statistic, args.iters, seed)?
    };
    let mut json = json!({ "value": found.value, "se": found.se, "iters": found.iters, "n": values.len() });
    if compat {
        json["iters_dropped"] = (args.iters - found.iters).into();
    } else {
        json["seed"] = seed.into();
    }
    Ok(show::answer(json))
}

fn run_paired(args: &PairedArgs) -> Result<Answer> {
    let table = Table::read(&args.data)?;
    let (a, b) = (table.column_f64(&args.a)?, table.column_f64(&args.b)?);
    let groups = args.cluster.as_ref().map(|column| clusters(&table, column)).transpose()?;
    let found = paired(&a, &b, groups.as_deref(), 0.95)?;
    let mut json = json!({
        "n": found.n, "diff": found.diff, "se": found.se, "lo": found.lo, "hi": found.hi, "corr": found.corr,
        "b": found.b, "c": found.c, "p_mcnemar": found.p_mcnemar,
    });
    if found.se.is_none() {
        json["reason"] = "one cluster has no standard error".into();
    }
    if let Some(groups) = groups {
        json["n_clusters"] = groups.iter().max().map(|last| last + 1).into();
    }
    Ok(show::answer(json))
}

fn run_auroc(args: &AurocArgs) -> Result<Answer> {
    let table = Table::read(&args.data)?;
    let (scores, labels) = (table.column_f64(&args.score)?, table.column_bool(&args.label)?);
    let n_pos = labels.iter().filter(|&&label| label).count();
    let n_neg = labels.len() - n_pos;
    if n_pos == 0 || n_neg == 0 {
        let column = &args.label;
        return Err(Error::Undefined(format!(
            "AUROC needs both classes, column `{column}` has {n_pos} positive and {n_neg} negative rows"
        )));
    }
    if n_pos < 2 || n_neg < 2 {
        return Ok(show::answer(json!({
            "auroc": rank::auc(&scores, &labels)?, "se": null, "lo": null, "hi": null,
            "n_pos": n_pos, "n_neg": n_neg, "reason": "a standard error needs two rows of each class",
        })));
    }
    let found = rank::auroc(&scores, &labels)?;
    Ok(show::answer(json!({
        "auroc": found.auroc, "se": found.se, "lo": found.low, "hi": found.high, "n_pos": n_pos, "n_neg": n_neg,
    })))
}
