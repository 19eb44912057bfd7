//! The experiment's folder: a run folder as every command keeps one, never clobbered, locked while in use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ashlar_cli::Failure;
use ashlar_train::run::{Env, RunFolder};
use serde_json::Value;
use toml::Table;

/// Opens the folder of an experiment: `out`, or the first free one of `runs/NAME-1`, `runs/NAME-2`, …
///
/// # Errors
/// Exit code 2 if `out` holds something else, or if its experiment was begun with other stages; 1 if a file can't be
/// written.
pub fn open(out: Option<&Path>, name: &str, config: &str, env: &Env, resume: bool) -> Result<RunFolder, Failure> {
    let path = match out {
        Some(out) => out.to_owned(),
        None => free_folder(name)?,
    };
    let file = path.join("config.toml");
    if !resume || !file.is_file() {
        return RunFolder::create(&path, config, env).map_err(from_train);
    }
    let old = fs::read_to_string(&file).map_err(|error| cannot("read", &file, &error))?;
    if measured_part(&old) != measured_part(config) {
        return Err(Failure::usage(format!("{} was begun with other stages or seeds", path.display()))
            .help("use the file and the flags that it was begun with, or another --out"));
    }
    let folder = RunFolder::resume(&path).map_err(from_train)?;
    write(&file, config.as_bytes())?;
    Ok(folder)
}

/// What must not change between a run and its resumption; claims, report and title may.
fn measured_part(config: &str) -> Option<(Option<toml::Value>, Option<toml::Value>)> {
    let table = config.parse::<Table>().ok()?;
    Some((table.get("experiment").and_then(|e| e.get("seeds")).cloned(), table.get("stage").cloned()))
}

fn free_folder(name: &str) -> Result<PathBuf, Failure> {
    let runs = Path::new("runs");
    create_all(runs)?;
    for number in 1..u32::MAX {
        let path = runs.join(format!("{name}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("create", &path, &error)),
        }
    }
    Err(Failure::running("every folder name in runs/ is taken"))
}

/// The result of a finished run, by its folder.
pub fn finished(folder: &Path) -> Option<Value> {
    let text = fs::read_to_string(folder.join("result.json")).ok()?;
    serde_json::from_str(&text).ok()
}

/// Creates a folder and those above it.
///
/// # Errors
/// Exit code 1, naming the path.
pub fn create_all(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| cannot("create", path, &error))
}

/// Writes a JSON file aside and renames it.
///
/// # Errors
/// Exit code 1, naming the path.
pub fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::running(format!("cannot write {}: {error}", path.display())))?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Writes a file aside, with everything on the disk before it is renamed.
///
/// # Errors
/// Exit code 1, naming the path.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        create_all(parent)?;
    }
    ashlar_cli::write_file(path, bytes)
}

/// An error of the run folder with its exit code.
pub fn from_train(error: ashlar_train::Error) -> Failure {
    Failure::from_error(&error, error.is_input())
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::running(format!("cannot {what} {}: {error}", path.display()))
}
