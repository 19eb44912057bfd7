//! The command line of `ashlar`.

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs, stage::StageCommand};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{doctor, reproduce, run};

/// Trustworthy-learning experiments: federated training, its compression, attacks and defences, from a file to a report.
#[derive(Parser, Debug)]
#[command(name = "ashlar", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  ashlar run quickstart\n  ashlar reproduce --list\n\n\
Exit codes: 0 done, 1 failed while running, 2 wrong input or usage, 3 a claim does not hold, 130 interrupted.")]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run an experiment file and write its report.
    Run(run::RunCommand),
    /// Repeat a paper's experiment in small and judge its claims.
    Reproduce(reproduce::ReproduceCommand),
    /// Federated learning: train, attack, defend, measure.
    #[command(name = "fl-core", visible_alias = "fl", subcommand, arg_required_else_help = true)]
    FlCore(ashlar_fl_core::cli::Command),
    /// List, fetch and look at data sets.
    Data(ashlar_data::cli::Command),
    /// Say what this binary and this machine can do, and what `--device auto` takes.
    Doctor(doctor::DoctorCommand),
    /// Print the completion script of a shell.
    #[command(after_help = "Example:\n  ashlar completions bash > ~/.local/share/bash-completion/completions/ashlar")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The commands that experiment files can run.
pub fn stages() -> Vec<StageCommand> {
    ashlar_fl_core::cli::STAGES.to_vec()
}

/// Runs the process's command line.
pub fn main() -> ExitCode {
    ashlar_cli::main(|cli: &Cli| &cli.global, dispatch)
}

fn dispatch(cli: &Cli) -> Result<Answer, Failure> {
    match &cli.command {
        Command::Run(command) => run::run(command, &stages()),
        Command::Reproduce(command) => reproduce::run(command, cli.global.format, &stages()),
        Command::FlCore(command) => ashlar_fl_core::cli::run(command, &cli.global),
        Command::Data(command) => ashlar_data::cli::run(command, &cli.global),
        Command::Doctor(_) => doctor::run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ashlar", &mut script);
            Ok(Answer::plain(String::from_utf8_lossy(&script).into_owned()))
        }
    }
}
