//! `pld` and `prv` against exact values, on random settings, and the pitfalls of numerical composition.
//!
//! One step of a Poisson-subsampled mechanism has a closed form: with a = ln(1 + (e^ε − 1)/q), the remove direction is
//! q·δ₀(a), δ₀ the curve without sampling, and the add direction q·e^(ε + a')·δ₀(−a') with a' = ln(1 + (e^(−ε) − 1)/q).
//! Two steps are one smooth integral over it.

use ashlar_dp_core::{Accountant, Event, Mechanism, Neighboring, pld::Pld};
use ashlar_stats::{
    quad::integrate,
    special::{normal_pdf, normal_sf},
    tradeoff,
};
use proptest::{prelude::*, test_runner::RngSeed};

/// δ of one step without sampling, for any real ε.
fn unsampled(mechanism: Mechanism, nm: f64, epsilon: f64) -> f64 {
    match mechanism {
        Mechanism::Gaussian => tradeoff::delta(1.0 / nm, epsilon),
        Mechanism::Laplace if epsilon >= 1.0 / nm => 0.0,
        Mechanism::Laplace if epsilon <= -1.0 / nm => -epsilon.exp_m1(),
        Mechanism::Laplace => -(0.5 * (epsilon - 1.0 / nm)).exp_m1(),
    }
}

/// δ of one sampled step in the remove direction, for any real ε.
fn removed(mechanism: Mechanism, nm: f64, q: f64, epsilon: f64) -> f64 {
    let ratio = epsilon.exp_m1() / q;
    if ratio <= -1.0 { -epsilon.exp_m1() } else { q * unsampled(mechanism, nm, ratio.ln_1p()) }
}

/// δ of one sampled step in the add direction, ε ≥ 0.
fn added(mechanism: Mechanism, nm: f64, q: f64, epsilon: f64) -> f64 {
    let ratio = (-epsilon).exp_m1() / q;
    if ratio <= -1.0 { 0.0 } else { q * (epsilon + ratio.ln_1p()).exp() * unsampled(mechanism, nm, -ratio.ln_1p()) }
}

fn one(mechanism: Mechanism, nm: f64, q: f64, steps: u64) -> [Event; 1] {
    [Event::new(mechanism, nm, q, steps).unwrap()]
}

/// Lower and upper bound on ε.
fn epsilons(neighboring: Neighboring, events: &[Event], delta: f64) -> (f64, f64) {
    let bound = Pld::new(neighboring).epsilon(events, delta).unwrap();
    (bound.lower.unwrap(), bound.upper)
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    prop_oneof![3 => Just(Mechanism::Gaussian), 1 => Just(Mechanism::Laplace)]
}

/// q from 1e-6 to 1, log-uniform.
fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![4 => (-13.8..0.0_f64).prop_map(f64::exp), 1 => Just(1.0)]
}

pub(crate) fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

/// A relation and a list that it accepts.
fn setting() -> impl Strategy<Value = (Neighboring, Vec<Event>)> {
    let event = (mechanism(), log_uniform(0.4, 20.0), rate(), log_uniform(1.0, 1e5))
        .prop_map(|(mechanism, nm, q, steps)| Event::new(mechanism, nm, q, steps as u64).unwrap());
    (prop::sample::select(Neighboring::ALL.to_vec()), prop::collection::vec(event, 1..3)).prop_map(
        |(relation, events)| {
            let accepted = |e: &Event| {
                relation != Neighboring::ReplaceOne || e.mechanism() == Mechanism::Gaussian || e.sample_rate() == 1.0
            };
            let kept: Vec<Event> = events.into_iter().filter(accepted).collect();
            (relation, kept)
        },
    )
}

/// The same settings each time.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn one_step_is_bracketed(m in mechanism(), nm in log_uniform(0.3, 30.0), q in rate(), fraction in 0.02..0.95_f64) {
        prop_assume!(!(m == Mechanism::Gaussian && q == 1.0));
        // An ε in the range where δ is between 1e-13 and its largest value.
        let exact = |e: f64| removed(m, nm, q, e).max(added(m, nm, q, e));
        let mut top = 1e-9;
        while exact(top) > 1e-13 && top < 1e3 {
            top *= 1.3;
        }
        let epsilon = fraction * top;
        let delta = exact(epsilon);
        prop_assume!(delta > 1e-13);
        let (lower, upper) = epsilons(Neighboring::AddRemove, &one(m, nm, q, 1), delta);
        let rounding = 1e-9 * epsilon;
        prop_assert!(lower <= epsilon + rounding && epsilon <= upper + rounding, "{lower} {epsilon} {upper}, delta {delta}");
        prop_assert!(upper - lower <= 1e-3 * upper, "{lower} {upper}");
        let bound = Pld::new(Neighboring::AddRemove).delta(&one(m, nm, q, 1), epsilon).unwrap();
        prop_assert!(bound.lower.unwrap() <= delta * (1.0 + 1e-9) && delta <= bound.upper * (1.0 + 1e-9));
    }
}

