//! What the command line changes in an experiment file before it is checked: `--full`, `--set`, `--seed`.

use ashlar_cli::{
    Failure,
    config::{Source, apply_set},
    suggest::nearest,
};
use toml::{Table, Value};

use super::Options;

pub(super) fn resolve(source: &Source, options: &Options) -> Result<Table, Failure> {
    let mut table = source.table()?;
    if options.full {
        for (path, value) in full_overrides(&table) {
            let path = if path == "seeds" { "experiment.seeds".to_owned() } else { path };
            apply(&mut table, &format!("{path}={value}"))
                .map_err(|failure| source.invalid(&["experiment", "full"], failure.message().to_owned()))?;
        }
    }
    for set in &options.sets {
        apply(&mut table, set)?;
    }
    if let Some(first) = options.seed {
        // TOML's integers end at 2^63 - 1; a file has no more than a million seeds.
        if first > i64::MAX as u64 - (1 << 20) {
            return Err(Failure::usage(format!("--seed {first} is too large: take one below 2^63 - 2^20")));
        }
        shift_seeds(&mut table, first);
    }
    Ok(table)
}

/// `full = {…}` as paths and values; inner tables may be written nested or dotted.
fn full_overrides(table: &Table) -> Vec<(String, Value)> {
    fn walk(prefix: &str, table: &Table, into: &mut Vec<(String, Value)>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(inner) => walk(&path, inner, into),
                _ => into.push((path, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    if let Some(full) = table.get("experiment").and_then(|e| e.get("full")).and_then(Value::as_table) {
        walk("", full, &mut found);
    }
    found
}

/// One `key.path=value`; `stage.NAME.key` goes to that stage.
fn apply(table: &mut Table, set: &str) -> Result<(), Failure> {
    let Some(rest) = set.trim_start().strip_prefix("stage.") else { return apply_set(table, set) };
    let (name, key) = rest
        .split_once('=')
        .map_or(rest, |(path, _)| path)
        .split_once('.')
        .ok_or_else(|| Failure::usage(format!("`--set {set}` names no key: write stage.NAME.key=value")))?;
    let (name, key) = (name.trim(), key.trim());
    let stages = table.get_mut("stage").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
    let names: Vec<String> = stages.iter().filter_map(|stage| Some(stage.get("name")?.as_str()?.to_owned())).collect();
    let Some(stage) = stages
        .iter_mut()
        .find(|stage| stage.get("name").and_then(Value::as_str) == Some(name))
        .and_then(Value::as_table_mut)
    else {
        let near = nearest(name, names.iter().map(String::as_str));
        let failure = Failure::usage(format!("`--set {set}`: there is no stage `{name}`"));
        return Err(failure.help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("stages: {}", names.join(", ")),
        }));
    };
    let value = rest.split_once('=').map_or("", |(_, value)| value);
    if !rest.contains('=') {
        return Err(Failure::usage(format!("`--set {set}` has no `=`: write --set stage.NAME.key=value")));
    }
    // The stage's own keys first: no command has a table of these names.
    if matches!(key.split('.').next(), Some("grid" | "seeds" | "select" | "toward")) {
        if let Some(grid_key) = key.strip_prefix("grid.") {
            let mut parsed = Table::new();
            apply_set(&mut parsed, &format!("v={value}"))?;
            let grid = stage.entry("grid").or_insert_with(|| Value::Table(Table::new()));
            if let (Some(grid), Some(value)) = (grid.as_table_mut(), parsed.remove("v")) {
                grid.insert(grid_key.to_owned(), value);
            }
            return Ok(());
        }
        return apply_set(stage, &format!("{key}={value}"));
    }
    // A value set on a key of the grid replaces that dimension.
    if let Some(grid) = stage.get_mut("grid").and_then(Value::as_table_mut) {
        grid.remove(key);
        if grid.is_empty() {
            stage.remove("grid");
            stage.remove("select");
            stage.remove("toward");
        }
    }
    let with = stage.entry("with").or_insert_with(|| Value::Table(Table::new()));
    match with {
        Value::Table(with) => apply_set(with, &format!("{key}={value}")),
        _ => Ok(()),
    }
}

/// `--seed N`: N, N + 1, … in place of the file's seeds, the same number of them.
fn shift_seeds(table: &mut Table, first: u64) {
    let renumber = |seeds: &mut Value| {
        if let Some(seeds) = seeds.as_array_mut() {
            for (offset, seed) in seeds.iter_mut().enumerate() {
                *seed = Value::Integer(first.wrapping_add(offset as u64) as i64);
            }
        }
    };
    if let Some(header) = table.get_mut("experiment").and_then(Value::as_table_mut) {
        renumber(header.entry("seeds").or_insert_with(|| Value::Array(vec![Value::Integer(0)])));
    }
    for stage in table.get_mut("stage").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(seeds) = stage.get_mut("seeds") {
            renumber(seeds);
        }
    }
}
