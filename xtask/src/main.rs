//! Ashlar's chores: `cargo xtask` lists them.

mod packaged;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

type Outcome<T = ()> = Result<T, String>;

/// A chore: its name, one line of help, and the function that does it.
struct Chore {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Outcome,
}

const CHORES: &[Chore] = &[Chore {
    name: "packaged",
    help: "build and run the README's library example against the packaged crates, outside the workspace",
    run: packaged::packaged,
}];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        say("chores (cargo xtask NAME):");
        for chore in CHORES {
            say(&format!("  {:<10} {}", chore.name, chore.help));
        }
        return ExitCode::SUCCESS;
    };
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        complain(&format!("no chore is called `{name}`; `cargo xtask` lists them"));
        return ExitCode::from(2);
    };
    match (chore.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the one place where chores speak")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the one place where chores complain")]
fn complain(line: &str) {
    eprintln!("error: {line}");
}

fn workspace_root() -> Outcome<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| "xtask has no parent folder".to_owned())
}

/// Runs a command with its output shown; its failure is the chore's.
fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
