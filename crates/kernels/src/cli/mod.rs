//! The commands of `ashlar-kernels`, which `ashlar kernels` composes.

mod bench;
mod ptx;
mod sketch;
mod topk;

use std::process::ExitCode;

use ashlar_cli::{Answer, Failure, GlobalArgs};
use clap::{Args, Parser, Subcommand};

use crate::{Error, topk::Count};

/// Top-k, sketches and their speed.
#[derive(Args, Clone, Debug)]
pub struct Command {
    #[command(subcommand)]
    what: What,
    /// Threads [default: all cores]; results don't depend on it.
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Select the k largest magnitudes of a tensor.
    Topk(topk::TopkArgs),
    /// Sketch tensors, merge sketches, recover heavy coordinates.
    #[command(subcommand)]
    Sketch(sketch::SketchCommand),
    /// The GPU code in this binary.
    #[command(subcommand)]
    Ptx(ptx::PtxCommand),
    /// Measure the kernels beside a copy of equal bytes.
    Bench(bench::BenchArgs),
}

#[derive(Parser)]
#[command(name = "ashlar-kernels", version, about = "Deterministic top-k and count-sketches")]
struct Cli {
    #[command(flatten)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// Runs a command.
///
/// # Errors
/// Input that can't be used (exit code 2), output that can't be written (exit code 1).
pub fn run(command: &Command, global: &GlobalArgs) -> Result<Answer, Failure> {
    let _ = global;
    let work = || match &command.what {
        What::Topk(args) => topk::run(args),
        What::Sketch(command) => sketch::run(command),
        What::Ptx(command) => Ok(ptx::run(command)),
        What::Bench(args) => bench::run(args),
    };
    let Some(threads) = command.threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build();
    pool.map_err(|error| Failure::running(format!("cannot start {threads} threads: {error}")))?.install(work)
}

/// The whole `main` of the binary.
pub fn main() -> ExitCode {
    ashlar_cli::main(|cli: &Cli| &cli.global, |cli| run(&cli.command, &cli.global))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(&error, error.is_input())
    }
}

/// A count (`500`) or a share (`1%`).
fn parse_count(text: &str) -> Result<Count, String> {
    let wrong = || format!("`{text}` is no count: write a number such as 500, or a share such as 1%");
    match text.strip_suffix('%') {
        None => text.parse().map(Count::Exact).map_err(|_| wrong()),
        Some(percent) => match percent.trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Count::Fraction(percent / 100.0)),
            Ok(_) => Err(format!("`{text}` is outside (0%, 100%]")),
            Err(_) => Err(wrong()),
        },
    }
}
