use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// One trajectory of the fixture: weights after each step, from `scripts/fixtures/optim.py`.
#[derive(Deserialize)]
struct Trajectory {
    name: String,
    options: std::collections::BTreeMap<String, f32>,
    start: Vec<f32>,
    lr: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
}

impl Trajectory {
    fn optimizer(&self) -> Box<dyn Optimizer> {
        let get = |key: &str, default: f32| self.options.get(key).copied().unwrap_or(default);
        if self.name.starts_with("sgd") {
            Box::new(Sgd {
                momentum: get("momentum", 0.0),
                nesterov: get("nesterov", 0.0) != 0.0,
                weight_decay: get("weight_decay", 0.0),
                ..Sgd::default()
            })
        } else {
            let d = AdamW::default();
            Box::new(AdamW {
                beta1: get("beta1", d.beta1),
                beta2: get("beta2", d.beta2),
                eps: get("eps", d.eps),
                weight_decay: get("weight_decay", d.weight_decay),
                ..d
            })
        }
    }
}

fn fixture() -> Vec<Trajectory> {
    serde_json::from_str(include_str!("../../tests/fixtures/optim.json")).unwrap()
}

#[test]
fn agrees_with_the_reference() {
    let all = fixture();
    assert!(all.len() >= 6);
    for run in all {
        let (mut w, mut optimizer) = (run.start.clone(), run.optimizer());
        for (step, (g, expected)) in run.gradients.iter().zip(&run.weights).enumerate() {
            optimizer.step(&mut w, g, run.lr[step]).unwrap();
            for (i, (w, e)) in w.iter().zip(expected).enumerate() {
                assert!((w - e).abs() <= 2e-6 * e.abs().max(1.0), "{} step {step} [{i}]: {w}, not {e}", run.name);
            }
        }
    }
}

#[test]
fn saved_state_goes_on_to_the_same_bits() {
    for run in fixture() {
        let mut w = run.start.clone();
        let mut optimizer = run.optimizer();
        let mut resumed = w.clone();
        let mut other = run.optimizer();
        for (step, g) in run.gradients.iter().enumerate() {
            optimizer.step(&mut w, g, run.lr[step]).unwrap();
            let mut fresh = run.optimizer();
            if step > 0 {
                fresh.load_state(&other.state()).unwrap();
            }
            fresh.step(&mut resumed, g, run.lr[step]).unwrap();
            other = fresh;
            assert_eq!(w, resumed, "{} step {step}", run.name);
        }
        assert_eq!(optimizer.state(), other.state());
    }
}

#[test]
fn first_step_of_adamw_is_the_sign_of_the_gradient() {
    let mut w = [0.0_f32; 3];
    AdamW { weight_decay: 0.0, ..AdamW::default() }.step(&mut w, &[3.0, -0.01, 0.0], 0.1).unwrap();
    assert!((w[0] + 0.1).abs() < 1e-6 && (w[1] - 0.1).abs() < 1e-6 && w[2] == 0.0, "{w:?}");
}

#[test]
fn variables_move_like_the_flat_vector() {
    let var = |values: &[f32]| Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
    let (b, a) = (var(&[1.0, 2.0]), var(&[-1.0, 0.5, 3.0]));
    let momentum = Sgd { momentum: 0.9, weight_decay: 0.1, ..Sgd::default() };
    let mut over_vars =
        VarOptimizer::new(vec![("b".into(), b.clone()), ("a".into(), a.clone())], momentum.clone()).unwrap();
    let (mut flat, mut over_flat) = (vec![-1.0, 0.5, 3.0, 1.0, 2.0], momentum);
    for _ in 0..3 {
        // Only `a` is in the loss, |a|²: `b` still decays.
        let grads = a.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        over_vars.step(&grads, 0.1).unwrap();
        let g: Vec<f32> = flat.iter().enumerate().map(|(i, w)| if i < 3 { 2.0 * w } else { 0.0 }).collect();
        over_flat.step(&mut flat, &g, 0.1).unwrap();
        let now: Vec<f32> = [a.to_vec1::<f32>().unwrap(), b.to_vec1::<f32>().unwrap()].concat();
        assert_eq!(now, flat);
    }
    assert_eq!(over_vars.inner().state(), over_flat.state());
    let half = Var::zeros(2, DType::F64, &Device::Cpu).unwrap();
    let error = VarOptimizer::new(vec![("h".into(), half)], Sgd::default()).unwrap_err();
    assert!(error.to_string().contains("h: F64"));
}

