//! Whether an experiment's claims hold.

use ashlar_cli::Failure;
use ashlar_stats::interval::Bootstrap;
use serde_json::{Value, json};

use crate::{
    experiment::{Claim, Experiment, Op, Over},
    outcome::Outcome,
};

/// A claim with what was measured.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The claim.
    pub claim: Claim,
    /// Seeds and, for each, metric and threshold.
    pub by_seed: Vec<(u64, f64, f64)>,
    /// What the comparison saw: mean, median, or the seed nearest to failing.
    pub measured: f64,
    /// What it was compared with.
    pub threshold: f64,
    /// 95 % interval of the mean difference between metric and threshold, where the claim asks for one.
    pub interval: Option<(f64, f64)>,
    /// Whether it holds.
    pub holds: bool,
}

impl Verdict {
    /// For `result.json`.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "text": self.claim.text, "metric": self.claim.metric, "over": self.claim.over,
            "op": self.claim.op.symbol(), "measured": self.measured, "threshold": self.threshold,
            "holds": self.holds, "gate": self.claim.gate,
            "by_seed": self.by_seed.iter().map(|&(seed, metric, threshold)| {
                json!({ "seed": seed, "measured": metric, "threshold": threshold })
            }).collect::<Vec<_>>(),
        });
        if let Some((low, high)) = self.interval {
            json["difference_interval"] = json!([low, high]);
        }
        json
    }
}

/// Whether every claim holds; comparisons that are only reported don't count.
pub fn all_hold(verdicts: &[Verdict]) -> bool {
    verdicts.iter().all(|verdict| verdict.holds || !verdict.claim.gate)
}

/// Judges all claims.
///
/// # Errors
/// A metric that no result has.
pub fn judge(experiment: &Experiment, outcome: &Outcome) -> Result<Vec<Verdict>, Failure> {
    experiment.claims.iter().map(|claim| judge_one(claim, experiment, outcome)).collect()
}

fn judge_one(claim: &Claim, experiment: &Experiment, outcome: &Outcome) -> Result<Verdict, Failure> {
    let metric = values(&claim.metric, experiment, outcome)?;
    let threshold = match (&claim.than, claim.value) {
        (Some(than), _) => values(than, experiment, outcome)?
            .into_iter()
            .map(|(seed, value)| (seed, value * claim.times + claim.plus))
            .collect(),
        (None, value) => metric.iter().map(|&(seed, _)| (seed, value.unwrap_or(f64::NAN))).collect::<Vec<_>>(),
    };
    let paired: Vec<(u64, f64, f64)> = metric
        .iter()
        .filter_map(|&(seed, value)| {
            threshold.iter().find(|(other, _)| *other == seed).map(|&(_, threshold)| (seed, value, threshold))
        })
        .collect();
    let column = |pairs: &[(u64, f64)]| pairs.iter().map(|&(_, value)| value).collect::<Vec<f64>>();
    let (measured, bound) = match claim.over {
        Over::Mean => (mean(&column(&metric)), mean(&column(&threshold))),
        Over::Median => (median(&column(&metric)), median(&column(&threshold))),
        Over::Each => worst(claim.op, &paired),
    };
    // A mean of equal numbers would differ from them in the last bit.
    let bound = claim.value.unwrap_or(bound);
    let mut holds = match claim.over {
        Over::Each => !paired.is_empty() && paired.iter().all(|&(_, value, bound)| claim.op.holds(value, bound)),
        _ => claim.op.holds(measured, bound),
    };
    let interval = claim.interval.map(|_| {
        let differences: Vec<f64> = paired.iter().map(|&(_, value, bound)| value - bound).collect();
        bootstrap(&differences)
    });
    if let Some((low, high)) = interval {
        holds &= claim.op.holds(low, 0.0) && claim.op.holds(high, 0.0);
    }
    Ok(Verdict { claim: claim.clone(), by_seed: paired, measured, threshold: bound, interval, holds })
}

/// `STAGE.key` at the stage's chosen point, seed by seed.
fn values(metric: &str, experiment: &Experiment, outcome: &Outcome) -> Result<Vec<(u64, f64)>, Failure> {
    let (stage, key) = experiment
        .metric(metric)
        .ok_or_else(|| Failure::usage(format!("`{metric}` names no stage of this experiment")))?;
    outcome.stages[stage]
        .chosen_values(key)
        .map_err(|problem| Failure::usage(format!("claim on `{metric}`: in the stage's result {problem}")))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn median(values: &[f64]) -> f64 {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The pair that is nearest to failing, or fails by most.
fn worst(op: Op, paired: &[(u64, f64, f64)]) -> (f64, f64) {
    let slack = |value: f64, bound: f64| match op {
        _ if value.is_nan() || bound.is_nan() => f64::NEG_INFINITY,
        Op::AtLeast | Op::More => value - bound,
        Op::AtMost | Op::Less => bound - value,
        Op::Equal => -(value - bound).abs(),
    };
    paired
        .iter()
        .min_by(|a, b| slack(a.1, a.2).total_cmp(&slack(b.1, b.2)))
        .map_or((f64::NAN, f64::NAN), |&(_, value, bound)| (value, bound))
}

/// Interval of the mean; the same for the same differences.
fn bootstrap(differences: &[f64]) -> (f64, f64) {
    let nothing = (f64::NAN, f64::NAN);
    if differences.iter().any(|x| !x.is_finite()) {
        return nothing;
    }
    Bootstrap::new(0).mean(differences).map_or(nothing, |estimate| (estimate.interval.low, estimate.interval.high))
}
