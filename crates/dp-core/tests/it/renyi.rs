//! The Rényi accountant against its closed forms and its own laws.

use ashlar_dp_core::{
    Accountant, Event, Mechanism, Neighboring,
    gdp::Gdp,
    pure::Pure,
    rdp::{Orders, Rdp},
    zcdp::Zcdp,
};
use proptest::prelude::*;

const ADD: Neighboring = Neighboring::AddRemove;

fn epsilon(accountant: &dyn Accountant, events: &[Event], delta: f64) -> f64 {
    accountant.epsilon(events, delta).unwrap().value
}

#[test]
fn relations_scale_full_batches_as_the_pair_does() {
    let one = [Event::gaussian(2.0, 1.0, 10).unwrap()];
    let half = [Event::gaussian(1.0, 1.0, 10).unwrap()];
    let laplace = ([Event::laplace(4.0, 1.0, 10).unwrap()], [Event::laplace(2.0, 1.0, 10).unwrap()]);
    let replace = Neighboring::ReplaceOne;
    assert_eq!(epsilon(&Rdp::new(replace), &one, 1e-5), epsilon(&Rdp::new(ADD), &half, 1e-5));
    assert_eq!(epsilon(&Rdp::new(replace), &laplace.0, 1e-5), epsilon(&Rdp::new(ADD), &laplace.1, 1e-5));
    assert_eq!(epsilon(&Zcdp::new(replace), &one, 1e-5), epsilon(&Zcdp::new(ADD), &half, 1e-5));
    assert_eq!(epsilon(&Gdp::new(replace), &one, 1e-5), epsilon(&Gdp::new(ADD), &half, 1e-5));
    assert_eq!(epsilon(&Pure::new(replace), &laplace.0, 0.0), epsilon(&Pure::new(ADD), &laplace.1, 0.0));
    for special in [Neighboring::ReplaceSpecial, ADD] {
        assert_eq!(epsilon(&Rdp::new(special), &one, 1e-5), epsilon(&Rdp::new(ADD), &one, 1e-5));
    }
}

#[test]
fn zcdp_is_rdp_over_real_orders() {
    let events = [Event::gaussian(50.0, 1.0, 100).unwrap()];
    let rdp = Rdp::new(ADD).with_orders(Orders::Continuous).epsilon(&events, 1e-5).unwrap();
    let zcdp = Zcdp::new(ADD).epsilon(&events, 1e-5).unwrap();
    assert!((rdp.value / zcdp.value - 1.0).abs() < 1e-9);
    assert!((rdp.order.unwrap() / zcdp.order.unwrap() - 1.0).abs() < 1e-3);
}

#[test]
fn pure_delta_is_that_of_randomised_response() {
    let events = [Event::laplace(1.0, 1.0, 1).unwrap()];
    let at = |epsilon| Pure::new(ADD).delta(&events, epsilon).unwrap().value;
    assert_eq!(at(1.0), 0.0);
    let exact = (1.0_f64.exp() - 0.5_f64.exp()) / (1.0_f64.exp() + 1.0);
    assert!((at(0.5) - exact).abs() < 1e-15);
}

fn event() -> impl Strategy<Value = Event> {
    (prop_oneof![Just(Mechanism::Gaussian), Just(Mechanism::Laplace)], -0.7..2.0_f64, -6.0..0.0_f64, 1..100_000_u64)
        .prop_map(|(mechanism, nm, q, steps)| Event::new(mechanism, 10_f64.powf(nm), 10_f64.powf(q), steps).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// More noise, rarer sampling, fewer steps or a larger δ never cost more; δ(ε) inverts ε(δ).
    #[test]
    fn epsilon_is_monotone_and_delta_inverts_it(event in event(), ln_delta in -27.0..-2.0_f64, more in 1.0..3.0_f64) {
        let (rdp, delta) = (Rdp::new(ADD), ln_delta.exp());
        let at = |event: Event, delta| epsilon(&rdp, &[event], delta);
        let base = at(event, delta);
        // Rounding of the moments, nothing else.
        let slack = 1e-9 * base + 1e-12;
        prop_assert!(base >= 0.0 && base.is_finite());
        prop_assert!(at(event.with_noise_multiplier(event.noise_multiplier() * more).unwrap(), delta) <= base + slack);
        let rarer = Event::new(event.mechanism(), event.noise_multiplier(), event.sample_rate() / more, event.steps()).unwrap();
        prop_assert!(at(rarer, delta) <= base + slack);
        prop_assert!(at(event.with_steps(event.steps() / 2), delta) <= base + slack);
        prop_assert!(at(event, (delta * more).min(0.5)) <= base + slack);
        if base > 0.0 {
            let back = rdp.delta(&[event], base).unwrap().value;
            prop_assert!(back <= delta * (1.0 + 1e-6), "{back} {delta}");
        }
    }

    /// Real orders are no worse than the grid; a list and its parts add up in the moments, not in ε.
    #[test]
    fn continuous_orders_and_composition(a in event(), b in event(), ln_delta in -27.0..-2.0_f64) {
        let delta = ln_delta.exp();
        let grid = epsilon(&Rdp::new(ADD), &[a, b], delta);
        let real = epsilon(&Rdp::new(ADD).with_orders(Orders::Continuous), &[a, b], delta);
        prop_assert!(real <= grid * (1.0 + 1e-9) + 1e-12, "{real} {grid}");
        prop_assert_eq!(grid, epsilon(&Rdp::new(ADD), &[b, a], delta));
        prop_assert!(epsilon(&Rdp::new(ADD), &[a], delta) <= grid * (1.0 + 1e-9));
    }

    /// Never below the exact value where a closed form gives it.
    #[test]
    fn full_batches_stay_above_the_exact_value(nm in -0.5..2.5_f64, steps in 1..1000_u64, ln_delta in -27.0..-2.0_f64) {
        let (events, delta) = ([Event::gaussian(10_f64.powf(nm), 1.0, steps).unwrap()], ln_delta.exp());
        let exact = epsilon(&Gdp::new(ADD), &events, delta);
        for bound in [epsilon(&Rdp::new(ADD), &events, delta), epsilon(&Zcdp::new(ADD), &events, delta)] {
            prop_assert!(bound >= exact * (1.0 - 1e-9), "{bound} {exact}");
        }
    }
}
