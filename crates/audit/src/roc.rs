//! ROC curves of membership scores: what share of members a threshold finds, and what share of non-members it accuses.
//!
//! A threshold stands at every distinct score; a record counts as a member iff its score ≥ the threshold, so that equal
//! scores fall together. Nothing is interpolated: a true-positive rate at a target is reached by a threshold that
//! exists, and a target below 1/n₀ can't be resolved with n₀ non-members at all.

use ashlar_stats::rank::auroc;
use serde::Serialize;

use crate::{Error, Result, ScoreSet};

/// One threshold and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Member iff score ≥ this; infinite where nobody is accused.
    pub threshold: f64,
    /// Members found.
    pub tp: u64,
    /// Non-members accused.
    pub fp: u64,
    /// tp ÷ members.
    pub tpr: f64,
    /// fp ÷ non-members.
    pub fpr: f64,
}

/// The largest true-positive rate at a target false-positive rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtFpr {
    /// The target. Whoever prints the rate takes its label from here.
    pub target: f64,
    /// The rate; none where the target is below 1/n₀.
    pub tpr: Option<f64>,
    /// The highest threshold that reaches it; none also on the hull, between two thresholds.
    pub threshold: Option<f64>,
    /// The false-positive rate there, at most the target.
    pub fpr: Option<f64>,
}

/// The curve: thresholds falling, both rates rising from (0, 0) to (1, 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    points: Vec<OperatingPoint>,
    members: u64,
    nonmembers: u64,
    auc: f64,
    auc_interval: Option<[f64; 2]>,
}

impl Roc {
    /// Sorts the scores: O(n log n) time, O(n) memory.
    pub fn new(scores: &ScoreSet) -> Self {
        let (members, nonmembers) = (scores.members().len() as u64, scores.nonmembers().len() as u64);
        let sides = [(scores.members(), true), (scores.nonmembers(), false)];
        // -0 + 0 = 0, so that the two zeros, which are equal scores, sort as equals.
        let mut all: Vec<(f64, bool)> =
            sides.into_iter().flat_map(|(list, member)| list.iter().map(move |&s| (s + 0.0, member))).collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

        let mut points = vec![OperatingPoint { threshold: f64::INFINITY, tp: 0, fp: 0, tpr: 0.0, fpr: 0.0 }];
        let (mut tp, mut fp) = (0, 0);
        for tied in all.chunk_by(|a, b| a.0 == b.0) {
            let found = tied.iter().filter(|(_, member)| *member).count() as u64;
            tp += found;
            fp += tied.len() as u64 - found;
            let (tpr, fpr) = (tp as f64 / members as f64, fp as f64 / nonmembers as f64);
            points.push(OperatingPoint { threshold: tied[0].0, tp, fp, tpr, fpr });
        }
        let auc = area(&points, members, nonmembers);
        let (scores, labels): (Vec<f64>, Vec<bool>) = all.into_iter().unzip();
        let auc_interval = auroc(&scores, &labels).ok().filter(|a| a.se > 0.0).map(|a| [a.low, a.high]);
        Self { points, members, nonmembers, auc, auc_interval }
    }

    /// Every threshold, from "nobody" (an infinite one) to "everybody".
    pub fn curve(&self) -> &[OperatingPoint] {
        &self.points
    }

    /// Members.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Non-members.
    pub fn nonmembers(&self) -> u64 {
        self.nonmembers
    }

    /// Probability that a member's score beats a non-member's, ties counted ½.
    pub fn auc(&self) -> f64 {
        self.auc
    }

    /// DeLong's 95% interval of the AUC, from two scores a side on; none where its standard error is 0 (a perfect
    /// separation), since it would then say that nothing is uncertain.
    pub fn auc_interval(&self) -> Option<[f64; 2]> {
        self.auc_interval
    }

    /// Largest ½·(TPR + 1 − FPR) over the thresholds, and the point that has it.
    ///
    /// A maximum over thresholds on the same scores: optimistic as an estimate of what one threshold would do on others.
    pub fn balanced_accuracy(&self) -> (f64, OperatingPoint) {
        let accuracy = |p: &OperatingPoint| 0.5 * (p.tpr + (1.0 - p.fpr));
        let mut best = (0.5, self.points[0]);
        for point in &self.points[1..] {
            if accuracy(point) > best.0 {
                best = (accuracy(point), *point);
            }
        }
        best
    }

