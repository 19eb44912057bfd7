//! Verdicts without generation: one step after `<answer>`, the log-probabilities of the first tokens of FAIL and PASS.
//!
//! Their difference, the margin m = ln p(FAIL) − ln p(PASS), ranks transcripts; FAIL is said where m ≥ τ. Adding −τ to
//! FAIL's logit moves a greedy decoder's own border to τ, so each threshold here is also a logit bias.

use std::collections::BTreeMap;

use ashlar_stats::special::ln_sum_exp;
use serde::Serialize;

use crate::{Error, Result};

/// The log-probability of a token that is not among the reported ones.
pub const ABSENT: f64 = -100.0;

/// ln p(FAIL) − ln p(PASS) from reported log-probabilities; each side is a list of spellings of its first token (`FAIL`
/// and ` FAIL` are two tokens), whose probabilities add up. A side none of whose tokens is there has −100.
pub fn token_margin(logprobs: &BTreeMap<String, f64>, fail: &[&str], pass: &[&str]) -> f64 {
    let side = |tokens: &[&str]| {
        let there: Vec<f64> = tokens.iter().filter_map(|&token| logprobs.get(token).copied()).collect();
        if there.is_empty() { ABSENT } else { ln_sum_exp(&there) }
    };
    side(fail) - side(pass)
}

/// One point of the trade-off: FAIL is said where the score reaches the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The lowest score that is a FAIL; none where no example is.
    pub threshold: Option<f64>,
    /// F1 on FAIL.
    pub f1: f64,
    /// Share of the FAILs found.
    pub recall: f64,
    /// Share of the PASSes called FAIL.
    pub fpr: f64,
    /// What to add to FAIL's logit, −threshold, if the score is a difference of log-probabilities.
    pub logit_bias: Option<f64>,
}

/// The thresholds of a set of scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The largest F1, at the highest threshold that reaches it.
    pub best_f1: Point,
    /// The largest recall whose false positive rate is at most the target's.
    pub at_fpr: Point,
}

/// Finds the thresholds; `fail` is the truth. Larger scores mean FAIL.
///
/// # Errors
/// [`Error::Range`] for a target outside [0, 1] or a score that is not finite, [`Error::Undefined`] unless both classes
/// are there.
pub fn calibrate(scores: &[f64], fail: &[bool], target_fpr: f64) -> Result<Calibration> {
    if !(0.0..=1.0).contains(&target_fpr) {
        return Err(Error::Range { name: "target FPR", value: target_fpr, expected: "inside [0, 1]" });
    }
    if scores.len() != fail.len() {
        let (n, m) = (scores.len(), fail.len());
        return Err(Error::Undefined(format!("{n} scores for {m} labels")));
    }
    if let Some(&value) = scores.iter().find(|score| !score.is_finite()) {
        return Err(Error::Range { name: "score", value, expected: "finite" });
    }
    let positives = fail.iter().filter(|&&fail| fail).count();
    let negatives = fail.len() - positives;
    if positives == 0 || negatives == 0 {
        let what = format!("thresholds need both classes, found {positives} FAIL and {negatives} PASS");
        return Err(Error::Undefined(what));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let point = |threshold: Option<f64>, tp: usize, fp: usize| Point {
        threshold,
        f1: 2.0 * tp as f64 / (positives + tp + fp) as f64,
        recall: tp as f64 / positives as f64,
        fpr: fp as f64 / negatives as f64,
        // Not -0.0.
        logit_bias: threshold.map(|threshold| 0.0 - threshold),
    };
    let (mut tp, mut fp) = (0, 0);
    let mut best_f1 = point(None, 0, 0);
    let mut at_fpr = best_f1;
    for (i, &row) in order.iter().enumerate() {
        if fail[row] {
            tp += 1;
        } else {
            fp += 1;
        }
        // Equal scores pass or fail together.
        if order.get(i + 1).is_some_and(|&next| scores[next] == scores[row]) {
            continue;
        }
        let here = point(Some(scores[row]), tp, fp);
        if here.f1 > best_f1.f1 {
            best_f1 = here;
        }
        if here.fpr <= target_fpr && here.recall > at_fpr.recall {
            at_fpr = here;
        }
    }
    Ok(Calibration { best_f1, at_fpr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_add_up_and_the_absent_is_minus_100() {
        let logprobs: BTreeMap<String, f64> =
            [("FAIL", -2.0), (" FAIL", -3.0), ("PASS", -0.2)].map(|(t, p)| (t.to_owned(), p)).into();
        let fail = ((-2.0_f64).exp() + (-3.0_f64).exp()).ln();
        assert!((token_margin(&logprobs, &["FAIL", " FAIL"], &["PASS", " PASS"]) - (fail + 0.2)).abs() < 1e-15);
        // Reading one spelling only loses a quarter of the mass.
        assert!((token_margin(&logprobs, &["FAIL"], &["PASS"]) + 1.8).abs() < 1e-15);
        assert_eq!(token_margin(&logprobs, &["no"], &["PASS"]), -99.8);
        assert_eq!(token_margin(&logprobs, &["no"], &["yes"]), 0.0);
    }

    #[test]
    fn thresholds_by_hand() {
        let scores = [3.0, 2.0, 2.0, 1.0, 0.0, -1.0];
        let fail = [true, true, false, true, false, false];
        let found = calibrate(&scores, &fail, 0.05).unwrap();
        assert_eq!((found.at_fpr.threshold, found.at_fpr.recall, found.at_fpr.fpr), (Some(3.0), 1.0 / 3.0, 0.0));
        assert_eq!((found.best_f1.threshold, found.best_f1.f1), (Some(1.0), 6.0 / 7.0));
        assert_eq!(found.best_f1.logit_bias, Some(-1.0));
        // A third of the PASSes may fail: one.
        assert_eq!(calibrate(&scores, &fail, 0.34).unwrap().at_fpr.threshold, Some(1.0));
        // No threshold is strict enough if the best score is a PASS.
        let none = calibrate(&[1.0, 0.0], &[false, true], 0.0).unwrap().at_fpr;
        assert_eq!((none.threshold, none.recall, none.logit_bias), (None, 0.0, None));
        assert!(calibrate(&[1.0, 0.0], &[true, true], 0.05).is_err());
        assert!(calibrate(&scores, &fail, 1.5).is_err());
        assert!(calibrate(&[f64::NAN, 0.0], &[true, false], 0.05).is_err());
    }
}
