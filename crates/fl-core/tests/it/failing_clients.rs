//! Clients that send NaN, a wrong length or nothing never stop a round.

use ashlar_fl_core::{Error, Update, Values};

use crate::{config, simulation};

fn dense(update: &mut Update) -> &mut Vec<f32> {
    match &mut update.values {
        Values::Dense(values) => values,
        Values::Sparse(_) => panic!("this mode sends dense updates"),
    }
}

#[test]
fn they_are_dropped_and_counted() {
    for mode in ["uncompressed", "true-topk", "sketch"] {
        let mut simulation =
            simulation(config(&format!("[server]\nrounds = 4\nmode = '{mode}'\nk = 300\ncols = 1500")));
        let turn = std::sync::atomic::AtomicUsize::new(0);
        simulation.tamper_with(Box::new(move |round, mut update| {
            let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 10;
            match (round, turn) {
                (1, 0) => dense(&mut update)[3] = f32::NAN,
                (1, 1) => dense(&mut update)[0] = f32::INFINITY,
                (2, 0) => dense(&mut update).truncate(7),
                (2, 1..4) => return None,
                _ => {}
            }
            Some(update)
        }));
        let rounds = simulation.run_to_end().unwrap();
        let dropped: Vec<usize> = rounds.iter().map(|record| record.dropped_nonfinite).collect();
        assert_eq!(dropped, [0, 2, 4, 0], "{mode}");
        assert!(simulation.weights().iter().all(|w| w.is_finite()));
        assert_eq!(simulation.result().unwrap()["dropped_nonfinite"], 6);
    }
}

#[test]
fn a_robust_rule_goes_on_without_them() {
    let toml = "[server]\nrounds = 2\nmode = 'fedavg'\n[client]\nlr = 0.1\n[defence]\nname = 'trimmed-mean'\nf = 2";
    let mut simulation = simulation(config(toml));
    let gone = std::sync::atomic::AtomicUsize::new(0);
    simulation.tamper_with(Box::new(move |_, mut update| {
        if gone.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 10 < 3 {
            dense(&mut update)[0] = f32::NAN;
        }
        Some(update)
    }));
    let rounds = simulation.run_to_end().unwrap();
    assert!(rounds.iter().all(|record| record.dropped_nonfinite == 3));
}

#[test]
fn too_many_are_an_error_of_the_run() {
    let mut simulation = simulation(config("[server]\nrounds = 2\nmax_drop = 0.2"));
    let count = std::sync::atomic::AtomicUsize::new(0);
    simulation.tamper_with(Box::new(move |_, update| {
        (count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3).then_some(update)
    }));
    let error = simulation.step().unwrap_err();
    assert!(matches!(error, Error::TooManyDropped { dropped: 3, clients: 10, max_drop: 2 }), "{error}");
    assert!(!error.is_input());
}

#[test]
fn a_run_that_diverges_says_so() {
    let mut simulation = simulation(config("[server]\nrounds = 60\nlr = 1e30\nmax_drop = 1.0"));
    let error = simulation.run_to_end().unwrap_err();
    assert!(!error.is_input(), "{error}");
}
