//! `models train`.

use std::path::PathBuf;

use ashlar_cli::stage::{StageCommand, StageContext};
use ashlar_cli::{Answer, DeviceArg, Failure, RunArgs, config, interrupt, progress::Progress};
use clap::Args;
use serde_json::Value;
use toml::{Table, Value as Toml};

use crate::{
    Error,
    lm::{
        InitSpec,
        train::{Around, LoraTable, StepRecord, TrainConfig, train},
    },
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar models train --init tiny:llama --data input.txt --steps 500 --out runs/tiny
  ashlar models train --init tiny:gemma2:3x64x2 --tokenizer bpe:512 --data input.txt --lr 1e-3 --out runs/gemma
  ashlar models train ./runs/tiny --data more.txt --steps 200 --lr 3e-4 --out runs/more
  ashlar models train ./runs/tiny --data names.txt --lora r=8,alpha=16 --out runs/adapter
  ashlar models train --config run.toml --out runs/tiny --resume

--init takes SIZE:FAMILY or tiny:FAMILY:LAYERSxWIDTHxHEADS; sizes are tiny (2x128x4), base (4x128x4) and small \
(4x192x6), tiny:moe is a mixtral of 2x96x4 with 8 experts. --data takes a file, whose last tenth is held out, or the \
name of a text set (ashlar data list).";

/// Flags of `train`.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    /// Checkpoint folder to go on from; its tokenizer reads the text.
    #[arg(value_name = "PATH", conflicts_with = "init")]
    path: Option<PathBuf>,
    /// Shape of a model to be made.
    #[arg(long, value_name = "SIZE:FAMILY[:LxDxH]")]
    init: Option<String>,
    /// Text file, or name of a text set.
    #[arg(long, value_name = "TXT")]
    data: Option<String>,
    /// How a new model reads text: char, byte or bpe:N.
    #[arg(long, value_name = "KIND")]
    tokenizer: Option<String>,
    /// Updates.
    #[arg(long, value_name = "N")]
    steps: Option<i64>,
    /// Rows of an update.
    #[arg(long, value_name = "B")]
    batch: Option<i64>,
    /// Tokens of a row.
    #[arg(long, value_name = "T")]
    seq: Option<i64>,
    /// Highest learning rate.
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// How the rate falls: constant, cosine, linear or wsd.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Share of the run over which the rate rises.
    #[arg(long, value_name = "SHARE")]
    warmup: Option<f64>,
    /// Weight decay.
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Bound of the gradient's norm; 0 for none.
    #[arg(long, value_name = "X")]
    clip: Option<f64>,
    /// Batches whose gradients are averaged into one update.
    #[arg(long, value_name = "N")]
    accum: Option<i64>,
    /// Train a low-rank adapter: r=8,alpha=16, and targets=REGEX, dropout=P, rs=true.
    #[arg(long, value_name = "KEY=VALUE,…")]
    lora: Option<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Stages of experiment files: `models train`.
pub const STAGES: &[StageCommand] = &[StageCommand { name: "models train", check: check_stage, run: run_stage }];

pub(super) fn run(args: &TrainArgs) -> Result<Answer, Failure> {
    check_device(args.run.device)?;
    let config = resolve(args)?;
    let text = resolved(&config)?;
    if args.run.dry_run {
        return Ok(Answer::plain(text));
    }
    let around = Around {
        out: args.run.out.as_deref(),
        resolved: &text,
        resume: args.run.resume,
        threads: args.run.threads.map_or(0, usize::from),
        interrupt: Some(interrupt::flag()),
    };
    let result = watched(&config, &around, "train")?;
    let summary = summary(&result, args.run.out.as_deref());
    Ok(Answer::new(result, summary))
}

/// File, sets and flags as one configuration.
fn resolve(args: &TrainArgs) -> Result<TrainConfig, Failure> {
    let (mut table, source) = config::read(args.run.config.as_deref(), &args.run.sets)?;
    let float = |value: Option<f64>| value.map(Toml::Float);
    let integer = |value: Option<i64>| value.map(Toml::Integer);
    let text = |value: &Option<String>| value.clone().map(Toml::String);
    if let Some(path) = &args.path {
        insert(&mut table, "model", "path", Toml::String(path.display().to_string()))?;
    }
    if let Some(init) = &args.init {
        let init: InitSpec = init.parse()?;
        let init = Toml::try_from(init).map_err(|error| Failure::running(error.to_string()))?;
        insert(&mut table, "model", "init", init)?;
    }
    for (section, key, value) in [
        ("data", "text", text(&args.data)),
        ("data", "tokenizer", text(&args.tokenizer)),
        ("train", "steps", integer(args.steps)),
        ("train", "batch", integer(args.batch)),
        ("train", "seq", integer(args.seq)),
        ("train", "lr", float(args.lr)),
        ("train", "schedule", text(&args.schedule)),
        ("train", "warmup", float(args.warmup)),
        ("train", "weight_decay", float(args.weight_decay)),
        ("train", "clip", float(args.clip)),
        ("train", "accum", integer(args.accum)),
    ] {
        if let Some(value) = value {
            insert(&mut table, section, key, value)?;
        }
    }
    if let Some(lora) = &args.lora {
        let lora: LoraTable = lora.parse()?;
        table.insert("lora".to_owned(), Toml::try_from(lora).map_err(|error| Failure::running(error.to_string()))?);
    }
    if let Some(seed) = args.run.seed {
        let seed = i64::try_from(seed).map_err(|_| Failure::usage(format!("--seed {seed} is above 2^63 - 1")))?;
        table.insert("seed".to_owned(), Toml::Integer(seed));
    }
    if !table.contains_key("model") {
        return Err(Failure::usage("no model to train").help("give a checkpoint folder, or --init tiny:llama"));
    }
    if !table.contains_key("data") {
        return Err(Failure::usage("no text to train on").help("give --data FILE.txt, or --data procedural-text"));
    }
    let config: TrainConfig = config::from_table(&table, Some(&source))?;
    config.check()?;
    Ok(config)
}

fn insert(table: &mut Table, section: &str, key: &str, value: Toml) -> Result<(), Failure> {
    let entry = table.entry(section).or_insert_with(|| Toml::Table(Table::new()));
    let Toml::Table(entry) = entry else { return Err(Failure::usage(format!("`{section}` is not a table"))) };
    entry.insert(key.to_owned(), value);
    Ok(())
}

fn resolved(config: &TrainConfig) -> Result<String, Failure> {
    toml::to_string(config).map_err(|error| Failure::running(format!("cannot write the configuration: {error}")))
}

fn check_device(device: DeviceArg) -> Result<(), Failure> {
    match device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(()),
        DeviceArg::Cuda(_) => Err(Failure::usage(format!("--device {device}: models train computes on the CPU"))
            .help("leave --device out, or say cpu")),
    }
}

