//! Everything that can be wrong in an experiment file is told before anything runs.

use std::collections::BTreeSet;

use ashlar_cli::{Failure, config::Source, config::merge, stage::StageCommand};
use toml::{Table, Value};

use super::{
    Experiment, PlannedStage,
    file::{File, Interval, Only, Over},
    points, references, with_references,
};
use crate::papers;

/// More points than this are a slip, not a search.
const MOST_POINTS: usize = 1000;

pub(super) fn check(
    file: &File,
    source: &Source,
    full: bool,
    commands: &[StageCommand],
) -> Result<Experiment, Failure> {
    let mut wrong = Vec::new();
    check_header(file, source, &mut wrong);
    let mut stages: Vec<PlannedStage> = Vec::new();
    for index in 0..file.stage.len() {
        match plan(file, source, index, &stages, commands) {
            Ok(planned) => stages.push(planned),
            Err(failures) => wrong.extend(failures),
        }
    }
    check_claims(file, source, full, &mut wrong);
    if let Some(failure) = Failure::all(wrong) {
        return Err(failure);
    }
    let keep = |only: Option<Only>| full || only.is_none();
    let kept: Vec<usize> = (0..stages.len()).filter(|&index| keep(stages[index].stage.only)).collect();
    for planned in &mut stages {
        planned.needs = planned.needs.iter().filter_map(|need| kept.iter().position(|at| at == need)).collect();
    }
    stages.retain(|planned| keep(planned.stage.only));
    if stages.is_empty() {
        return Err(Failure::usage(format!("{}: no stage to run", source.origin))
            .help("add a [[stage]] with name, run and [stage.with]"));
    }
    Ok(Experiment {
        header: file.experiment.clone(),
        report: file.report.clone(),
        stages,
        claims: file.claim.iter().filter(|claim| keep(claim.only)).cloned().collect(),
    })
}

fn check_header(file: &File, source: &Source, wrong: &mut Vec<Failure>) {
    let header = &file.experiment;
    if !is_name(&header.name) {
        wrong.push(source.invalid(&["experiment", "name"], bad_name(&header.name)));
    }
    if let Some(problem) = bad_seeds(&header.seeds) {
        wrong.push(source.invalid(&["experiment", "seeds"], problem));
    }
    if let Some(paper) = &header.paper
        && papers::find(paper).is_none()
    {
        let names: Vec<&str> = papers::PAPERS.iter().map(|paper| paper.name).collect();
        wrong.push(source.unknown(&["experiment", "paper"], "paper", paper, &names));
    }
    for (key, value) in &file.shared {
        if !value.is_table() {
            let valid = ["experiment", "report", "stage", "claim"];
            wrong.push(source.unknown(&[key], "key", key, &valid));
        }
    }
}

/// Reads one stage; `earlier` are the stages before it that were without mistakes.
fn plan(
    file: &File,
    source: &Source,
    index: usize,
    earlier: &[PlannedStage],
    commands: &[StageCommand],
) -> Result<PlannedStage, Vec<Failure>> {
    let stage = &file.stage[index];
    let at = index.to_string();
    let here = |key: &'static str| ["stage", at.as_str(), key];
    let mut wrong = Vec::new();
    if !is_name(&stage.name) || stage.name.contains('.') {
        wrong.push(source.invalid(&here("name"), bad_name(&stage.name)));
    }
    if file.stage[..index].iter().any(|other| other.name == stage.name) {
        wrong.push(source.invalid(&here("name"), format!("two stages are called `{}`", stage.name)));
    }
    let seeds = stage.seeds.clone().unwrap_or_else(|| file.experiment.seeds.clone());
    if let Some(problem) = stage.seeds.as_deref().and_then(bad_seeds) {
        wrong.push(source.invalid(&here("seeds"), problem));
    }
    let command = commands.iter().find(|command| command.name == stage.run.trim()).copied();
    if command.is_none() {
        let names: Vec<&str> = commands.iter().map(|command| command.name).collect();
        wrong.push(source.unknown(&here("run"), "command", &stage.run, &names));
    }
    let grid = read_grid(source, &at, stage, &mut wrong);

    let mut base: Table =
        file.shared.iter().filter(|(_, value)| value.is_table()).map(|(k, v)| (k.clone(), v.clone())).collect();
    merge(&mut base, &stage.with);
    let needs = check_references(file, source, index, &base, &seeds, earlier, &mut wrong);
    let points = points(&base, &grid);
    if let Some(command) = command {
        for point in &points {
            let config = with_references(&point.config, &|_, file| file.into());
            if let Err(failure) = (command.check)(&config) {
                let failure = failure.placed(source, |keys| locate(source, &at, &grid, keys));
                let placeless = failure.each().all(|one| one.position().is_none());
                wrong.push(if placeless { failure.within(&format!("stage `{}`", stage.name)) } else { failure });
            }
        }
    }
    match command {
        Some(command) if wrong.is_empty() => {
            Ok(PlannedStage { stage: stage.clone(), base, command, seeds, points, needs })
        }
        _ => Err(wrong),
    }
}

