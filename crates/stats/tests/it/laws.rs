//! Laws of the special functions and trade-offs, and that no number makes any of them panic or hang.

use ashlar_stats::{
    Error, binomial,
    special::{
        beta_inc, beta_inc_inv, chi_squared_sf, erfc, erfcx, ln_1m_exp, ln_add_exp, ln_beta, ln_binomial, ln_gamma,
        ln_normal_cdf, ln_sub_exp, ln_sum_exp, normal_cdf, normal_pdf, normal_quantile, normal_quantile_ln, normal_sf,
        student_t_cdf, student_t_quantile,
    },
    tradeoff::{self, delta, ln_delta, tpr},
};
use proptest::prelude::*;

/// Any f64 at all, and often an awkward one.
fn anything() -> impl Strategy<Value = f64> {
    let awkward = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        5e-324,
        1e-308,
        1e-16,
        1e9,
        1e15,
        1e17,
        1e300,
        -1e300,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    prop_oneof![any::<f64>(), prop::sample::select(awkward.to_vec()), -50.0..50.0, 0.0..1.0]
}

proptest! {
    #[test]
    fn nothing_panics(x in anything(), a in anything(), b in anything(), n: u64, k: u64) {
        for f in [erfc, erfcx, ln_gamma, ln_normal_cdf, normal_cdf, normal_sf, normal_pdf, normal_quantile, normal_quantile_ln, ln_1m_exp] {
            let _ = f(x);
        }
        for f in [ln_beta, ln_add_exp, ln_sub_exp, chi_squared_sf, student_t_cdf, student_t_quantile, delta, ln_delta, tpr] {
            let _ = f(x, a);
        }
        let _ = (ln_sum_exp(&[x, a, b]), ln_binomial(n, k));
        let _ = (tradeoff::epsilon(x, a), tradeoff::mu(x, a));
        for f in [binomial::ln_pmf, binomial::pmf] {
            let _ = f(k, n, x);
        }
        let _ = (ashlar_stats::combinatorial::pass_at_k(n, k, k / 2), ashlar_stats::combinatorial::pass_hat_k(n, k, k / 2));
        let _ = ashlar_stats::paired::items_needed(x, a, b, 0.05);
    }

    #[test]
    fn beta_functions_are_probabilities_or_nan(a in anything(), b in anything(), x in anything()) {
        let p = beta_inc(a, b, x);
        let inside = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && (0.0..=1.0).contains(&x);
        prop_assert_eq!(p.is_nan(), !inside, "I_{:e}({:e}, {:e}) = {:e}", x, a, b, p);
        prop_assert!(p.is_nan() || (0.0..=1.0).contains(&p));
        let q = beta_inc_inv(a, b, x);
        prop_assert_eq!(q.is_nan(), !inside);
        prop_assert!(q.is_nan() || (0.0..=1.0).contains(&q));
    }

    #[test]
    fn quantiles_invert_the_normal_distribution(x in -37.0f64..8.0) {
        prop_assert!((normal_quantile_ln(ln_normal_cdf(x)) - x).abs() < 1e-14 * (1.0 + x.abs()) / normal_pdf(x.max(0.0)));
        if x < 0.0 {
            prop_assert!((normal_quantile(normal_cdf(x)) - x).abs() < 1e-14 * (1.0 + x.abs()));
        }
    }

    #[test]
    fn the_inverse_beta_inverts(a in 0.05f64..1e4, b in 0.05f64..1e4, p in 1e-12f64..1.0) {
        let x = beta_inc_inv(a, b, p);
        // Where x rounds to 0 or 1, or near 1 to a multiple of 1e-16, it can't tell more.
        prop_assume!(x > 1e-300 && x < 0.9);
        prop_assert!((beta_inc(a, b, x) / p - 1.0).abs() < 1e-9, "a {}, b {}, p {}: x {}, I {}", a, b, p, x, beta_inc(a, b, x));
    }

    #[test]
    fn tails_of_the_binomial_add_up(n in 1u64..5000, share in 0.0f64..1.0, p in 0.0f64..=1.0) {
        let k = (share * n as f64) as u64;
        prop_assert!((binomial::sf(k, n, p) + binomial::cdf(k, n, p) - 1.0).abs() < 1e-13);
        let step = binomial::cdf(k, n, p) - if k > 0 { binomial::cdf(k - 1, n, p) } else { 0.0 };
        prop_assert!((step - binomial::pmf(k, n, p)).abs() < 1e-12);
        prop_assert!((binomial::sf(k, n, p) - binomial::cdf(n - k - 1 + u64::from(k == n), n, 1.0 - p)).abs() < 1e-12 || k == n);
    }

    #[test]
    fn sums_of_exponentials(a in -800.0f64..800.0, b in -800.0f64..800.0) {
        let sum = ln_add_exp(a, b);
        prop_assert!(sum >= a.max(b) && sum <= a.max(b) + 0.7);
        prop_assert_eq!(sum, ln_add_exp(b, a));
        prop_assert!((ln_sum_exp(&[a, b]) - sum).abs() < 1e-12);
        if (a - b).abs() < 10.0 {
            prop_assert!((ln_sub_exp(sum, b) - a).abs() < 1e-5);
        }
    }

    #[test]
    fn epsilon_and_mu_are_inverse(ln_e in -4.6f64..4.09, ln_d in -27.6f64..-2.31) {
        let (e, d) = (ln_e.exp().clamp(0.01, 60.0), ln_d.exp().clamp(1e-12, 0.1));
        let mu = tradeoff::mu(e, d).unwrap();
        prop_assert!((tradeoff::epsilon(mu, d).unwrap() - e).abs() < 1e-9);
        prop_assert!((delta(mu, e) / d - 1.0).abs() < 1e-11);
    }

    #[test]
    fn delta_rises_with_mu_and_falls_with_epsilon(mu in 1e-6f64..50.0, e in 0.0f64..100.0, more in 1.0001f64..2.0) {
        let here = ln_delta(mu, e);
        prop_assert!(here <= 0.0 && ln_delta(mu * more, e) >= here);
        prop_assert!(ln_delta(mu, e * more) <= here);
        // No jump where one formula hands over to the next (at μ = 1, a = 0 and a = −3), beyond the slope itself.
        let step = ln_delta(mu * (1.0 + 1e-9), e) - here;
        prop_assert!(step >= -1e-13 * here.abs().max(1.0), "{}", step);
    }

    #[test]
    fn the_trade_off_function_is_symmetric(mu in 0.01f64..8.0, e in -5.0f64..5.0) {
        // δ(−ε) = 1 − e^(−ε)·(1 − δ(ε))
        let mirrored = 1.0 - (-e).exp() * (1.0 - delta(mu, e));
        prop_assert!((delta(mu, -e) - mirrored).abs() < 1e-12 * (1.0 + (-e).exp()));
        // The line of (ε, δ) touches the ROC from above: tpr ≤ e^ε·fpr + δ, with equality at fpr = Φ(b).
        let touch = normal_cdf(-0.5 * mu - e / mu);
        prop_assert!((tpr(mu, touch) - e.exp() * touch - delta(mu, e)).abs() < 1e-11 * (1.0 + e.exp()));
    }
}