/// Runs with a progress bar.
fn watched(config: &TrainConfig, around: &Around<'_>, label: &str) -> Result<Value, Failure> {
    let mut progress = Progress::new(label, config.train.steps);
    let mut watch = |record: &StepRecord| progress.set(record.step, format!("loss {:.3}", record.loss));
    let result = train(config, around, &mut watch);
    progress.finish();
    result.map_err(|error| match error {
        Error::Interrupted { .. } => Failure::interrupted(error.to_string()),
        Error::Diverged { .. } => Failure::from(error).diverged(),
        _ => Failure::from(error),
    })
}

fn check_stage(table: &Table) -> Result<(), Failure> {
    let config: TrainConfig = config::from_table(table, None)?;
    Ok(config.check()?)
}

fn run_stage(table: &Table, context: &StageContext) -> Result<Value, Failure> {
    check_device(context.device)?;
    let mut config: TrainConfig = config::from_table(table, None)?;
    config.seed = context.seed;
    let text = resolved(&config)?;
    let around = Around {
        out: Some(&context.out),
        resolved: &text,
        resume: context.resume,
        threads: context.threads.map_or(0, usize::from),
        interrupt: Some(context.interrupt),
    };
    watched(&config, &around, &context.label)
}

fn summary(result: &Value, out: Option<&std::path::Path>) -> String {
    use std::fmt::Write as _;
    let number = |key: &str| result.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let count = |key: &str| result.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut text = String::new();
    let family = result.get("family").and_then(Value::as_str).unwrap_or_default();
    let _ = writeln!(text, "model            {family}, {} parameters, {} tokens", count("params"), count("vocab"));
    let _ = writeln!(text, "steps            {}", count("steps"));
    let _ = writeln!(text, "loss             {:.4} -> {:.4}", number("loss_first"), number("loss_last"));
    let _ = writeln!(text, "validation       {:.4} nats a token", number("val_loss"));
    if number("seconds") > 0.0 {
        let (speed, gflops) = (number("tokens_per_s"), number("gflops_useful"));
        let _ = writeln!(text, "speed            {speed:.0} tokens/s, {gflops:.1} useful GFLOP/s");
    }
    let _ = writeln!(text, "seconds          {:.1}", number("seconds"));
    if let Some(out) = out {
        let _ = writeln!(text, "checkpoint       {}", out.display());
    }
    text
}
