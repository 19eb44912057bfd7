//! Each mode learns, and says what it cost.

use crate::{config, hashes, records, simulation};

const MODES: &[(&str, &str)] = &[
    ("uncompressed", ""),
    ("true-topk", "k = 2000"),
    ("sketch", "k = 800\ncols = 2000"),
    ("local-topk", "k = 2000\nmomentum = 0.0\nlr = 1.0"),
];

#[test]
fn every_mode_learns() {
    let mut settings: Vec<(String, String)> =
        MODES.iter().map(|(mode, more)| ((*mode).to_owned(), format!("[server]\nmode = '{mode}'\n{more}"))).collect();
    settings.push((
        "fedavg".to_owned(),
        "[server]\nmode = 'fedavg'\nmomentum = 0.5\nlr = 1.0\n[client]\nlr = 0.1\nbatch = 5\nepochs = 2".to_owned(),
    ));
    settings.push((
        "sparsefed".to_owned(),
        "[server]\nmode = 'sparsefed'\nk = 2000\nmomentum = 0.5\n[clip]\nl2 = 3.0".to_owned(),
    ));
    for (mode, toml) in settings {
        let mut simulation = simulation(config(&toml.replace("[server]", "[server]\nrounds = 60")));
        let rounds = simulation.run_to_end().unwrap();
        let first = rounds[0].train_loss.unwrap();
        let last = rounds.last().unwrap();
        assert!(last.train_loss.unwrap() < 0.97 * first, "{mode}: loss {first} -> {:?}", last.train_loss);
        assert!(last.test_acc.unwrap() > 0.15, "{mode}: {:?}", last.test_acc);
        let result = simulation.result().unwrap();
        assert_eq!(result["mode"], mode);
        assert_eq!(result["w_hash"], last.w_hash);
    }
}

#[test]
fn evaluations_come_when_due() {
    let rounds = records(&config("[server]\nrounds = 25"), 2);
    let measured: Vec<usize> =
        rounds.iter().filter(|record| record.test_acc.is_some()).map(|record| record.round).collect();
    assert_eq!(measured, [9, 19, 24]);
}

#[test]
fn validation_examples_are_apart_from_the_test_set() {
    let mut simulation = simulation(config("[data]\nvalidation = 100\n[server]\nrounds = 10"));
    let federation = simulation.federation();
    assert_eq!((federation.test.len(), federation.validation.as_ref().unwrap().len()), (200, 100));
    let last = simulation.run_to_end().unwrap().pop().unwrap();
    assert!(last.val_acc.is_some() && last.test_acc.is_some());
}

#[test]
fn bytes_follow_the_published_rules() {
    let uncompressed = records(&config("[server]\nrounds = 3"), 2);
    let d = simulation(config("")).weights().len() as u64;
    assert_eq!(uncompressed[0].bytes_down_paper, 0, "the first weights come from the seed");
    assert!(uncompressed.iter().all(|record| record.bytes_up_paper == 10 * 4 * d));
    let sketch = records(&config("[server]\nmode = 'sketch'\nk = 100\ncols = 500\nrounds = 3"), 2);
    assert!(sketch.iter().all(|record| record.bytes_up_paper == 10 * 4 * 5 * 500));
    assert_eq!(sketch[1].bytes_down_paper, 10 * 4 * sketch[0].update_nnz as u64);
    let local = records(&config("[server]\nmode = 'local-topk'\nk = 50\nmomentum = 0.0\nrounds = 2"), 2);
    assert!(local.iter().all(|record| record.bytes_up_paper == 10 * 4 * 50));
}

#[test]
fn sketching_each_client_gives_the_bits_of_sketching_the_sum() {
    let of_sum = config("[server]\nmode = 'sketch'\nk = 200\ncols = 1000\nrounds = 8");
    let mut of_each = of_sum.clone();
    of_each.server.sketch_per_client = true;
    assert_eq!(hashes(&records(&of_sum, 2)), hashes(&records(&of_each, 2)));
}

#[test]
fn without_fixed_point_the_result_is_near() {
    let exact = config("[server]\nrounds = 5");
    let mut floating = exact.clone();
    floating.dist.exact = false;
    let mut a = simulation(exact);
    let mut b = simulation(floating);
    a.run_to_end().unwrap();
    b.run_to_end().unwrap();
    let distance = a.weights().iter().zip(b.weights()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(distance < 1e-5, "{distance}");
}

#[test]
fn an_epoch_uses_every_example_once() {
    let config = config("[data]\nsampling = 'epoch_exhaust'\n[client]\nbatch = 5\n[server]\nrounds = 20");
    // 50 clients · 20 examples = 20 rounds · 10 clients · 5 examples.
    let rounds = records(&config, 2);
    assert!(rounds.iter().all(|record| record.train_loss.is_some()));
}

#[test]
fn csvec_and_poly61_hashes_train_too() {
    for hash in ["poly61", "csvec"] {
        let toml = format!("[server]\nmode = 'sketch'\nhash = '{hash}'\nk = 200\ncols = 1000\nrounds = 5");
        let rounds = records(&config(&toml), 2);
        assert!(rounds[4].train_loss.unwrap() < rounds[0].train_loss.unwrap(), "{hash}");
    }
}
