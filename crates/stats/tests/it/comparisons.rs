//! Clusters, ranks, pairs, corrections and lines against scipy and statsmodels, and the worked examples of eval.

use ashlar_stats::{
    Error,
    cluster::{Correction, clustered_mean},
    combinatorial::{pass_at_k, pass_hat_k},
    interval::{clopper_pearson, clopper_pearson_lower, clopper_pearson_upper},
    multiple::{benjamini_hochberg, holm},
    ols,
    paired::{items_needed, mcnemar_exact, paired},
    rank::{auc, auroc},
};
use proptest::prelude::*;

use crate::common::{fixture, near};

#[test]
fn exact_intervals_equal_scipy() {
    for (k, n, level, low, high) in fixture().clopper_pearson {
        let i = clopper_pearson(k, n, level).unwrap();
        near(i.low, low, 1e-12, &format!("low of {k}/{n} at {level}"));
        near(i.high, high, 1e-12, &format!("high of {k}/{n} at {level}"));
    }
    // No success in n: 1 − α^(1/n).
    for (n, alpha) in [(1_u64, 0.05_f64), (100, 1e-9), (1_000_000_000, 0.025)] {
        near(clopper_pearson_upper(0, n, alpha).unwrap(), -(alpha.ln() / n as f64).exp_m1(), 1e-14, "rule of three");
        near(clopper_pearson_lower(n, n, alpha).unwrap(), (alpha.ln() / n as f64).exp(), 1e-14, "its mirror");
    }
    assert_eq!(clopper_pearson_upper(5, 5, 0.05), Ok(1.0));
    assert_eq!(clopper_pearson_lower(0, 5, 0.05), Ok(0.0));
}

#[test]
fn clustered_errors_equal_statsmodels() {
    for c in fixture().clustered {
        for (correction, (se, low, high)) in [(Correction::Finite, c.finite), (Correction::None, c.none)] {
            let m = clustered_mean(&c.x, &c.groups, correction, 0.9).unwrap();
            let interval = m.interval.unwrap();
            near(m.se, c.se, 1e-13, "se");
            near(m.se_clustered.unwrap(), se, 1e-12, "clustered se");
            near(interval.low, low, 1e-10, "low");
            near(interval.high, high, 1e-10, "high");
        }
    }
}

#[test]
fn one_cluster_has_no_error_and_clusters_of_one_are_no_clusters() {
    let x = [1.0, 0.0, 1.0, 1.0];
    let m = clustered_mean(&x, &[7; 4], Correction::Finite, 0.95).unwrap();
    assert_eq!((m.se_clustered, m.interval, m.n_clusters), (None, None, 1));
    let m = clustered_mean(&x, &[9, 0, 4, 2], Correction::Finite, 0.95).unwrap();
    near(m.se_clustered.unwrap(), m.se, 1e-15, "clusters of one");
}

#[test]
fn the_worked_example_of_clusters_has_both_corrections() {
    let x = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0];
    let groups = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3];
    let m = clustered_mean(&x, &groups, Correction::Finite, 0.95).unwrap();
    near(m.mean, 0.583333333333333, 1e-14, "mean");
    near(m.se, 0.148647097502641, 1e-14, "se");
    near(m.se_clustered.unwrap(), 0.159571184626056, 1e-14, "clustered");
    let m = clustered_mean(&x, &groups, Correction::None, 0.95).unwrap();
    near(m.se_clustered.unwrap(), 0.138192699598141, 1e-14, "uncorrected");
}

#[test]
fn aurocs_equal_delong_s_definition() {
    for r in fixture().auroc {
        let a = auroc(&r.scores, &r.labels).unwrap();
        near(a.auroc, r.auroc, 1e-14, "auroc");
        near(a.se, r.se, 1e-13, "se");
        assert_eq!(auc(&r.scores, &r.labels).unwrap(), a.auroc);
        let flipped: Vec<bool> = r.labels.iter().map(|l| !l).collect();
        near(auroc(&r.scores, &flipped).unwrap().auroc, 1.0 - r.auroc, 1e-14, "flipped");
    }
    let infinite = [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::INFINITY];
    assert_eq!(auc(&infinite, &[false, false, true, true]), Ok(1.0));
}

