//! `eval markov`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub const EXAMPLE: &str = "Example:\n  ashlar eval markov --counts 720,80,45,155 --p0 0.8";

/// To be filled.
#[derive(Args, Debug)]
pub struct MarkovArgs {}

/// Runs the command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(_args: &MarkovArgs) -> Result<Answer, Failure> {
    Ok(Answer::plain(""))
}
