//! `audit score`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit score";

/// `audit score`.
#[derive(Args, Clone, Debug)]
pub struct ScoreArgs {}

pub(super) fn run(_args: &ScoreArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
