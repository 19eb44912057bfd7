//! What experiment files can run of the laws. Results have objects in place of lists, so that claims reach every number
//! by a dotted key.

use std::path::{Path, PathBuf};

use ashlar_cli::{Failure, config, stage::StageContext};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Table;

use super::{on_threads, parametric, plot, sweep::published_json, write_svg};
use crate::law::{
    EnvelopeMethod, Fit, FitOptions, Loss, Points, Resource, Starts, Variable,
    envelope::Target,
    published::recompute,
    sweep::{SweepOptions, sweep},
};

/// `eval fit-law sweep`: frontiers of every table of a folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepStage {
    /// The folder of tables, below the shared data or as it stands.
    dir: PathBuf,
    /// The folder of published fits.
    #[serde(default)]
    published: Option<PathBuf>,
}

/// `eval fit-law parametric`: one or more laws.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParametricStage {
    /// Starts of each law; 0 for the command's default.
    #[serde(default)]
    starts: u64,
    /// The laws.
    law: Vec<LawStage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LawStage {
    /// What claims call it.
    name: String,
    /// The table, below the shared data or as it stands.
    data: PathBuf,
    #[serde(default = "default_vars")]
    vars: Vec<String>,
    #[serde(default = "default_delta")]
    delta: f64,
    #[serde(default)]
    loss: LossStage,
    #[serde(default)]
    no_embeds: bool,
    #[serde(default)]
    drop_highest_loss: usize,
    /// Resamples.
    #[serde(default)]
    bootstrap: usize,
    /// The published objective.
    #[serde(default)]
    published: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LossStage {
    #[default]
    Huber,
    Lad,
}

fn default_vars() -> Vec<String> {
    vec!["params".to_owned(), "tokens".to_owned()]
}

fn default_delta() -> f64 {
    1e-3
}

impl LawStage {
    fn vars(&self) -> Result<Vec<Variable>, Failure> {
        let vars: crate::Result<Vec<Variable>> = self.vars.iter().map(|name| name.parse()).collect();
        vars.map_err(|error| Failure::from(error).within(&format!("law `{}`", self.name)))
    }
}

pub fn check_sweep(table: &Table) -> Result<(), Failure> {
    config::from_table::<SweepStage>(table, None).map(|_| ())
}

pub fn check_parametric(table: &Table) -> Result<(), Failure> {
    read_parametric(table).map(|_| ())
}

fn read_parametric(table: &Table) -> Result<ParametricStage, Failure> {
    let stage: ParametricStage = config::from_table(table, None)?;
    if stage.law.is_empty() {
        return Err(Failure::usage("no law to fit: add [[stage.with.law]] with name and data"));
    }
    for (at, law) in stage.law.iter().enumerate() {
        law.vars()?;
        if !(law.delta > 0.0 && law.delta.is_finite()) {
            return Err(Failure::usage(format!("law `{}`: delta = {} must be above 0", law.name, law.delta)));
        }
        if stage.law[..at].iter().any(|other| other.name == law.name) {
            return Err(Failure::usage(format!("two laws are called `{}`", law.name)));
        }
    }
    Ok(stage)
}

pub fn run_sweep(table: &Table, context: &StageContext) -> Result<Value, Failure> {
    let stage: SweepStage = config::from_table(table, None)?;
    let dir = shared(&stage.dir)?;
    let options = SweepOptions {
        resource: Resource::Flops,
        target: Target::Params,
        method: EnvelopeMethod::Hull,
        parametric: None,
    };
    let rows = on_threads(context.threads, || sweep(&dir, &options))??;
    let (mut coef, mut no_embeds) = (Map::new(), Map::new());
    let (mut on_hull, mut models) = (Map::new(), Map::new());
    for row in &rows {
        let name = plot::short(&row.file).to_owned();
        if let Ok(envelope) = &row.envelope {
            coef.insert(name.clone(), json!(envelope.coef));
            on_hull.insert(name.clone(), json!(envelope.points.len()));
            if let Some((on, _)) = envelope.runs {
                models.insert(name.clone(), json!(on));
            }
        }
        if let Some(envelope) = &row.no_embeds {
            no_embeds.insert(name, json!(envelope.coef));
        }
    }
    let values = |map: &Map<String, Value>| map.values().filter_map(Value::as_f64).collect::<Vec<_>>();
    let range = |all: &[f64]| {
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        all.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least
    };
    let mut result = json!({
        "tables": rows.len(), "coef_range": range(&values(&coef)), "coef": coef, "coef_no_embeds": no_embeds,
        "n_envelope": on_hull, "runs_on_envelope": models,
    });
    if let Some(folder) = &stage.published {
        result["published"] = published_json(&recompute(&dir, &shared(folder)?)?);
    }
    create(&context.out)?;
    write_svg(&context.out.join("sensitivity.svg"), &plot::sweep(&rows, "flops", "params"))?;
    Ok(result)
}

pub fn run_parametric(table: &Table, context: &StageContext) -> Result<Value, Failure> {
    let stage = read_parametric(table)?;
    create(&context.out)?;
    let mut laws = Map::new();
    let (mut worst_gradient, mut worst_excess, mut least_share) = (0.0_f64, f64::NEG_INFINITY, 1.0_f64);
    for law in &stage.law {
        if context.interrupt.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::interrupted("interrupted between two laws"));
        }
        let points = Points::read(&shared(&law.data)?, None)?;
        let loss = match law.loss {
            LossStage::Huber => Loss::Huber { delta: law.delta },
            LossStage::Lad => Loss::Lad,
        };
        let starts = if stage.starts == 0 { Starts::Auto } else { Starts::Draws(stage.starts) };
        let options = FitOptions { loss, starts, seed: context.seed };
        let vars = law.vars()?;
        let fitted = on_threads(context.threads, || -> crate::Result<_> {
            let fit = Fit::of(&points, &vars, law.no_embeds, law.drop_highest_loss, &options)?;
            let boot = (law.bootstrap > 0).then(|| fit.bootstrap(law.bootstrap, 0.95, context.seed)).transpose()?;
            Ok((fit, boot))
        })?;
        let (fit, boot) = fitted.map_err(|error| Failure::from(error).within(&format!("law `{}`", law.name)))?;
        let mut answer = parametric::to_json(&fit, boot.as_ref(), &options);
        worst_gradient = worst_gradient.max(fit.grad_inf);
        least_share = least_share.min(fit.starts_at_best as f64 / fit.starts as f64);
        if let Some(published) = law.published {
            let excess = fit.objective / published - 1.0;
            worst_excess = worst_excess.max(excess);
            answer["published_objective"] = json!(published);
            answer["excess"] = json!(excess);
        }
        for (var, exponent) in fit.vars.iter().zip(&fit.exponents) {
            answer[format!("exponent_{var}")] = json!(exponent);
        }
        if let Some(boot) = &boot {
            let se = boot.names.iter().cloned().zip(boot.se.iter().map(|se| json!(se)));
            answer["boot"]["se_of"] = Value::Object(se.collect());
        }
        write_svg(&context.out.join(format!("{}.svg", law.name)), &plot::parametric(&fit)?)?;
        laws.insert(law.name.clone(), answer);
    }
    let excess = worst_excess.is_finite().then_some(worst_excess);
    let mut result = json!({
        "laws": stage.law.len(), "worst_grad_inf": worst_gradient, "worst_excess": excess,
        "least_share_of_starts_at_best": least_share,
    });
    result["law"] = Value::Object(laws);
    Ok(result)
}

fn create(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|source| crate::Error::Write { path: out.to_owned(), source }.into())
}

/// A path as it stands or below the shared data: `ASHLAR_DATA`, else `../shared/data` from the current folder or from
/// the workspace around it.
fn shared(path: &Path) -> Result<PathBuf, Failure> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(folder) = std::env::var_os("ASHLAR_DATA").filter(|folder| !folder.is_empty()) {
        folders.push(folder.into());
    } else if let Ok(here) = std::env::current_dir() {
        let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
        folders.extend(std::iter::once(here.as_path()).chain(root).map(|folder| folder.join("../shared/data")));
    }
    let tried: Vec<PathBuf> = folders.into_iter().map(|folder| folder.join(path)).collect();
    if let Some(found) = tried.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::usage(format!("no {}: looked for {}", path.display(), tried.join(", "))).help(
        "put the folders wandb_dfs, parameters and data of github.com/mcleish7/gemstone-scaling-laws into a folder \
         `gemstones` and name its parent in ASHLAR_DATA",
    ))
}
