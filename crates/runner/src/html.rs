//! The experiment's `report.html`: claims first, what the stages found, a page a stage, how to repeat it at the end.

use std::{fs, path::Path};

use ashlar_report::{
    Axis, Band, Bar, BarPlot, BarSeries, Cell, Claim, Column, Curve, Format, LinePlot, Op, Page, Report, Section, Table,
};
use serde_json::Value;

use crate::{
    claims::Verdict,
    experiment::{self, Experiment, PlannedStage},
    metric,
    outcome::{Outcome, RunOutcome, StageOutcome},
    summary,
};

/// Plotted where `[report] curves` is silent, as far as a stage has them.
const CURVES: &[&str] = &["test_acc", "backdoor_acc", "train_loss"];
/// Drawn as bars where `[report] bars` is silent.
const BARS: &[&str] = &["compression.up", "compression.down", "compression.total"];

/// Builds the report. `config` and `env` are shown as they are.
pub fn build(experiment: &Experiment, outcome: &Outcome, verdicts: &[Verdict], config: &str, env: &Value) -> Report {
    let header = &experiment.header;
    let mut report = Report::new(header.title.clone(), subtitle(experiment))
        .fact("experiment", &header.name)
        .fact("seeds", join(&header.seeds));
    if let Some(paper) = header.paper.as_deref().and_then(crate::papers::find) {
        report = report.fact("paper", paper.title);
    }
    for key in ["git", "device", "cpu"] {
        if let Some(value) = env.get(key).and_then(Value::as_str) {
            report = report.fact(key, value);
        }
    }
    report.claims = verdicts.iter().filter(|verdict| verdict.claim.gate).map(claim).collect();
    let mut overview = Section::new("What was found", header.about.clone().unwrap_or_default())
        .block(summary::stages_table(experiment, outcome));
    if verdicts.iter().any(|verdict| !verdict.claim.gate) {
        overview = overview.block(reported(verdicts));
    }
    for plot in bars(experiment, outcome) {
        overview = overview.block(plot);
    }
    report = report.section(overview);
    let mut over_time = Section::new("Over the rounds", "");
    for plot in curves(experiment, outcome) {
        over_time = over_time.block(plot);
    }
    if !over_time.blocks.is_empty() {
        report = report.section(over_time);
    }
    for (planned, result) in experiment.stages.iter().zip(&outcome.stages) {
        report = report.page(page(planned, result));
    }
    let env = serde_json::to_string_pretty(env).unwrap_or_default();
    let again = "Save the configuration below as `again.toml`; `ashlar run again.toml` repeats the experiment.";
    report.page(
        Page::new("Configuration and environment", again)
            .section(Section::new("", "").details("Resolved experiment", config).details("Environment", env)),
    )
}

/// Comparisons that claim nothing.
fn reported(verdicts: &[Verdict]) -> Table {
    let columns = ["comparison", "measured", "against", "difference", "how"].map(Column::from);
    let mut table = Table::new("Measured, not claimed", columns);
    for verdict in verdicts.iter().filter(|verdict| !verdict.claim.gate) {
        let value = verdict.measured - verdict.threshold;
        let difference = match verdict.interval {
            Some((low, high)) => Cell::Range { value, low, high },
            None => Cell::Number(value),
        };
        table.rows.push(vec![
            Cell::from(verdict.claim.text.as_str()),
            Cell::Number(verdict.measured),
            Cell::Number(verdict.threshold),
            difference,
            Cell::from(summary::detail(verdict)),
        ]);
    }
    table
}

fn subtitle(experiment: &Experiment) -> String {
    let stages = experiment.stages.len();
    let runs: usize = experiment.stages.iter().map(|planned| planned.points.len() * planned.seeds.len()).sum();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    format!("{stages} stage{}, {runs} run{}", plural(stages), plural(runs))
}

fn claim(verdict: &Verdict) -> Claim {
    let op = match verdict.claim.op {
        experiment::Op::AtLeast => Op::AtLeast,
        experiment::Op::AtMost => Op::AtMost,
        experiment::Op::More => Op::Greater,
        experiment::Op::Less => Op::Less,
        experiment::Op::Equal => Op::Equal,
    };
    Claim::new(verdict.claim.text.clone(), verdict.measured, op, verdict.threshold)
        .verdict(verdict.holds)
        .detail(summary::detail(verdict))
        .format(summary::format_of(&verdict.claim.metric))
}

fn bars(experiment: &Experiment, outcome: &Outcome) -> Vec<BarPlot> {
    let usual = experiment.report.bars.is_empty();
    let keys: Vec<String> =
        if usual { BARS.iter().map(|&key| key.to_owned()).collect() } else { experiment.report.bars.clone() };
    // Keys of one family (compression.up, compression.down) are series of one plot.
    let mut families: Vec<(String, Vec<String>)> = Vec::new();
    for key in keys {
        let family = key.rsplit_once('.').map_or(key.as_str(), |(family, _)| family).to_owned();
        match families.iter_mut().find(|(name, _)| *name == family) {
            Some((_, members)) => members.push(key),
            None => families.push((family, vec![key])),
        }
    }
    families.into_iter().filter_map(|(family, keys)| bar_plot(&family, &keys, experiment, outcome)).collect()
}

