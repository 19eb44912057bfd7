//! Experiment files: what they say, resolved and checked before anything runs.
//!
//! `[experiment]` names the experiment, its paper and its seeds; shared tables (`[data]`, `[model]`, …) are every
//! stage's defaults; each `[[stage]]` runs one command of a crate, over a grid where it has one; each `[[claim]]`
//! compares what the stages measured with a number or with another stage.

mod check;
mod edit;
mod file;

use std::path::Path;

use ashlar_cli::{
    Failure,
    config::{Source, merge},
    stage::StageCommand,
};
use toml::{Table, Value};

pub use file::{Claim, Header, Interval, Op, Over, ReportOptions, Stage};

/// What the command line says about how to read an experiment file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set` entries, in order.
    pub sets: Vec<String>,
    /// The longer setting: `full = {…}` of the file, and the stages and claims marked `only = "full"`.
    pub full: bool,
    /// First of consecutive seeds, as many as the file has.
    pub seed: Option<u64>,
}

/// An experiment whose every stage has been checked by its own command.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// `[experiment]`.
    pub header: Header,
    /// `[report]`.
    pub report: ReportOptions,
    /// In the order of the file.
    pub stages: Vec<PlannedStage>,
    /// In the order of the file.
    pub claims: Vec<Claim>,
}

/// A stage with its complete configurations.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// As in the file.
    pub stage: Stage,
    /// Shared tables with the stage's own over them.
    pub base: Table,
    /// The command behind `run`.
    pub command: StageCommand,
    /// Seeds of this stage.
    pub seeds: Vec<u64>,
    /// The grid's points, the last key varying fastest; one without a grid.
    pub points: Vec<Point>,
    /// Earlier stages whose outputs this one takes, by index.
    pub needs: Vec<usize>,
}

/// One point of a stage's grid.
#[derive(Clone, Debug)]
pub struct Point {
    /// For people: `server.lr = 0.3`; empty without a grid.
    pub label: String,
    /// The grid's keys and their values here.
    pub values: Vec<(String, Value)>,
    /// The stage's table, references to earlier stages still in it.
    pub config: Table,
}

impl Experiment {
    /// Reads, resolves and checks an experiment.
    ///
    /// # Errors
    /// Every mistake of the file at once, each with its place.
    pub fn load(source: &Source, options: &Options, commands: &[StageCommand]) -> Result<Self, Failure> {
        let table = edit::resolve(source, options)?;
        let file = file::File::parse(&table, source)?;
        check::check(&file, source, options.full, commands)
    }

    /// The stage of this name.
    pub fn stage(&self, name: &str) -> Option<(usize, &PlannedStage)> {
        self.stages.iter().enumerate().find(|(_, planned)| planned.stage.name == name)
    }

    /// Splits `STAGE.key.path` of a claim.
    pub fn metric<'a>(&self, metric: &'a str) -> Option<(usize, &'a str)> {
        let (stage, key) = metric.split_once('.')?;
        Some((self.stage(stage)?.0, key))
    }

    /// The experiment as a file again, every stage with its complete table: what `--dry-run` prints and the run folder
    /// keeps. It resolves to itself.
    pub fn to_toml(&self) -> Result<String, Failure> {
        let mut header = self.header.clone();
        header.full = Table::new();
        let stages = self
            .stages
            .iter()
            .map(|planned| {
                let seeds = Some(planned.seeds.clone()).filter(|seeds| *seeds != header.seeds);
                Stage { with: planned.base.clone(), only: None, seeds, ..planned.stage.clone() }
            })
            .collect();
        let claims = self.claims.iter().map(|claim| Claim { only: None, ..claim.clone() }).collect();
        let file = file::Resolved { experiment: header, report: self.report.clone(), stage: stages, claim: claims };
        toml::to_string(&file)
            .map_err(|error| Failure::running(format!("cannot write the resolved experiment as TOML: {error}")))
    }
}

/// All points of a grid over a base table.
fn points(base: &Table, grid: &[(String, Vec<Value>)]) -> Vec<Point> {
    let mut points = vec![Vec::new()];
    for (key, values) in grid {
        points = points
            .into_iter()
            .flat_map(|point: Vec<(String, Value)>| {
                values.iter().map(move |value| {
                    let mut longer = point.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    points
        .into_iter()
        .map(|values| {
            let mut config = base.clone();
            for (key, value) in &values {
                merge(&mut config, &nested(key, value.clone()));
            }
            let label: Vec<String> = values.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            Point { label: label.join(", "), values, config }
        })
        .collect()
}

/// `a.b.c` and a value as nested tables.
fn nested(path: &str, value: Value) -> Table {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let inner = match rest {
        Some(rest) => Value::Table(nested(rest, value)),
        None => value,
    };
    Table::from_iter([(first.to_owned(), inner)])
}

/// A value `{ stage = "NAME", file = "…" }`: the output of an earlier stage.
fn reference(value: &Value) -> Option<(&str, &str)> {
    let table = value.as_table().filter(|table| table.len() == 2)?;
    Some((table.get("stage")?.as_str()?, table.get("file")?.as_str()?))
}

/// All references in a table, with the keys that lead to them.
fn references(table: &Table) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for (key, value) in table {
        if let Some((stage, _)) = reference(value) {
            found.push((vec![key.clone()], stage.to_owned()));
        } else if let Value::Table(inner) = value {
            found.extend(references(inner).into_iter().map(|(mut path, stage)| {
                path.insert(0, key.clone());
                (path, stage)
            }));
        }
    }
    found
}

/// The table with each reference replaced by the path that `resolve(stage, file)` gives.
pub fn with_references(table: &Table, resolve: &impl Fn(&str, &str) -> std::path::PathBuf) -> Table {
    let replace = |value: &Value| match (reference(value), value) {
        (Some((stage, file)), _) => Value::String(path_text(&resolve(stage, file))),
        (None, Value::Table(inner)) => Value::Table(with_references(inner, resolve)),
        (None, other) => other.clone(),
    };
    table.iter().map(|(key, value)| (key.clone(), replace(value))).collect()
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