#[test]
fn pairs_equal_scipy() {
    for p in fixture().paired {
        let found = paired(&p.a, &p.b, None, 0.9).unwrap();
        near(found.diff, p.diff, 1e-13, "diff");
        near(found.se.unwrap(), p.se, 1e-13, "se");
        near(found.lo.unwrap(), p.interval.0, 1e-12, "lo");
        near(found.hi.unwrap(), p.interval.1, 1e-12, "hi");
        near(found.corr.unwrap(), p.corr, 1e-13, "corr");
        assert_eq!((found.b, found.c, found.p_mcnemar), (None, None, None));
    }
    for (b, c, p) in fixture().mcnemar {
        near(mcnemar_exact(b, c), p, 1e-12, &format!("{b}, {c}"));
        assert_eq!(mcnemar_exact(b, c), mcnemar_exact(c, b));
    }
    assert_eq!((mcnemar_exact(0, 0), mcnemar_exact(u64::MAX, u64::MAX)), (1.0, 1.0));
}

#[test]
fn the_worked_example_of_pairs() {
    let a = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1].map(f64::from);
    let b = [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1].map(f64::from);
    let p = paired(&a, &b, None, 0.95).unwrap();
    near(p.diff, 0.266666666666667, 2e-15, "diff");
    near(p.se.unwrap(), 0.153271208946963, 1e-14, "se");
    near(p.corr.unwrap(), 0.200445931434318, 1e-14, "corr");
    near(p.p_mcnemar.unwrap(), 0.21875, 1e-15, "p");
    assert_eq!((p.n, p.b, p.c), (15, Some(5), Some(1)));
    // With clusters the differences' clustered error stands in; one cluster has none.
    let groups: Vec<usize> = (0..15).map(|i| i / 3).collect();
    let d: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let m = clustered_mean(&d, &groups, Correction::Finite, 0.95).unwrap();
    let clustered = paired(&a, &b, Some(&groups), 0.95).unwrap();
    assert_eq!((clustered.se, clustered.lo), (m.se_clustered, m.interval.map(|i| i.low)));
    let one = paired(&a, &b, Some(&[0; 15]), 0.95).unwrap();
    assert_eq!((one.se, one.lo, one.hi), (None, None, None));
    assert_eq!(paired(&a, &[1.0; 15], None, 0.95).unwrap().corr, None);
}

#[test]
fn adjusted_p_values_equal_statsmodels() {
    for (p, family, discovery) in fixture().adjusted {
        for (found, expected) in [(holm(&p).unwrap(), family), (benjamini_hochberg(&p).unwrap(), discovery)] {
            for (found, expected) in found.iter().zip(&expected) {
                near(*found, *expected, 1e-14, "adjusted");
            }
        }
    }
    assert_eq!((holm(&[]), benjamini_hochberg(&[])), (Ok(vec![]), Ok(vec![])));
}

#[test]
fn items_needed_equal_the_closed_form() {
    for (sd, difference, power, alpha, n) in fixture().power {
        assert_eq!(items_needed(sd, difference, power, alpha), Ok(n));
        assert_eq!(items_needed(sd, -difference, power, alpha), Ok(n));
    }
    assert_eq!(items_needed(0.0, 0.1, 0.8, 0.05), Ok(1));
}

