//! `audit roc`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure, write_file};
use ashlar_report::{Axis, Curve, LinePlot, Size};
use clap::Args;
use serde_json::json;

use super::{OutArgs, number, optional, save, scores_file};
use crate::{
    ScoreSet,
    roc::{AtFpr, OperatingPoint, Roc},
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar audit roc --members=0.9,0.8,0.8,0.6,0.3 --nonmembers=0.7,0.6,0.5,0.4,0.2 --fpr 0.2
  ashlar audit roc --scores scores.json --fpr 0.001 --fpr 0.01 --plot roc.svg";

/// A comma-separated list in one flag.
type List = Vec<f64>;

/// `audit roc`.
#[derive(Args, Clone, Debug)]
pub struct RocArgs {
    /// Scores as JSON: {"members": [numbers], "nonmembers": [numbers]}.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["members", "nonmembers"])]
    pub scores: Option<PathBuf>,
    /// Scores of members; higher = more likely a member.
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub members: Option<List>,
    /// Scores of non-members.
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub nonmembers: Option<List>,
    /// Report the true-positive rate at this false-positive rate; repeatable, the first is the answer's `tpr`.
    #[arg(long, value_name = "RATE", default_values_t = [0.01], allow_negative_numbers = true)]
    pub fpr: Vec<f64>,
    /// Interpolate on the convex hull: what mixing two thresholds at random reaches.
    #[arg(long)]
    pub hull: bool,
    /// Draw the curve on log axes.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutArgs,
}

impl RocArgs {
    fn score_set(&self) -> Result<ScoreSet, Failure> {
        match (&self.scores, &self.members, &self.nonmembers) {
            (Some(file), ..) => scores_file::read(file),
            (None, Some(members), Some(nonmembers)) => Ok(ScoreSet::new(members.clone(), nonmembers.clone())?),
            (None, None, Some(_)) => Err(Failure::usage("--nonmembers needs --members beside it")),
            (None, Some(_), None) => Err(Failure::usage("--members needs --nonmembers beside it")),
            (None, None, None) => Err(Failure::usage("roc needs --scores FILE, or --members and --nonmembers")),
        }
    }
}

pub(super) fn run(args: &RocArgs) -> Result<Answer, Failure> {
    let roc = args.score_set()?.roc();
    let at = |&target: &f64| if args.hull { roc.tpr_at_on_hull(target) } else { roc.tpr_at(target) };
    let rates = args.fpr.iter().map(at).collect::<crate::Result<Vec<_>>>()?;
    // clap's default gives one.
    let first = rates.first().ok_or_else(|| Failure::usage("--fpr needs a rate"))?;
    let hull;
    let curve = if args.hull {
        hull = roc.hull();
        &hull[..]
    } else {
        roc.curve()
    };
    let mut notes: Vec<String> = roc.notes().into_iter().map(str::to_owned).collect();
    notes.extend(rates.iter().filter(|rate| rate.tpr.is_none()).map(|rate| {
        format!(
            "FPR {} cannot be resolved by {} non-members: the smallest that can is {}",
            rate.target,
            roc.nonmembers(),
            roc.smallest_fpr()
        )
    }));
    if let Some(file) = &args.plot {
        write_file(file, plot(&roc, args.hull).to_svg(Size::Wide).as_bytes())?;
    }
    let (accuracy, point) = roc.balanced_accuracy();
    let json = json!({
        "auc": roc.auc(), "auc_interval": roc.auc_interval(),
        "tpr": first.tpr, "threshold": optional(first.threshold), "fpr": first.fpr, "target_fpr": first.target,
        "at": rates.iter().map(rate_json).collect::<Vec<_>>(),
        "balanced_accuracy": accuracy, "balanced_threshold": number(point.threshold),
        "members": roc.members(), "nonmembers": roc.nonmembers(), "hull": args.hull,
        "curve": curve.iter().map(point_json).collect::<Vec<_>>(),
        "notes": notes,
    });
    save(Answer::new(json, text(&roc, &rates, &notes)), args.output.out.as_deref())
}

fn rate_json(rate: &AtFpr) -> serde_json::Value {
    json!({
        "target_fpr": rate.target, "tpr": rate.tpr, "fpr": rate.fpr, "threshold": optional(rate.threshold),
    })
}

fn point_json(point: &OperatingPoint) -> serde_json::Value {
    json!({ "threshold": number(point.threshold), "fpr": point.fpr, "tpr": point.tpr })
}

fn text(roc: &Roc, rates: &[AtFpr], notes: &[String]) -> String {
    let (accuracy, point) = roc.balanced_accuracy();
    let interval = roc.auc_interval().map_or_else(String::new, |[low, high]| format!(" (95%: {low:.6} to {high:.6})"));
    let mut lines = vec![
        format!("members            {}", roc.members()),
        format!("non-members        {}", roc.nonmembers()),
        format!("AUC                {:.6}{}", roc.auc(), interval),
        format!("balanced accuracy  {accuracy:.6} at score >= {}, the best threshold", point.threshold),
    ];
    for rate in rates {
        let found = match (rate.tpr, rate.threshold) {
            (Some(tpr), Some(threshold)) => format!("{tpr:.6} at score >= {threshold}"),
            (Some(tpr), None) => format!("{tpr:.6} on the hull, between two thresholds"),
            (None, _) => "not resolvable".to_owned(),
        };
        lines.push(format!("{:<17}  {found}", format!("TPR at FPR <= {}", rate.target)));
    }
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// The curve as the steps that it is, from 1/n₀ to 1 on log axes.
fn plot(roc: &Roc, with_hull: bool) -> LinePlot {
    let least = roc.smallest_fpr();
    let mut curves =
        vec![Curve::new("scores", steps(roc.curve(), least)), Curve::new("chance", [(least, least), (1.0, 1.0)])];
    if with_hull {
        curves.insert(1, Curve::new("hull", chords(&roc.hull(), least)));
    }
    let axis = |label: &str| Axis::new(label).log().include([least, 1.0]);
    LinePlot {
        title: "ROC".into(),
        x: axis("false-positive rate"),
        y: axis("true-positive rate"),
        curves,
        note: format!(
            "{} members, {} non-members, AUC {:.4}; rates below {least} cannot be resolved",
            roc.members(),
            roc.nonmembers(),
            roc.auc()
        ),
        ..LinePlot::default()
    }
}

/// Corners of the step function from `least` on; a rate of 0 has no place on a log axis.
fn steps(points: &[OperatingPoint], least: f64) -> Vec<(f64, f64)> {
    let first = points.partition_point(|point| point.fpr <= least).saturating_sub(1);
    let mut corners = vec![(least, points[first].tpr)];
    for pair in points[first..].windows(2) {
        corners.extend([(pair[1].fpr, pair[0].tpr), (pair[1].fpr, pair[1].tpr)]);
    }
    corners.retain(|&(_, y)| y > 0.0);
    corners.dedup();
    corners
}

/// Points of the hull's straight edges, which are curves on log axes.
fn chords(hull: &[OperatingPoint], least: f64) -> Vec<(f64, f64)> {
    const PARTS: i32 = 32;
    let mut points = Vec::new();
    for edge in hull.windows(2) {
        let (from, to) = (edge[0], edge[1]);
        if to.fpr < least {
            continue;
        }
        let start = from.fpr.max(least);
        for part in 0..=PARTS {
            let x = start * (to.fpr / start).powf(f64::from(part) / f64::from(PARTS));
            let y = from.tpr + (x - from.fpr) / (to.fpr - from.fpr) * (to.tpr - from.tpr);
            points.push((x, y));
        }
    }
    points.retain(|&(_, y)| y > 0.0);
    points
}
