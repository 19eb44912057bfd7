//! `eval em …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum EmCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &EmCommand) -> Result<Answer, Failure> {
    match command {
        EmCommand::Placeholder => Ok(Answer::plain("")),
    }
}
