//! The run folder: what a run leaves behind, and how it survives being killed.
//!
//! Layout and an example are on the [crate page](crate). The rules that make it safe:
//!
//! 1. A checkpoint is written into `checkpoints/.tmp-…`, every file synced, the folder synced, renamed to
//!    `step-NNNNNN`, and `checkpoints` synced. Until the rename the previous one is the newest; only after it are
//!    older ones removed.
//! 2. `state.json` of a checkpoint holds the length and SHA-256 of each of its files and of itself. Loading verifies
//!    all of it, and takes the previous checkpoint, with a warning that names the broken one, if anything differs.
//! 3. `metrics.jsonl` and `log.jsonl` are synced before a checkpoint, which records their lengths. Resuming cuts them
//!    there. So a step's metrics belong *before* its checkpoint, and a resumed run's `metrics.jsonl` is the file of
//!    the run without the break.
//! 4. All other files are written aside and renamed, too.
//! 5. `LOCK` is held through the system (`File::try_lock`), which frees it when the process ends in whatever way.

mod array;
mod checkpoint;
mod disk;
mod env;
mod lines;
mod lock;
#[cfg(test)]
mod test;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

pub use array::Array;
pub use checkpoint::Checkpoint;
pub use env::{Env, config_hash};

use crate::{Error, Result};
use lines::Lines;
use lock::Lock;

const CONFIG: &str = "config.toml";
const ENV: &str = "env.json";
const METRICS: &str = "metrics.jsonl";
const LOG: &str = "log.jsonl";
const LATEST: &str = "latest";
const RESULT: &str = "result.json";
const CHECKPOINTS: &str = "checkpoints";

/// A run's folder, locked for this process until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: Lines,
    log: Lines,
    keep: usize,
    restored: Option<u64>,
    _lock: Lock,
}

impl RunFolder {
    /// Starts a new run in `path`, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Exists`] if the folder holds a run or files of anything else, [`Error::Locked`] if another process
    /// works in it, or a file can't be written.
    pub fn create(path: impl AsRef<Path>, resolved_config: &str, env: &Env) -> Result<Self> {
        let path = path.as_ref();
        if let Some(what) = foreign(path)? {
            return Err(Error::Exists { path: path.to_owned(), what });
        }
        fs::create_dir_all(path.join(CHECKPOINTS)).map_err(Error::io("make the folder", path))?;
        let lock = Lock::take(path)?;
        // Again under the lock: another process may have been faster.
        if let Some(what) = foreign(path)? {
            return Err(Error::Exists { path: path.to_owned(), what });
        }
        disk::replace(&path.join(ENV), &env.to_json())?;
        let (metrics, log) = (Lines::open(path.join(METRICS), 0)?, Lines::open(path.join(LOG), 0)?);
        // Last, because its presence is what makes this a run.
        disk::replace(&path.join(CONFIG), resolved_config.as_bytes())?;
        Ok(Self { path: path.to_owned(), metrics, log, keep: 2, restored: None, _lock: lock })
    }

    /// Goes on with the run in `path` at its newest intact checkpoint, or at its beginning if there is none.
    ///
    /// Lines that were written to `metrics.jsonl` and `log.jsonl` after that checkpoint are cut off, and broken newer
    /// checkpoints are renamed to `broken-step-…`. Compare the configuration with
    /// [`check_config`](Self::check_config), or use [`open`](Self::open).
    ///
    /// # Errors
    /// [`Error::NotARun`] without a `config.toml`, [`Error::Locked`] if another process works there, or a file can't
    /// be read or written.
    pub fn resume(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.join(CONFIG).is_file() {
            return Err(Error::NotARun { path: path.to_owned() });
        }
        let lock = Lock::take(path)?;
        Self::restore(path, lock)
    }

    /// What a command does with `--out` and `--resume`: creates the run, or, with `resume`, goes on with it after
    /// comparing the configuration. A folder without a run in it is created in both cases, so that a job which always
    /// says `--resume` starts by itself.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`resume`](Self::resume), and [`Error::ConfigChanged`].
    pub fn open(path: impl AsRef<Path>, resolved_config: &str, env: &Env, resume: bool) -> Result<Self> {
        let path = path.as_ref();
        if !resume || !path.join(CONFIG).is_file() {
            return Self::create(path, resolved_config, env);
        }
        let lock = Lock::take(path)?;
        check_config(path, resolved_config)?;
        let run = Self::restore(path, lock)?;
        if let Some(step) = run.restored {
            tracing::info!(step, path = %path.display(), "resuming");
        } else {
            tracing::warn!(path = %path.display(), "no checkpoint to resume from: starting over");
        }
        Ok(run)
    }

