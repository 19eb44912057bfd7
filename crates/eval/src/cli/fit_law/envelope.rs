//! `eval fit-law envelope`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{DataArgs, ResourceArg, TargetArg, plot, write_svg};
use crate::{
    cli::text::{number, pairs},
    law::{Envelope, EnvelopeMethod},
};

pub const EXAMPLE: &str = "Example:\n  \
    ashlar eval fit-law envelope --data wandb_df_for_fitting_hot_477.jsonl --target params --plot hull.svg";

/// How the frontier is found, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// The lower convex hull in logs.
    #[default]
    Hull,
    /// The lowest loss in each of log-spaced buckets.
    Bucket,
}

/// Flags of `envelope`.
#[derive(Args, Debug)]
pub struct EnvelopeArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// What a frontier is over.
    #[arg(long, value_enum, default_value_t)]
    pub resource: ResourceArg,
    /// What its law predicts.
    #[arg(long, value_enum, default_value_t)]
    pub target: TargetArg,
    /// Count parameters without both embedding matrices.
    #[arg(long)]
    pub no_embeds: bool,
    /// How the frontier is found.
    #[arg(long, value_enum, default_value_t)]
    pub method: MethodArg,
    /// Buckets of `--method bucket`.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true)]
    pub buckets: usize,
    /// Draw the points and the frontier.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &EnvelopeArgs) -> Result<Answer, Failure> {
    let points = args.data.points()?;
    let method = match args.method {
        MethodArg::Hull => EnvelopeMethod::Hull,
        MethodArg::Bucket => EnvelopeMethod::Bucket(args.buckets),
    };
    let envelope = Envelope::fit(&points, args.resource.into(), args.target.into(), args.no_embeds, method)?;
    if let Some(path) = &args.plot {
        write_svg(path, &plot::envelope(&points, args.resource.into(), &envelope)?)?;
    }
    let rows: Vec<_> =
        envelope.points.iter().map(|p| json!({ "resource": p.resource, "loss": p.loss, "target": p.target })).collect();
    let answer = json!({
        "coef": envelope.coef, "intercept": envelope.intercept, "n_rows": envelope.n_rows,
        "n_untrained": envelope.n_untrained, "n_envelope": envelope.points.len(),
        "runs_on_envelope": envelope.runs.map(|runs| runs.0), "runs": envelope.runs.map(|runs| runs.1),
        "envelope": rows,
    });
    let mut text = vec![
        (
            "law",
            format!("{} = {:.5e} · resource^{}", args.target.name(), envelope.intercept.exp(), number(envelope.coef)),
        ),
        ("exponent", number(envelope.coef)),
        ("intercept (ln)", number(envelope.intercept)),
        ("rows", format!("{}", envelope.n_rows)),
        ("on the frontier", format!("{}", envelope.points.len())),
    ];
    if envelope.n_untrained > 0 {
        text.push(("of step 0, left aside", format!("{}", envelope.n_untrained)));
    }
    if let Some((on, all)) = envelope.runs {
        text.push(("models on it", format!("{on} of {all}")));
    }
    Ok(Answer::new(answer, pairs(text)))
}
