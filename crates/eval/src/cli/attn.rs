//! `eval attn …`.

use ashlar_cli::{Answer, Failure};
use clap::Subcommand;

/// To be filled.
#[derive(Subcommand, Debug)]
pub enum AttnCommand {
    /// To be filled.
    Placeholder,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &AttnCommand) -> Result<Answer, Failure> {
    match command {
        AttnCommand::Placeholder => Ok(Answer::plain("")),
    }
}
