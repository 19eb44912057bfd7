//! The command line: `ashlar fl-core …` and the binary `ashlar-fl-core`.

mod attack;
mod bench;
mod certify;
mod matrix;
mod settings;
mod stages;
mod train;

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs};
use clap::{Parser, Subcommand};

pub use stages::STAGES;

/// Federated learning: train, attack, defend, measure.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train a federated model and count the bytes.
    #[command(after_help = train::EXAMPLE)]
    Train(train::TrainArgs),
    /// Train while attackers plant a backdoor, and measure how long it lives.
    #[command(after_help = attack::EXAMPLE)]
    Attack(attack::AttackArgs),
    /// Run every attack against every defence over several seeds.
    #[command(after_help = matrix::EXAMPLE)]
    Matrix(matrix::MatrixArgs),
    /// Count the test points whose answer no small change of the logits can flip.
    #[command(after_help = certify::EXAMPLE)]
    Certify(certify::CertifyArgs),
    /// Measure how much of a power-law vector a count-sketch recovers, and how fast.
    #[command(after_help = bench::EXAMPLE)]
    SketchBench(bench::BenchArgs),
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::Train(args) => train::run(args, global),
        Command::Attack(args) => attack::run(args, global),
        Command::Matrix(args) => matrix::run(args, global),
        Command::Certify(args) => certify::run(args),
        Command::SketchBench(args) => bench::run(args),
    }
}

#[derive(Parser, Debug)]
#[command(name = "ashlar-fl-core", version, about = "Federated learning: train, attack, defend, measure.")]
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
            crate::Error::Interrupted { .. } => Self::interrupted(error.to_string()),
            _ if error.is_divergence() => Self::from_error(&error, false).diverged(),
            _ => Self::from_error(&error, error.is_input()),
        }
    }
}
