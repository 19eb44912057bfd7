//! Answers on stdout, failures on stderr.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde_json::{Value, json};

use crate::{Exit, Failure, Format, GlobalArgs};

/// What a command answers: the same facts for programs and for people.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Printed with `--format json`: one value, numbers in their shortest form that reads back to the same bits.
    pub json: Value,
    /// Printed with `--format text`, without a trailing line break.
    pub text: String,
    /// How the process ends (a gate can say no while its figures are still printed).
    pub exit: Exit,
}

impl Answer {
    /// An answer that ends with exit code 0.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), exit: Exit::Done }
    }

    /// The same answer with another exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Nothing more: the command has written its lines to stdout itself.
    pub fn printed() -> Self {
        Self { json: Value::Null, text: String::new(), exit: Exit::Done }
    }

    /// Text that is the same in both formats' place (`completions`, `--dry-run`): JSON carries it under `text`.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { json: json!({ "text": text }), text, exit: Exit::Done }
    }
}

/// Writes a file that a command was asked for: aside first, synced, then renamed, so that nobody sees half of it.
///
/// # Errors
/// Exit code 1, naming the path; whatever stood there is as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let aside = path.with_file_name(name);
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| {
        // Best effort: the write's own error is the one to tell.
        let _ = fs::remove_file(&aside);
        Failure::running(format!("cannot write {}: {error}", path.display()))
    })
}

pub(crate) fn print(answer: &Answer, format: Format) -> ExitCode {
    let written = match format {
        Format::Text => write_line(&answer.text),
        Format::Json if answer.json.is_null() => Ok(()),
        Format::Json => write_line(&answer.json.to_string()),
    };
    match written {
        // The reader of a pipe may leave early (`| head`); that is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed.code(),
        _ => answer.exit.code(),
    }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Prints every mistake to stderr, as a diagnostic or, with `--log-format json`, as one JSON object a line.
pub(crate) fn print_failure(failure: &Failure, global: &GlobalArgs) {
    let mut stderr = io::stderr().lock();
    for one in failure.each() {
        let _ = if global.log_format == Format::Json {
            let position = one.position();
            writeln!(
                stderr,
                "{}",
                json!({
                    "error": one.to_string(), "help": one.remedy(), "exit_code": one.exit() as u8,
                    "line": position.map(|p| p.0), "column": position.map(|p| p.1),
                })
            )
        } else {
            write!(stderr, "error: {}", crate::failure::render(one, global).trim_start())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("ashlar-cli-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("answer.json");
        write_file(&path, b"first").unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        // A folder stands where the file should go: it stays, and nothing is left beside it.
        let taken = folder.join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        let failure = write_file(&taken, b"x").unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.to_string().contains("taken"), "{failure}");
        assert!(write_file(&folder.join("none/x"), b"x").is_err());
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["answer.json", "taken"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
