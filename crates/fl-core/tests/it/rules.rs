//! Settings and rules that must not quietly mean something else.

use ashlar_fl_core::{Error, config::RunConfig};

use crate::{config, records, simulation};

/// Whether the settings are refused with a conflict of these two keys.
fn conflicts(config: &RunConfig, keys: (&str, &str)) -> bool {
    config.problems().iter().any(|problem| match problem {
        Error::Conflict { first, second, .. } => (*first, *second) == keys,
        _ => false,
    })
}

const SPARSEFED: &str = "[server]\nmode = 'sparsefed'\nk = 500\nrounds = 3\n[clip]\nl2 = 1.0\n";

#[test]
fn a_certificate_covers_the_attackers_that_a_share_can_put_into_a_round() {
    let bound = |more: &str| records(&config(&format!("{SPARSEFED}{more}")), 2)[0].certificate_l1.unwrap();
    let attack = "[attack]\nname = 'baseline'\nrounds = 1\nstart = 2\nattackers = 1\n";
    let ten = bound(&format!("{attack}fraction = 0.4"));
    assert!(ten > bound(attack));
    assert_eq!(ten, bound(&format!("{attack}fraction = 0.9")), "no more than per_round");
}

#[test]
fn there_is_no_certificate_for_a_rule_in_place_of_the_mean() {
    let attack = "[attack]\nname = 'baseline'\nrounds = 1\nstart = 2\n";
    let of_median = config(&format!("{SPARSEFED}{attack}[defence]\nname = 'median'"));
    assert!(records(&of_median, 2).iter().all(|record| record.certificate_l1.is_none()));
    let mut asked = of_median;
    asked.server.certify = Some(2);
    assert!(conflicts(&asked, ("server.certify", "defence.name")));
}

