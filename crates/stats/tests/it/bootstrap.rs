//! The bootstrap: against scipy on its own replicates, its coverage, and laws.

use ashlar_stats::{
    Error, describe,
    interval::{Bootstrap, Method, bca, percentile},
};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    common::{fixture, near},
    intervals::inside,
};

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
fn a_constant_sample_gives_a_point() {
    let e = Bootstrap::new(1).mean(&[0.5; 5]).unwrap();
    assert_eq!((e.value, e.interval.low, e.interval.high, e.std_error), (0.5, 0.5, 0.5, 0.0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for confidence in [0.0, 1.0, -0.5, 95.0, f64::NAN, f64::INFINITY] {
        let refused =
            |r: Result<(), Error>| assert!(matches!(r, Err(Error::OutOfRange { name: "confidence", .. })), "{r:?}");
        refused(Bootstrap::new(1).confidence(confidence).mean(&[1.0, 2.0]).map(drop));
        refused(percentile(&[1.0], confidence).map(drop));
        refused(bca(1.0, &[1.0], &[1.0, 2.0], confidence).map(drop));
    }
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
}

proptest! {
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
}