proptest! {
    #![proptest_config(config(80))]

    #[test]
    fn two_steps_are_bracketed(nm in log_uniform(0.5, 5.0), q in log_uniform(1e-4, 0.9), fraction in 0.1..0.9_f64) {
        // Remove direction: over the first step's draw x.
        let exact = |epsilon: f64| {
            let rest = |x: f64| {
                let loss = (q * ((2.0 * x - 1.0) / (2.0 * nm * nm)).exp_m1()).ln_1p();
                let density = ((1.0 - q) * normal_pdf(x / nm) + q * normal_pdf((x - 1.0) / nm)) / nm;
                density * removed(Mechanism::Gaussian, nm, q, epsilon - loss)
            };
            integrate(rest, -10.0 * nm, 1.0 + 10.0 * nm, 1e-10, 1e-16).unwrap()
        };
        let mut top = 1e-6;
        while exact(top) > 1e-9 && top < 100.0 {
            top *= 1.5;
        }
        let epsilon = fraction * top;
        let delta = exact(epsilon);
        prop_assume!(delta > 1e-9);
        let (lower, upper) = epsilons(Neighboring::AddRemove, &one(Mechanism::Gaussian, nm, q, 2), delta);
        // The other direction can only ask for more.
        prop_assert!(epsilon <= upper * (1.0 + 1e-7), "{lower} {epsilon} {upper}, delta {delta}");
        prop_assert!(upper - lower <= 1e-3 * upper);
    }

    #[test]
    fn full_batches_nearly_sampled_agree_with_gdp(nm in log_uniform(1.0, 50.0), steps in 1..5000_u64, ln_delta in -27.0..-5.0_f64) {
        // A rate of 1 − 1e-11 takes the numerical way.
        let delta = ln_delta.exp();
        let exact = tradeoff::epsilon((steps as f64).sqrt() / nm, delta).unwrap();
        let (lower, upper) = epsilons(Neighboring::AddRemove, &one(Mechanism::Gaussian, nm, 1.0 - 1e-11, steps), delta);
        prop_assert!(lower <= exact * (1.0 + 1e-7) && exact <= upper * (1.0 + 1e-7), "{lower} {exact} {upper}");
        prop_assert!(upper - lower <= 1e-3 * upper);
    }

    #[test]
    fn bounds_meet_and_epsilon_is_monotone((relation, events) in setting(), ln_delta in -27.0..-7.0_f64, change in 0..4_u8) {
        let delta = ln_delta.exp();
        prop_assume!(!events.is_empty());
        let (lower, upper) = epsilons(relation, &events, delta);
        prop_assert!(lower <= upper && upper - lower <= 1e-3 * upper + 1e-12, "{lower} {upper}");
        // More privacy in one of four ways.
        let first = events[0];
        let (q, nm, steps) = (first.sample_rate(), first.noise_multiplier(), first.steps());
        let (first, delta) = match change {
            0 => (first.with_noise_multiplier(1.05 * nm).unwrap(), delta),
            1 if q < 1.0 => (Event::new(first.mechanism(), nm, 0.95 * q, steps).unwrap(), delta),
            2 => (first.with_steps(steps / 2), delta),
            _ => (first, 2.0 * delta),
        };
        let mut less = events;
        less[0] = first;
        let after = Pld::new(relation).epsilon(&less, delta).unwrap().upper;
        prop_assert!(after <= upper * (1.0 + 1e-3) + 1e-12, "{after} after {upper}");
    }
}

#[test]
fn both_directions_count() {
    // The remove direction is the larger one here: add alone, or both averaged, lies far below. That add is composed as
    // well is a test of `directions` itself, since no list is known in which it decides.
    let (nm, q, epsilon) = (1.0, 0.1, 0.3);
    let events = one(Mechanism::Gaussian, nm, q, 1);
    let delta = Pld::new(Neighboring::AddRemove).delta(&events, epsilon).unwrap().value;
    let (remove, add) = (removed(Mechanism::Gaussian, nm, q, epsilon), added(Mechanism::Gaussian, nm, q, epsilon));
    assert!(add < 0.9 * remove, "{add} {remove}");
    assert!(delta >= remove && delta < remove * (1.0 + 1e-3));
}

#[test]
fn replace_one_is_its_own_pair() {
    // δ of (1 − q)N(0) + qN(1) against (1 − q)N(0) + qN(−1) at ε = 0.3: 0.0096966 as dp_accounting has it. Add/remove
    // at half the noise would give 0.0418.
    let (sigma, q, epsilon): (f64, f64, f64) = (1.0, 0.1, 0.3);
    let c = (-0.5 / (sigma * sigma)).exp();
    let x = sigma * sigma * (0.5 * epsilon + ((1.0 - q) * (0.5 * epsilon).sinh() / (q * c)).asinh());
    let tail = |mean: f64| (1.0 - q) * normal_sf(x / sigma) + q * normal_sf((x - mean) / sigma);
    let exact = tail(1.0) - epsilon.exp() * tail(-1.0);
    assert!((exact - 0.009_696_6).abs() < 1e-7);
    let events = one(Mechanism::Gaussian, sigma, q, 1);
    let bound = Pld::new(Neighboring::ReplaceOne).delta(&events, epsilon).unwrap();
    assert!(bound.lower.unwrap() <= exact && exact <= bound.upper && bound.upper < exact * (1.0 + 1e-3));
}

