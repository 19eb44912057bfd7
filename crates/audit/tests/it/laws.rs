//! What must hold at any setting.

use ashlar_audit::{Confusion, OneRun, Plan, ScoreSet, Select, bound::Method};
use ashlar_stats::{binomial, tradeoff};
use proptest::prelude::*;

/// m, r ≤ m, v ≤ r.
fn counts() -> impl Strategy<Value = (u64, u64, u64)> {
    (1_u64..3000).prop_flat_map(|m| (Just(m), 0..=m)).prop_flat_map(|(m, r)| (Just(m), Just(r), 0..=r))
}

fn matrix() -> impl Strategy<Value = Confusion> {
    (1_u64..2000, 1_u64..2000)
        .prop_flat_map(|(n1, n0)| (Just(n1), Just(n0), 0..=n1, 0..=n0))
        .prop_map(|(n1, n0, tp, fp)| Confusion::new(n1, n0, tp, fp).unwrap())
}

/// 0, or log-uniform down to 1e-12.
fn delta() -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 4 => (-12.0..-1.0).prop_map(|x: f64| 10_f64.powf(x))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_rises_with_epsilon_and_delta_and_falls_with_right_guesses(
        (m, r, v) in counts(), delta in delta(), more in 1.0_f64..10.0, epsilon in 0.0_f64..12.0, step in 0.0_f64..3.0,
    ) {
        let run = OneRun::new(m, r, v).unwrap();
        let p = run.p_value(epsilon, delta).unwrap();
        prop_assert!((0.0..=1.0).contains(&p));
        let slack = 1.0 + 1e-11;
        prop_assert!(run.p_value(epsilon + step, delta).unwrap() * slack >= p);
        prop_assert!(run.p_value(epsilon, (delta * more).min(0.999)).unwrap() * slack >= p);
        if v < r {
            prop_assert!(OneRun::new(m, r, v + 1).unwrap().p_value(epsilon, delta).unwrap() <= p * slack);
        }
    }

    #[test]
    fn the_bound_is_where_p_meets_the_level((m, r, v) in counts(), delta in delta(), confidence in 0.51_f64..0.999) {
        let run = OneRun::new(m, r, v).unwrap();
        let bound = run.epsilon_lower(delta, confidence).unwrap().epsilon_lower;
        let level = 1.0 - confidence;
        if bound == 0.0 {
            prop_assert!(run.p_value(0.0, delta).unwrap() >= level);
        } else {
            prop_assert!(run.p_value((bound - 1e-9).max(0.0), delta).unwrap() < level);
            prop_assert!(run.p_value(bound + 1e-9, delta).unwrap() >= level);
        }
        prop_assert!(bound <= run.epsilon_ceiling(delta, confidence).unwrap() + 1e-10);
    }

    #[test]
    fn alpha_is_the_largest_mean((m, r, v) in (1_u64..150).prop_flat_map(|m| (Just(m), 0..=m)).prop_flat_map(|(m, r)| (Just(m), Just(r), 0..=r)),
                                 epsilon in 0.0_f64..9.0, delta in 1e-6_f64..1e-3) {
        // By the definition, each term from the survival function.
        let q = 1.0 / (1.0 + (-epsilon).exp());
        let at_least = |k: u64| if k == 0 { 1.0 } else { binomial::sf(k - 1, r, q) };
        let alpha = (1..=v).map(|i| (at_least(v - i) - at_least(v)) / i as f64).fold(0.0, f64::max);
        let want = (at_least(v) + 2.0 * m as f64 * delta * alpha).min(1.0);
        let got = OneRun::new(m, r, v).unwrap().p_value(epsilon, delta).unwrap();
        prop_assert!((got - want).abs() <= 1e-10 * want + 1e-13, "{got} {want}");
    }

    #[test]
    fn false_alarms_stay_below_the_level(r in 1_u64..600, epsilon in 0.0_f64..8.0, confidence in 0.55_f64..0.999) {
        // δ = 0: right guesses of the worst mechanism are Binomial(r, q). Refuted from the smallest v on.
        let q = 1.0 / (1.0 + (-epsilon).exp());
        let level = 1.0 - confidence;
        let refutes = |v: u64| OneRun::new(r, r, v).unwrap().p_value(epsilon, 0.0).unwrap() < level;
        let alarm = (0..=r).find(|&v| refutes(v)).map_or(0.0, |v| if v == 0 { 1.0 } else { binomial::sf(v - 1, r, q) });
        prop_assert!(alarm <= level * (1.0 + 1e-10), "{alarm}");
        // And the bound refutes just as the p-value does.
        if let Some(v) = (0..=r).find(|&v| refutes(v)) {
            prop_assert!(OneRun::new(r, r, v).unwrap().epsilon_lower(0.0, confidence).unwrap().epsilon_lower > epsilon - 1e-9);
        }
    }

    #[test]
    fn false_alarms_with_delta(m in 20_u64..400, epsilon in 0.0_f64..5.0, delta in 1e-7_f64..1e-4, confidence in 0.6_f64..0.99) {
        // A mechanism that tells everything with probability mδ, else answers at random at ε: the smallest refuting v is
        // reached with P[B ≥ v] or less, plus mδ.
        let (r, level) = (m / 2, 1.0 - confidence);
        let q = 1.0 / (1.0 + (-epsilon).exp());
        let run = |v| OneRun::new(m, r, v).unwrap();
        if let Some(v) = (1..=r).find(|&v| run(v).p_value(epsilon, delta).unwrap() < level) {
            let tail = binomial::sf(v - 1, r, q);
            prop_assert!(tail <= level);
            // The δ term is there, and counts all canaries.
            let alpha = binomial::pmf(v - 1, r, q);
            prop_assert!(run(v).p_value(epsilon, delta).unwrap() >= tail + 2.0 * m as f64 * delta * alpha * (1.0 - 1e-9) - 1e-15);
        }
    }

    #[test]
    fn abstaining_never_shrinks_the_delta_term(r in 1_u64..300, delta in 1e-6_f64..1e-3, extra in 1_u64..5000) {
        let v = r - r / 20;
        let [few, many] = [r, r + extra].map(|m| OneRun::new(m, r, v).unwrap().epsilon_lower(delta, 0.95).unwrap().epsilon_lower);
        prop_assert!(many <= few + 1e-10);
    }

    #[test]
    fn gaussian_round_trip(epsilon in 0.01_f64..60.0, log_delta in -12.0_f64..-1.0) {
        let delta = 10_f64.powf(log_delta);
        let back = tradeoff::epsilon(tradeoff::mu(epsilon, delta).unwrap(), delta).unwrap();
        prop_assert!((back - epsilon).abs() <= 1e-9, "{back}");
    }

    #[test]
    fn fdp_refutes_up_to_its_bound((m, r, v) in (2_u64..400).prop_flat_map(|m| (Just(m), 1..=m)).prop_flat_map(|(m, r)| (Just(m), Just(r), 0..=r)),
                                   confidence in 0.55_f64..0.99) {
        let run = OneRun::new(m, r, v).unwrap();
        let mu = run.mu_lower_fdp(confidence).unwrap();
        prop_assert!(mu >= 0.0 && mu.is_finite());
        if v < r {
            prop_assert!(OneRun::new(m, r, v + 1).unwrap().mu_lower_fdp(confidence).unwrap() >= mu - 1e-9);
        }
        prop_assert!(run.mu_lower_fdp(0.5 + confidence / 2.0).unwrap() <= mu + 1e-9);
    }

    #[test]
    fn matrix_bounds_are_ordered(matrix in matrix(), delta in delta(), confidence in 0.55_f64..0.99) {
        let cp = matrix.clopper_pearson(delta, confidence).unwrap().epsilon_lower;
        prop_assert!(cp >= 0.0 && cp.is_finite());
        prop_assert!(matrix.clopper_pearson(delta, 0.5 + confidence / 2.0).unwrap().epsilon_lower <= cp + 1e-12);
        prop_assert!(matrix.clopper_pearson((delta * 2.0).min(0.9), confidence).unwrap().epsilon_lower <= cp + 1e-12);
        let rates = matrix.error_rates(confidence).unwrap();
        if delta > 0.0 {
            // A Gaussian with the same error rates leaks at least as much as those rates alone prove.
            let gdp = matrix.gdp(delta, confidence).unwrap();
            let mu = gdp.mu_lower.unwrap();
            prop_assert!(mu >= 0.0);
            if rates.fpr_upper + rates.fnr_upper < 1.0 {
                prop_assert!(gdp.epsilon_lower >= cp - 1e-9, "{} {cp}", gdp.epsilon_lower);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn credible_intervals_hold_their_mass(matrix in matrix(), delta in delta(), confidence in 0.55_f64..0.99) {
        let bound = matrix.bayes(delta, confidence).unwrap();
        let (low, high) = (bound.epsilon_lower, bound.epsilon_upper.unwrap());
        prop_assert!((0.0..=high).contains(&low) && high.is_finite());
        let tail = 0.5 * (1.0 - confidence);
        let at = |epsilon| matrix.posterior_probability(epsilon, delta).unwrap();
        let low_holds = if low > 0.0 { (at(low) - tail).abs() < 1e-8 } else { at(0.0) >= tail - 1e-10 };
        prop_assert!(low_holds);
        let high_holds = if high > 0.0 { (at(high) - 1.0 + tail).abs() < 1e-8 } else { at(0.0) >= 1.0 - tail - 1e-10 };
        prop_assert!(high_holds);
        prop_assert!(at(high + 0.5) >= at(high) - 1e-10);
    }

    #[test]
    fn what_selections_cost(seed in any::<u64>(), shift in 0.0_f64..3.0, n in 20_usize..120) {
        let scores = super::selection::gaussian(n, n, shift, seed);
        let epsilon = |method, select| {
            let audit = scores.audit(&Plan { select, seed, ..Plan::new(method) }).unwrap();
            assert!(audit.bound.epsilon_lower <= audit.epsilon_ceiling.unwrap() + 1e-9);
            audit.bound.epsilon_lower
        };
        for method in [Method::OneRun, Method::OneRunFdp, Method::ClopperPearson, Method::Gdp] {
            prop_assert!(epsilon(method, Select::Bonferroni) <= epsilon(method, Select::MaxUncorrected) + 1e-9);
        }
    }

    #[test]
    fn scores_keep_their_order_only(seed in any::<u64>(), n in 5_usize..60) {
        // Bounds from ranks don't change under a rising map, nor with the order in the file.
        let scores = super::selection::gaussian(n, n + 3, 1.0, seed);
        let mapped = |scores: &[f64]| scores.iter().rev().map(|s| (s / 4.0).exp()).collect::<Vec<_>>();
        let other = ScoreSet::new(mapped(scores.members()), mapped(scores.nonmembers())).unwrap();
        for select in [Select::Fixed, Select::Bonferroni, Select::MaxUncorrected] {
            for method in [Method::OneRun, Method::OneRunFdp, Method::ClopperPearson, Method::Gdp] {
                let plan = Plan { select, ..Plan::new(method) };
                let bounds = [&scores, &other].map(|set| set.audit(&plan).unwrap().bound.epsilon_lower);
                prop_assert_eq!(bounds[0], bounds[1]);
            }
        }
    }
}
