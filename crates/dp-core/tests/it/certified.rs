//! The numerical accountants against values that are known exactly, and the laws that every setting obeys.

use ashlar_dp_core::{Accountant, Bound, Event, Mechanism, Neighboring, pld::Pld};
use ashlar_stats::special::{normal_cdf, normal_sf};
use proptest::prelude::*;

/// δ at ε of one Poisson-subsampled Gaussian step under add-remove: the larger of both hockey sticks, whose regions are
/// half-lines.
fn gaussian_step(sigma: f64, q: f64, epsilon: f64) -> f64 {
    // The x at which the mixture is e^l times the density without the example.
    let x = |l: f64| sigma * sigma * ((l.exp_m1() + q) / q).ln() + 0.5;
    let at = x(epsilon);
    let remove =
        (1.0 - q) * normal_sf(at / sigma) + q * normal_sf((at - 1.0) / sigma) - epsilon.exp() * normal_sf(at / sigma);
    if (-epsilon).exp() <= 1.0 - q {
        return remove.max(0.0);
    }
    let at = x(-epsilon);
    let mixture = (1.0 - q) * normal_cdf(at / sigma) + q * normal_cdf((at - 1.0) / sigma);
    remove.max(normal_cdf(at / sigma) - epsilon.exp() * mixture).max(0.0)
}

/// The same under replace-one: mixtures at +1 and −1, whose ratio rises with x.
fn replaced_gaussian_step(sigma: f64, q: f64, epsilon: f64) -> f64 {
    let part = |x: f64, side: f64| (-0.5 * ((x - side) / sigma).powi(2)).exp();
    let ln_ratio = |x: f64| {
        ((1.0 - q) * part(x, 0.0) + q * part(x, 1.0)).ln() - ((1.0 - q) * part(x, 0.0) + q * part(x, -1.0)).ln()
    };
    let (mut low, mut high) = (0.0, 30.0 * sigma);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if ln_ratio(middle) < epsilon { low = middle } else { high = middle }
    }
    let mass = |side: f64| (1.0 - q) * normal_sf(low / sigma) + q * normal_sf((low - side) / sigma);
    mass(1.0) - epsilon.exp() * mass(-1.0)
}

/// The same for one Laplace step with loss in [−top, top], by both hockey sticks.
fn laplace_step(scale: f64, q: f64, epsilon: f64) -> f64 {
    // Without sampling δ(ε) = 1 − e^((ε − 1/b)/2) for ε ≥ 0, and 1 − e^ε + e^ε·δ(−ε) for ε < 0.
    let plain = |e: f64| -((e - 1.0 / scale) / 2.0).exp_m1().min(0.0);
    // (1 − q)·Q + q·P against Q: q times the stick of P against Q at ln(1 + (e^ε − 1)/q).
    let remove = q * plain((epsilon.exp_m1() / q).ln_1p());
    // Q against (1 − q)·Q + q·P: (1 − e^ε(1 − q))·max over events of Q − c·P, c = e^ε·q/(1 − e^ε(1 − q)).
    let left = 1.0 - epsilon.exp() * (1.0 - q);
    let add = if left > 0.0 { left * plain((epsilon.exp() * q / left).ln()) } else { 0.0 };
    remove.max(add)
}

fn contains(bound: &Bound, exact: f64) -> Result<(), TestCaseError> {
    let lower = bound.lower.unwrap_or(0.0);
    prop_assert!(lower <= exact * (1.0 + 1e-9) + 1e-13, "lower bound {lower} above {exact}");
    prop_assert!(bound.upper >= exact * (1.0 - 1e-9) - 1e-13, "upper bound {} below {exact}", bound.upper);
    prop_assert!(bound.upper - lower <= 1e-3 * bound.upper + 1e-9, "{lower} to {} is wide", bound.upper);
    Ok(())
}

fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn one_gaussian_step_is_known(sigma in log_uniform(0.4, 20.0), q in log_uniform(1e-4, 0.999), share in 0.02..0.95_f64) {
        // An ε between 0 and where δ falls below 1e-12.
        let mut end = 1e-3;
        while gaussian_step(sigma, q, end) > 1e-12 && end < 50.0 {
            end *= 1.3;
        }
        let epsilon = share * end;
        let delta = gaussian_step(sigma, q, epsilon);
        prop_assume!(delta > 1e-13 && epsilon > 1e-3);
        let events = [Event::gaussian(sigma, q, 1).unwrap()];
        let pld = Pld::new(Neighboring::AddRemove);
        contains(&pld.epsilon(&events, delta).unwrap(), epsilon)?;
        contains(&pld.delta(&events, epsilon).unwrap(), delta)?;
    }

    #[test]
    fn one_replaced_gaussian_step_is_known(sigma in log_uniform(0.5, 10.0), q in log_uniform(1e-3, 0.9), epsilon in log_uniform(0.01, 4.0)) {
        let delta = replaced_gaussian_step(sigma, q, epsilon);
        prop_assume!(delta > 1e-12);
        let events = [Event::gaussian(sigma, q, 1).unwrap()];
        let bound = Pld::new(Neighboring::ReplaceOne).epsilon(&events, delta).unwrap();
        let lower = bound.lower.unwrap_or(0.0);
        prop_assert!(lower <= epsilon * (1.0 + 1e-6) && bound.upper >= epsilon * (1.0 - 1e-6), "{lower} {} {epsilon}", bound.upper);
    }

    #[test]
    fn one_laplace_step_is_known(scale in log_uniform(0.3, 20.0), q in log_uniform(1e-4, 1.0), share in 0.02..0.95_f64) {
        let largest = (q * (1.0 / scale).exp_m1()).ln_1p();
        let epsilon = share * largest;
        let delta = laplace_step(scale, q, epsilon);
        prop_assume!(delta > 1e-12);
        let bound = Pld::new(Neighboring::AddRemove).epsilon(&[Event::laplace(scale, q, 1).unwrap()], delta).unwrap();
        contains(&bound, epsilon)?;
    }
}

