//! Descriptions and closed-form intervals: against numpy, scipy and statsmodels, and laws.

use ashlar_stats::{
    Error, describe,
    interval::{Interval, t_mean, wilson},
};
use proptest::prelude::*;

use crate::common::{fixture, near};

#[test]
fn wilson_equals_statsmodels() {
    for (k, n, level, low, high) in fixture().wilson {
        let i = wilson(k, n, level).unwrap();
        // statsmodels leaves some 1e-17 where the end is exactly 0.
        assert!(
            (i.low - low).abs() < 1e-12 && (i.high - high).abs() < 1e-12,
            "{k}/{n} at {level}: {i:?}, ({low}, {high})"
        );
    }
    let i = wilson(0, 20, 0.95).unwrap();
    assert!(i.low == 0.0 && (i.high - 0.161125158052819).abs() < 1e-12, "{i:?}");
}

#[test]
fn descriptions_equal_numpy() {
    for d in fixture().describe {
        near(describe::mean(&d.x).unwrap(), d.mean, 1e-15, &d.name);
        near(describe::variance(&d.x).unwrap(), d.variance, 1e-12, &d.name);
        assert_eq!(describe::median(&d.x).unwrap(), d.median, "{}", d.name);
        for (q, expected) in &d.quantiles {
            near(describe::quantile(&d.x, *q).unwrap(), *expected, 2e-16, &format!("{} at {q}", d.name));
        }
    }
}

#[test]
fn student_equals_scipy() {
    let f = fixture();
    for (name, level, low, high) in &f.student {
        let x = &f.describe.iter().find(|d| d.name == *name).unwrap().x;
        let i = t_mean(x, *level).unwrap();
        let scale = high - low;
        let gap = (i.low - low).abs().max((i.high - high).abs());
        // 1e9-sized samples carry their own rounding of about 1e-7.
        let room = scale * 1e-10 + low.abs() * 1e-15;
        assert!(gap <= room, "{name} at {level}: {i:?}, ({low}, {high}), gap {gap:e} of {scale:e}");
    }
}

#[test]
fn a_constant_sample_gives_a_point() {
    let i = t_mean(&[2.0, 2.0], 0.95).unwrap();
    assert_eq!((i.low, i.high), (2.0, 2.0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for confidence in [0.0, 1.0, -0.5, 95.0, f64::NAN, f64::INFINITY] {
        let refused =
            |r: Result<(), Error>| assert!(matches!(r, Err(Error::OutOfRange { name: "confidence", .. })), "{r:?}");
        refused(wilson(1, 2, confidence).map(drop));
        refused(t_mean(&[1.0, 2.0], confidence).map(drop));
    }
    assert_eq!(wilson(0, 0, 0.95), Err(Error::TooFew { what: "a proportion", needed: 1, found: 0 }));
    assert_eq!(wilson(3, 2, 0.95), Err(Error::Count { successes: 3, trials: 2 }));
    assert!(matches!(t_mean(&[1.0], 0.95), Err(Error::TooFew { needed: 2, found: 1, .. })));
    assert!(matches!(t_mean(&[1.0, f64::NAN], 0.95), Err(Error::NotFinite { index: 1, .. })));
    assert!(matches!(describe::quantile(&[1.0], -0.1), Err(Error::OutOfRange { .. })));
    assert!(Error::Unpaired { left: 1, right: 2 }.is_input());
    assert_eq!(
        Error::Unpaired { left: 1, right: 2 }.to_string(),
        "paired samples differ in length (1 and 2): pair them by seed or by item first"
    );
}

pub fn inside(inner: Interval, outer: Interval) -> bool {
    outer.low <= inner.low + 1e-12 && inner.high <= outer.high + 1e-12
}

proptest! {
    #[test]
    fn wilson_widens_with_confidence_and_stays_a_probability((k, n) in (1u64..5000).prop_flat_map(|n| (0..=n, Just(n))), a in 0.01f64..0.99, b in 0.01f64..0.99) {
        let (narrow, wide) = (wilson(k, n, a.min(b)).unwrap(), wilson(k, n, a.max(b)).unwrap());
        prop_assert!(inside(narrow, wide));
        prop_assert!(0.0 <= wide.low && wide.high <= 1.0 && wide.contains(k as f64 / n as f64));
        let mirrored = wilson(n - k, n, a).unwrap();
        let i = wilson(k, n, a).unwrap();
        prop_assert!((mirrored.low - (1.0 - i.high)).abs() < 1e-12);
    }

    #[test]
    fn means_move_and_stretch_with_the_data(x in prop::collection::vec(-1e3f64..1e3, 2..40), shift in -1e3f64..1e3, a in 0.05f64..0.99, b in 0.05f64..0.99) {
        let (narrow, wide) = (t_mean(&x, a.min(b)).unwrap(), t_mean(&x, a.max(b)).unwrap());
        prop_assert!(inside(narrow, wide));
        let moved: Vec<f64> = x.iter().map(|v| v + shift).collect();
        prop_assert!((t_mean(&moved, a).unwrap().low - (t_mean(&x, a).unwrap().low + shift)).abs() < 1e-6);
    }

    #[test]
    fn quantiles_are_monotone_and_inside(x in prop::collection::vec(-1e6f64..1e6, 1..50), p in 0.0f64..=1.0, q in 0.0f64..=1.0) {
        let v = describe::quantiles(&x, &[p.min(q), p.max(q)]).unwrap();
        prop_assert!(v[0] <= v[1] + 1e-9);
    }
}
