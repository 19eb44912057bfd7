//! `audit roc`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit roc";

/// `audit roc`.
#[derive(Args, Clone, Debug)]
pub struct RocArgs {}

pub(super) fn run(_args: &RocArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