/// A run of one to three kinds of steps with an ε of a sensible size.
#[derive(Clone, Debug)]
struct Run {
    neighboring: Neighboring,
    events: Vec<Event>,
    delta: f64,
}

fn event(replace_one: bool) -> impl Strategy<Value = Event> {
    let rate = prop_oneof![1 => Just(1.0), 3 => log_uniform(1e-6, 1.0)];
    (rate, log_uniform(1.0, 1e5), log_uniform(0.5, 10.0), 0..4_u8).prop_map(move |(q, steps, room, kind)| {
        let steps = steps as u64;
        let laplace = kind == 0 && !(replace_one && q < 1.0);
        let noise = (room * q * (steps as f64).sqrt()).max(0.5);
        let mechanism = if laplace { Mechanism::Laplace } else { Mechanism::Gaussian };
        Event::new(mechanism, noise, q, steps).unwrap()
    })
}

fn run() -> impl Strategy<Value = Run> {
    (0..3_usize, log_uniform(1e-12, 1e-3)).prop_flat_map(|(relation, delta)| {
        let neighboring = Neighboring::ALL[relation];
        let events = prop::collection::vec(event(neighboring == Neighboring::ReplaceOne), 1..3);
        events.prop_map(move |events| Run { neighboring, events, delta })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Bounds agree, and ε falls with σ and δ and rises with q and T.
    #[test]
    fn every_run_obeys_the_laws(run in run()) {
        let pld = Pld::new(run.neighboring);
        let of = |events: &[Event], delta: f64| pld.epsilon(events, delta).unwrap();
        let base = of(&run.events, run.delta);
        let lower = base.lower.unwrap_or(0.0);
        prop_assert!(base.value == base.upper && lower <= base.upper);
        prop_assert!(base.upper - lower <= 1e-3 * base.upper + 1e-9, "{lower} to {} is wide", base.upper);

        let first = run.events[0];
        let with = |event: Event| [&[event][..], &run.events[1..]].concat();
        let less = |bound: &Bound, what: &str| {
            // A change that costs less than the bounds differ may show as much as that.
            let (most, least) = (base.upper * (1.0 + 1e-4), bound.lower.unwrap_or(0.0));
            prop_assert!(bound.upper <= most && least <= base.upper, "{what}: {bound:?} above {base:?}");
            Ok(())
        };
        less(&of(&with(first.with_noise_multiplier(1.2 * first.noise_multiplier()).unwrap()), run.delta), "more noise")?;
        less(&of(&run.events, (1.5 * run.delta).min(0.5)), "a larger δ")?;
        // Under replace-one the unsampled mechanism is another one, and fewer steps would be a free one.
        if first.sample_rate() < 1.0 {
            let rarer = Event::new(first.mechanism(), first.noise_multiplier(), 0.8 * first.sample_rate(), first.steps());
            less(&of(&with(rarer.unwrap()), run.delta), "a smaller q")?;
        }
        if first.steps() > 3 {
            less(&of(&with(first.with_steps(first.steps() * 3 / 4)), run.delta), "fewer steps")?;
        }
    }
}

/// A Gaussian of full batches is exact however its steps are written down, and numerical composition contains it.
#[test]
fn composition_contains_the_gaussian_closed_form() {
    for (sigma, steps, delta) in [(4.0, 40, 1e-5), (30.0, 900, 1e-10), (1.5, 3, 1e-3)] {
        let whole = [Event::gaussian(sigma, 1.0, steps).unwrap()];
        let exact = Pld::new(Neighboring::AddRemove).epsilon(&whole, delta).unwrap();
        assert_eq!(exact.lower, Some(exact.upper));
        // A Laplace step that costs next to nothing forces the numerical way.
        let forced = [whole[0], Event::laplace(1e9, 1.0, 1).unwrap()];
        let bound = Pld::new(Neighboring::AddRemove).epsilon(&forced, delta).unwrap();
        assert!(bound.lower.unwrap() <= exact.value * (1.0 + 1e-7), "{bound:?} {exact:?}");
        assert!(bound.upper >= exact.value * (1.0 - 1e-12), "{bound:?} {exact:?}");
        assert!(bound.upper - bound.lower.unwrap() <= 1e-3 * exact.value, "{bound:?}");
    }
}

/// google/dpsynth's issue 71: calibrating ε = 0.01 took more than 75 GB. Here the grid has a cap.
#[test]
fn a_small_epsilon_costs_little() {
    let events = [Event::gaussian(300.0, 0.01, 10_000).unwrap()];
    let bound = Pld::new(Neighboring::AddRemove).epsilon(&events, 1e-6).unwrap();
    assert!(bound.upper < 0.05 && bound.upper - bound.lower.unwrap() < 1e-3 * bound.upper, "{bound:?}");
}
