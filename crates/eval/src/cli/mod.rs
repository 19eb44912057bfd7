//! The command line: `ashlar eval …` and the binary `ashlar-eval`.

mod attn;
mod em;
mod fit_law;
mod guard;
mod heads;
mod markov;
mod show;
mod stages;
mod stats;
mod text;

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs};
use clap::{Parser, Subcommand};

pub use stages::STAGES;

/// Scaling laws, model diagnostics and the statistics of evaluations.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Fit scaling laws, prescribe sizes from them, and see how far they depend on the data.
    #[command(subcommand, arg_required_else_help = true)]
    FitLaw(fit_law::FitLawCommand),
    /// Intervals, paired comparisons, AUROC, pass@k on any table of scores.
    #[command(subcommand, arg_required_else_help = true)]
    Stats(stats::StatsCommand),
    /// How accuracy settles when a model is asked again: the two-state chain of multi-turn answers.
    #[command(after_help = markov::EXAMPLE)]
    Markov(markov::MarkovArgs),
    /// Score a guard model's verdicts.
    #[command(subcommand, arg_required_else_help = true)]
    Guard(guard::GuardCommand),
    /// Score attention heads for inactivity.
    #[command(subcommand, arg_required_else_help = true)]
    Heads(heads::HeadsCommand),
    /// Density, sinks and similarity of attention maps.
    #[command(subcommand, arg_required_else_help = true)]
    Attn(attn::AttnCommand),
    /// Rates of emergent misalignment from judged answers.
    #[command(subcommand, arg_required_else_help = true)]
    Em(em::EmCommand),
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, _global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::FitLaw(command) => fit_law::run(command),
        Command::Stats(command) => stats::run(command),
        Command::Markov(args) => markov::run(args),
        Command::Guard(command) => guard::run(command),
        Command::Heads(command) => heads::run(command),
        Command::Attn(command) => attn::run(command),
        Command::Em(command) => em::run(command),
    }
}

#[derive(Parser, Debug)]
#[command(name = "ashlar-eval", version, about = "Scaling laws, model diagnostics and the statistics of evaluations.")]
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
        Self::from_error(&error, error.is_input())
    }
}
