//! `eval heads …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum HeadsCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &HeadsCommand) -> Result<Answer, Failure> {
    match command {
        HeadsCommand::Placeholder => Ok(Answer::plain("")),
    }
}
