//! Oracle 7, and Flower's bias correction.

use ashlar_fl_core::optim::{Rule, ServerOptimizer};
use ashlar_fl_core::{Aggregate, Direction, Lr, ServerAlgo};

use crate::{close, fixture, floats, mean};

const DELTAS: [[f32; 3]; 2] = [[0.1, -0.2, 0.05], [0.3, 0.0, -0.1]];

fn path(rule: Rule, deltas: &[[f32; 3]]) -> Vec<Vec<f32>> {
    let mut server = ServerOptimizer::new(3, rule).unwrap();
    let mut w = vec![0.0; 3];
    let step = |delta: &[f32; 3]| {
        let aggregate = Aggregate::mean(delta.to_vec(), 1.0).pointing(Direction::Delta);
        server.step(&aggregate, Lr::Scalar(0.1), &mut w).unwrap();
        w.clone()
    };
    deltas.iter().map(step).collect()
}

#[test]
fn adam_yogi_and_adagrad_by_the_numbers() {
    let first = [0.090_909_1, -0.095_238_1, 0.083_333_3];
    let adagrad = Rule::FedAdagrad { beta1: 0.9, tau: 1e-3 };
    let cases = [
        ("adam", Rule::adam(), first, [0.210_515_5, -0.181_363_5, 0.038_137_1]),
        ("yogi", Rule::yogi(), first, [0.210_457_5, -0.180_952_4, 0.038_178_6]),
        ("adagrad", adagrad, [0.009_901, -0.009_950_2, 0.009_803_9], [0.022_195, -0.018_905_5, 0.004_928_2]),
    ];
    for (name, rule, one, two) in cases {
        let found = path(rule, &DELTAS);
        close(&found[0], &one, 3e-7);
        close(&found[1], &two, 3e-7);
        close(&found[1], &floats(&fixture()["optimisers"][name][1]), 3e-7);
    }
}

#[test]
fn bias_correction_counts_rounds_from_one() {
    let corrected = Rule::FedAdam { beta1: 0.9, beta2: 0.99, tau: 1e-3, bias_correction: true };
    let found = path(corrected, &DELTAS);
    for (found, expected) in found.iter().zip(fixture()["optimisers"]["adam_corrected"].as_array().unwrap()) {
        close(found, &floats(expected), 3e-7);
    }
    // The first factor's exponents are 2.
    let factor = (1.0f64 - 0.99f64.powi(2)).sqrt() / (1.0 - 0.81);
    close(&found[0][..1], &[0.090_909_09 * factor], 1e-7);
}

/// sign(0) is 0: a coordinate whose v equals Δ² stays, where f32::signum would shrink it.
#[test]
fn yogi_leaves_v_alone_where_it_equals_the_square() {
    let mut server = ServerOptimizer::new(1, Rule::FedYogi { beta1: 0.0, beta2: 0.5, tau: 1.0 }).unwrap();
    let state = [("m", vec![0.0]), ("v", vec![0.25]), ("rounds", vec![1.0])];
    server.load(&state.map(|(name, values)| (name.to_owned(), values))).unwrap();
    server.step(&mean(vec![0.5]), Lr::Scalar(1.0), &mut [0.0]).unwrap();
    assert_eq!(server.save()[1].1, [0.25]);
}

#[test]
fn fedavgm_is_heavy_ball() {
    let found = path(Rule::FedAvgM { momentum: 0.5 }, &[[1.0, 0.0, -2.0]; 2]);
    close(&found[0], &[0.1, 0.0, -0.2], 1e-7);
    close(&found[1], &[0.25, 0.0, -0.5], 1e-7);
}

#[test]
fn a_gradient_is_turned_into_a_delta() {
    let mut server = ServerOptimizer::new(1, Rule::FedAvgM { momentum: 0.0 }).unwrap();
    let mut w = [0.0];
    server.step(&mean(vec![2.0]), Lr::Scalar(0.5), &mut w).unwrap();
    assert_eq!(w, [-1.0]);
}

#[test]
fn constants_out_of_range_are_refused() {
    for rule in [
        Rule::FedAvgM { momentum: 1.0 },
        Rule::FedAvgM { momentum: f32::NAN },
        Rule::FedAdagrad { beta1: -0.1, tau: 1e-3 },
        Rule::FedAdagrad { beta1: 0.0, tau: 0.0 },
        Rule::FedYogi { beta1: 0.9, beta2: 1.5, tau: 1e-3 },
        Rule::FedAdam { beta1: 0.9, beta2: 0.99, tau: f32::INFINITY, bias_correction: false },
    ] {
        assert!(ServerOptimizer::new(3, rule).unwrap_err().is_input());
    }
}