#[test]
fn wrong_input_is_refused_before_anything_changes() {
    let mut w = [1.0_f32, 2.0];
    let refused = |optimizer: &mut dyn Optimizer, w: &mut [f32], g: &[f32], lr: f32| {
        let before = w.to_vec();
        let error = optimizer.step(w, g, lr).unwrap_err();
        assert!(error.is_input() && w == before);
        error.to_string()
    };
    let sgd = Sgd::default;
    assert!(refused(&mut sgd(), &mut w, &[1.0], 0.1).contains("gradient has 1 elements, but 2"));
    assert!(refused(&mut sgd(), &mut w, &[1.0, 1.0], f32::NAN).contains("lr = NaN"));
    assert!(refused(&mut Sgd { momentum: 1.0, ..sgd() }, &mut w, &[1.0, 1.0], 0.1).contains("momentum = 1"));
    assert!(refused(&mut Sgd { nesterov: true, ..sgd() }, &mut w, &[1.0, 1.0], 0.1).contains("nesterov"));
    assert!(refused(&mut Sgd { weight_decay: -1.0, ..sgd() }, &mut w, &[1.0, 1.0], 0.1).contains("weight_decay"));
    let adam = AdamW::default;
    assert!(refused(&mut AdamW { beta2: 1.0, ..adam() }, &mut w, &[1.0, 1.0], 0.1).contains("beta2"));
    assert!(refused(&mut AdamW { eps: 0.0, ..adam() }, &mut w, &[1.0, 1.0], 0.1).contains("eps"));

    let mut momentum = Sgd { momentum: 0.9, ..sgd() };
    momentum.step(&mut w, &[1.0, 1.0], 0.1).unwrap();
    assert!(refused(&mut momentum, &mut [0.0; 3], &[0.0; 3], 0.1).contains("momentum buffer has 2"));
    assert!(adam().load_state(&momentum.state()).unwrap_err().to_string().contains("it has: momentum"));
    assert!(momentum.load_state(&adam().state()).is_err() && sgd().load_state(&momentum.state()).is_err());
    let broken = [("m".into(), vec![]), ("v".into(), vec![]), ("steps".into(), vec![0.5, 1.0])];
    assert!(adam().load_state(&broken).is_err());
}

proptest! {
    #[test]
    fn counters_survive_as_floats(count in 0_u64..1 << 48) {
        prop_assert_eq!(counter_from_f32(&counter_to_f32(count)), Some(count));
    }

    #[test]
    fn a_vector_can_be_cut_anywhere(
        w in prop::collection::vec(-10.0_f32..10.0, 2..40), at in 0_usize..40, seed in 0_u32..1000,
    ) {
        let at = at % w.len();
        let gradient = |step: u32| -> Vec<f32> {
            (0..w.len() as u32).map(|i| ((i * 31 + step * 17 + seed) % 23) as f32 / 11.0 - 1.0).collect()
        };
        let new = || AdamW { weight_decay: 0.1, ..AdamW::default() };
        let (mut whole, mut cut) = (w.clone(), w.clone());
        let (mut one, mut left, mut right) = (new(), new(), new());
        for step in 0..4 {
            let g = gradient(step);
            one.step(&mut whole, &g, 0.01).unwrap();
            let (head, tail) = cut.split_at_mut(at);
            left.step(head, &g[..at], 0.01).unwrap();
            right.step(tail, &g[at..], 0.01).unwrap();
        }
        prop_assert_eq!(whole, cut);
    }
}
