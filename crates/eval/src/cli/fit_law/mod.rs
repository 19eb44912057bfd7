//! `eval fit-law …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum FitLawCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &FitLawCommand) -> Result<Answer, Failure> {
    match command {
        FitLawCommand::Placeholder => Ok(Answer::plain("")),
    }
}