#[test]
fn the_ends_are_as_documented() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    assert_eq!((erfc(-inf), erfc(inf), erfcx(inf), erfcx(-inf)), (2.0, 0.0, 0.0, inf));
    assert_eq!(
        (normal_cdf(-inf), normal_cdf(inf), normal_pdf(inf), ln_normal_cdf(-inf), ln_normal_cdf(inf)),
        (0.0, 1.0, 0.0, -inf, 0.0)
    );
    assert_eq!((normal_quantile(0.0), normal_quantile(1.0), normal_quantile(0.5)), (-inf, inf, 0.0));
    assert_eq!((normal_quantile_ln(-inf), normal_quantile_ln(0.0)), (-inf, inf));
    assert_eq!((ln_gamma(0.0), ln_gamma(inf)), (inf, inf));
    assert_eq!((beta_inc(2.0, 3.0, 0.0), beta_inc(2.0, 3.0, 1.0)), (0.0, 1.0));
    assert_eq!((beta_inc_inv(2.0, 3.0, 0.0), beta_inc_inv(2.0, 3.0, 1.0)), (0.0, 1.0));
    assert_eq!((chi_squared_sf(-1.0, 2.0), chi_squared_sf(inf, 2.0)), (1.0, 0.0));
    assert_eq!((student_t_cdf(-inf, 2.0), student_t_cdf(inf, 2.0), student_t_cdf(0.0, 2.0)), (0.0, 1.0, 0.5));
    assert_eq!(
        (student_t_quantile(0.0, 2.0), student_t_quantile(1.0, 2.0), student_t_quantile(0.5, 2.0)),
        (-inf, inf, 0.0)
    );
    assert_eq!((ln_add_exp(-inf, -inf), ln_add_exp(-inf, 3.0), ln_add_exp(inf, 3.0)), (-inf, 3.0, inf));
    assert_eq!((ln_sub_exp(3.0, -inf), ln_sub_exp(3.0, 3.0), ln_sub_exp(inf, 3.0)), (3.0, -inf, inf));
    assert_eq!((ln_sum_exp(&[]), ln_sum_exp(&[-inf, -inf]), ln_1m_exp(0.0)), (-inf, -inf, -inf));
    for value in [
        erfc(nan),
        erfcx(nan),
        normal_cdf(nan),
        normal_quantile(nan),
        normal_quantile(1.5),
        ln_normal_cdf(nan),
        normal_quantile_ln(0.1),
        ln_gamma(-1.0),
        ln_beta(0.0, 1.0),
        beta_inc(-1.0, 1.0, 0.5),
        beta_inc_inv(1.0, 1.0, -0.1),
        chi_squared_sf(1.0, 0.0),
        student_t_cdf(1.0, -1.0),
        student_t_quantile(0.5, nan),
        ln_sub_exp(1.0, 2.0),
        ln_add_exp(nan, 1.0),
        ln_sum_exp(&[0.0, nan]),
        ln_1m_exp(0.1),
        binomial::pmf(1, 2, 1.5),
        binomial::sf(1, 2, nan),
        ln_delta(-1.0, 1.0),
        ln_delta(1.0, nan),
        tpr(1.0, 1.5),
    ] {
        assert!(value.is_nan());
    }
    assert_eq!(ln_binomial(2, 3), -inf);
    assert_eq!((binomial::pmf(0, 0, 0.3), binomial::sf(3, 2, 0.5), binomial::cdf(3, 2, 0.5)), (1.0, 0.0, 1.0));
    assert_eq!(
        (binomial::pmf(0, 5, 0.0), binomial::pmf(5, 5, 1.0), binomial::pmf(1, 5, 0.0), binomial::pmf(4, 5, 1.0)),
        (1.0, 1.0, 0.0, 0.0)
    );
    assert_eq!((binomial::sf(0, 5, 0.0), binomial::sf(4, 5, 1.0)), (0.0, 1.0));
}

