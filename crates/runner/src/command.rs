//! The command line of `ashlar`.

use std::{process::ExitCode, sync::OnceLock};

use ashlar_cli::{Answer, Failure, GlobalArgs, stage::StageCommand};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{doctor, reproduce, run};

/// Trustworthy-learning experiments: federated training, its compression, attacks and defences, from a file to a report.
#[derive(Parser, Debug)]
#[command(name = "ashlar", version = version(), max_term_width = 100, arg_required_else_help = true)]
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
    /// Differential privacy: what a run spent, which noise it needs, what tuning costs.
    #[command(name = "dp-core", visible_alias = "dp", subcommand, arg_required_else_help = true)]
    DpCore(ashlar_dp_core::cli::Command),
    /// Privacy audits: lower bounds on epsilon, membership scores, exposure.
    #[command(subcommand, arg_required_else_help = true)]
    Audit(ashlar_audit::cli::Command),
    /// Evaluation: scaling laws, diagnostics and statistics of result files.
    #[command(subcommand, arg_required_else_help = true)]
    Eval(ashlar_eval::cli::Command),
    /// Language models: look into checkpoints, compute logits, compare with a reference.
    #[command(subcommand, arg_required_else_help = true)]
    Models(ashlar_models::cli::Command),
    /// Sparsify vectors and sketch them, list the kernels, measure them.
    Kernels(ashlar_kernels::cli::Command),
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
    [ashlar_fl_core::cli::STAGES, ashlar_eval::cli::STAGES, ashlar_models::cli::STAGES].concat()
}

/// `0.1.0 (features: …; git: …; ptx: …)`: what it takes to name a binary.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(describe)
}

fn describe() -> String {
    let features: Vec<&str> = [
        ("http", cfg!(feature = "http")),
        ("tls", cfg!(feature = "tls")),
        ("cuda", cfg!(feature = "cuda")),
        ("candle-cuda", cfg!(feature = "candle-cuda")),
    ]
    .into_iter()
    .filter_map(|(name, on)| on.then_some(name))
    .collect();
    let ptx: Vec<&str> =
        ashlar_kernels::ptx::files().iter().map(|file| file.sha256.get(..8).unwrap_or("none")).collect();
    let git = option_env!("ASHLAR_GIT_SHA").unwrap_or("unknown");
    format!("{} (features: {}; git: {git}; ptx: {})", env!("CARGO_PKG_VERSION"), features.join(" "), ptx.join(" "))
}

/// Runs the process's command line.
pub fn main() -> ExitCode {
    // SAFETY: a process begins here, with one thread.
    unsafe { ashlar_models::cli::candle_on_one_thread() };
    ashlar_cli::main(|cli: &Cli| &cli.global, dispatch)
}

fn dispatch(cli: &Cli) -> Result<Answer, Failure> {
    match &cli.command {
        Command::Run(command) => run::run(command, &stages()),
        Command::Reproduce(command) => reproduce::run(command, cli.global.format, &stages()),
        Command::FlCore(command) => ashlar_fl_core::cli::run(command, &cli.global),
        Command::DpCore(command) => ashlar_dp_core::cli::run(command, &cli.global),
        Command::Audit(command) => ashlar_audit::cli::run(command, &cli.global),
        Command::Eval(command) => ashlar_eval::cli::run(command, &cli.global),
        Command::Models(command) => ashlar_models::cli::run(command, &cli.global),
        Command::Kernels(command) => ashlar_kernels::cli::run(command, &cli.global),
        Command::Data(command) => ashlar_data::cli::run(command, &cli.global),
        Command::Doctor(_) => doctor::run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ashlar", &mut script);
            Ok(Answer::plain(String::from_utf8_lossy(&script).into_owned()))
        }
    }
}
