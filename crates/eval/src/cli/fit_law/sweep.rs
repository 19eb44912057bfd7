//! `eval fit-law sweep`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::{ResourceArg, TargetArg, envelope::MethodArg, on_threads, plot, write_svg};
use crate::{
    cli::text::{optional, table},
    law::{
        EnvelopeMethod, FitOptions, Loss, Resource, Starts,
        published::{Recomputed, recompute},
        sweep::{SweepOptions, SweepRow, sweep},
    },
};

pub const EXAMPLE: &str = "Example:\n  ashlar eval fit-law sweep --dir gemstones/wandb_dfs --plot sensitivity.svg";

/// Flags of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// Folder of tables (JSONL or CSV).
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// What the frontiers are over.
    #[arg(long, value_enum, default_value_t)]
    pub resource: ResourceArg,
    /// What their laws predict.
    #[arg(long, value_enum, default_value_t)]
    pub target: TargetArg,
    /// How frontiers are found.
    #[arg(long, value_enum, default_value_t)]
    pub method: MethodArg,
    /// Buckets of `--method bucket`.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true)]
    pub buckets: usize,
    /// Also fit a law of params,tokens to each table.
    #[arg(long)]
    pub parametric: bool,
    /// Huber's delta of these laws.
    #[arg(long, value_name = "D", default_value_t = 1e-3, allow_negative_numbers = true)]
    pub delta: f64,
    /// Folder of the paper's own approach-1 fits, to be recomputed from these tables.
    #[arg(long, value_name = "DIR")]
    pub published: Option<PathBuf>,
    /// Threads [default: all cores]; results don't depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Draw the exponents.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &SweepArgs) -> Result<Answer, Failure> {
    if !(args.delta > 0.0 && args.delta.is_finite()) {
        return Err(crate::Error::Range { name: "delta", value: args.delta, expected: "finite and above 0" }.into());
    }
    let fit = FitOptions { loss: Loss::Huber { delta: args.delta }, starts: Starts::Auto, seed: 0 };
    let options = SweepOptions {
        resource: args.resource.into(),
        target: args.target.into(),
        method: match args.method {
            MethodArg::Hull => EnvelopeMethod::Hull,
            MethodArg::Bucket => EnvelopeMethod::Bucket(args.buckets),
        },
        parametric: args.parametric.then_some(fit),
    };
    let rows = on_threads(args.threads, || sweep(&args.dir, &options))??;
    if let Some(path) = &args.plot {
        write_svg(path, &plot::sweep(&rows, Resource::from(args.resource).name(), args.target.name()))?;
    }
    let mut answer = json!({ "rows": rows.iter().map(to_json).collect::<Vec<_>>() });
    let mut text = to_text(&rows, args.parametric);
    if let Some(folder) = &args.published {
        let fits = recompute(&args.dir, folder)?;
        text.push_str(&format!("\n\n{} published fits, at most {:.1e} off", fits.len(), worst(&fits)));
        answer["published"] = published_json(&fits);
    }
    Ok(Answer::new(answer, text))
}

/// The largest relative difference to published numbers.
fn worst(fits: &[Recomputed]) -> f64 {
    fits.iter().map(Recomputed::difference).fold(0.0, f64::max)
}

/// Published fits beside ours as JSON.
pub fn published_json(fits: &[Recomputed]) -> Value {
    let row = |fit: &Recomputed| {
        json!({
            "file": fit.file, "table": fit.table, "coef": fit.ours.0, "intercept": fit.ours.1,
            "published_coef": fit.published.0, "published_intercept": fit.published.1,
            "relative_difference": fit.difference(),
        })
    };
    json!({
        "n": fits.len(), "worst_relative_difference": worst(fits),
        "fits": fits.iter().map(row).collect::<Vec<_>>(),
    })
}

/// A table's fits as JSON.
pub fn to_json(row: &SweepRow) -> Value {
    let envelope = row.envelope.as_ref().ok();
    let mut answer = json!({
        "file": row.file,
        "coef": envelope.map(|e| e.coef),
        "intercept": envelope.map(|e| e.intercept),
        "n_rows": envelope.map(|e| e.n_rows),
        "n_envelope": envelope.map(|e| e.points.len()),
        "runs_on_envelope": envelope.and_then(|e| e.runs).map(|runs| runs.0),
        "runs": envelope.and_then(|e| e.runs).map(|runs| runs.1),
        "coef_no_embeds": row.no_embeds.as_ref().map(|e| e.coef),
        "intercept_no_embeds": row.no_embeds.as_ref().map(|e| e.intercept),
        "reason": row.envelope.as_ref().err(),
    });
    match &row.parametric {
        None => {}
        Some(Err(why)) => answer["parametric"] = json!({ "reason": why }),
        Some(Ok(fit)) => {
            answer["parametric"] = json!({
                "alpha": fit.exponents[0], "beta": fit.exponents[1], "E": fit.floor(), "objective": fit.objective,
                "grad_inf": fit.grad_inf, "degenerate": fit.degenerate(),
                "a": fit.law().ok().map(|law| law.params_exponent()),
            });
        }
    }
    answer
}

fn to_text(rows: &[SweepRow], parametric: bool) -> String {
    let mut header = vec!["table", "rows", "on hull", "models", "exponent", "no embeds"];
    if parametric {
        header.extend(["alpha", "beta", "a = beta/(alpha+beta)"]);
    }
    let mut reasons = Vec::new();
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let envelope = row.envelope.as_ref().ok();
            let count = |n: Option<usize>| n.map_or_else(|| "—".to_owned(), |n| n.to_string());
            let models = envelope.and_then(|e| e.runs).map(|(on, all)| format!("{on} of {all}"));
            let mut line = vec![
                plot::short(&row.file).to_owned(),
                count(envelope.map(|e| e.n_rows)),
                count(envelope.map(|e| e.points.len())),
                models.unwrap_or_else(|| "—".to_owned()),
                optional(envelope.map(|e| e.coef)),
                optional(row.no_embeds.as_ref().map(|e| e.coef)),
            ];
            if let Some(law) = &row.parametric {
                let fit = law.as_ref().ok();
                line.push(optional(fit.map(|fit| fit.exponents[0])));
                line.push(optional(fit.map(|fit| fit.exponents[1])));
                line.push(optional(fit.and_then(|fit| fit.law().ok()).map(|law| law.params_exponent())));
            }
            if let Err(why) = &row.envelope {
                reasons.push(format!("{}: {why}", plot::short(&row.file)));
            }
            line
        })
        .collect();
    let mut text = table(&header, &lines);
    for reason in reasons {
        text.push_str("\n\n");
        text.push_str(&reason);
    }
    text
}
