//! What an experiment found, as the table on the terminal and as JSON.

use std::collections::BTreeSet;

use ashlar_report::{Cell, Column, Format, Table};
use serde_json::{Map, Value, json};

use crate::{
    claims::{self, Verdict},
    experiment::{Experiment, Interval, Over},
    metric,
    outcome::{Outcome, RunOutcome, StageOutcome},
};

/// Shown where `[report] columns` is silent, as far as a stage has them.
const COLUMNS: &[&str] = &[
    "final_acc",
    "backdoor_acc",
    "acc_at_attack_end",
    "lifespan.rounds",
    "compression.up",
    "compression.down",
    "compression.total",
];
/// Says how the run was made, not what came of it.
const NOT_RESULTS: &[&str] = &["seed", "d", "rounds", "ranks", "exact", "wall_s"];

/// The stages' table: one row a stage (at its chosen point), the mean over seeds with their range.
pub fn stages_table(experiment: &Experiment, outcome: &Outcome) -> Table {
    let keys = columns(experiment, outcome);
    let chosen = experiment.stages.iter().any(|planned| planned.points.len() > 1);
    let mut columns = vec![Column::from("stage")];
    if chosen {
        columns.push(Column::from("chosen"));
    }
    columns.extend(keys.iter().map(|key| Column::new(key.clone(), format_of(key))));
    let mut table = Table::new("Stages", columns);
    let mut most_seeds = 0;
    for (planned, result) in experiment.stages.iter().zip(&outcome.stages) {
        let mut row = vec![Cell::from(planned.stage.name.as_str())];
        if chosen {
            let label = result.points.get(result.chosen).map_or("", |point| point.label.as_str());
            row.push(if label.is_empty() { Cell::Empty } else { Cell::from(label) });
        }
        most_seeds = most_seeds.max(planned.seeds.len());
        row.extend(keys.iter().map(|key| cell(result.chosen_runs(), key)));
        table.rows.push(row);
    }
    if most_seeds > 1 { table.note(format!("Mean over up to {most_seeds} seeds [lowest, highest].")) } else { table }
}

/// Mean and range over seeds; empty where no run has the key.
pub fn cell(runs: &[RunOutcome], key: &str) -> Cell {
    let values: Vec<f64> = runs.iter().filter_map(|run| metric::number(&run.result, key).ok()).collect();
    match values.as_slice() {
        [] => Cell::Empty,
        [one] => Cell::Number(*one),
        many => {
            let value = many.iter().sum::<f64>() / many.len() as f64;
            let (low, high) = many.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
            let show = |x: f64| format_of(key).show(x);
            // Seeds that agree to the last digit shown need no range.
            if show(low) == show(high) { Cell::Number(value) } else { Cell::Range { value, low, high } }
        }
    }
}

/// The keys of the table.
pub fn columns(experiment: &Experiment, outcome: &Outcome) -> Vec<String> {
    if !experiment.report.columns.is_empty() {
        return experiment.report.columns.clone();
    }
    let present: BTreeSet<String> =
        outcome.stages.iter().flat_map(StageOutcome::chosen_runs).flat_map(|run| metric::keys(&run.result)).collect();
    let usual: Vec<String> =
        COLUMNS.iter().filter(|key| present.contains(**key)).map(|key| (*key).to_owned()).collect();
    if !usual.is_empty() {
        return usual;
    }
    present.into_iter().filter(|key| !NOT_RESULTS.contains(&key.as_str())).take(6).collect()
}

/// How numbers of a key are written.
pub fn format_of(key: &str) -> Format {
    let last = key.rsplit('.').next().unwrap_or(key);
    if last.contains("acc") || last.contains("fraction") || last.contains("overlap") {
        Format::Fixed(3)
    } else if key.starts_with("compression") || last.contains("gain") {
        Format::Factor
    } else if last.starts_with("bytes") {
        Format::Bytes
    } else if last.ends_with("_s") {
        Format::Seconds
    } else {
        Format::Auto
    }
}

