//! ROC curves beside scikit-learn, and the mistakes that published programs make.

use ashlar_audit::{Roc, ScoreSet};
use ashlar_stats::rank;
use proptest::prelude::*;

use crate::fixture::{self, close, list, number, rows};

fn roc(members: &[f64], nonmembers: &[f64]) -> Roc {
    ScoreSet::new(members.to_vec(), nonmembers.to_vec()).unwrap().roc()
}

#[test]
fn tied_scores_equal_sklearn() {
    for row in rows(&fixture::scores()["roc"]) {
        let roc = roc(&list(&row["members"]), &list(&row["nonmembers"]));
        close(roc.auc(), number(&row["auc"]), 1e-15);
        close(roc.balanced_accuracy().0, number(&row["balanced"]), 1e-15);
        let column = |of: fn(&ashlar_audit::roc::OperatingPoint) -> f64| roc.curve().iter().map(of).collect::<Vec<_>>();
        assert_eq!(column(|p| p.fpr), list(&row["fpr"]));
        assert_eq!(column(|p| p.tpr), list(&row["tpr"]));
        assert_eq!(column(|p| p.threshold)[1..], list(&row["thresholds"]));
        for pair in rows(&row["at"]) {
            assert_eq!(roc.tpr_at(number(&pair[0])).unwrap().tpr, pair[1].as_f64(), "at {}", pair[0]);
        }
    }
}

#[test]
fn no_rate_is_interpolated() {
    // The mistake: a straight line between (0, 0.5) and (0.5, 1), which one threshold joins, gives 0.75 at 0.25.
    let roc = roc(&[4.0, 3.0], &[3.0, 3.0, 1.0, 1.0]);
    let at = roc.tpr_at(0.25).unwrap();
    assert_eq!((at.tpr, at.threshold, at.fpr), (Some(0.5), Some(4.0), Some(0.0)));
    let on_hull = roc.tpr_at_on_hull(0.25).unwrap();
    assert_eq!((on_hull.tpr, on_hull.threshold), (Some(0.75), None));
}

#[test]
fn the_target_is_compared_with_the_quotient() {
    // The mistake: fp <= target·n0. 0.29 · 100 = 28.999999999999996, but 29/100 = 0.29.
    let nonmembers: Vec<f64> = (0..100).map(f64::from).collect();
    let roc = roc(&[70.5], &nonmembers);
    assert_eq!(roc.tpr_at(0.29).unwrap().tpr, Some(1.0));
    assert_eq!(roc.tpr_at(0.28).unwrap().tpr, Some(0.0));
}

#[test]
fn the_target_itself_is_allowed() {
    // The mistake: fp/n0 < target, one false positive fewer at 1% of 100.
    let mut nonmembers = vec![0.0; 99];
    nonmembers.push(2.0);
    let roc = roc(&[1.0, 3.0], &nonmembers);
    assert_eq!(roc.tpr_at(0.01).unwrap().tpr, Some(1.0));
}

#[test]
fn label_and_value_come_from_one_variable() {
    // The mistake: "TPR@0.1%FPR" printed over a rate computed at 5%.
    let nonmembers: Vec<f64> = (0..1000).map(f64::from).collect();
    let roc = roc(&[999.5, 990.0, 960.0], &nonmembers);
    for (target, tpr) in [(0.001, 1.0 / 3.0), (0.01, 2.0 / 3.0), (0.05, 1.0)] {
        let at = roc.tpr_at(target).unwrap();
        assert_eq!((at.target, at.tpr), (target, Some(tpr)));
        assert!(at.fpr.unwrap() <= target);
    }
}

#[test]
fn ties_fall_together() {
    let roc = roc(&[1.0, 1.0, 0.0], &[1.0, 0.0, -0.0]);
    let points: Vec<(u64, u64)> = roc.curve().iter().map(|p| (p.tp, p.fp)).collect();
    assert_eq!(points, [(0, 0), (2, 1), (3, 3)]);
    // (2·(½ + 1 + 1) + (0 + ½ + ½)) / 9
    close(roc.auc(), 6.0 / 9.0, 1e-15);
}