    fn restore(path: &Path, lock: Lock) -> Result<Self> {
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(Error::io("make the folder", &checkpoints))?;
        checkpoint::clean(&checkpoints)?;
        let (newest, broken) = checkpoint::newest(&checkpoints)?;
        for folder in broken {
            checkpoint::set_aside(&folder)?;
        }
        let (metrics, log) = newest.as_ref().map_or((0, 0), |c| (c.metrics_len, c.log_len));
        let restored = newest.as_ref().map(|c| c.step);
        let (metrics, log) = (Lines::open(path.join(METRICS), metrics)?, Lines::open(path.join(LOG), log)?);
        Ok(Self { path: path.to_owned(), metrics, log, keep: 2, restored, _lock: lock })
    }

    /// Compares a resolved configuration with the run's.
    ///
    /// # Errors
    /// [`Error::ConfigChanged`], with the first line that differs.
    pub fn check_config(&self, resolved_config: &str) -> Result<()> {
        check_config(&self.path, resolved_config)
    }

    /// How many checkpoints to keep (default 2, at least 1): one more than needed guards against a damaged disk.
    #[must_use]
    pub fn keep_last(mut self, n: usize) -> Self {
        self.keep = n.max(1);
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Step of the checkpoint that [`resume`](Self::resume) found.
    #[must_use]
    pub fn restored_step(&self) -> Option<u64> {
        self.restored
    }

    /// Appends a record to `metrics.jsonl`: an object with `step` (or `round`) and flat names such as `train/loss`.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn metrics(&mut self, record: &Value) -> Result<()> {
        self.metrics.append(record)
    }

    /// Appends an event to `log.jsonl`.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn log(&mut self, event: &Value) -> Result<()> {
        self.log.append(event)
    }

    /// Saves a checkpoint after `step` completed steps; write the step's metrics first.
    ///
    /// An array named `optim/m` goes into `optim.safetensors`, one without a slash into `model.safetensors`. `state`
    /// holds whatever isn't an array: counters, not generators, as streams are made from seed and step.
    ///
    /// # Errors
    /// If a name can't be used or a file can't be written; the older checkpoints are then untouched.
    pub fn checkpoint(&mut self, step: u64, arrays: &[(String, Array<'_>)], state: &Value) -> Result<()> {
        let lengths = (self.metrics.sync()?, self.log.sync()?);
        let checkpoints = self.path.join(CHECKPOINTS);
        let name = checkpoint::save(&checkpoints, step, arrays, state, lengths, &mut disk::write_synced)?;
        disk::replace(&self.path.join(LATEST), format!("{CHECKPOINTS}/{name}\n").as_bytes())?;
        checkpoint::prune(&checkpoints, self.keep)
    }

    /// Loads the newest intact checkpoint; broken ones are skipped with a warning that names them.
    ///
    /// # Errors
    /// If the folder can't be read; a broken file isn't an error.
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        Ok(checkpoint::newest(&self.path.join(CHECKPOINTS))?.0)
    }

    /// Drops the records of `metrics.jsonl` whose `step` (or `round`) is above `step`, for a run that goes on from
    /// elsewhere than its newest checkpoint. [`resume`](Self::resume) has already cut what it must.
    ///
    /// # Errors
    /// If the file can't be read or rewritten.
    pub fn cut_metrics_after(&mut self, step: u64) -> Result<()> {
        self.metrics.retain(|record| {
            let at = record.get("step").or_else(|| record.get("round"));
            at.and_then(Value::as_u64).is_none_or(|at| at <= step)
        })
    }

    /// Writes `result.json`, replacing an earlier one as a whole.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn result(&mut self, result: &Value) -> Result<()> {
        self.metrics.sync()?;
        self.log.sync()?;
        disk::replace(&self.path.join(RESULT), format!("{result:#}\n").as_bytes())
    }
}

fn check_config(path: &Path, resolved_config: &str) -> Result<()> {
    let file = path.join(CONFIG);
    let original = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    let (expected, found) = (config_hash(&original), config_hash(resolved_config));
    if expected == found {
        return Ok(());
    }
    let mut pairs = original.lines().zip(resolved_config.lines());
    let difference = pairs.find(|(a, b)| a != b).map_or_else(
        || format!("{} lines, now {}", original.lines().count(), resolved_config.lines().count()),
        |(a, b)| format!("`{a}`, now `{b}`"),
    );
    Err(Error::ConfigChanged { path: path.to_owned(), expected, found, difference })
}

/// What in `path` keeps a run from starting there; a start that was killed before `config.toml` is in nobody's way.
fn foreign(path: &Path) -> Result<Option<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("list", path))?,
    };
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect();
    names.sort();
    if names.iter().any(|name| name == CONFIG) {
        return Ok(Some("a run".to_owned()));
    }
    let ours = [lock::NAME, ENV, METRICS, LOG, CHECKPOINTS];
    let is_ours = |name: &OsStr| ours.iter().any(|n| name == *n) || name.to_string_lossy().starts_with(disk::ASIDE);
    Ok(names.iter().find(|name| !is_ours(name)).map(|name| format!("the file {}", name.display())))
}
