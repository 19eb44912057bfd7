//! Running the binary.

use std::{path::Path, process::Output};

use assert_cmd::Command;
use serde_json::Value;

/// Runs `ashlar-audit`.
pub fn audit(args: &[&str]) -> Output {
    Command::cargo_bin("ashlar-audit").unwrap().args(args).output().unwrap()
}

/// Runs it with `--format json` and reads the answer, whatever the exit code.
#[track_caller]
pub fn json_with_code(args: &[&str]) -> (Value, Option<i32>) {
    let output = audit(&[args, &["--format", "json", "--quiet"]].concat());
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    (answer, output.status.code())
}

/// Runs it with `--format json`; it must succeed.
#[track_caller]
pub fn json(args: &[&str]) -> Value {
    let (answer, code) = json_with_code(args);
    assert_eq!(code, Some(0), "{args:?}");
    answer
}

/// A command line of words.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// It must exit with 2, print nothing on stdout, and say all of `parts` on stderr.
#[track_caller]
pub fn refused(line: &str, parts: &[&str]) {
    let output = audit(&words(line));
    // The terminal's width breaks lines where it likes.
    let message = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(2), "{line}: {message}");
    for part in parts {
        assert!(message.contains(part), "{line}: no `{part}` in: {message}");
    }
    assert!(output.stdout.is_empty(), "{line}");
}

/// Writes a file into a folder and returns its path as text.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
