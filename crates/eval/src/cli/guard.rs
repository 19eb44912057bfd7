//! `eval guard …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum GuardCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &GuardCommand) -> Result<Answer, Failure> {
    match command {
        GuardCommand::Placeholder => Ok(Answer::plain("")),
    }
}