/// How a claim was measured, in words.
pub fn detail(verdict: &Verdict) -> String {
    let seeds = verdict.by_seed.len();
    let over = match verdict.claim.over {
        _ if seeds == 1 => "one seed".to_owned(),
        Over::Mean => format!("mean over {seeds} seeds"),
        Over::Median => format!("median over {seeds} seeds"),
        Over::Each => format!("each of {seeds} seeds; the one nearest to failing is shown"),
    };
    let mut text = format!("{}, {over}", verdict.claim.metric);
    if let Some(than) = &verdict.claim.than {
        text.push_str(&format!(", against {}{than}{}", times(verdict.claim.times), plus(verdict.claim.plus)));
    }
    if let (Some((low, high)), Some(Interval::Bootstrap)) = (verdict.interval, verdict.claim.interval) {
        text.push_str(&format!("; 95 % bootstrap interval of the mean difference [{low:.3}, {high:.3}]"));
    }
    text
}

fn times(times: f64) -> String {
    if times == 1.0 { String::new() } else { format!("{times} × ") }
}

fn plus(plus: f64) -> String {
    match plus {
        0.0 => String::new(),
        plus if plus < 0.0 => format!(" − {}", -plus),
        plus => format!(" + {plus}"),
    }
}

/// A table with aligned columns for a terminal.
pub fn to_text(table: &Table) -> String {
    let mut rows: Vec<Vec<String>> = vec![table.columns.iter().map(|column| column.name.clone()).collect()];
    for row in &table.rows {
        rows.push(row.iter().zip(&table.columns).map(|(cell, column)| cell.show(column.format)).collect());
    }
    let widths: Vec<usize> =
        (0..table.columns.len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    if !table.note.is_empty() {
        text.push_str(&table.note);
        text.push('\n');
    }
    text
}

/// The claims for a terminal.
pub fn claims_text(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let (sign, op) = match (verdict.claim.gate, verdict.holds) {
            (false, _) => ("found ", "against"),
            (true, true) => ("holds ", verdict.claim.op.symbol()),
            (true, false) => ("FAILS ", verdict.claim.op.symbol()),
        };
        let format = Format::Fixed(3);
        text.push_str(&format!(
            "{sign} {}\n       measured {} {} {} ({})\n",
            verdict.claim.text,
            format.show(verdict.measured),
            op,
            format.show(verdict.threshold),
            detail(verdict),
        ));
    }
    text
}

/// Everything for programs.
pub fn to_json(experiment: &Experiment, outcome: &Outcome, verdicts: &[Verdict]) -> Value {
    let stages: Vec<Value> = experiment
        .stages
        .iter()
        .zip(&outcome.stages)
        .map(|(planned, result)| {
            let point = result.points.get(result.chosen);
            let mut metrics = Map::new();
            for key in result.chosen_runs().iter().flat_map(|run| metric::keys(&run.result)) {
                if metrics.contains_key(&key) {
                    continue;
                }
                let values: Vec<f64> = result
                    .chosen_runs()
                    .iter()
                    .map(|run| metric::number(&run.result, &key).unwrap_or(f64::NAN))
                    .collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                metrics.insert(key, json!({ "mean": mean, "values": values }));
            }
            let chosen: Map<String, Value> = planned
                .points
                .get(result.chosen)
                .into_iter()
                .flat_map(|point| &point.values)
                .map(|(key, value)| (key.clone(), serde_json::to_value(value).unwrap_or(Value::Null)))
                .collect();
            let grid: Vec<Value> = result
                .points
                .iter()
                .filter(|_| result.points.len() > 1)
                .map(|point| json!({ "point": point.label, "score": point.score }))
                .collect();
            json!({
                "name": planned.stage.name, "run": planned.stage.run, "seeds": planned.seeds,
                "chosen": chosen, "select": planned.stage.select, "grid": grid,
                "folders": point.iter().flat_map(|point| &point.runs)
                    .map(|run| run.folder.display().to_string()).collect::<Vec<_>>(),
                "metrics": metrics,
            })
        })
        .collect();
    json!({
        "experiment": experiment.header.name, "title": experiment.header.title, "paper": experiment.header.paper,
        "stages": stages,
        "claims": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
        "holds": claims::all_hold(verdicts),
    })
}