#[test]
fn attempts_equal_exact_fractions() {
    near(pass_at_k(20, 7, 5).unwrap(), 0.916989164086687, 1e-14, "pass@5");
    near(pass_hat_k(20, 7, 5).unwrap(), 0.00135448916408669, 1e-14, "pass^5");
    assert_eq!((pass_at_k(5, 3, 3), pass_hat_k(5, 2, 3)), (Ok(1.0), Ok(0.0)));
    assert_eq!((pass_at_k(5, 0, 3), pass_hat_k(5, 5, 3)), (Ok(0.0), Ok(1.0)));
    near(pass_at_k(1_000_000_000_000, 1, 1).unwrap(), 1e-12, 1e-14, "one in a trillion");
    // All small cases, as counts of subsets.
    let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n as f64 - i as f64) / (i + 1) as f64);
    for n in 1..=12 {
        for c in 0..=n {
            for k in 1..=n {
                let all = choose(n, k);
                let (some, every) = (1.0 - choose(n - c, k) / all, choose(c, k) / all);
                assert!((pass_at_k(n, c, k).unwrap() - some).abs() < 1e-13, "{n} {c} {k}");
                assert!((pass_hat_k(n, c, k).unwrap() - every).abs() < 1e-13, "{n} {c} {k}");
            }
        }
    }
    // Beyond a million factors: ln(1 − pass@k) is about −c·k/n on both sides of the border.
    let (below, above) =
        (pass_at_k(1_000_000_000_000, 1_000_000, 900_000), pass_at_k(1_000_000_000_000, 1_000_001, 1_000_001));
    let ratio = |p: f64| -(1.0 - p).ln();
    near(ratio(above.unwrap()) / ratio(below.unwrap()), 1.000001_f64.powi(2) / 0.9, 1e-6, "border");
}

