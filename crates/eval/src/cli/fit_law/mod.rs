//! `eval fit-law …`.

mod envelope;
mod parametric;
mod plot;
mod power;
mod prescribe;
mod shape;
pub mod stages;
mod sweep;

use std::path::{Path, PathBuf};

use ashlar_cli::{Answer, Failure};
use clap::{Args, Subcommand, ValueEnum};

use crate::law::{Layout, Points, Resource, envelope::Target};

/// Scaling laws.
#[derive(Subcommand, Debug)]
pub enum FitLawCommand {
    /// Fit a law in closed form to every loss (approach 3).
    #[command(after_help = parametric::EXAMPLE)]
    Parametric(parametric::ParametricArgs),
    /// Fit the frontier of loss over compute (approach 1).
    #[command(after_help = envelope::EXAMPLE)]
    Envelope(envelope::EnvelopeArgs),
    /// Say what to train with a budget.
    #[command(after_help = prescribe::EXAMPLE)]
    Prescribe(prescribe::PrescribeArgs),
    /// Count a model's parameters and FLOPs from its width and depth.
    #[command(after_help = shape::EXAMPLE)]
    Shape(shape::ShapeArgs),
    /// Fit one quantity as a power of another.
    #[command(after_help = power::EXAMPLE)]
    Power(power::PowerArgs),
    /// Fit every table of a folder: how far exponents depend on what was measured.
    #[command(after_help = sweep::EXAMPLE)]
    Sweep(sweep::SweepArgs),
}

/// Runs a command.
///
/// # Errors
/// With the exit code that the command asks for.
pub fn run(command: &FitLawCommand) -> Result<Answer, Failure> {
    match command {
        FitLawCommand::Parametric(args) => parametric::run(args),
        FitLawCommand::Envelope(args) => envelope::run(args),
        FitLawCommand::Prescribe(args) => prescribe::run(args),
        FitLawCommand::Shape(args) => shape::run(args),
        FitLawCommand::Power(args) => power::run(args),
        FitLawCommand::Sweep(args) => sweep::run(args),
    }
}

/// How a table names its columns, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LayoutArg {
    /// By the columns.
    #[default]
    Auto,
    /// `params_active_precise`, `tokens`, `width`, `depth`, `final_loss`, …
    Gemstones,
    /// `Model Size`, `Training FLOP`, `loss`.
    ChinchillaSvg,
    /// `params`, `tokens`, `width`, `depth`, `flops`, `gpu_hours`, `loss`, `run`.
    Csv,
}

/// The table to fit.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// Table of measurements: JSONL (one object a line) or CSV.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// How the table names its columns.
    #[arg(long, value_enum, default_value_t)]
    pub layout: LayoutArg,
}

impl DataArgs {
    /// Reads it.
    pub fn points(&self) -> Result<Points, Failure> {
        let layout = match self.layout {
            LayoutArg::Auto => None,
            LayoutArg::Gemstones => Some(Layout::Gemstones),
            LayoutArg::ChinchillaSvg => Some(Layout::ChinchillaSvg),
            LayoutArg::Csv => Some(Layout::Plain),
        };
        Ok(Points::read(&self.data, layout)?)
    }
}

/// What training spends, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ResourceArg {
    /// Training FLOPs.
    #[default]
    Flops,
    /// GPU-hours.
    GpuHours,
}

impl From<ResourceArg> for Resource {
    fn from(arg: ResourceArg) -> Self {
        match arg {
            ResourceArg::Flops => Self::Flops,
            ResourceArg::GpuHours => Self::GpuHours,
        }
    }
}

/// What a frontier predicts, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// Parameters.
    #[default]
    Params,
    /// Tokens.
    Tokens,
    /// Tokens a parameter.
    TokensPerParam,
}

impl TargetArg {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::TokensPerParam => "tokens-per-param",
        }
    }
}

impl From<TargetArg> for Target {
    fn from(arg: TargetArg) -> Self {
        match arg {
            TargetArg::Params => Self::Params,
            TargetArg::Tokens => Self::Tokens,
            TargetArg::TokensPerParam => Self::TokensPerParam,
        }
    }
}

/// Writes a figure.
pub fn write_svg(path: &Path, svg: &str) -> Result<(), Failure> {
    std::fs::write(path, svg).map_err(|source| crate::Error::Write { path: path.to_owned(), source }.into())
}

/// Runs `work` on this many threads (all cores without a number).
pub fn on_threads<T: Send>(threads: Option<u16>, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    let Some(threads) = threads else { return Ok(work()) };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(threads))
        .build()
        .map_err(|error| Failure::running(format!("cannot start {threads} threads: {error}")))?;
    Ok(pool.install(work))
}