    /// The smallest false-positive rate that can be told from 0: 1/n₀.
    pub fn smallest_fpr(&self) -> f64 {
        1.0 / self.nonmembers as f64
    }

    /// Largest TPR of a threshold with fp/n₀ ≤ target (the quotient, not fp ≤ target·n₀: 0.29·100 < 29).
    ///
    /// # Errors
    /// If the target is outside [0, 1].
    pub fn tpr_at(&self, target: f64) -> Result<AtFpr> {
        check_target(target)?;
        if target < self.smallest_fpr() {
            return Ok(AtFpr { target, tpr: None, threshold: None, fpr: None });
        }
        // Both rates rise along the curve, so the last allowed point has the largest TPR; of equals the first is taken,
        // since it accuses fewest.
        let allowed = self.points.partition_point(|p| p.fpr <= target);
        let most = self.points[allowed - 1].tp;
        let best = self.points[self.points.partition_point(|p| p.tp < most)];
        Ok(AtFpr { target, tpr: Some(best.tpr), threshold: Some(best.threshold), fpr: Some(best.fpr) })
    }

    /// The upper convex hull of the curve, as points of it: what mixing two thresholds at random can reach.
    ///
    /// Turns are decided on counts, in integers.
    pub fn hull(&self) -> Vec<OperatingPoint> {
        let turn = |a: &OperatingPoint, b: &OperatingPoint, c: &OperatingPoint| {
            let (fp, tp) = (|p: &OperatingPoint| i128::from(p.fp), |p: &OperatingPoint| i128::from(p.tp));
            (fp(b) - fp(a)) * (tp(c) - tp(a)) - (tp(b) - tp(a)) * (fp(c) - fp(a))
        };
        let mut hull: Vec<OperatingPoint> = Vec::new();
        for point in &self.points {
            while let [.., a, b] = hull[..]
                && turn(&a, &b, point) >= 0
            {
                hull.pop();
            }
            hull.push(*point);
        }
        hull
    }

    /// TPR at a target on the [`hull`](Self::hull), interpolated between its two thresholds.
    ///
    /// # Errors
    /// If the target is outside [0, 1].
    pub fn tpr_at_on_hull(&self, target: f64) -> Result<AtFpr> {
        check_target(target)?;
        if target < self.smallest_fpr() {
            return Ok(AtFpr { target, tpr: None, threshold: None, fpr: None });
        }
        let hull = self.hull();
        let after = hull.partition_point(|p| p.fpr <= target);
        let before = hull[after - 1];
        // Of points with the same rate the last has the largest TPR; on a hull there are two at most, at FPR 0.
        Ok(match hull.get(after) {
            Some(next) if target > before.fpr => {
                let share = (target - before.fpr) / (next.fpr - before.fpr);
                // Rounding must not put a mixture below a threshold that lies on the same edge.
                let single = self.tpr_at(target)?.tpr.unwrap_or(0.0);
                let tpr = (before.tpr + share * (next.tpr - before.tpr)).clamp(single, next.tpr);
                AtFpr { target, tpr: Some(tpr), threshold: None, fpr: Some(target) }
            }
            _ => AtFpr { target, tpr: Some(before.tpr), threshold: Some(before.threshold), fpr: Some(before.fpr) },
        })
    }

    /// What a reader should know before believing the figures: scores that look negated or don't differ.
    pub fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if self.points.len() == 2 {
            notes.push("constant scores");
        }
        if self.auc < 0.5 {
            notes.push("scores look negated");
        }
        notes
    }
}

fn check_target(target: f64) -> Result<()> {
    if (0.0..=1.0).contains(&target) {
        Ok(())
    } else {
        Err(Error::Range { name: "fpr", value: target, expected: "in [0, 1], as 0.01" })
    }
}

impl ScoreSet {
    /// The ROC curve of these scores.
    pub fn roc(&self) -> Roc {
        Roc::new(self)
    }
}

/// Area under the curve by trapezoids, which count ties ½; in integers up to the last division.
fn area(points: &[OperatingPoint], members: u64, nonmembers: u64) -> f64 {
    let doubled: u128 =
        points.windows(2).map(|pair| u128::from(pair[1].fp - pair[0].fp) * u128::from(pair[0].tp + pair[1].tp)).sum();
    doubled as f64 / (2.0 * members as f64 * nonmembers as f64)
}
