//! The command line: `ashlar audit …` and the binary `ashlar-audit`.

mod epsilon;
mod exposure;
#[cfg(test)]
mod fuzz;
mod gdp;
mod pvalue;
mod roc;
mod score;
mod scores_file;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ashlar_cli::{Answer, Failure, GlobalArgs, write_file};
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

/// Privacy audits: lower bounds on epsilon, membership scores, memorisation.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Bound epsilon from below, from counts or from a score file.
    #[command(after_help = epsilon::EXAMPLE)]
    Epsilon(epsilon::EpsilonArgs),
    /// The p-value of a claimed epsilon in a one-run audit.
    #[command(after_help = pvalue::EXAMPLE)]
    Pvalue(pvalue::PvalueArgs),
    /// Convert between mu of Gaussian DP, epsilon, delta and true-positive rates.
    #[command(after_help = gdp::EXAMPLE)]
    Gdp(gdp::GdpArgs),
    /// ROC curve, AUC and the true-positive rate at a false-positive rate.
    #[command(after_help = roc::EXAMPLE)]
    Roc(roc::RocArgs),
    /// A membership score from given numbers; higher = more likely a member.
    #[command(after_help = score::EXAMPLE)]
    Score(score::ScoreArgs),
    /// Exposure of a canary: how far its rank among the candidates is below chance, in bits.
    #[command(after_help = exposure::EXAMPLE)]
    Exposure(exposure::ExposureArgs),
}

/// Flags of every command but `score`, whose `--out` is a list of shadow scores.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutArgs {
    /// Also write the answer to DIR/result.json.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Seed of what is drawn: splits, and which of several tied scores are guessed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, _global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::Epsilon(args) => epsilon::run(args),
        Command::Pvalue(args) => pvalue::run(args),
        Command::Gdp(args) => gdp::run(args),
        Command::Roc(args) => roc::run(args),
        Command::Score(args) => score::run(args),
        Command::Exposure(args) => exposure::run(args),
    }
}

/// Writes the answer's JSON to DIR/result.json, where a DIR is given, and hands the answer on.
pub(crate) fn save(answer: Answer, out: Option<&Path>) -> Result<Answer, Failure> {
    if let Some(folder) = out {
        let file = folder.join("result.json");
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::running(format!("cannot make {}: {e}", folder.display())))?;
        write_file(&file, format!("{}\n", answer.json).as_bytes())?;
    }
    Ok(answer)
}

/// A number as JSON: infinities as the strings "inf" and "-inf", since JSON has none.
pub(crate) fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}

/// A number that may be missing, as JSON.
pub(crate) fn optional(x: Option<f64>) -> Value {
    x.map_or(Value::Null, number)
}

/// Rows of name and value, aligned.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

#[derive(Parser, Debug)]
#[command(
    name = "ashlar-audit",
    version,
    about = "Privacy audits: lower bounds on epsilon, membership scores, memorisation."
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
        match &error {
            // As the user typed them.
            crate::Error::Exceeds { part, part_count, whole, whole_count } => {
                Self::usage(format!("--{part} {part_count} exceeds --{whole} {whole_count}"))
            }
            crate::Error::Range { name, value, expected } => {
                Self::usage(format!("--{name} {value}: it must be {expected}"))
            }
            _ => Self::from_error(&error, error.is_input()),
        }
    }
}
