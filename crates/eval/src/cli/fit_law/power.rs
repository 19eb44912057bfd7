//! `eval fit-law power`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub const EXAMPLE: &str = "";

/// Flags of `power`.
#[derive(Args, Debug)]
pub struct PowerArgs {}

/// Runs the command.
pub fn run(_args: &PowerArgs) -> Result<Answer, Failure> {
    Ok(Answer::plain(""))
}
