//! The command line: `ashlar dp-core …` and the binary `ashlar-dp-core`.

mod args;
mod calibrate;
mod convert;
mod epsilon;
pub mod events;
mod hpo;
mod plot;
mod show;

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs};
use clap::{Parser, Subcommand};

/// Differential privacy: what a run spends, how much noise a budget needs.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Compute the epsilon that a run spends at a delta, with a lower and an upper bound.
    #[command(after_help = epsilon::EPSILON_EXAMPLE)]
    Epsilon(epsilon::EpsilonArgs),
    /// Compute the delta of a run at an epsilon.
    #[command(after_help = epsilon::DELTA_EXAMPLE)]
    Delta(epsilon::DeltaArgs),
    /// Find the least noise that keeps a budget.
    #[command(after_help = calibrate::EXAMPLE)]
    Calibrate(calibrate::CalibrateArgs),
    /// Convert zero-concentrated or Gaussian DP to epsilon and delta.
    #[command(after_help = convert::EXAMPLE)]
    Convert(convert::ConvertArgs),
    /// Add up a hyper-parameter search, or find what its final run may spend.
    #[command(after_help = hpo::EXAMPLE)]
    HpoBudget(hpo::HpoArgs),
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, _global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::Epsilon(args) => epsilon::epsilon(args),
        Command::Delta(args) => epsilon::delta(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Convert(args) => convert::run(args),
        Command::HpoBudget(args) => hpo::run(args),
    }
}

#[derive(Parser, Debug)]
#[command(
    name = "ashlar-dp-core",
    version,
    about = "Differential privacy: what a run spends, how much noise a budget needs."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// The binary's `main`.
pub fn main() -> ExitCode {
    ashlar_cli::main(|cli: &Cli| &cli.global, |cli| run(&cli.command, &cli.global))
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            // Fields are named as flags: `noise_multiplier` is --noise-multiplier.
            crate::Error::Range { name, value, expected } => {
                Self::usage(format!("--{} = {value}: it must be {expected}", name.replace('_', "-")))
            }
            _ => Self::from_error(&error, error.is_input()),
        }
    }
}
