//! Roots, integrals and transforms: known answers, and what they refuse.

use std::f64::consts::PI;

use ashlar_stats::{
    Error,
    quad::{gauss_legendre, integrate, tanh_sinh},
    root::{bisect, bracket_upwards, brent},
    special::{beta_inc, ln_beta, normal_pdf, normal_sf},
};
use proptest::prelude::*;

use crate::common::near;

type Function = fn(f64) -> f64;

#[test]
fn roots_are_found_to_their_tolerance() {
    let cases: [(Function, f64, f64, f64); 6] = [
        (|x| x * x - 2.0, 0.0, 2.0, 2.0_f64.sqrt()),
        (|x| x.cos() - x, 0.0, 1.0, 0.739_085_133_215_160_6),
        (|x| (x - 1.0).powi(9), 0.3, 2.0, 1.0),
        (|x| 1.0 - x.exp(), -700.0, 1.0, 0.0),
        (|x| if x < 0.125 { -1.0 } else { 1e300 }, 0.0, 1.0, 0.125),
        (|x| 3.0 - x, 3.0, 5.0, 3.0),
    ];
    for (i, (f, lo, hi, root)) in cases.into_iter().enumerate() {
        // Nine equal roots leave only 0.0⁹ to be seen below 1e-36; the bracket still shrinks to the tolerance.
        let room = 1e-11;
        assert!((bisect(f, lo, hi, room).unwrap() - root).abs() <= room, "bisect, case {i}");
        assert!((brent(f, lo, hi, room, 500).unwrap() - root).abs() <= 2.0 * room, "brent, case {i}");
    }
}

#[test]
fn brent_takes_few_steps_on_a_smooth_function() {
    let mut calls = 0;
    let f = |x: f64| {
        calls += 1;
        x.exp() - 10.0
    };
    near(brent(f, 0.0, 10.0, 1e-14, 100).unwrap(), 10.0_f64.ln(), 1e-14, "ln 10");
    assert!(calls < 20, "{calls} evaluations");
}

#[test]
fn brackets_are_found_upwards() {
    assert_eq!(bracket_upwards(|x| x - 5.0, 0.0, 1e9), Ok((3.0, 7.0)));
    assert_eq!(bracket_upwards(|x| 0.1 - x, 0.01, 1.0), Ok((0.08, 0.16)));
    assert_eq!(bracket_upwards(|x| x - 1.0, 1.0, 2.0), Ok((1.0, 1.0)));
    let (lo, hi) = bracket_upwards(|x| x - 9.5, 1.0, 10.0).unwrap();
    assert!(lo < 9.5 && hi == 10.0);
    assert!(matches!(bracket_upwards(|x| x - 11.0, 1.0, 10.0), Err(Error::NoSignChange { high: 10.0, .. })));
}

#[test]
fn what_has_no_root_is_refused() {
    let nan = f64::NAN;
    assert!(matches!(bisect(|x| x * x + 1.0, -1.0, 1.0, 1e-9), Err(Error::NoSignChange { at_low: 2.0, .. })));
    assert!(matches!(brent(|x| x * x + 1.0, -1.0, 1.0, 1e-9, 50), Err(Error::NoSignChange { .. })));
    assert!(matches!(brent(|_| nan, -1.0, 1.0, 1e-9, 50), Err(Error::Undefined { .. })));
    assert!(matches!(bisect(|x| x, 1.0, -1.0, 1e-9), Err(Error::OutOfRange { .. })));
    assert!(matches!(bisect(|x| x, nan, 1.0, 1e-9), Err(Error::OutOfRange { .. })));
    assert!(matches!(brent(|x| x, -1.0, 1.0, nan, 50), Err(Error::OutOfRange { .. })));
    assert!(matches!(brent(|x| x - 0.3, -1.0, 1.0, 0.0, 1), Err(Error::NotConverged { limit: 1, .. })));
    assert!(bisect(|x| x - 0.3, -1.0, 1.0, 0.0).is_ok(), "a tolerance of 0 ends at the spacing of f64");
}

#[test]
fn gauss_legendre_is_exact_for_polynomials() {
    for n in [1, 2, 3, 7, 20, 64, 101] {
        let (nodes, weights) = gauss_legendre(n);
        assert!(nodes.is_sorted() && nodes.iter().all(|x| x.abs() < 1.0));
        for power in (0..2 * n as i32).step_by(n.div_ceil(4)) {
            let sum: f64 = nodes.iter().zip(&weights).map(|(x, w)| w * x.powi(power)).sum();
            let exact = if power % 2 == 0 { 2.0 / f64::from(power + 1) } else { 0.0 };
            assert!((sum - exact).abs() < 3e-15, "n {n}, power {power}: {sum:e}, {exact:e}");
        }
    }
    assert_eq!(gauss_legendre(0), (vec![], vec![]));
    // Abramowitz and Stegun, table 25.4.
    let (nodes, weights) = gauss_legendre(5);
    near(nodes[4], 0.906_179_845_938_664, 1e-15, "node");
    near(weights[4], 0.236_926_885_056_189, 1e-14, "weight");
}

