//! The shared data and the crate's own command.

use std::path::PathBuf;

/// A path below the shared data, or `None` (said on stdout) where they are absent.
pub fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ASHLAR_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no shared data (set ASHLAR_DATA)");
    None
}

/// What a run of the command gave.
#[cfg(feature = "cli")]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

#[cfg(feature = "cli")]
impl Ran {
    /// stdout as JSON; the whole of it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Runs `ashlar-eval ARGS`.
#[cfg(feature = "cli")]
pub fn eval<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let output = assert_cmd::Command::cargo_bin("ashlar-eval").unwrap().args(args).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whether two numbers agree to `rel` relative.
pub fn close(found: f64, expected: f64, rel: f64) -> bool {
    (found - expected).abs() <= rel * expected.abs().max(f64::MIN_POSITIVE)
}

/// Asserts that two numbers agree to `rel` relative.
#[track_caller]
pub fn assert_close(found: f64, expected: f64, rel: f64) {
    assert!(close(found, expected, rel), "{found:?} is not {expected:?} to {rel:e}");
}
