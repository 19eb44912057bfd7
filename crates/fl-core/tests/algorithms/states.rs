//! Saving and loading: four rounds are two rounds, a checkpoint, and two rounds, bit for bit.

use ashlar_fl_core::fetchsgd::Variant;
use ashlar_fl_core::optim::Rule;
use ashlar_fl_core::{Lr, Mode, ServerAlgo, ServerSpec};

use crate::{mean, noise};

const D: usize = 300;

fn specs() -> Vec<ServerSpec> {
    let mut specs: Vec<ServerSpec> = Mode::ALL.into_iter().map(|mode| ServerSpec::new(mode, D)).collect();
    specs.push(ServerSpec { variant: Variant::Paper, ..ServerSpec::new(Mode::Sketch, D) });
    let adam = Rule::FedAdam { beta1: 0.9, beta2: 0.99, tau: 1e-3, bias_correction: true };
    for rule in [adam, Rule::yogi(), Rule::adagrad(), Rule::FedAvgM { momentum: 0.9 }] {
        specs.push(ServerSpec { optimizer: Some(rule), ..ServerSpec::new(Mode::FedAvg, D) });
    }
    specs
}

fn step(server: &mut dyn ServerAlgo, w: &mut [f32], round: u64) {
    server.step(&mean(noise(round, D)), Lr::Scalar(0.1), w).unwrap();
}

#[test]
fn resuming_changes_no_bit() {
    for spec in specs() {
        let mut whole = spec.build().unwrap();
        let mut w = vec![0.5f32; D];
        (0..2).for_each(|t| step(whole.as_mut(), &mut w, t));
        let (saved, mut resumed_w) = (whole.save(), w.clone());
        let mut resumed = spec.build().unwrap();
        resumed.load(&saved).unwrap();
        for t in 2..4 {
            step(whole.as_mut(), &mut w, t);
            step(resumed.as_mut(), &mut resumed_w, t);
        }
        let bits = |w: &[f32]| w.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&w), bits(&resumed_w), "{}", whole.name());
        assert_eq!(whole.save(), resumed.save());
    }
}

#[test]
fn the_state_of_another_model_is_refused() {
    for spec in specs() {
        let mut server = spec.build().unwrap();
        let saved = server.save();
        assert!(!saved.is_empty());
        for i in 0..saved.len() {
            let mut missing = saved.clone();
            missing.remove(i);
            assert!(server.load(&missing).unwrap_err().is_input(), "{}", server.name());
            let mut longer = saved.clone();
            longer[i].1.push(0.0);
            let refused = server.load(&longer).unwrap_err().to_string();
            assert!(refused.contains(&saved[i].0), "{refused}");
        }
    }
}

#[test]
fn steps_do_not_depend_on_threads() {
    let d = 20_000;
    for mode in Mode::ALL {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut server = ServerSpec::new(mode, d).build().unwrap();
                let mut w = vec![0.0; d];
                let report = server.step(&mean(noise(1, d)), Lr::Scalar(0.1), &mut w).unwrap();
                (w, report.v_norm.to_bits(), report.e_norm.to_bits())
            })
        };
        assert_eq!(run(1), run(3));
    }
}
