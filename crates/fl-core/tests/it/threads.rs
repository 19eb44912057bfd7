//! The same bits for any number of threads, in every mode (oracle 10's `--threads` part).

use crate::{config, hashes, records};

fn same(over: &str) {
    let config = config(&format!("{over}\n"));
    let one = hashes(&records(&config, 1));
    for threads in [2, 3] {
        assert_eq!(hashes(&records(&config, threads)), one, "{threads} threads, {over}");
    }
}

#[test]
fn gradient_modes() {
    same("[server]\nrounds = 6");
    same("[server]\nrounds = 6\nmode = 'true-topk'\nk = 300\n[client]\nmomentum = 0.5");
    same("[server]\nrounds = 6\nmode = 'sketch'\nk = 300\ncols = 1500");
    same("[server]\nrounds = 6\nmode = 'local-topk'\nmomentum = 0.0\nk = 300\n[client]\nmomentum = 0.5");
    same("[server]\nrounds = 6\n[dist]\nexact = false");
}

#[test]
fn local_training_defences_and_attacks() {
    let local = "[client]\nlr = 0.1\nbatch = 5\nepochs = 2\nmomentum = 0.5\nprox_mu = 0.1\nweight_decay = 0.001";
    same(&format!("{local}\n[server]\nrounds = 4\nmode = 'fedavg'"));
    same(&format!("{local}\n[server]\nrounds = 4\nmode = 'fedavg'\noptimizer = 'yogi'\nlr = 0.01"));
    same(&format!("{local}\n[server]\nrounds = 4\nmode = 'sparsefed'\nk = 500\n[clip]\nl2 = 3.0"));
    let attack = "[attack]\nname = 'neurotoxin'\nstart = 1\nrounds = 2\nsource = 4\nhorizon = 1";
    same(&format!("{local}\n{attack}\n[server]\nrounds = 4\nmode = 'fedavg'\n[defence]\nname = 'multi-krum'\nf = 1"));
    same(&format!(
        "{local}\n{attack}\n[server]\nrounds = 4\nmode = 'fedavg'\n[clip]\nl2 = 1.0\n[defence]\nname = 'weak-dp'"
    ));
}
