//! `audit gdp`.

use ashlar_cli::{Answer, Failure};
use clap::Args;

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar audit gdp";

/// `audit gdp`.
#[derive(Args, Clone, Debug)]
pub struct GdpArgs {}

pub(super) fn run(_args: &GdpArgs) -> Result<Answer, Failure> {
    Err(Failure::running("not built yet"))
}
