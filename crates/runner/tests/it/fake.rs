//! A stage command whose results follow from its configuration and seed alone.

use std::{fs, path::PathBuf, sync::Mutex};

use ashlar_cli::{
    Failure,
    config::{Source, from_table},
    stage::{StageCommand, StageContext},
};
use ashlar_runner::run::{Finished, How, Started, start};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    data: Data,
    server: Server,
    /// Fails while this file exists.
    fails_with: Option<PathBuf>,
    /// Diverges if true.
    diverges: bool,
    /// Panics if true.
    panics: bool,
    /// Must exist.
    weights: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Data {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    lr: f64,
    k: u64,
    mode: Mode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Uncompressed,
    TrueTopk,
    Sketch,
}

fn check(table: &toml::Table) -> Result<(), Failure> {
    let config: Config = from_table(table, None)?;
    if config.server.k > 100 {
        return Err(Failure::usage(format!("k = {} exceeds the model's 100 parameters", config.server.k)));
    }
    Ok(())
}

/// Folders in which the command ran.
pub static RAN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn train(table: &toml::Table, context: &StageContext) -> Result<Value, Failure> {
    let config: Config = from_table(table, None)?;
    if config.fails_with.as_ref().is_some_and(|file| file.exists()) {
        return Err(Failure::running("the disk is on fire"));
    }
    if config.diverges {
        return Err(Failure::running("the loss is not finite").diverged());
    }
    assert!(!config.panics, "the stage's own bug");
    if let Some(weights) = &config.weights {
        assert!(weights.is_file(), "{} must be there before the stage that needs it", weights.display());
    }
    RAN.lock().unwrap().push(context.out.clone());
    assert_eq!(context.out.exists(), context.resume && context.out.exists());
    fs::create_dir_all(&context.out).unwrap();
    fs::write(context.out.join("model.safetensors"), b"weights").unwrap();
    let round = |round: u32| format!("{{\"round\":{round},\"test_acc\":{}}}", 0.2 * f64::from(round));
    let rounds: Vec<String> = (0..3).map(round).collect();
    fs::write(context.out.join("metrics.jsonl"), rounds.join("\n")).unwrap();
    let bonus = match config.server.mode {
        Mode::Uncompressed => 0.1,
        Mode::TrueTopk => 0.05,
        Mode::Sketch => 0.0,
    };
    let final_acc = 0.5 + config.server.lr / 2.0 + bonus + context.seed as f64 / 100.0;
    Ok(json!({
        "final_acc": final_acc, "val_acc": final_acc, "loss": 1.0 - final_acc, "diverged": f64::NAN,
        "compression": { "down": 8.0 }, "seed": context.seed, "data": config.data.name,
    }))
}

pub const COMMANDS: &[StageCommand] = &[StageCommand { name: "fake train", check, run: train }];

pub fn source(text: &str) -> Source {
    Source { origin: "exp.toml".to_owned(), text: text.to_owned() }
}

/// Runs an experiment in a folder.
pub fn run(text: &str, how: How) -> Result<Finished, Failure> {
    match start(&source(text), &how, COMMANDS)? {
        Started::Finished(finished) => Ok(*finished),
        Started::Printed(_) => panic!("--dry-run was not given"),
    }
}

/// Runs an experiment in a fresh folder.
pub fn run_once(text: &str) -> Result<Finished, Failure> {
    let folder = tempfile::tempdir().unwrap();
    run(text, How { out: Some(folder.path().join("out")), ..How::default() })
}

/// The resolved file.
pub fn dry(text: &str, how: How) -> Result<String, Failure> {
    match start(&source(text), &How { dry_run: true, ..how }, COMMANDS)? {
        Started::Printed(toml) => Ok(toml),
        Started::Finished(_) => panic!("--dry-run runs nothing"),
    }
}

/// All mistakes, one a line, as `line:column message (suggestion)`.
pub fn mistakes(text: &str) -> String {
    describe(&dry(text, How::default()).expect_err("the file has mistakes"))
}

pub fn describe(failure: &Failure) -> String {
    assert_eq!(failure.exit(), ashlar_cli::Exit::Usage);
    let mut lines = Vec::new();
    for one in failure.each() {
        let place = one.position().map_or("-".to_owned(), |(line, column)| format!("{line}:{column}"));
        let label = one.label().map(|label| format!(" [{label}]")).unwrap_or_default();
        let help = one.remedy().map(|help| format!(" ({help})")).unwrap_or_default();
        lines.push(format!("{place} {one}{label}{help}"));
    }
    lines.join("\n")
}
