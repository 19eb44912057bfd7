//! `audit exposure`.

use ashlar_cli::{Answer, Failure};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{OutArgs, save, scores_file};
use crate::exposure::{self, SkewNormal};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar audit exposure --rank 3 --candidates 1000000
  ashlar audit exposure --canary-score=-1.2 --reference-scores=-3.1,-2.9,-4.4,-3.7
  ashlar audit exposure --canary-score=-1.2 --reference-scores=LIST --estimator skew-normal";

/// A comma-separated list in one flag.
type List = Vec<f64>;

/// How the canary is placed among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Estimator {
    /// Count: the reference scores are all candidates.
    Rank,
    /// Fit a skew-normal distribution: the reference scores are a sample of the candidates.
    SkewNormal,
}

/// `audit exposure`.
#[derive(Args, Clone, Debug)]
pub struct ExposureArgs {
    /// Rank of the canary; the best candidate has 1.
    #[arg(long, value_name = "N", value_parser = scores_file::parse_count, allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["canary_score", "reference_scores", "estimator"])]
    pub rank: Option<u64>,
    /// Number of candidates, the canary among them.
    #[arg(long, value_name = "N", value_parser = scores_file::parse_count, allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["canary_score", "reference_scores", "estimator"])]
    pub candidates: Option<u64>,
    /// Score of the canary; higher = more likely.
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub canary_score: Option<f64>,
    /// Scores of the candidates (with --estimator rank the whole list), comma-separated.
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub reference_scores: Option<List>,
    /// How the canary is placed among the reference scores [default: rank].
    #[arg(long, value_enum)]
    pub estimator: Option<Estimator>,
    #[command(flatten)]
    pub(super) output: OutArgs,
}

pub(super) fn run(args: &ExposureArgs) -> Result<Answer, Failure> {
    let answer = match (args.rank, args.candidates, args.canary_score, &args.reference_scores) {
        (Some(rank), Some(candidates), None, None) => by_rank(rank, candidates),
        (None, None, Some(canary), Some(references)) => {
            by_scores(canary, references, args.estimator.unwrap_or(Estimator::Rank))
        }
        (Some(_), None, ..) => Err(Failure::usage("--rank needs --candidates beside it")),
        (None, Some(_), ..) => Err(Failure::usage("--candidates needs --rank beside it")),
        (.., Some(_), None) => Err(Failure::usage("--canary-score needs --reference-scores beside it")),
        (.., None, Some(_)) => Err(Failure::usage("--reference-scores needs --canary-score beside it")),
        _ => Err(Failure::usage("exposure needs --rank and --candidates, or --canary-score and --reference-scores")),
    }?;
    save(answer, args.output.out.as_deref())
}

fn by_rank(rank: u64, candidates: u64) -> Result<Answer, Failure> {
    let bits = exposure::exposure(rank, candidates)?;
    let json = json!({ "exposure": bits, "rank": rank, "candidates": candidates, "estimator": "rank" });
    Ok(answer(json, format!("exposure {bits:.6} bits: rank {rank} of {candidates}"), None))
}

fn by_scores(canary: f64, references: &[f64], estimator: Estimator) -> Result<Answer, Failure> {
    let rank = exposure::rank(canary, references)?;
    let candidates = references.len();
    Ok(match estimator {
        Estimator::Rank => {
            let bits = exposure::exposure_among(canary, references)?;
            let note = (rank > candidates as u64)
                .then_some("the canary is none of the reference scores and loses to all: its rank is |R| + 1");
            answer(
                json!({ "exposure": bits, "rank": rank, "candidates": candidates, "estimator": "rank" }),
                format!("exposure {bits:.6} bits: rank {rank} of {candidates}"),
                note,
            )
        }
        Estimator::SkewNormal => {
            let (bits, fit) = exposure::exposure_by_skew_normal(canary, references)?;
            let SkewNormal { location, scale, shape } = fit.distribution;
            let note = fit.penalised.then_some(
                "the likelihood has no maximum at a finite shape; a penalty on the shape decided it: give more scores",
            );
            answer(
                json!({
                    "exposure": bits, "rank": rank, "candidates": candidates, "estimator": "skew-normal", "fit": fit,
                }),
                format!(
                    "exposure {bits:.6} bits by a skew-normal distribution (location {location:.6}, scale \
                     {scale:.6}, shape {shape:.4}) fitted to {candidates} reference scores, among which the canary \
                     has rank {rank}"
                ),
                note,
            )
        }
    })
}

fn answer(mut json: serde_json::Value, mut text: String, note: Option<&str>) -> Answer {
    json["notes"] = note.into_iter().collect();
    if let Some(note) = note {
        text.push_str(&format!("\nnote: {note}"));
    }
    Answer::new(json, text)
}