fn read_grid(source: &Source, at: &str, stage: &super::Stage, wrong: &mut Vec<Failure>) -> Vec<(String, Vec<Value>)> {
    let mut grid = Vec::new();
    let mut size = 1usize;
    for (key, values) in &stage.grid {
        match values.as_array().filter(|values| !values.is_empty()) {
            Some(values) => {
                size = size.saturating_mul(values.len());
                grid.push((key.clone(), values.clone()));
            }
            None => wrong.push(source.invalid(
                &["stage", at, "grid", key],
                format!("`{key}` needs a list of values to try, for instance [0.1, 0.3]"),
            )),
        }
    }
    if size > MOST_POINTS {
        wrong.push(source.invalid(&["stage", at, "grid"], format!("{size} points are more than {MOST_POINTS}")));
        grid.clear();
        size = 1;
    }
    match (&stage.select, size > 1) {
        (None, true) => wrong.push(source.invalid(
            &["stage", at, "grid"],
            "a grid needs `select`: the key of result.json whose mean over seeds is the largest at the best point \
             (`-key` for the least)",
        )),
        (None, false) if stage.toward.is_some() => {
            wrong.push(source.invalid(&["stage", at, "toward"], "`toward` goes with a grid and `select`"));
        }
        (Some(select), _) if stage.toward.is_some() && select.starts_with('-') => {
            wrong.push(source.invalid(&["stage", at, "toward"], "`toward` goes with a `select` without `-`"));
        }
        (Some(_), _) if stage.grid.is_empty() => {
            wrong.push(source.invalid(&["stage", at, "select"], "`select` without a grid chooses nothing"));
        }
        _ => {}
    }
    grid
}

fn check_references(
    file: &File,
    source: &Source,
    index: usize,
    base: &Table,
    seeds: &[u64],
    earlier: &[PlannedStage],
    wrong: &mut Vec<Failure>,
) -> Vec<usize> {
    let at = index.to_string();
    let mut needs = BTreeSet::new();
    for (keys, name) in references(base) {
        let mut path: Vec<&str> = vec!["stage", &at, "with"];
        path.extend(keys.iter().map(String::as_str));
        let Some(found) = file.stage.iter().position(|other| other.name == name) else {
            let names: Vec<&str> = file.stage[..index].iter().map(|stage| stage.name.as_str()).collect();
            wrong.push(source.unknown(&path, "stage", &name, &names));
            continue;
        };
        if found >= index {
            let message = if found == index {
                format!("stage `{name}` can't take its own output")
            } else {
                format!("stage `{name}` comes later: a stage takes outputs of earlier ones only")
            };
            wrong.push(source.invalid(&path, message));
            continue;
        }
        if file.stage[found].only == Some(Only::Full) && file.stage[index].only.is_none() {
            wrong.push(source.invalid(&path, format!("stage `{name}` runs with --full only, this one always")));
        }
        if let Some((position, other)) = earlier.iter().enumerate().find(|(_, other)| other.stage.name == name) {
            if let Some(missing) = seeds.iter().find(|seed| !other.seeds.contains(seed)) {
                wrong.push(source.invalid(&path, format!("stage `{name}` does not run with seed {missing}")));
            }
            needs.insert(position);
        }
    }
    needs.into_iter().collect()
}