#[test]
fn a_target_below_one_over_n0_has_no_rate() {
    let roc = roc(&[1.0], &[0.0; 50]);
    assert_eq!(roc.tpr_at(0.0199).unwrap().tpr, None);
    assert_eq!(roc.tpr_at_on_hull(0.0).unwrap().tpr, None);
    assert_eq!(roc.tpr_at(0.02).unwrap().tpr, Some(1.0));
    for target in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(roc.tpr_at(target).is_err() && roc.tpr_at_on_hull(target).is_err());
    }
}

#[test]
fn constant_and_negated_scores_are_told() {
    let same = roc(&[1.0; 3], &[1.0; 4]);
    assert_eq!((same.auc(), same.notes()), (0.5, vec!["constant scores"]));
    // Never flipped: flipping is a second test.
    let negated = roc(&[0.0, 0.1], &[1.0, 2.0]);
    assert_eq!((negated.auc(), negated.notes()), (0.0, vec!["scores look negated"]));
    assert!(roc(&[2.0], &[1.0]).notes().is_empty());
}

fn few_values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![(-4..4i32).prop_map(f64::from), -1e300..1e300f64], 1..40)
}

proptest! {
    #[test]
    fn laws(members in few_values(), nonmembers in few_values(), target in 0.0..=1.0f64, other in 0.0..=1.0f64) {
        let roc = roc(&members, &nonmembers);
        let negated = |list: &[f64]| list.iter().map(|s| -s).collect::<Vec<_>>();
        let mirrored = self::roc(&negated(&members), &negated(&nonmembers));
        prop_assert!((mirrored.auc() - (1.0 - roc.auc())).abs() <= 1e-15);

        // The shared rank statistic is the area under this curve.
        let scores = [members.clone(), nonmembers.clone()].concat();
        let labels: Vec<bool> = (0..scores.len()).map(|i| i < members.len()).collect();
        prop_assert!((rank::auc(&scores, &labels).unwrap() - roc.auc()).abs() <= 1e-14);

        // Both rates rise from (0, 0) to (1, 1) while thresholds fall.
        for pair in roc.curve().windows(2) {
            prop_assert!(pair[0].threshold > pair[1].threshold);
            prop_assert!(pair[0].tp <= pair[1].tp && pair[0].fp <= pair[1].fp);
        }
        let ends = [roc.curve().first(), roc.curve().last()].map(|p| p.map(|p| (p.fpr, p.tpr)));
        prop_assert_eq!(ends, [Some((0.0, 0.0)), Some((1.0, 1.0))]);

        // The rate is reached by its threshold, rises with the target, and the hull is above it.
        let (low, high) = (target.min(other), target.max(other));
        let (a, b) = (roc.tpr_at(low).unwrap(), roc.tpr_at(high).unwrap());
        if let (Some(tpr), Some(threshold)) = (a.tpr, a.threshold) {
            let found = members.iter().filter(|&&s| s >= threshold).count();
            let accused = nonmembers.iter().filter(|&&s| s >= threshold).count();
            prop_assert_eq!(tpr, found as f64 / members.len() as f64);
            prop_assert!(accused as f64 / nonmembers.len() as f64 <= low);
            prop_assert!(b.tpr.unwrap() >= tpr);
            prop_assert!(roc.tpr_at_on_hull(low).unwrap().tpr.unwrap() >= tpr);
        } else {
            prop_assert!(low < 1.0 / nonmembers.len() as f64);
        }
        prop_assert!(roc.balanced_accuracy().0 >= 0.5);

        // The hull is concave and no point lies above it.
        let hull = roc.hull();
        for edge in hull.windows(2) {
            for p in roc.curve() {
                let cross = (edge[1].fpr - edge[0].fpr) * (p.tpr - edge[0].tpr)
                    - (edge[1].tpr - edge[0].tpr) * (p.fpr - edge[0].fpr);
                prop_assert!(cross <= 1e-12);
            }
        }
    }
}