fn bar_plot(family: &str, keys: &[String], experiment: &Experiment, outcome: &Outcome) -> Option<BarPlot> {
    let rows: Vec<(String, Vec<Cell>)> = experiment
        .stages
        .iter()
        .zip(&outcome.stages)
        .map(|(planned, result)| {
            let cells = keys.iter().map(|key| summary::cell(result.chosen_runs(), key)).collect();
            (planned.stage.name.clone(), cells)
        })
        .filter(|(_, cells): &(String, Vec<Cell>)| cells.iter().any(|cell| *cell != Cell::Empty))
        .collect();
    if rows.len() < 2 {
        return None;
    }
    let series = keys
        .iter()
        .enumerate()
        .map(|(at, key)| BarSeries {
            name: key.rsplit('.').next().unwrap_or(key).to_owned(),
            bars: rows.iter().map(|(_, cells)| bar(&cells[at])).collect(),
        })
        .collect();
    Some(BarPlot {
        title: family.replace('_', " "),
        value: Axis::new(family.replace('_', " ")).format(summary::format_of(&keys[0])),
        categories: rows.into_iter().map(|(name, _)| name).collect(),
        series,
        note: "Mean over seeds; whiskers from the lowest to the highest.".to_owned(),
        ..BarPlot::default()
    })
}

fn bar(cell: &Cell) -> Bar {
    match *cell {
        Cell::Number(value) => Bar { value, error: None },
        Cell::Range { value, low, high } => Bar { value, error: Some((low, high)) },
        _ => Bar { value: f64::NAN, error: None },
    }
}

fn curves(experiment: &Experiment, outcome: &Outcome) -> Vec<LinePlot> {
    let keys: Vec<&str> = match experiment.report.curves.as_slice() {
        [] => CURVES.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    keys.into_iter()
        .filter_map(|key| {
            let curves: Vec<Curve> = experiment
                .stages
                .iter()
                .zip(&outcome.stages)
                .filter_map(|(planned, result)| curve(&planned.stage.name, result.chosen_runs(), key))
                .collect();
            (!curves.is_empty()).then(|| line_plot(key, curves))
        })
        .collect()
}

fn line_plot(key: &str, curves: Vec<Curve>) -> LinePlot {
    let name = key.replace("_acc", " accuracy").replace(['_', '/'], " ");
    let y = Axis::new(name.clone()).format(summary::format_of(key));
    LinePlot {
        title: name,
        x: Axis::new("round"),
        y: if key.contains("acc") { y.include([0.0, 1.0]) } else { y },
        curves,
        note: "Mean over seeds; bands from the lowest to the highest.".to_owned(),
        ..LinePlot::default()
    }
}

fn curve(name: &str, runs: &[RunOutcome], key: &str) -> Option<Curve> {
    let seeds: Vec<Vec<(f64, f64)>> = runs.iter().map(|run| series(&run.folder, key)).collect();
    seeds.iter().any(|points| !points.is_empty()).then(|| Curve::over_seeds(name, &seeds, Band::Range))
}

/// A key of `metrics.jsonl` over `round` (or `step`).
fn series(folder: &Path, key: &str) -> Vec<(f64, f64)> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|record| {
            let x = record.get("round").or_else(|| record.get("step"))?.as_f64()?;
            // A round without this measurement has no key, or null.
            Some((x, metric::find(&record, key)?.as_f64()?))
        })
        .collect()
}

fn page(planned: &PlannedStage, result: &StageOutcome) -> Page {
    let stage = &planned.stage;
    let mut page =
        Page::new(stage.title.clone().unwrap_or_else(|| stage.name.clone()), stage.note.clone().unwrap_or_default())
            .fact("stage", &stage.name)
            .fact("command", format!("ashlar {}", stage.run))
            .fact("seeds", join(&planned.seeds));
    if let Some(point) = result.points.get(result.chosen).filter(|_| result.points.len() > 1) {
        page = page.fact("chosen", &point.label);
    }
    let mut figures = Section::new("Figures", "").block(by_seed(result));
    if result.points.len() > 1 {
        figures = figures.block(grid(planned, result));
    }
    let point = &planned.points[result.chosen];
    let config = toml::to_string(&point.config).unwrap_or_default();
    page.section(figures.details("Configuration", config))
}

fn by_seed(result: &StageOutcome) -> Table {
    let runs = result.chosen_runs();
    let mut columns = vec![Column::from("figure")];
    columns.extend(runs.iter().map(|run| Column::new(format!("seed {}", run.seed), Format::Auto)));
    let mut table = Table::new("Every figure, seed by seed", columns);
    let mut keys: Vec<String> = Vec::new();
    for key in runs.iter().flat_map(|run| metric::keys(&run.result)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    for key in keys {
        let format = summary::format_of(&key);
        let numbers = runs.iter().map(|run| match metric::number(&run.result, &key) {
            Ok(number) => Cell::Text(format.show(number)),
            Err(_) => Cell::Empty,
        });
        table.rows.push(std::iter::once(Cell::from(key.as_str())).chain(numbers).collect());
    }
    table
}

fn grid(planned: &PlannedStage, result: &StageOutcome) -> Table {
    let select = planned.stage.select.clone().unwrap_or_default();
    let format = summary::format_of(select.trim_start_matches('-'));
    let mut table =
        Table::new("The grid", [Column::from("point"), Column::new(select, format), Column::from("chosen")]);
    for (at, point) in result.points.iter().enumerate() {
        let chosen = if at == result.chosen { Cell::Verdict(true) } else { Cell::Empty };
        table.rows.push(vec![Cell::from(point.label.as_str()), Cell::Number(point.score), chosen]);
    }
    table.note("Mean over seeds; the first of equals is chosen.")
}

fn join(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
