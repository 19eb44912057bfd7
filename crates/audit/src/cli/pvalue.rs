//! `audit pvalue`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit pvalue";

/// `audit pvalue`.
#[derive(Args, Clone, Debug)]
pub struct PvalueArgs {}

pub(super) fn run(_args: &PvalueArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
