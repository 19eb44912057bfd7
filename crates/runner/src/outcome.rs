//! What an experiment measured.

use std::path::PathBuf;

use ashlar_cli::Failure;
use serde_json::{Value, json};

use crate::metric;

/// All stages' results.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In the order of the experiment.
    pub stages: Vec<StageOutcome>,
    /// Runs that were made now; the others were finished already.
    pub made: usize,
}

/// One stage's results.
#[derive(Clone, Debug)]
pub struct StageOutcome {
    /// Per grid point, in order.
    pub points: Vec<PointOutcome>,
    /// The point that `select` chose; 0 without a grid.
    pub chosen: usize,
}

/// One grid point's results.
#[derive(Clone, Debug)]
pub struct PointOutcome {
    /// As in the plan: `server.lr = 0.3`.
    pub label: String,
    /// Mean of the `select` metric over seeds; NaN without `select`.
    pub score: f64,
    /// One a seed, in the order of the seeds.
    pub runs: Vec<RunOutcome>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// Its seed.
    pub seed: u64,
    /// Its run folder.
    pub folder: PathBuf,
    /// Its `result.json`.
    pub result: Value,
}

impl StageOutcome {
    /// The runs of the chosen point.
    pub fn chosen_runs(&self) -> &[RunOutcome] {
        self.points.get(self.chosen).map_or(&[], |point| &point.runs)
    }

    /// A number of every run of the chosen point.
    ///
    /// # Errors
    /// As [`metric::number`].
    pub fn chosen_values(&self, key: &str) -> Result<Vec<(u64, f64)>, String> {
        self.chosen_runs().iter().map(|run| Ok((run.seed, metric::number(&run.result, key)?))).collect()
    }
}

/// Stands for the result of a grid's run that failed.
pub fn failed(failure: &Failure) -> Value {
    json!({ "failed": failure.to_string() })
}

/// Why a grid's run failed, if it did.
pub fn failure_of(result: &Value) -> Option<&str> {
    result.as_object().filter(|result| result.len() == 1)?.get("failed")?.as_str()
}

/// The best point by the mean of `select` over seeds: the largest, or with `-` in front the smallest, or the nearest to
/// `toward`; the first of equals; a NaN is worse than any number. Fills in the scores.
///
/// # Errors
/// As [`metric::number`].
pub fn choose(points: &mut [PointOutcome], select: Option<&str>, toward: Option<f64>) -> Result<usize, String> {
    let Some(select) = select else { return Ok(0) };
    let (key, sign) = select.strip_prefix('-').map_or((select, 1.0), |key| (key, -1.0));
    let mut best: Option<(usize, f64)> = None;
    for (index, point) in points.iter_mut().enumerate() {
        let mut sum = 0.0;
        for run in &point.runs {
            sum += if failure_of(&run.result).is_some() { f64::NAN } else { metric::number(&run.result, key)? };
        }
        point.score = sum / point.runs.len() as f64;
        let rank = match toward {
            _ if point.score.is_nan() => f64::NEG_INFINITY,
            Some(target) => -(point.score - target).abs(),
            None => sign * point.score,
        };
        if best.is_none_or(|(_, best)| rank > best) {
            best = Some((index, rank));
        }
    }
    Ok(best.map_or(0, |(index, _)| index))
}
