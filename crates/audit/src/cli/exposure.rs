//! `audit exposure`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit exposure";

/// `audit exposure`.
#[derive(Args, Clone, Debug)]
pub struct ExposureArgs {}

pub(super) fn run(_args: &ExposureArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
