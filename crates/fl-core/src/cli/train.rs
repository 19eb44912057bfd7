//! `fl-core train`.

use std::sync::atomic::AtomicBool;

use ashlar_cli::{Answer, Failure, GlobalArgs, RunArgs, interrupt, progress::Progress};
use clap::Args;
use serde_json::Value;
use toml::Table;

use super::settings::{self, TrainFlags};
use crate::{
    config::RunConfig,
    sim::{self, Record, Surroundings},
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar fl-core train --mode sketch --rounds 60 --out runs/sketch
  ashlar fl-core train --config run.toml --set server.lr=0.3 --format json
  ashlar fl-core train --config run.toml --out runs/a --resume";

/// `fl-core train`.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub flags: TrainFlags,
}

pub(super) fn run(args: &TrainArgs, _: &GlobalArgs) -> Result<Answer, Failure> {
    let config = settings::load(&args.run, &args.flags, |_: &mut Table| Ok(()))?;
    execute(config, &args.run, "train")
}

/// Runs a configuration as the flags say, or prints it.
pub(super) fn execute(config: RunConfig, run: &RunArgs, label: &str) -> Result<Answer, Failure> {
    if run.dry_run {
        return Ok(Answer::plain(config.to_toml()?));
    }
    let around = Surroundings {
        out: run.out.as_deref(),
        resume: run.resume,
        threads: run.threads.map(usize::from),
        interrupt: Some(interrupt::flag()),
    };
    let result = watched(config, &around, label)?;
    let text = summary(&result, run.out.as_deref());
    Ok(Answer::new(result, text))
}

/// Runs with a progress bar.
pub(super) fn watched(config: RunConfig, around: &Surroundings<'_>, label: &str) -> Result<Value, Failure> {
    let mut progress = Progress::new(label, config.server.rounds as u64);
    let mut accuracy = String::new();
    let mut watcher = |record: &Record, _: usize| {
        if let Some(acc) = record.test_acc {
            accuracy = format!(" acc {acc:.3}");
        }
        let loss = record.train_loss.map_or_else(String::new, |loss| format!("loss {loss:.3}"));
        progress.set(record.round as u64 + 1, format!("{loss}{accuracy}"));
    };
    let result = sim::run(config, around, &mut watcher);
    progress.finish();
    Ok(result?)
}

/// A stage's surroundings.
pub(super) fn stage_surroundings<'a>(
    out: &'a std::path::Path,
    resume: bool,
    threads: Option<u16>,
    interrupt: &'a AtomicBool,
) -> Surroundings<'a> {
    Surroundings { out: Some(out), resume, threads: threads.map(usize::from), interrupt: Some(interrupt) }
}

fn summary(result: &Value, out: Option<&std::path::Path>) -> String {
    use std::fmt::Write as _;
    let number = |key: &str| result.get(key).and_then(Value::as_f64);
    let mut text = String::new();
    let mode = result.get("mode").and_then(Value::as_str).unwrap_or_default();
    let count = |key: &str| result.get(key).and_then(Value::as_u64).unwrap_or(0);
    let _ = writeln!(text, "mode             {mode} ({} parameters, {} rounds)", count("d"), count("rounds"));
    if let Some(acc) = number("final_acc") {
        let _ = writeln!(text, "accuracy         {acc:.4}");
    }
    if let Some(acc) = number("val_acc") {
        let _ = writeln!(text, "validation       {acc:.4}");
    }
    if let Some(acc) = number("backdoor_acc") {
        let _ = writeln!(text, "backdoor         {acc:.4}");
    }
    if let Some(lifespan) = result.get("lifespan") {
        let rounds = lifespan.get("rounds").and_then(Value::as_u64).unwrap_or(0);
        let more = if lifespan.get("censored") == Some(&Value::Bool(true)) { ">=" } else { "" };
        let kappa = lifespan.get("kappa").and_then(Value::as_f64).unwrap_or(0.5);
        let _ = writeln!(text, "lifespan         {more}{rounds} rounds above {kappa}");
    }
    let mib = |key: &str| count(key) as f64 / f64::from(1 << 20);
    let ratio = |pointer: String| result.pointer(&pointer).and_then(Value::as_f64).unwrap_or(1.0);
    // As published papers count, and the bytes of real frames.
    let _ = writeln!(text, "{:<16} {:>22} {:>22}", "bytes", "paper", "wire");
    for (label, key) in [("upload", "up"), ("download", "down"), ("in all", "total")] {
        let column = |bytes: String, ratio: f64| format!("{:.1} MiB ({ratio:.1}x less)", mib(&bytes));
        let paper = column(format!("bytes_{key}"), ratio(format!("/compression/{key}")));
        let wire = column(format!("bytes_{key}_wire"), ratio(format!("/compression_wire/{key}")));
        let _ = writeln!(text, "{label:<16} {paper:>22} {wire:>22}");
    }
    if count("dropped_nonfinite") > 0 {
        let _ = writeln!(text, "dropped updates  {}", count("dropped_nonfinite"));
    }
    if let Some(seconds) = number("wall_s") {
        let _ = writeln!(text, "seconds          {seconds:.2}");
    }
    if let Some(out) = out {
        let _ = writeln!(text, "run folder       {}", out.display());
    }
    text
}
