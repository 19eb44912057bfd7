//! Against scipy, statsmodels and numpy (`scripts/fixtures/stats.py` makes the numbers), and laws.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

use ashlar_stats::{
    Error, describe,
    interval::{Bootstrap, Interval, Method, bca, percentile, t_mean, wilson},
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    wilson: Vec<(u64, u64, f64, f64, f64)>,
    describe: Vec<Described>,
    student: Vec<(String, f64, f64, f64)>,
    bootstrap: Vec<Boot>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    x: Vec<f64>,
    mean: f64,
    variance: f64,
    median: f64,
    quantiles: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Boot {
    name: String,
    level: f64,
    statistic: String,
    estimate: f64,
    replicates: Vec<f64>,
    jackknife: Vec<f64>,
    percentile: (f64, f64),
    bca: (f64, f64),
    std_error: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/stats.json")).unwrap()
}

fn near(found: f64, expected: f64, relative: f64, what: &str) {
    let gap = (found - expected).abs();
    assert!(
        gap <= relative * expected.abs().max(1e-300),
        "{what}: {found:e}, reference {expected:e}, relative {:e}",
        gap / expected.abs()
    );
}

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
fn bootstrap_intervals_equal_scipy_on_its_replicates() {
    for b in fixture().bootstrap {
        let what = format!("{} of {} at {}", b.statistic, b.name, b.level);
        let p = percentile(&b.replicates, b.level).unwrap();
        let c = bca(b.estimate, &b.replicates, &b.jackknife, b.level).unwrap();
        for (found, expected) in
            [(p.low, b.percentile.0), (p.high, b.percentile.1), (c.low, b.bca.0), (c.high, b.bca.1)]
        {
            near(found, expected, 1e-10, &what);
        }
        near(describe::std_dev(&b.replicates).unwrap(), b.std_error, 1e-12, &what);
    }
}

#[test]
fn our_own_replicates_agree_with_scipy_s_in_distribution() {
    let f = fixture();
    let x = &f.describe.iter().find(|d| d.name == "normal").unwrap().x;
    let ours = Bootstrap::new(1).resamples(20_000).mean(x).unwrap();
    // The bootstrap's standard error of a mean is s·√((n − 1)/n)/√n.
    let n = x.len() as f64;
    let exact = (describe::variance(x).unwrap() * (n - 1.0) / n / n).sqrt();
    near(ours.std_error, exact, 0.02, "standard error");
    assert_eq!(ours.value, x.iter().sum::<f64>() / n);
}

/// Standard normal draws by Box and Muller.
fn normals(seed: u64, n: usize) -> Vec<f64> {
    use rand::Rng;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw =
        || (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos();
    (0..n).map(|_| draw()).collect()
}

#[test]
fn bootstraps_cover_a_normal_mean_about_as_often_as_they_say() {
    // 400 samples of 40: the share has a standard error of 1.5 points at 90 %.
    for method in [Method::Percentile, Method::Bca] {
        let covers = |seed: &u64| {
            let e =
                Bootstrap::new(*seed).resamples(600).confidence(0.9).method(method).mean(&normals(*seed, 40)).unwrap();
            e.interval.contains(0.0)
        };
        let share = (0..400).filter(covers).count() as f64 / 400.0;
        assert!((0.84..=0.95).contains(&share), "{method:?} covers {share}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let x = normals(3, 50);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Bootstrap::new(9).resamples(1000).mean(&x).unwrap())
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(7));
    assert_ne!(run(1), Bootstrap::new(10).resamples(1000).mean(&x).unwrap());
}

#[test]
fn degenerate_samples_give_a_point() {
    let e = Bootstrap::new(1).mean(&[0.5; 5]).unwrap();
    assert_eq!((e.value, e.interval.low, e.interval.high, e.std_error), (0.5, 0.5, 0.5, 0.0));
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
        refused(Bootstrap::new(1).confidence(confidence).mean(&[1.0, 2.0]).map(drop));
        refused(percentile(&[1.0], confidence).map(drop));
        refused(bca(1.0, &[1.0], &[1.0, 2.0], confidence).map(drop));
    }
    assert_eq!(wilson(0, 0, 0.95), Err(Error::TooFew { what: "a proportion", needed: 1, found: 0 }));
    assert_eq!(wilson(3, 2, 0.95), Err(Error::Count { successes: 3, trials: 2 }));
    assert!(matches!(t_mean(&[1.0], 0.95), Err(Error::TooFew { needed: 2, found: 1, .. })));
    assert!(matches!(t_mean(&[1.0, f64::NAN], 0.95), Err(Error::NotFinite { index: 1, .. })));
    assert!(matches!(Bootstrap::new(1).mean(&[]), Err(Error::TooFew { .. })));
    assert!(matches!(Bootstrap::new(1).mean(&[f64::INFINITY, 1.0]), Err(Error::NotFinite { index: 0, .. })));
    assert!(matches!(Bootstrap::new(1).resamples(99).mean(&[1.0, 2.0]), Err(Error::OutOfRange { .. })));
    assert!(matches!(
        Bootstrap::new(1).paired_difference(&[1.0], &[1.0, 2.0]),
        Err(Error::Unpaired { left: 1, right: 2 })
    ));
    assert!(matches!(Bootstrap::new(1).paired_difference(&[1.0, f64::NAN], &[1.0, 2.0]), Err(Error::NotFinite { .. })));
    // A ratio whose denominator is 0 in some resamples.
    let ratio = |x: &[f64]| 1.0 / x.iter().sum::<f64>();
    assert!(matches!(Bootstrap::new(1).estimate(&[0.0, 0.0, 1.0], ratio), Err(Error::Statistic { .. })));
    assert!(matches!(describe::quantile(&[1.0], -0.1), Err(Error::OutOfRange { .. })));
    assert!(Error::Unpaired { left: 1, right: 2 }.is_input());
    assert_eq!(
        Error::Unpaired { left: 1, right: 2 }.to_string(),
        "paired samples differ in length (1 and 2): pair them by seed or by item first"
    );
}

fn inside(inner: Interval, outer: Interval) -> bool {
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
    fn bootstrap_intervals_widen_with_confidence(x in prop::collection::vec(-10f64..10.0, 2..20), seed: u64, a in 0.1f64..0.99, b in 0.1f64..0.99) {
        for method in [Method::Percentile, Method::Bca] {
            let run = |c| Bootstrap::new(seed).resamples(200).method(method).confidence(c).mean(&x).unwrap();
            let (narrow, wide) = (run(a.min(b)), run(a.max(b)));
            prop_assert!(inside(narrow.interval, wide.interval), "{method:?} {narrow:?} {wide:?}");
            let (low, high) = x.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            prop_assert!(wide.interval.low >= low - 1e-9 && wide.interval.high <= high + 1e-9);
        }
    }

    #[test]
    fn a_paired_difference_is_the_mean_of_differences(pairs in prop::collection::vec((-5f64..5.0, -5f64..5.0), 2..20), seed: u64) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let run = Bootstrap::new(seed).resamples(100).method(Method::Percentile);
        let (ab, ba) = (run.paired_difference(&a, &b).unwrap(), run.paired_difference(&b, &a).unwrap());
        prop_assert!((ab.value + ba.value).abs() < 1e-12);
        // The same resamples, mirrored.
        prop_assert!((ab.interval.low + ba.interval.high).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_monotone_and_inside(x in prop::collection::vec(-1e6f64..1e6, 1..50), p in 0.0f64..=1.0, q in 0.0f64..=1.0) {
        let v = describe::quantiles(&x, &[p.min(q), p.max(q)]).unwrap();
        prop_assert!(v[0] <= v[1] + 1e-9);
    }
}
