//! `fl-core certify`.

use std::path::{Path, PathBuf};

use ashlar_cli::{Answer, Exit, Failure, config};
use clap::Args;
use serde_json::json;

use crate::{
    certify::certified_accuracy,
    config::RunConfig,
    sim::{Federation, Simulation, logits, open_checkpoint},
};

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar fl-core certify --ckpt runs/sparsefed --bound 0.5 --fail-below 0.6";

/// `fl-core certify`.
#[derive(Args, Clone, Debug)]
pub struct CertifyArgs {
    /// A run folder, or one of its checkpoints.
    #[arg(long, value_name = "DIR")]
    pub ckpt: PathBuf,
    /// The gap between the two largest logits that a certified point must have.
    #[arg(long, value_name = "B")]
    pub bound: f64,
    /// Exit with 3 if the certified accuracy is below this.
    #[arg(long, value_name = "ACC")]
    pub fail_below: Option<f64>,
}

pub(super) fn run(args: &CertifyArgs) -> Result<Answer, Failure> {
    if let Some(least) = args.fail_below.filter(|least| !(0.0..=1.0).contains(least)) {
        return Err(Failure::usage(format!("--fail-below {least}: an accuracy in [0, 1] is expected")));
    }
    let settings = settings_of(&args.ckpt)?;
    let (config, _, _): (RunConfig, _, _) = config::load(Some(&settings), &[])?;
    let data = Federation::load(&config)?;
    let mut simulation = Simulation::new(config, data)?;
    simulation.restore(&open_checkpoint(&args.ckpt)?)?;
    let (model, test) = (simulation.model(), &simulation.federation().test);
    let bound = model.bind(simulation.weights()).map_err(crate::Error::from)?;
    let logits = logits(model, &bound, test)?;
    let found = certified_accuracy(&logits, test.labels(), test.classes().len(), args.bound)?;
    let holds = args.fail_below.is_none_or(|least| found.accuracy >= least);
    let answer = Answer::new(
        json!({
            "bound": found.bound, "certified_accuracy": found.accuracy, "certified_points": found.wide_gap,
            "points": found.points, "round": simulation.round(), "fail_below": args.fail_below, "holds": holds,
        }),
        format!(
            "certified accuracy {:.4} at bound {} (right, and the two largest logits that far apart)\n\
             {} of {} points have that gap, right or wrong",
            found.accuracy, found.bound, found.wide_gap, found.points
        ),
    );
    Ok(if holds { answer } else { answer.with_exit(Exit::Gate) })
}

/// The run's settings: in the folder, or in the run folder around a checkpoint.
fn settings_of(path: &Path) -> Result<PathBuf, Failure> {
    let found = path.ancestors().take(4).map(|folder| folder.join("config.toml")).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::usage(format!("{} is no run folder and lies in none: there is no config.toml", path.display()))
            .help("give the folder that `fl-core train --out` made")
    })
}
