//! The command line: `ashlar models …` and the binary `ashlar-models`.

mod capture;
mod convert;
mod generate;
mod inspect;
mod logits;
mod prompts;
mod rows;
mod score;
mod train;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ashlar_cli::{Answer, Failure, GlobalArgs};
use candle_core::{DType, Device};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use train::STAGES;

use crate::lm::Model;

/// Language models: look into checkpoints, generate, score, compute logits, compare with a reference.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Say what a checkpoint is: family, shapes, experts, windows, hook points.
    #[command(after_help = inspect::EXAMPLE)]
    Inspect(inspect::InspectArgs),
    /// Write the logits of token ids at all positions.
    #[command(after_help = logits::EXAMPLE)]
    Logits(logits::LogitsArgs),
    /// Continue prompts.
    #[command(after_help = generate::EXAMPLE)]
    Generate(Box<generate::GenerateArgs>),
    /// Log-likelihood and perplexity of texts.
    #[command(after_help = score::EXAMPLE)]
    Score(score::ScoreArgs),
    /// Write activations at named sites and tokens.
    #[command(after_help = capture::EXAMPLE)]
    Capture(capture::CaptureArgs),
    /// Train a model on a text, from scratch or from a checkpoint.
    #[command(after_help = train::EXAMPLE)]
    Train(Box<train::TrainArgs>),
    /// Compare a checkpoint's logits with those of another program.
    #[command(after_help = verify::EXAMPLE)]
    Verify(verify::VerifyArgs),
    /// Write a checkpoint in another dtype, with adapters merged if asked for.
    #[command(after_help = convert::EXAMPLE)]
    Convert(convert::ConvertArgs),
}

/// A checkpoint and how to load it.
#[derive(Args, Debug)]
struct LoadArgs {
    /// Checkpoint folder: config.json and safetensors.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Arithmetic and storage of the weights.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    dtype: Precision,
    /// PEFT adapter; repeat it for more, which are added in order. The base model that it names is ignored.
    #[arg(long, value_name = "DIR")]
    adapter: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    Bf16,
    F16,
    F64,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
            Self::F64 => DType::F64,
        }
    }
}

/// From which side a row that is too long is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TruncateArg {
    /// Its start is left out.
    Left,
}

impl LoadArgs {
    fn folder(&self) -> &Path {
        &self.path
    }

    fn load(&self) -> Result<Model, Failure> {
        load_model(&self.path, self.dtype.dtype(), &Device::Cpu, &self.adapter)
    }
}

/// A checkpoint with its adapters; whatever was read with a doubt is told.
fn load_model(path: &Path, dtype: DType, device: &Device, adapters: &[PathBuf]) -> Result<Model, Failure> {
    let mut model = Model::load(path, dtype, device)?;
    for warning in &model.spec().warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    for adapter in adapters {
        model = model.load_adapter(adapter)?;
    }
    Ok(model)
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &Command, global: &GlobalArgs) -> Result<Answer, Failure> {
    match command {
        Command::Inspect(args) => inspect::run(args),
        Command::Logits(args) => logits::run(args),
        Command::Generate(args) => generate::run(args, global),
        Command::Score(args) => score::run(args),
        Command::Capture(args) => capture::run(args),
        Command::Train(args) => train::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Convert(args) => convert::run(args),
    }
}

#[derive(Parser, Debug)]
#[command(name = "ashlar-models", version, about = "Language models: look into checkpoints, compute logits, compare.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// Keeps candle's elementwise operations on the thread that calls them: its pool is one for the whole process, whose
/// callers wait for each other, and here every thread has work of its own. `CANDLE_NUM_THREADS` of the user wins.
///
/// # Safety
/// No other thread may exist: it is for the first statement of a `main`.
pub unsafe fn candle_on_one_thread() {
    const NAME: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(NAME).is_none() {
        // SAFETY: by the caller's promise nobody reads the environment at the same time.
        unsafe { std::env::set_var(NAME, "1") };
    }
}

/// The binary's `main`.
pub fn main() -> ExitCode {
    // SAFETY: a process begins here, with one thread.
    unsafe { candle_on_one_thread() };
    ashlar_cli::main(|cli: &Cli| &cli.global, |cli| run(&cli.command, &cli.global))
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::from_error(&error, error.is_input())
    }
}
