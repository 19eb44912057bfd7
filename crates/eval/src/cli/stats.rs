//! `eval stats …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum StatsCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &StatsCommand) -> Result<Answer, Failure> {
    match command {
        StatsCommand::Placeholder => Ok(Answer::plain("")),
    }
}
