//! The paper's own approach-1 fits, recomputed from its tables.
//!
//! `parameters/approach_1_linear_regression_TARGET[_VARIANT][_no_embeds].json` holds `coef` and `intercept`; which table a
//! variant comes from is a convention of the repository, and an inconsistent one: all are of the finer `_477` tables but
//! the cooldown's.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::{Envelope, EnvelopeMethod, Points, Resource, envelope::Target};
use crate::{Error, Result};

/// Variants in file names and their tables.
const VARIANTS: [(&str, &str); 5] = [
    ("", "hot_477"),
    ("_100b+", "hot_100b+_477"),
    ("_120b+_only", "hot_120b+_only_477"),
    ("_lr_ablation", "lr_ablation_hot_477"),
    ("_cooldown", "cool_end"),
];
/// Targets in file names, the longest first.
const TARGETS: [(&str, Target); 3] =
    [("tokens_per_param", Target::TokensPerParam), ("tokens", Target::Tokens), ("params", Target::Params)];

/// A published fit beside ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Recomputed {
    /// The file of the published fit.
    pub file: String,
    /// The table it comes from.
    pub table: String,
    /// Our exponent and intercept.
    pub ours: (f64, f64),
    /// The published ones.
    pub published: (f64, f64),
}

impl Recomputed {
    /// The larger relative difference of both numbers.
    pub fn difference(&self) -> f64 {
        let relative = |a: f64, b: f64| (a / b - 1.0).abs();
        relative(self.ours.0, self.published.0).max(relative(self.ours.1, self.published.1))
    }
}

#[derive(Deserialize)]
struct Parameters {
    coef: Vec<f64>,
    intercept: f64,
}

/// Recomputes every published fit in `parameters` from the tables in `tables`, by name.
///
/// # Errors
/// [`Error::Read`] or [`Error::Syntax`] for a file that can't be used; [`Error::TooFew`] where there is no published fit;
/// [`Error::Unknown`] for a variant that is none of the five; what [`Envelope::fit`] says of a table.
pub fn recompute(tables: &Path, parameters: &Path) -> Result<Vec<Recomputed>> {
    let read = |source| Error::Read { path: parameters.to_owned(), source };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(parameters).map_err(read)? {
        files.push(entry.map_err(read)?.path());
    }
    files.retain(|path| label(path).is_some());
    files.sort();
    if files.is_empty() {
        let what = format!("published fits (approach_1_linear_regression_….json) in {}", parameters.display());
        return Err(Error::TooFew { what, needed: 1, found: 0 });
    }
    files.par_iter().map(|path| one(tables, path)).collect()
}

fn label(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix("approach_1_linear_regression_")?.strip_suffix(".json")
}

fn one(tables: &Path, path: &Path) -> Result<Recomputed> {
    let label = label(path).unwrap_or_default();
    let (rest, no_embeds) = label.strip_suffix("_no_embeds").map_or((label, false), |rest| (rest, true));
    let known = TARGETS.iter().find_map(|(name, target)| Some((*target, rest.strip_prefix(name)?)));
    let table = known.and_then(|(target, variant)| {
        let table = VARIANTS.iter().find(|(name, _)| *name == variant)?;
        Some((target, table.1))
    });
    let Some((target, table)) = table else {
        let valid = VARIANTS.iter().map(|(name, _)| name.trim_start_matches('_')).filter(|name| !name.is_empty());
        return Err(Error::Unknown { noun: "published variant", found: label.to_owned(), valid: valid.collect() });
    };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let published: Parameters = serde_json::from_str(&text).map_err(|error| Error::Syntax {
        file: path.display().to_string(),
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
    })?;
    let points = Points::read(&tables.join(format!("wandb_df_for_fitting_{table}.jsonl")), None)?;
    let envelope = Envelope::fit(&points, Resource::Flops, target, no_embeds, EnvelopeMethod::Hull)?;
    Ok(Recomputed {
        file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        table: table.to_owned(),
        ours: (envelope.coef, envelope.intercept),
        published: (published.coef.first().copied().unwrap_or(f64::NAN), published.intercept),
    })
}
