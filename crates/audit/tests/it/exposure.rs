//! Exposure: by rank, among references, and by a skew-normal distribution beside scipy and mpmath.

use ashlar_audit::exposure::{SkewNormal, exposure, exposure_among, exposure_by_skew_normal, rank};
use proptest::prelude::*;

use crate::fixture::{self, close, list, number, rows};

#[test]
fn by_rank() {
    close(exposure(3, 1_000_000).unwrap(), 18.346606068603, 1e-12);
    assert_eq!((exposure(1, 1024).unwrap(), exposure(1024, 1024).unwrap()), (10.0, 0.0));
    assert!(exposure(1, u64::MAX).unwrap() <= 64.0);
    assert!(exposure(0, 10).unwrap_err().to_string().starts_with("rank = 0"));
    assert_eq!(exposure(11, 10).unwrap_err().to_string(), "rank = 11 exceeds candidates = 10");
}

#[test]
fn among_references() {
    let references = [5.0, 3.0, 3.0, 1.0];
    // Ties are for the canary.
    assert_eq!((rank(3.0, &references).unwrap(), exposure_among(3.0, &references).unwrap()), (2, 1.0));
    assert_eq!((rank(9.0, &references).unwrap(), exposure_among(9.0, &references).unwrap()), (1, 2.0));
    assert!(rank(f64::NAN, &references).is_err() && rank(1.0, &[]).is_err() && rank(1.0, &[f64::INFINITY]).is_err());
}

#[test]
fn tails_equal_quadrature_in_40_digits() {
    for row in rows(&fixture::scores()["skew_normal_tail"]) {
        let [z, shape, want] = [0, 1, 2].map(|i| number(&row[i]));
        let got = SkewNormal { location: 0.0, scale: 1.0, shape }.ln_sf(z);
        assert!((got - want).abs() <= 1e-11 * want.abs().max(1e-3), "z {z}, shape {shape}: {got} against {want}");
    }
}

#[test]
fn fits_are_as_likely_as_scipys() {
    for row in rows(&fixture::scores()["skew_normal_fit"]) {
        let x = list(&row["x"]);
        let fit = SkewNormal::fit(&x).unwrap();
        assert!(!fit.penalised);
        let fit = fit.distribution;
        let theirs = number(&row["ln_likelihood"]);
        let found = fit.ln_likelihood(&x);
        assert!(found >= theirs - 1e-9 * theirs.abs(), "{found} against scipy's {theirs}");
        assert!(found - theirs < 1e-3, "{found} against scipy's {theirs}");
        close(fit.shape, number(&row["shape"]), 2e-2);
        close(fit.location, number(&row["location"]), 5e-3);
        close(fit.scale, number(&row["scale"]), 5e-3);
    }
}

#[test]
fn a_fit_moves_and_stretches_with_its_sample() {
    let x = list(&fixture::scores()["skew_normal_fit"][0]["x"]);
    let one = SkewNormal::fit(&x).unwrap().distribution;
    let moved: Vec<f64> = x.iter().map(|v| 1e3 - 0.01 * v).collect();
    let other = SkewNormal::fit(&moved).unwrap().distribution;
    close(other.shape, -one.shape, 1e-5);
    close(other.location, 1e3 - 0.01 * one.location, 1e-9);
    close(other.scale, 0.01 * one.scale, 1e-8);
}

#[test]
fn a_sample_on_one_side_is_held_back_and_says_so() {
    let x: Vec<f64> = (1..=30).map(|i| -(f64::from(i) / 31.0).ln()).collect();
    let fit = SkewNormal::fit(&x).unwrap();
    assert!(fit.penalised && fit.distribution.shape > 1.0 && fit.distribution.shape < 100.0, "{fit:?}");
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let message = |x: &[f64]| SkewNormal::fit(x).unwrap_err().to_string();
    assert!(message(&[1.0; 9]).starts_with("skew-normal on 9 reference scores"));
    assert!(message(&[0.1; 20]).contains("without a usable spread"));
    assert!(message(&[&[1e308, -1e308][..], &[0.0; 9]].concat()).contains("without a usable spread"));
    assert!(message(&[f64::NAN; 20]).contains("reference-scores[0] is NaN"));
    let x: Vec<f64> = (0..20).map(f64::from).collect();
    assert!(exposure_by_skew_normal(1e308, &x).unwrap_err().to_string().contains("too far"));
    assert_eq!(exposure_by_skew_normal(-1e308, &x).unwrap().0, 0.0);
}

proptest! {
    #[test]
    fn the_tail_falls(shape in -50.0..50.0f64, a in -8.0..20.0f64, b in -8.0..20.0f64) {
        let s = SkewNormal { location: 0.0, scale: 1.0, shape };
        let (low, high) = (s.ln_sf(a.min(b)), s.ln_sf(a.max(b)));
        prop_assert!(high.is_finite() && low <= 0.0 && high <= low + 1e-12 * low.abs().max(1.0));
        // What is above z is below −z in the mirror image.
        let mirror = SkewNormal { shape: -shape, ..s };
        prop_assert!((s.ln_sf(a).exp() + mirror.ln_sf(-a).exp() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_fit_never_panics(x in prop::collection::vec(prop_oneof![-1e3..1e3f64, (-3..3i32).prop_map(f64::from)], 10..40)) {
        if let Ok(fit) = SkewNormal::fit(&x) {
            let d = fit.distribution;
            prop_assert!(d.scale > 0.0 && d.location.is_finite() && d.scale.is_finite() && d.shape.is_finite());
            let (bits, _) = exposure_by_skew_normal(x[0], &x).unwrap();
            prop_assert!(bits >= 0.0);
        }
    }
}