#[test]
fn integrals_meet_their_tolerance() {
    let cases: [(Function, f64, f64, f64); 6] = [
        (f64::exp, 0.0, 1.0, 1.0_f64.exp_m1()),
        (normal_pdf, 2.0, 40.0, normal_sf(2.0)),
        (|x| (50.0 * x).sin(), 0.0, 1.0, (1.0 - 50.0_f64.cos()) / 50.0),
        (|x| 1.0 / (1e-4 + x * x), -1.0, 1.0, 200.0 * 100.0_f64.atan()),
        (f64::sqrt, 0.0, 1.0, 2.0 / 3.0),
        (|x| (x - 0.3).abs(), 0.0, 1.0, 0.29),
    ];
    for (i, (f, a, b, exact)) in cases.into_iter().enumerate() {
        near(integrate(f, a, b, 1e-12, 0.0).unwrap(), exact, 1e-12, &format!("case {i}"));
        near(integrate(f, b, a, 1e-12, 0.0).unwrap(), -exact, 1e-12, &format!("case {i}, backwards"));
    }
    // A beta density, as the credible audit bound integrates it.
    let density = |x: f64| (12.5 * x.ln() + 990.5 * (-x).ln_1p() - ln_beta(13.5, 991.5)).exp();
    near(
        integrate(density, 0.01, 0.03, 1e-12, 0.0).unwrap(),
        beta_inc(13.5, 991.5, 0.03) - beta_inc(13.5, 991.5, 0.01),
        1e-11,
        "beta",
    );
    assert_eq!(integrate(|_| 0.0, 0.0, 1.0, 1e-12, 0.0), Ok(0.0));
    assert_eq!(integrate(f64::exp, 1.0, 1.0, 1e-12, 0.0), Ok(0.0));
    assert!(integrate(f64::exp, 0.0, 1.0, 0.0, 0.0).is_ok(), "a tolerance of 0 ends at rounding");
}

#[test]
fn tanh_sinh_bears_singular_ends() {
    let cases: [(Function, f64, f64, f64); 4] = [
        (|x| x.powf(-0.5), 0.0, 1.0, 2.0),
        (|x| x.ln(), 0.0, 1.0, -1.0),
        (|x| (-x).ln_1p() * x.ln(), 0.0, 1.0, 2.0 - PI * PI / 6.0),
        (|x| (-x).exp(), 0.0, 50.0, -(-50.0_f64).exp_m1()),
    ];
    for (i, (f, a, b, exact)) in cases.into_iter().enumerate() {
        near(tanh_sinh(f, a, b, 1e-12).unwrap(), exact, 1e-11, &format!("case {i}"));
    }
    assert_eq!(tanh_sinh(f64::exp, 1.0, 1.0, 1e-12), Ok(0.0));
}

#[test]
fn what_has_no_integral_is_refused() {
    for (a, b) in [(f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(matches!(integrate(f64::exp, a, b, 1e-9, 0.0), Err(Error::OutOfRange { .. })));
        assert!(matches!(tanh_sinh(f64::exp, a, b, 1e-9), Err(Error::OutOfRange { .. })));
    }
    assert!(matches!(integrate(f64::exp, 0.0, 1.0, -1.0, 0.0), Err(Error::OutOfRange { .. })));
    assert!(matches!(integrate(|x| 1.0 / x, -1.0, 1.0, 1e-9, 0.0), Err(Error::Undefined { at: 0.0, .. })));
    assert!(matches!(tanh_sinh(|_| f64::NAN, 0.0, 1.0, 1e-9), Err(Error::Undefined { .. })));
    // ∫ 1/x from 0 diverges: it must end, with an error or not at all near a value.
    assert!(matches!(
        integrate(|x| 1.0 / (x * x), 0.0, 1.0, 1e-9, 0.0),
        Err(Error::NotConverged { .. } | Error::Undefined { .. })
    ));
}

proptest! {
    #[test]
    fn bisection_and_brent_agree(root in -1e3f64..1e3, below in 1e-3f64..1e3, above in 1e-3f64..1e3, slope in 0.1f64..5.0) {
        let f = |x: f64| ((x - root) * slope).tanh() + 0.1 * (x - root);
        let (lo, hi) = (root - below, root + above);
        prop_assert!((bisect(f, lo, hi, 1e-10).unwrap() - root).abs() < 1e-9);
        prop_assert!((brent(f, lo, hi, 1e-10, 300).unwrap() - root).abs() < 1e-9);
    }
}

#[cfg(feature = "fft")]
mod fft {
    use ashlar_stats::fft::{Complex, RealFft};
    use proptest::prelude::*;

    /// The definition, O(n²).
    fn slow(x: &[f64]) -> Vec<Complex<f64>> {
        let n = x.len();
        let term =
            |j: usize, t: usize| Complex::from_polar(x[t], -2.0 * std::f64::consts::PI * (j * t % n) as f64 / n as f64);
        (0..=n / 2).map(|j| (0..n).map(|t| term(j, t)).sum()).collect()
    }

    proptest! {
        #[test]
        fn transforms_equal_their_definition_and_invert(x in prop::collection::vec(-10f64..10.0, 1..70)) {
            let fft = RealFft::new(x.len()).unwrap();
            let mut spectrum = fft.forward(&mut x.clone()).unwrap();
            for (found, expected) in spectrum.iter().zip(slow(&x)) {
                prop_assert!((found - expected).norm() < 1e-11);
            }
            let back = fft.inverse(&mut spectrum).unwrap();
            prop_assert!(back.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(RealFft::new(0).is_err());
        let fft = RealFft::new(6).unwrap();
        assert_eq!(fft.len(), 6);
        assert!(fft.forward(&mut [0.0; 5]).is_err());
        assert!(fft.inverse(&mut [Complex::new(0.0, 0.0); 6]).is_err());
        // Imaginary parts that no real sequence has don't count.
        let spectrum = || [1.0, 0.0, 0.0, 2.0].map(|re| Complex::new(re, 0.0));
        let mut odd = spectrum();
        odd[0].im = 7.0;
        odd[3].im = -7.0;
        assert_eq!(fft.inverse(&mut odd), fft.inverse(&mut spectrum()));
    }
}