#[test]
fn mass_is_split_between_edges_and_not_rounded() {
    // On a grid of 1e-2, losses rounded up would add up to T·h/2 = 5 to an ε of 1.83; both edges of a bin keep its mean.
    let events = one(Mechanism::Gaussian, 1.0, 0.01, 1000);
    let pld = Pld::new(Neighboring::AddRemove).with_grid(1e-2).unwrap();
    let bound = pld.epsilon(&events, 1e-5).unwrap();
    assert!(bound.upper < 1.95 && bound.lower.unwrap() > 1.7, "{bound:?}");
}

#[test]
fn small_deltas_survive_round_off() {
    // Untilted transforms give 0.5322 here.
    let (lower, upper) = epsilons(Neighboring::AddRemove, &one(Mechanism::Gaussian, 4.0, 0.01, 1000), 1e-12);
    assert!((upper - 0.530_06).abs() < 1e-4 && upper - lower < 1e-4, "{lower} {upper}");
    let (lower, upper) = epsilons(Neighboring::AddRemove, &one(Mechanism::Gaussian, 4.0, 0.01, 1000), 1e-15);
    assert!(lower > 0.53 && upper - lower < 1e-4 * upper, "{lower} {upper}");
}

#[test]
fn the_grid_follows_the_number_of_steps() {
    // A fixed step of 1e-4 adds 5e-4 to the ε of 10⁵ steps.
    let events = one(Mechanism::Gaussian, 1.0, 0.001, 100_000);
    let (lower, upper) = epsilons(Neighboring::AddRemove, &events, 1e-5);
    assert!(upper - lower < 1e-4 * upper, "{lower} {upper}");
    let fixed = Pld::new(Neighboring::AddRemove).with_grid(1e-4).unwrap().epsilon(&events, 1e-5).unwrap();
    assert!(fixed.upper > upper && fixed.lower.unwrap() < lower);
}

#[test]
fn rare_large_losses_are_found() {
    // One step in a thousand samples the example, and then its loss is what ε is made of: a tilt follows losses far
    // beyond ε, and a domain of some standard deviations would miss all of them.
    let events = one(Mechanism::Gaussian, 0.953, 3.77e-5, 296);
    let (lower, upper) = epsilons(Neighboring::AddRemove, &events, 8.5e-10);
    assert!(upper - lower < 1e-3 * upper && lower > 0.011, "{lower} {upper}");
}

#[test]
fn extreme_settings_end_with_valid_bounds() {
    for (nm, q, steps, delta) in [
        (1e-3, 1.0, 1_000_000_000, 1e-5),
        (1e-6, 0.5, 3, 1e-5),
        (1e6, 1e-6, 1_000_000_000_000, 1e-12),
        (1e9, 0.3, 10, 1e-9),
    ] {
        for mechanism in Mechanism::ALL {
            let (lower, upper) = epsilons(Neighboring::AddRemove, &one(mechanism, nm, q, steps), delta);
            assert!(lower >= 0.0 && lower <= upper, "{nm} {q} {steps}: {lower} {upper}");
        }
    }
}

#[test]
fn delta_zero_is_pure() {
    let (lower, upper) = epsilons(Neighboring::AddRemove, &one(Mechanism::Laplace, 1.0, 0.01, 100), 0.0);
    assert_eq!(lower, upper);
    assert!((upper - 1.703_686).abs() < 2e-6);
}

#[test]
fn random_lists_agree_with_dp_accounting() {
    // scripts/fixtures/accounting.py
    let text = include_str!("../fixtures/accounting.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    for row in file["rows"].as_array().unwrap() {
        let relation = Neighboring::ALL.into_iter().find(|r| row["neighboring"] == r.name()).unwrap();
        let event = |e: &serde_json::Value| {
            let mechanism = Mechanism::ALL.into_iter().find(|m| e["mechanism"] == m.name()).unwrap();
            let number = |key: &str| e[key].as_f64().unwrap();
            let (nm, q) = (number("noise_multiplier"), number("sample_rate"));
            Event::new(mechanism, nm, q, e["steps"].as_u64().unwrap()).unwrap()
        };
        let events: Vec<Event> = row["events"].as_array().unwrap().iter().map(event).collect();
        let (theirs, delta) = (row["epsilon"].as_f64().unwrap(), row["delta"].as_f64().unwrap());
        let (lower, upper) = epsilons(relation, &events, delta);
        assert!((upper / theirs - 1.0).abs() < 5e-4 && lower <= theirs, "{lower} {upper} for {theirs}: {row}");
        let prv = Pld::prv(relation).epsilon(&events, delta).unwrap().upper;
        assert!(prv >= lower && prv - theirs < 0.01, "{prv} for {theirs}: {row}");
    }
}
