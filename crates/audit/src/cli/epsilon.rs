//! `audit epsilon`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit epsilon";

/// `audit epsilon`.
#[derive(Args, Clone, Debug)]
pub struct EpsilonArgs {}

pub(super) fn run(_args: &EpsilonArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