#[test]
fn the_bound_reaches_sparse_updates() {
    let toml = "[server]\nmode = 'local-topk'\nk = 200\nrounds = 1\nmomentum = 0.0\nlr = 1.0\n";
    let moved = |more: &str| {
        let mut simulation = simulation(config(&format!("{toml}{more}")));
        let before = simulation.weights().to_vec();
        let record = simulation.step().unwrap();
        let distance = before.iter().zip(simulation.weights()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        (distance.sqrt(), record.clip_fraction)
    };
    assert!(moved("").0 > 0.1);
    let (distance, share) = moved("[clip]\nl2 = 0.01\n[defence]\nname = 'norm-clip'");
    assert!(distance <= 0.01 * 1.001, "{distance}");
    assert_eq!(share, Some(1.0));
}

#[test]
fn rules_that_need_whole_updates_refuse_sparse_ones() {
    for name in ["weak-dp", "median", "krum"] {
        let settings = config(&format!("[server]\nmode = 'local-topk'\n[clip]\nl2 = 1.0\n[defence]\nname = '{name}'"));
        assert!(conflicts(&settings, ("defence.name", "server.mode")), "{name}");
    }
}

#[test]
fn updates_are_means_with_momentum_at_the_clients_too() {
    let largest = |more: &str| {
        let toml = format!("[server]\nmode = 'true-topk'\nk = 500\nrounds = 1\n{more}");
        let mut simulation = simulation(config(&toml));
        let norms = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = norms.clone();
        simulation.tamper_with(Box::new(move |_, update| {
            assert_eq!((update.scale, update.weight), (20.0, 20.0));
            seen.lock().unwrap().push(ashlar_fl_core::client::l2(update.values.sent()));
            Some(update)
        }));
        simulation.step().unwrap();
        let norms = norms.lock().unwrap();
        norms.iter().copied().fold(0.0, f64::max)
    };
    // v starts at 0, so that the first round's updates are those without momentum.
    let (without, with) = (largest(""), largest("[client]\nmomentum = 0.9"));
    assert!((with / without - 1.0).abs() < 1e-5, "{with} {without}");
}

#[test]
fn rules_that_need_whole_updates_refuse_sketches() {
    for name in ["weak-dp", "median", "trimmed-mean", "krum", "multi-krum", "bulyan"] {
        for more in ["", "sketch_per_client = true\n", "[client]\nmax_grad_norm = 1.0\n[dist]\nexact = false\n"] {
            let settings =
                config(&format!("[server]\nmode = 'sketch'\n{more}[clip]\nl2 = 1.0\n[defence]\nname = '{name}'"));
            assert!(conflicts(&settings, ("defence.name", "server.mode")), "{name}");
        }
    }
    let toml = "[server]\nmode = 'sketch'\n[clip]\nl2 = 1.0\n[defence]\nname = 'norm-clip'";
    assert!(config(toml).problems().is_empty());
}

#[test]
fn adaptive_optimisers_have_small_learning_rates_of_their_own() {
    for (optimizer, lr) in [("momentum", 1.0), ("adam", 0.1), ("yogi", 0.01), ("adagrad", 0.1)] {
        let mut settings = config(&format!("[server]\nmode = 'fedavg'\noptimizer = '{optimizer}'\n[client]\nlr = 0.1"));
        settings.server.lr = None;
        settings.resolve(1000, 10).unwrap();
        assert_eq!(settings.server.lr, Some(lr), "{optimizer}");
    }
}

#[test]
fn pgd_projects_a_gradient_too() {
    let update = |more: &str| {
        let toml = format!(
            "[server]\nmode = 'uncompressed'\nper_round = 1\nrounds = 2\nmomentum = 0.0\nlr = 1.0\n[attack]\n\
             name = 'pgd'\nstart = 1\nrounds = 1\n{more}"
        );
        let mut simulation = simulation(config(&toml));
        simulation.step().unwrap();
        let before = simulation.weights().to_vec();
        simulation.step().unwrap();
        let change: Vec<f32> = before.iter().zip(simulation.weights()).map(|(a, b)| a - b).collect();
        ashlar_fl_core::client::l2(&change)
    };
    assert!(update("radius = 1e6") > 0.02);
    assert!((update("radius = 0.01") - 0.01).abs() < 1e-4);
}

#[test]
fn settings_of_local_poisoning_need_local_training() {
    for (key, value) in [("lr", "0.1"), ("epochs", "2"), ("batch", "5"), ("weight_decay", "0.01")] {
        let attack = format!("[attack]\nname = 'baseline'\nrounds = 1\n{key} = {value}");
        let field = format!("attack.{key}");
        assert!(conflicts(&config(&attack), (&field, "server.mode")), "{key}");
        let local = config(&format!("[server]\nmode = 'fedavg'\n[client]\nlr = 0.1\n{attack}"));
        assert!(local.problems().is_empty(), "{key}");
    }
}

#[test]
fn a_diverged_run_is_a_failure_of_the_run_in_any_round() {
    for mode in ["uncompressed", "true-topk", "sketch", "local-topk"] {
        let toml = format!(
            "[server]\nmode = '{mode}'\nk = 300\ncols = 1500\nrounds = 1\nmomentum = 0.0\nlr = 1e38\nmax_drop = 1.0"
        );
        let mut simulation = simulation(config(&toml));
        simulation.tamper_with(Box::new(|_, mut update| {
            let values = match &mut update.values {
                ashlar_fl_core::Values::Dense(values) => values.as_mut_slice(),
                ashlar_fl_core::Values::Sparse(sparse) => sparse.val_mut(),
            };
            values.fill(1e6);
            Some(update)
        }));
        let error = simulation.run_to_end().unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }) && !error.is_input(), "{mode}: {error}");
    }
}

#[test]
fn an_error_sketch_that_overflows_has_diverged() {
    use ashlar_fl_core::{Aggregate, Lr, Mode, ServerSpec};
    let mut server = ServerSpec { k: 4, cols: 40, momentum: 0.9, ..ServerSpec::new(Mode::Sketch, 64) }.build().unwrap();
    let mut w = vec![0.0; 64];
    let error = (0..20)
        .find_map(|_| server.step(&Aggregate::mean(vec![2e38; 64], 1.0), Lr::Scalar(1e-30), &mut w).err())
        .unwrap();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
}

#[test]
fn local_training_on_an_epoch_takes_all_of_a_clients_examples() {
    let toml =
        "[data]\nsampling = 'epoch_exhaust'\n[server]\nmode = 'fedavg'\nrounds = 1\n[client]\nlr = 0.1\nbatch = 5";
    let mut simulation = simulation(config(toml));
    simulation.tamper_with(Box::new(|_, update| {
        assert_eq!(update.weight, 20.0);
        Some(update)
    }));
    simulation.step().unwrap();
}

