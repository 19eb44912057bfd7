//! Calibration stays on the safe side and within 1e-4 of the target.

use ashlar_dp_core::{Accountant, Error, Event, Mechanism, Neighboring, calibrate, pld::Pld, zcdp::Zcdp};

fn event(mechanism: Mechanism, q: f64, steps: u64) -> Event {
    Event::new(mechanism, 1.0, q, steps).unwrap()
}

#[test]
fn the_target_is_met_from_below() {
    let pld = Pld::new(Neighboring::AddRemove);
    for (mechanism, q, steps, epsilon, delta) in [
        (Mechanism::Gaussian, 0.08192, 875, 1.0, 1e-5),
        (Mechanism::Gaussian, 0.01, 1000, 8.0, 1e-5),
        (Mechanism::Gaussian, 1.0, 100, 0.05, 1e-9),
        (Mechanism::Gaussian, 1e-4, 50_000, 0.3, 1e-7),
        (Mechanism::Laplace, 0.05, 300, 0.5, 1e-6),
        // Small ε must not blow the grid up (google/dpsynth, issue 71).
        (Mechanism::Gaussian, 0.001, 10_000, 0.01, 1e-5),
    ] {
        let shape = event(mechanism, q, steps);
        let found = calibrate(&pld, &shape, &[], epsilon, delta).unwrap();
        let again = pld.epsilon(&[shape.with_noise_multiplier(found.noise_multiplier).unwrap()], delta).unwrap().value;
        assert_eq!(again, found.epsilon);
        assert!(again <= epsilon && again > epsilon * (1.0 - 1e-4), "{shape}: {again} for {epsilon}");
    }
}

#[test]
fn what_is_spent_already_counts() {
    let pld = Pld::new(Neighboring::AddRemove);
    let spent = [Event::gaussian(5.0, 1.0, 4).unwrap()];
    let shape = event(Mechanism::Gaussian, 1.0, 10);
    let free = calibrate(&pld, &shape, &[], 2.0, 1e-6).unwrap();
    let tied = calibrate(&pld, &shape, &spent, 2.0, 1e-6).unwrap();
    assert!(tied.noise_multiplier > free.noise_multiplier);
    let events = [spent[0], shape.with_noise_multiplier(tied.noise_multiplier).unwrap()];
    assert!(pld.epsilon(&events, 1e-6).unwrap().value <= 2.0);
}

#[test]
fn a_budget_that_is_gone_is_out_of_reach() {
    let zcdp = Zcdp::new(Neighboring::AddRemove);
    let spent = [Event::gaussian(1.0, 1.0, 10).unwrap()];
    let shape = event(Mechanism::Gaussian, 1.0, 1);
    match calibrate(&zcdp, &shape, &spent, 0.5, 1e-5) {
        Err(Error::Unreachable { target, smallest, noise_multiplier }) => {
            assert_eq!((target, noise_multiplier), (0.5, 1e6));
            assert!(smallest > 0.5 && smallest.is_finite());
        }
        other => panic!("{other:?}"),
    }
}
