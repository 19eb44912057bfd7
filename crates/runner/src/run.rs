//! `ashlar run`: an experiment from its file to its report.

use std::{path::PathBuf, time::Instant};

use ashlar_cli::{Answer, DeviceArg, Exit, Failure, config::Source, interrupt, stage::StageCommand};
use ashlar_train::run::Env;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    claims::{self, Verdict},
    execute::{Settings, execute},
    experiment::{Experiment, Options},
    html, library, store, summary,
};

/// How to run an experiment: the flags of `run`, and those of `reproduce` without the file.
#[derive(Args, Clone, Debug, Default)]
pub struct How {
    /// The longer setting, where the experiment has one.
    #[arg(long)]
    pub full: bool,
    /// Set one key over the file, on the shared tables (`--set data.name=mnist10k`) or on one stage
    /// (`--set stage.sketch.server.k=200`); repeatable.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub sets: Vec<String>,
    /// The experiment's folder [default: runs/NAME-1, runs/NAME-2, …].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on in --out: finished runs are kept, the others go on from their last checkpoint.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// First of the consecutive seeds, as many as the file has [default: the file's].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
    /// Threads [default: all cores]; results don't depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Check everything, print the resolved experiment as TOML and stop.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `ashlar run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  ashlar run quickstart\n  ashlar run experiments/fetchsgd.toml --full\n  \
ashlar run quickstart --set data.name=mnist10k --out runs/mine\n  ashlar run quickstart --out runs/mine --resume")]
pub struct RunCommand {
    /// An experiment file, or the name of an embedded one.
    #[arg(value_name = "FILE.toml|NAME")]
    pub experiment: String,
    /// How to run it.
    #[command(flatten)]
    pub how: How,
}

/// A finished experiment.
#[derive(Clone, Debug)]
pub struct Finished {
    /// As it was run.
    pub experiment: Experiment,
    /// The claims' verdicts.
    pub verdicts: Vec<Verdict>,
    /// What `result.json` holds.
    pub json: Value,
    /// For a terminal.
    pub text: String,
    /// Seconds since the start.
    pub wall_s: f64,
}

impl Finished {
    /// Whether every claim holds.
    pub fn holds(&self) -> bool {
        claims::all_hold(&self.verdicts)
    }

    /// 0, or 3 if a claim fails.
    pub fn exit(&self) -> Exit {
        if self.holds() { Exit::Done } else { Exit::Gate }
    }
}

/// Runs `ashlar run`.
///
/// # Errors
/// Exit code 2 for a mistake in the file or the flags, 1 or 130 from a stage.
pub fn run(command: &RunCommand, commands: &[StageCommand]) -> Result<Answer, Failure> {
    let source = library::open(&command.experiment)?;
    match start(&source, &command.how, commands)? {
        Started::Printed(toml) => Ok(Answer::plain(toml)),
        Started::Finished(finished) => {
            let exit = finished.exit();
            Ok(Answer::new(finished.json, finished.text).with_exit(exit))
        }
    }
}

/// What came of starting an experiment.
#[derive(Clone, Debug)]
pub enum Started {
    /// `--dry-run`: the resolved experiment.
    Printed(String),
    /// It ran to its end.
    Finished(Box<Finished>),
}

/// Runs an experiment from its text.
///
/// # Errors
/// As [`run`].
pub fn start(source: &Source, how: &How, commands: &[StageCommand]) -> Result<Started, Failure> {
    let begun = Instant::now();
    let options = Options { sets: how.sets.clone(), full: how.full, seed: how.seed };
    let experiment = Experiment::load(source, &options, commands)?;
    let config = experiment.to_toml()?;
    if how.dry_run {
        return Ok(Started::Printed(config));
    }
    let threads = how.threads.unwrap_or_else(cores);
    let device = how.device.to_string();
    let first_seed = experiment.header.seeds.first().copied().unwrap_or(0);
    let env = Env::collect(&device, usize::from(threads), first_seed, &config);
    let mut folder = store::open(how.out.as_deref(), &experiment.header.name, &config, &env, how.resume)?;
    let out = folder.path().to_owned();
    tracing::info!("{}: results go to {}", experiment.header.name, out.display());
    let interrupt = interrupt::flag();
    let settings = Settings { out: &out, resume: how.resume, threads, device: how.device, interrupt };
    let outcome = execute(&experiment, &settings)?;
    let verdicts = claims::judge(&experiment, &outcome)?;

    let mut json = summary::to_json(&experiment, &outcome, &verdicts);
    let report_path = out.join("report.html");
    // Where nothing was run, the seconds of the run stand.
    let before = store::finished(&out).filter(|_| outcome.made == 0).and_then(|result| result["wall_s"].as_f64());
    let wall_s = before.unwrap_or_else(|| begun.elapsed().as_secs_f64());
    json["out"] = json!(out);
    json["report"] = json!(report_path);
    json["wall_s"] = json!(wall_s);
    folder.result(&json).map_err(store::from_train)?;
    let env = serde_json::to_value(&env).unwrap_or(Value::Null);
    let mut report = html::build(&experiment, &outcome, &verdicts, &config, &env);
    report = report.fact("wall time", ashlar_report::Format::Seconds.show(wall_s));
    report.write_html(&report_path).map_err(|error| Failure::from_error(&error, false))?;

    let mut text = format!("{}\n\n", experiment.header.title);
    text.push_str(&summary::to_text(&summary::stages_table(&experiment, &outcome)));
    if !verdicts.is_empty() {
        text.push('\n');
        text.push_str(&summary::claims_text(&verdicts));
    }
    text.push_str(&format!("\n{:.1} s · report: {}", wall_s, report_path.display()));
    Ok(Started::Finished(Box::new(Finished { experiment, verdicts, json, text, wall_s })))
}

fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX).min(1024))
}