#[test]
fn a_trained_start_has_to_be_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let first = simulation(config(""));
    first.model().save(&path, first.weights()).unwrap();
    let d = first.weights().len() as u64;
    let mut settings = config("[server]\nrounds = 3\nper_round = 50");
    settings.server.init = Some(path);
    let bytes: Vec<u64> = records(&settings, 2).iter().map(|record| record.bytes_down_paper).collect();
    assert_eq!(bytes[0], 50 * 4 * d);
    assert!(bytes[1] <= 50 * 4 * d, "and what changed after that");
    settings.server.init = None;
    assert_eq!(records(&settings, 2)[0].bytes_down_paper, 0);
}

#[test]
fn too_few_usable_updates_skip_the_step() {
    for rule in ["name = 'krum'\nf = 1", "name = 'multi-krum'\nf = 1\nm = 5"] {
        let toml =
            format!("[server]\nmode = 'fedavg'\nrounds = 3\nper_round = 5\n[client]\nlr = 0.1\n[defence]\n{rule}");
        let mut simulation = simulation(config(&toml));
        let turn = std::sync::atomic::AtomicUsize::new(0);
        simulation.tamper_with(Box::new(move |round, mut update| {
            let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 5;
            if let (1, 0, ashlar_fl_core::Values::Dense(values)) = (round, turn, &mut update.values) {
                values[0] = f32::NAN;
            }
            Some(update)
        }));
        let rounds = simulation.run_to_end().unwrap();
        assert_eq!(rounds.iter().map(|record| record.skipped).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((rounds[1].dropped_nonfinite, &rounds[1].w_hash), (1, &rounds[0].w_hash));
        assert_eq!(simulation.result().unwrap()["skipped_rounds"], 1);
    }
}

#[test]
fn a_share_of_the_clients_is_at_least_one_of_them() {
    let share = |fraction: f64| {
        config(&format!("[attack]\nname = 'baseline'\nrounds = 1\nfraction = {fraction}")).problems().pop()
    };
    assert!(share(0.009).unwrap().to_string().contains("data.clients = 50"));
    assert!(share(0.02).is_none());
}

#[test]
fn matrix_defences_have_the_names_that_toml_takes() {
    let mut base = config("[server]\nmode = 'fedavg'\n[client]\nlr = 0.1\n[clip]\nl2 = 1.0");
    base.attack.rounds = 1;
    for (said, name) in [
        ("clip", "norm-clip"),
        ("norm_clip", "norm-clip"),
        ("mean", "none"),
        ("multi_krum", "multi-krum"),
        ("sparsefed", "sparsefed"),
        ("weak-dp", "weak-dp"),
    ] {
        assert_eq!(ashlar_fl_core::matrix::Cell::new(&base, "baseline", said).unwrap().defence, name);
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_matrix_wants_seeds_in_the_plural_and_warns_of_too_small_an_f() {
    let matrix = |more: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core"))
            .args(["matrix", "--attacks", "baseline", "--defences", "krum", "--rounds", "1", "--clients", "50"])
            .args(["--set", "server.mode=fedavg", "--set", "client.lr=0.1", "--set", "attack.rounds=1"])
            .args(["--set", "data.train=500", "--set", "data.test=100", "--set", "attack.attackers=2"])
            .args(more)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = matrix(&["--seed", "3"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--seeds"), "{text}");
    let (code, text) = matrix(&["--seeds", "3"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("defence.f = 1"), "{text}");
}

#[test]
fn attackers_do_not_clip_their_gradients_for_the_server() {
    let moved = |norm: f64| {
        let toml = format!(
            "[server]\nmode = 'fedavg'\nper_round = 1\nrounds = 1\nmomentum = 0.0\nlr = 1.0\n[client]\nlr = 0.1\n\
             max_grad_norm = {norm:?}\n[attack]\nname = 'baseline'\nrounds = 1"
        );
        let mut simulation = simulation(config(&toml));
        simulation.step().unwrap();
        simulation.weights().to_vec()
    };
    assert_eq!(moved(0.0), moved(1e-3));
}
