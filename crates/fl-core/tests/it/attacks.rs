//! Attack rounds: when, by whom, within which bounds.

use ashlar_fl_core::{
    config::{AttackKind, RunConfig},
    matrix::Cell,
};

use crate::{config, records, simulation};

fn attacked(more: &str) -> RunConfig {
    config(&format!(
        "[server]\nmode = 'fedavg'\nrounds = 8\nmomentum = 0.0\nlr = 1.0\n[client]\nlr = 0.1\nbatch = 10\n\
         [attack]\nname = 'baseline'\nattackers = 2\nstart = 2\nrounds = 3\nsource = 4\nhorizon = 2\n{more}"
    ))
}

#[test]
fn attackers_come_in_their_rounds_only_and_the_backdoor_is_measured_from_there() {
    let rounds = records(&attacked(""), 2);
    let attackers: Vec<usize> = rounds.iter().map(|record| record.attackers).collect();
    assert_eq!(attackers, [0, 0, 2, 2, 2, 0, 0, 0]);
    let measured: Vec<usize> =
        rounds.iter().filter(|record| record.backdoor_acc.is_some()).map(|record| record.round).collect();
    assert_eq!(measured, [2, 3, 4, 5, 6]);
}

#[test]
fn boosting_plants_the_backdoor_and_the_result_tells() {
    let mut simulation = simulation(attacked("boost = 5.0\npoison_share = 1.0"));
    simulation.run_to_end().unwrap();
    let result = simulation.result().unwrap();
    assert!(result["acc_at_attack_end"].as_f64().unwrap() > 0.5, "{result}");
    assert!(result["main_acc_at_attack_end"].is_number());
    assert_eq!(result["lifespan"]["kappa"], 0.5);
    assert!(result["lifespan"]["censored"].is_boolean() && result["lifespan"]["rounds"].is_u64());
}

#[test]
fn neurotoxin_stays_off_the_masked_coordinates() {
    let base = "weight_decay = 0.01\nmask_top_fraction = 0.2\nrounds = 3";
    for (observe, per_layer) in [("global_delta", false), ("clean_grad", false), ("global_delta", true)] {
        let mut settings = attacked("");
        let table: toml::Table = format!("{base}\nobserve = '{observe}'\nper_layer = {per_layer}").parse().unwrap();
        settings.attack.weight_decay = 0.01;
        settings.attack.mask_top_fraction = table["mask_top_fraction"].as_float().unwrap();
        settings.attack.observe = table["observe"].clone().try_into().unwrap();
        settings.attack.per_layer = per_layer;
        settings.attack.name = AttackKind::Neurotoxin;
        let mut masked = simulation(settings.clone());
        masked.run_to_end().unwrap();
        let result = masked.result().unwrap();
        assert_eq!(result["attack_leak"], 0, "{observe}");
        if !per_layer {
            assert_eq!(result["attack_overlap"], 0.0, "{observe}");
        }
        // Weight decay after the mask leaks, as in the published code.
        settings.attack.mask_delta = false;
        let mut leaking = simulation(settings.clone());
        leaking.run_to_end().unwrap();
        assert!(leaking.result().unwrap()["attack_leak"].as_u64().unwrap() > 0, "{observe}");
        settings.attack.name = AttackKind::Baseline;
        let mut baseline = simulation(settings);
        baseline.run_to_end().unwrap();
        assert!(baseline.result().unwrap()["attack_overlap"].as_f64().unwrap() > 0.0, "{observe}");
    }
}

#[test]
fn the_last_clients_attack_when_they_are_sampled() {
    let mut settings = attacked("");
    settings.attack.fraction = 0.2;
    let rounds = records(&settings, 2);
    assert!(rounds[2..5].iter().any(|record| record.attackers > 0));
    assert!(rounds.iter().all(|record| record.attackers <= 10));
    assert!(rounds[..2].iter().chain(&rounds[5..]).all(|record| record.attackers == 0));
}

#[test]
fn gradient_modes_can_be_attacked_too() {
    let toml = "[server]\nmode = 'sparsefed'\nk = 500\nrounds = 6\n[clip]\nl2 = 1.0\n\
                [attack]\nname = 'pgd'\nstart = 2\nrounds = 2\nattackers = 3\nsource = 4\nscale_to_clip = true\n\
                perfect_knowledge = true\nhorizon = 2";
    let rounds = records(&config(toml), 2);
    assert!(rounds.iter().all(|record| record.certificate_l1.is_some_and(|bound| bound > 0.0)));
    assert!(rounds.iter().all(|record| record.certificate_gain.is_some_and(|gain| gain > 0.0)));
    assert_eq!(rounds[3].attackers, 3);
}

#[test]
fn matrix_cells_differ_in_the_defence_alone() {
    let mut base = attacked("scale_to_clip = true");
    base.clip.l2 = Some(0.7);
    let none = Cell::new(&base, "baseline", "none").unwrap().config;
    assert_eq!((none.clip.l2, none.attack.scale_to), (None, Some(0.7)));
    let clip = Cell::new(&base, "pgd", "norm_clip").unwrap().config;
    assert_eq!((clip.clip.l2, clip.attack.scale_to, clip.attack.name), (Some(0.7), Some(0.7), AttackKind::Pgd));
    let sparse = Cell::new(&base, "baseline", "sparsefed").unwrap().config;
    assert_eq!(sparse.clip_bound(0.7, 0.5), 0.7);
    for (attack, defence) in [("none", "krum"), ("baseline", "crumb")] {
        assert!(Cell::new(&base, attack, defence).unwrap_err().is_input());
    }
    for cell in [none, clip, sparse] {
        cell.validate().unwrap();
    }
}
