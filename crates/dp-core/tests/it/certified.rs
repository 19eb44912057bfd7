//! The numerical accountants against values that are known exactly.

use ashlar_dp_core::{Accountant, Event, Neighboring, pld::Pld};
use ashlar_stats::special::normal_sf;
use proptest::prelude::*;

use crate::losses::log_uniform;

/// δ at ε of one Poisson-subsampled Gaussian step under replace-one: mixtures at +1 and −1, whose ratio rises with x.
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn one_replaced_gaussian_step_is_known(sigma in log_uniform(0.5, 10.0), q in log_uniform(1e-3, 0.9), epsilon in log_uniform(0.01, 4.0)) {
        let delta = replaced_gaussian_step(sigma, q, epsilon);
        prop_assume!(delta > 1e-12);
        let events = [Event::gaussian(sigma, q, 1).unwrap()];
        let bound = Pld::new(Neighboring::ReplaceOne).epsilon(&events, delta).unwrap();
        let lower = bound.lower.unwrap_or(0.0);
        prop_assert!(lower <= epsilon * (1.0 + 1e-6) && bound.upper >= epsilon * (1.0 - 1e-6), "{lower} {} {epsilon}", bound.upper);
    }
}

/// A Gaussian of full batches is exact however its steps are written down, and numerical composition contains it.
#[test]
fn composition_contains_the_gaussian_closed_form() {
    for (sigma, steps, delta) in [
        (4.0, 40, 1e-5),
        (30.0, 900, 1e-10),
        (1.5, 3, 1e-3),
        (0.3, 48_395, 1.4e-6),
        (0.05, 900, 1e-8),
        (0.1, 40_000, 1e-5),
    ] {
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

/// Numbers run out on a grid much wider than the losses: no answer is then no bound, not ε = 0.
#[test]
fn a_grid_too_wide_bounds_nothing() {
    let steps = Event::gaussian(1.0, 1.0, 5).unwrap();
    let exact = Pld::new(Neighboring::ReplaceOne).epsilon(&[steps], 1.4e-6).unwrap().value;
    let list = [steps, Event::gaussian(3.17, 1.3e-4, 10_676).unwrap()];
    for grid in [1.0, 3.0, 10.0, 20.0, 50.0, 100.0] {
        let bound = Pld::new(Neighboring::ReplaceOne).with_grid(grid).unwrap().epsilon(&list, 1.4e-6).unwrap();
        assert!(bound.upper >= exact && bound.lower.unwrap() <= exact + 0.01, "{grid}: {bound:?} for {exact}");
    }
}

/// Sampled steps beside a Gaussian whose loss is far larger add next to nothing to its closed form.
#[test]
fn a_large_gaussian_hides_small_steps() {
    let whole = Event::gaussian(0.623_471_262_548_010_2, 1.0, 48_395).unwrap();
    let list = [whole, Event::gaussian(3.17, 1.3e-4, 10_676).unwrap(), Event::gaussian(1.9, 4e-5, 1).unwrap()];
    let pld = Pld::new(Neighboring::ReplaceOne);
    let exact = pld.epsilon(&[whole], 1.355_977e-6).unwrap().value;
    let bound = pld.epsilon(&list, 1.355_977e-6).unwrap();
    assert!(bound.upper >= exact && bound.lower.unwrap() <= exact + 0.05, "{bound:?} for {exact}");
}