#[test]
fn lines_equal_scipy() {
    for l in fixture().lines {
        let line = ols::simple(&l.x, &l.y).unwrap();
        near(line.slope, l.slope, 1e-9, "slope");
        near(line.intercept, l.intercept, 1e-9, "intercept");
        near(line.r2, l.r2, 1e-9, "r2");
        near(line.se_slope.unwrap(), l.se, 1e-8, "se");
        near(line.at(l.x[3]), l.intercept + l.slope * l.x[3], 1e-9, "at");
    }
    // Exact: y on a parabola, by hand.
    let line = ols::simple(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 4.0, 9.0]).unwrap();
    assert_eq!((line.slope, line.intercept, line.n), (3.0, -1.0, 4));
    near(line.r2, 45.0 / 49.0, 1e-15, "r2");
    near(line.se_slope.unwrap(), 0.4_f64.sqrt(), 1e-15, "se");
    let two = ols::simple(&[1.0, 2.0], &[5.0, 5.0]).unwrap();
    assert_eq!((two.r2, two.se_slope), (1.0, None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let nan = f64::NAN;
    assert!(matches!(clopper_pearson(3, 2, 0.95), Err(Error::Count { .. })));
    assert!(matches!(clopper_pearson_upper(0, 0, 0.05), Err(Error::TooFew { .. })));
    for alpha in [0.0, 1.0, -0.1, nan] {
        assert!(matches!(clopper_pearson_upper(1, 2, alpha), Err(Error::OutOfRange { name: "alpha", .. })));
        assert!(matches!(clopper_pearson_lower(1, 2, alpha), Err(Error::OutOfRange { name: "alpha", .. })));
        assert!(items_needed(1.0, 0.1, 0.8, alpha).is_err() && items_needed(1.0, 0.1, alpha, 0.05).is_err());
        assert!(clustered_mean(&[1.0, 2.0], &[0, 1], Correction::Finite, alpha).is_err());
        assert!(paired(&[1.0, 2.0], &[1.0, 0.0], None, alpha).is_err());
    }
    assert!(items_needed(-1.0, 0.1, 0.8, 0.05).is_err() && items_needed(1.0, 0.0, 0.8, 0.05).is_err());
    assert!(matches!(items_needed(1.0, 1e-12, 0.8, 0.05), Err(Error::OutOfRange { .. })));
    assert!(matches!(clustered_mean(&[1.0], &[0], Correction::Finite, 0.95), Err(Error::TooFew { .. })));
    assert!(matches!(
        clustered_mean(&[1.0, 2.0], &[0], Correction::Finite, 0.95),
        Err(Error::Length { expected: 2, found: 1, .. })
    ));
    assert!(matches!(auroc(&[0.1, 0.2, 0.3], &[true, true, false]), Err(Error::TooFew { found: 1, .. })));
    assert!(matches!(auc(&[0.1], &[true]), Err(Error::TooFew { found: 0, .. })));
    assert!(matches!(auc(&[0.1, nan], &[true, false]), Err(Error::NotFinite { index: 1, .. })));
    assert!(matches!(auc(&[0.1], &[true, false]), Err(Error::Length { .. })));
    assert!(matches!(paired(&[1.0], &[1.0, 2.0], None, 0.95), Err(Error::Unpaired { .. })));
    assert!(matches!(paired(&[1.0, nan], &[1.0, 2.0], None, 0.95), Err(Error::NotFinite { .. })));
    for p in [-0.1, 1.1, nan] {
        assert!(holm(&[0.5, p]).is_err() && benjamini_hochberg(&[p]).is_err());
    }
    assert!(pass_at_k(5, 6, 1).is_err() && pass_at_k(5, 1, 0).is_err() && pass_at_k(5, 1, 6).is_err());
    assert!(pass_hat_k(0, 0, 1).is_err());
    assert!(ols::simple(&[1.0, 1.0], &[0.0, 1.0]).is_err() && ols::simple(&[1.0], &[1.0]).is_err());
    assert!(ols::simple(&[1e200, -1e200], &[0.0, 1.0]).is_err());
}

proptest! {
    #[test]
    fn exact_bounds_are_the_p_that_their_tail_rejects(n in 1u64..2000, share in 0.0f64..1.0, alpha in 1e-6f64..0.5) {
        use ashlar_stats::binomial;
        let k = (share * n as f64) as u64;
        let high = clopper_pearson_upper(k, n, alpha).unwrap();
        let low = clopper_pearson_lower(k, n, alpha).unwrap();
        prop_assert!(low <= k as f64 / n as f64 && k as f64 / n as f64 <= high);
        if k < n {
            prop_assert!((binomial::cdf(k, n, high) / alpha - 1.0).abs() < 1e-9);
        }
        if k > 0 {
            prop_assert!((binomial::sf(k - 1, n, low) / alpha - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn an_auroc_depends_on_ranks_alone(rows in prop::collection::vec((-5i32..5, any::<bool>()), 6..40)) {
        let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
        let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
        let bent: Vec<f64> = scores.iter().map(|s| (s / 3.0).exp()).collect();
        prop_assert_eq!(auroc(&scores, &labels), auroc(&bent, &labels));
    }

    #[test]
    fn adjusting_keeps_the_order_and_never_helps(p in prop::collection::vec(0.0f64..=1.0, 0..30)) {
        let (family, discovery) = (holm(&p).unwrap(), benjamini_hochberg(&p).unwrap());
        for i in 0..p.len() {
            prop_assert!(p[i] <= discovery[i] && discovery[i] <= family[i] + 1e-15 && family[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || (family[i] <= family[j] && discovery[i] <= discovery[j]));
            }
        }
    }

    #[test]
    fn a_paired_comparison_changes_sign_with_its_sides(rows in prop::collection::vec((0u8..2, 0u8..2), 2..40)) {
        let (a, b): (Vec<f64>, Vec<f64>) = rows.iter().map(|r| (f64::from(r.0), f64::from(r.1))).unzip();
        let (ab, ba) = (paired(&a, &b, None, 0.9).unwrap(), paired(&b, &a, None, 0.9).unwrap());
        prop_assert_eq!((ab.diff, ab.b, ab.c, ab.p_mcnemar), (-ba.diff, ba.c, ba.b, ba.p_mcnemar));
    }
}