#[test]
fn trade_offs_at_their_ends() {
    let inf = f64::INFINITY;
    assert_eq!((delta(0.0, 1.0), delta(inf, 1.0), delta(1.0, inf), delta(1.0, -inf)), (0.0, 1.0, 0.0, 1.0));
    assert!((delta(0.0, -1.0) - (1.0 - (-1.0_f64).exp())).abs() < 1e-15);
    assert_eq!((tradeoff::epsilon(0.0, 1e-5), tradeoff::epsilon(inf, 1e-5)), (Ok(0.0), Ok(inf)));
    // δ(0.1, 0) = 2Φ(0.05) − 1 = 0.0399.
    assert_eq!(tradeoff::epsilon(0.1, 0.04), Ok(0.0));
    assert!(tradeoff::epsilon(0.1, 0.0398).unwrap() > 0.0);
    assert_eq!((tpr(inf, 0.0), tpr(inf, 0.1), tpr(0.0, 0.3), tpr(2.0, 1.0)), (0.0, 1.0, 0.3, 1.0));
    for d in [0.0, 1.0, -1e-5, f64::NAN] {
        assert!(matches!(tradeoff::epsilon(1.0, d), Err(Error::OutOfRange { name: "delta", .. })));
        assert!(matches!(tradeoff::mu(1.0, d), Err(Error::OutOfRange { name: "delta", .. })));
    }
    for bad in [-1.0, f64::NAN] {
        assert!(matches!(tradeoff::epsilon(bad, 0.1), Err(Error::OutOfRange { name: "mu", .. })));
        assert!(matches!(tradeoff::mu(bad, 0.1), Err(Error::OutOfRange { name: "epsilon", .. })));
    }
    assert!(tradeoff::mu(inf, 0.1).is_err());
}

#[test]
fn the_specifications_values() {
    for (mu, e) in [(1.0, 4.377178095681), (0.786811814684, 3.323300489140)] {
        let found = tradeoff::epsilon(mu, 1e-5).unwrap();
        assert!((found - e).abs() < 4e-12, "{found}");
    }
    let mus = [(8.0, 1.666030597846), (1.0, 0.268051123211), (4.0, 0.924930897667)];
    for (e, mu) in mus {
        assert!((tradeoff::mu(e, 1e-5).unwrap() - mu).abs() < 1e-12);
    }
}

#[test]
fn parameters_too_large_for_the_continued_fraction_take_over_smoothly() {
    for (a, b) in [(1e11_f64, 1e11_f64), (1e11, 3e13), (5e12, 1e11)] {
        for sigmas in [-8.0, -1.0, 0.0, 0.5, 6.0] {
            let t = (a / b).ln() + sigmas * (1.0 / a + 1.0 / b).sqrt();
            let x = 1.0 / (1.0 + (-t).exp());
            let (below, above) =
                (beta_inc(a * (1.0 - 1e-15), b * (1.0 - 1e-15), x), beta_inc(a * (1.0 + 1e-15), b * (1.0 + 1e-15), x));
            assert!((below / above - 1.0).abs() < 1e-7, "{a:e} {b:e} {sigmas}: {below:e} {above:e}");
        }
    }
    for x in [2e11 - 3e6, 2e11, 2e11 + 4e6] {
        let (below, above) = (chi_squared_sf(x, 2e11 * (1.0 - 1e-15)), chi_squared_sf(x, 2e11 * (1.0 + 1e-15)));
        assert!((below / above - 1.0).abs() < 1e-8, "{x}: {below:e} {above:e}");
    }
}

#[test]
fn half_as_many_tails_of_a_large_binomial() {
    // A median is a median: P[B ≤ n/2] − P[B = n/2]/2 = ½.
    for n in [2u64, 1000, 1_000_000, 1_000_000_000] {
        let middle = binomial::cdf(n / 2, n, 0.5) - 0.5 * binomial::pmf(n / 2, n, 0.5);
        assert!((middle - 0.5).abs() < 1e-13, "{n}: {middle}");
    }
}
