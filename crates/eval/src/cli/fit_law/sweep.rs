//! `eval fit-law sweep`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub const EXAMPLE: &str = "";

/// Flags of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {}

/// Runs the command.
pub fn run(_args: &SweepArgs) -> Result<Answer, Failure> {
    Ok(Answer::plain(""))
}
