//! `fl-core matrix`.

use std::path::Path;

use ashlar_cli::{Answer, Failure, GlobalArgs, RunArgs, interrupt};
use ashlar_stats::interval;
use ashlar_train::run::{Env, RunFolder};
use clap::Args;
use serde_json::{Map, Value, json};
use toml::Table;

use super::{settings, train};
use crate::{config::RunConfig, matrix::Cell, sim::Surroundings};

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar fl-core matrix --config run.toml --attacks baseline,pgd --defences none,norm-clip,sparsefed --seeds 0,1,2";

/// `fl-core matrix`.
#[derive(Args, Clone, Debug)]
pub struct MatrixArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub flags: settings::TrainFlags,
    /// Attacks: baseline, neurotoxin, boost, pgd.
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    pub attacks: Vec<String>,
    /// Defences: none, norm-clip, weak-dp, median, trimmed-mean, krum, multi-krum, bulyan, sparsefed.
    #[arg(long, value_name = "X,Y", value_delimiter = ',', required = true)]
    pub defences: Vec<String>,
    /// Seeds.
    #[arg(long, value_name = "N,M", value_delimiter = ',', default_value = "0,1,2")]
    pub seeds: Vec<u64>,
}

pub(super) fn run(args: &MatrixArgs, _: &GlobalArgs) -> Result<Answer, Failure> {
    if let Some(twice) = args.seeds.iter().enumerate().find(|(i, seed)| args.seeds[..*i].contains(seed)) {
        return Err(Failure::usage(format!("--seeds: seed {} is there twice", twice.1))
            .help("a repeated seed repeats a run, and would make the intervals too narrow"));
    }
    if let Some(seed) = args.run.seed {
        return Err(Failure::usage(format!("--seed {seed}: a matrix runs every cell with each of --seeds"))
            .help(format!("say --seeds {seed}")));
    }
    let base = settings::load(&args.run, &args.flags, |_: &mut Table| Ok(()))?;
    let mut cells = Vec::new();
    for attack in &args.attacks {
        for defence in &args.defences {
            let cell = Cell::new(&base, attack, defence)?;
            settings::check(&cell.config, None).map_err(|failure| failure.within(&cell.name()))?;
            cells.push(cell);
        }
    }
    if args.run.dry_run {
        let text = cells.iter().map(|cell| Ok(format!("# {}\n{}", cell.name(), cell.config.to_toml()?)));
        return Ok(Answer::plain(text.collect::<crate::Result<Vec<_>>>()?.join("\n")));
    }
    let mut folder = args.run.out.as_deref().map(|out| open(out, &base, &args.run)).transpose()?;
    let mut rows = Vec::new();
    for cell in &cells {
        let results = args.seeds.iter().map(|&seed| run_cell(cell, seed, &args.run)).collect::<Result<Vec<_>, _>>()?;
        rows.push(summary(cell, &args.seeds, &results)?);
    }
    let text = table(&rows);
    let answer = json!({ "seeds": args.seeds, "rows": rows });
    if let Some(folder) = &mut folder {
        folder.result(&answer).map_err(crate::Error::from)?;
    }
    Ok(Answer::new(answer, text))
}

/// The folder around the cells' run folders. On `--resume` the base must be the same; attacks, defences and seeds may be
/// added.
fn open(out: &Path, base: &RunConfig, run: &RunArgs) -> crate::Result<RunFolder> {
    let config = base.to_toml()?;
    if run.resume && out.join("config.toml").is_file() {
        let folder = RunFolder::resume(out)?;
        folder.check_config(&config)?;
        return Ok(folder);
    }
    let threads = run.threads.map_or_else(rayon::current_num_threads, usize::from);
    Ok(RunFolder::create(out, &config, &Env::collect("cpu", threads, base.seed, &config))?)
}

fn run_cell(cell: &Cell, seed: u64, run: &RunArgs) -> Result<Value, Failure> {
    let label = format!("{} seed {seed}", cell.name());
    let out =
        run.out.as_ref().map(|out| out.join("cells").join(format!("{}-seed-{seed}", cell.name().replace(' ', "-"))));
    let around = Surroundings {
        out: out.as_deref(),
        resume: run.resume,
        threads: run.threads.map(usize::from),
        interrupt: Some(interrupt::flag()),
    };
    train::watched(RunConfig { seed, ..cell.config.clone() }, &around, &label)
}

/// Mean and interval of each figure over the seeds.
fn summary(cell: &Cell, seeds: &[u64], results: &[Value]) -> Result<Value, Failure> {
    let mut row = Map::from_iter([
        ("attack".to_owned(), cell.attack.clone().into()),
        ("defence".to_owned(), cell.defence.clone().into()),
        ("seeds".to_owned(), json!(seeds)),
    ]);
    for (key, pointer) in [
        ("main_acc", "/main_acc_at_attack_end"),
        ("backdoor_acc", "/acc_at_attack_end"),
        ("lifespan_rounds", "/lifespan/rounds"),
        ("final_acc", "/final_acc"),
    ] {
        let values: Vec<f64> =
            results.iter().filter_map(|result| result.pointer(pointer).and_then(Value::as_f64)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let interval = (values.len() >= 2).then(|| interval::t_mean(&values, 0.95));
        let interval = interval.transpose().map_err(|error| Failure::from_error(&error, error.is_input()))?;
        row.insert(
            key.to_owned(),
            json!({
                "mean": mean, "low": interval.map(|i| i.low), "high": interval.map(|i| i.high), "each": values,
            }),
        );
    }
    let censored = results.iter().filter(|r| r.pointer("/lifespan/censored") == Some(&Value::Bool(true))).count();
    row.insert("censored".to_owned(), censored.into());
    Ok(Value::Object(row))
}

fn table(rows: &[Value]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{:<12} {:<13} {:>22} {:>22} {:>10}\n",
        "attack", "defence", "main acc (95 %)", "backdoor (95 %)", "lifespan"
    );
    for row in rows {
        let figure = |key: &str| {
            let part = |part: &str| row.pointer(&format!("/{key}/{part}")).and_then(Value::as_f64);
            match (part("mean"), part("low"), part("high")) {
                (Some(mean), Some(low), Some(high)) => format!("{mean:.3} [{low:.3}, {high:.3}]"),
                (Some(mean), _, _) => format!("{mean:.3}"),
                _ => "-".to_owned(),
            }
        };
        let word = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let lifespan = row.pointer("/lifespan_rounds/mean").and_then(Value::as_f64).unwrap_or(0.0);
        let more = if row.get("censored").and_then(Value::as_u64).unwrap_or(0) > 0 { ">=" } else { "" };
        let _ = writeln!(
            text,
            "{:<12} {:<13} {:>22} {:>22} {:>10}",
            word("attack"),
            word("defence"),
            figure("main_acc"),
            figure("backdoor_acc"),
            format!("{more}{lifespan:.1}")
        );
    }
    text
}
