//! The command line: `ashlar audit …` and the binary `ashlar-audit`.

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs};
use clap::{Parser, Subcommand};

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// To be filled.
    Todo,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, _global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::Todo => Ok(Answer::plain("")),
    }
}

#[derive(Parser, Debug)]
#[command(name = "ashlar-audit", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// The binary's `main`.
pub fn main() -> ExitCode {
    ashlar_cli::main(|cli: &Cli| &cli.global, |cli| run(&cli.command, &cli.global))
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::from_error(&error, error.is_input())
    }
}
