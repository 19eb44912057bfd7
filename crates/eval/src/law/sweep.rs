//! Every table of a folder, fitted alike: how far a law's exponents depend on what was measured.
//!
//! Gemstones' message is this table: the exponent of parameters over FLOPs goes from .46 to .80 with the learning-rate
//! schedule, the range of tokens and the embeddings counted.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Envelope, EnvelopeMethod, Fit, FitOptions, Points, Resource, Variable, envelope::Target};
use crate::{Error, Result};

/// What each table is fitted with.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The frontier's resource.
    pub resource: Resource,
    /// What its law predicts.
    pub target: Target,
    /// How it is found.
    pub method: EnvelopeMethod,
    /// Also fit a law of params,tokens, with these options.
    pub parametric: Option<FitOptions>,
}

/// One table's fits.
#[derive(Clone, Debug)]
pub struct SweepRow {
    /// The file's name.
    pub file: String,
    /// The frontier, or why there is none.
    pub envelope: Result<Envelope, String>,
    /// The frontier with both embedding matrices taken from the parameters, where the table has widths.
    pub no_embeds: Option<Envelope>,
    /// The law of parameters and tokens, or why there is none; absent if not asked for.
    pub parametric: Option<Result<Fit, String>>,
}

/// Fits every `.jsonl` and `.csv` table of a folder, by name. A table that can't be fitted keeps its row with the reason.
///
/// # Errors
/// [`Error::Read`] for a folder that can't be listed; [`Error::TooFew`] for one without tables, or none of which has a
/// frontier.
pub fn sweep(folder: &Path, options: &SweepOptions) -> Result<Vec<SweepRow>> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|ext| ext == "jsonl" || ext == "csv") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let rows: Vec<SweepRow> = files.par_iter().map(|path| row(path, options)).collect();
    if !rows.iter().any(|row| row.envelope.is_ok()) {
        let why = rows.iter().find_map(|row| row.envelope.as_ref().err().map(|e| format!(" ({e})")));
        let what = format!("tables with a frontier in {}{}", folder.display(), why.unwrap_or_default());
        return Err(Error::TooFew { what, needed: 1, found: 0 });
    }
    Ok(rows)
}

fn row(path: &Path, options: &SweepOptions) -> SweepRow {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let points = match Points::read(path, None) {
        Ok(points) => points,
        Err(error) => {
            let why = error.to_string();
            let parametric = options.parametric.map(|_| Err(why.clone()));
            return SweepRow { file, envelope: Err(why), no_embeds: None, parametric };
        }
    };
    let envelope = |no_embeds| Envelope::fit(&points, options.resource, options.target, no_embeds, options.method);
    let parametric = options.parametric.map(|fit_options| {
        let vars = [Variable::Params, Variable::Tokens];
        Fit::of(&points, &vars, false, 0, &fit_options).map_err(|error| error.to_string())
    });
    let no_embeds = points.table().has("width").then(|| envelope(true).ok()).flatten();
    SweepRow { file, envelope: envelope(false).map_err(|error| error.to_string()), no_embeds, parametric }
}