/// Where an entry of a stage's complete table stands in the file: its grid, its own table, a shared table.
fn locate(source: &Source, at: &str, grid: &[(String, Vec<Value>)], keys: &[String]) -> Option<Vec<String>> {
    let own = |rest: &[&str]| -> Vec<String> { ["stage", at].iter().chain(rest).map(|&key| key.to_owned()).collect() };
    let dotted = keys.join(".");
    let in_grid = grid.iter().find(|(key, _)| {
        let longer = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
        !keys.is_empty() && (*key == dotted || longer(&dotted, key))
    });
    if let Some((key, _)) = in_grid {
        return Some(own(&["grid", key]));
    }
    let mut with = own(&["with"]);
    if keys.is_empty() {
        return Some(if source.has(&with) { with } else { own(&["name"]) });
    }
    with.extend_from_slice(keys);
    if source.has(&with) {
        return Some(with);
    }
    if source.has(keys) {
        return Some(keys.to_vec());
    }
    grid.iter()
        .find(|(key, _)| key.strip_prefix(dotted.as_str()).is_some_and(|rest| rest.starts_with('.')))
        .map(|(key, _)| own(&["grid", key]))
}

fn check_claims(file: &File, source: &Source, full: bool, wrong: &mut Vec<Failure>) {
    let names: Vec<&str> = file.stage.iter().map(|stage| stage.name.as_str()).collect();
    for (index, claim) in file.claim.iter().enumerate() {
        let at = index.to_string();
        let mut seeds = Vec::new();
        for (key, metric) in [("metric", Some(&claim.metric)), ("than", claim.than.as_ref())] {
            let Some(metric) = metric else { continue };
            let path = ["claim", at.as_str(), key];
            let Some((name, _)) = metric.split_once('.').filter(|(_, key)| !key.is_empty()) else {
                wrong.push(source.invalid(&path, format!("`{metric}` is no STAGE.key")));
                continue;
            };
            let Some(stage) = file.stage.iter().find(|stage| stage.name == name) else {
                wrong.push(source.unknown(&path, "stage", name, &names));
                continue;
            };
            if stage.only == Some(Only::Full) && claim.only.is_none() && !full {
                let message = format!("stage `{name}` runs with --full only: mark the claim only = \"full\" too");
                wrong.push(source.invalid(&path, message));
            }
            seeds.push(stage.seeds.as_ref().unwrap_or(&file.experiment.seeds));
        }
        match (claim.value, &claim.than) {
            (None, None) => {
                wrong.push(source.invalid(&["claim", &at], "a claim needs `value` or `than`"));
            }
            (Some(_), Some(_)) => {
                wrong.push(source.invalid(&["claim", &at, "than"], "a claim has `value` or `than`, not both"));
            }
            (Some(value), None) if !value.is_finite() => {
                wrong
                    .push(source.invalid(&["claim", &at, "value"], format!("{value} is no threshold: write a number")));
            }
            (Some(_), None) if claim.plus != 0.0 || claim.times != 1.0 => {
                wrong.push(source.invalid(&["claim", &at], "`plus` and `times` go with `than`"));
            }
            _ => {}
        }
        let paired = claim.over == Over::Each || claim.interval.is_some();
        if paired && seeds.len() == 2 && seeds[0] != seeds[1] {
            let message = "both stages must run with the same seeds to be compared seed by seed";
            wrong.push(source.invalid(&["claim", &at, "than"], message));
        }
        if claim.interval == Some(Interval::Bootstrap) && seeds.first().is_some_and(|seeds| seeds.len() < 2) {
            wrong.push(source.invalid(&["claim", &at, "interval"], "an interval needs at least two seeds"));
        }
    }
}

/// Names become folder names.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn bad_name(name: &str) -> String {
    format!("`{name}` is no name: use letters, digits, - and _ (it becomes a folder)")
}

fn bad_seeds(seeds: &[u64]) -> Option<String> {
    if seeds.is_empty() {
        return Some("at least one seed is needed".to_owned());
    }
    let mut seen = BTreeSet::new();
    seeds.iter().find(|seed| !seen.insert(**seed)).map(|seed| format!("seed {seed} is there twice"))
}
