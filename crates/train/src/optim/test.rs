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

fn variables(sizes: &[usize]) -> Vec<(String, Var)> {
    let var = |(i, &n): (usize, &usize)| {
        let values: Vec<f32> = (0..n).map(|j| ((i * 7 + j) as f32 * 0.37).sin()).collect();
        (format!("p{i}"), Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap())
    };
    sizes.iter().enumerate().map(var).collect()
}

fn gradient_of(var: &Var, step: usize) -> Tensor {
    let n = var.elem_count();
    let values: Vec<f32> = (0..n).map(|j| ((j * 3 + step * 11) as f32 * 0.53).cos()).collect();
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// One step of the in-place optimiser along [`gradient_of`].
fn in_place_step(adam: &mut VarAdamW, step: usize, clip: Option<f32>) -> f64 {
    let gradients: std::collections::BTreeMap<String, Tensor> =
        adam.vars().map(|(name, var)| (name.to_owned(), gradient_of(var, step))).collect();
    adam.accumulate(|name| gradients.get(name), 1.0).unwrap();
    adam.step(0.01, clip).unwrap()
}

fn all_values<'a>(vars: impl Iterator<Item = (&'a str, &'a Var)>) -> Vec<f32> {
    vars.flat_map(|(_, var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn options() -> AdamW {
    AdamW { beta2: 0.95, weight_decay: 0.1, ..AdamW::default() }
}

/// The flat optimiser, which PyTorch's trajectories check, gives the same bits; clipping is a scaled gradient.
#[test]
fn in_place_is_flat() {
    let sizes = [5, 40_000, 3];
    for clip in [None, Some(1e6), Some(0.7)] {
        let vars = variables(&sizes);
        let mut flat: Vec<f32> = all_values(vars.iter().map(|(n, v)| (n.as_str(), v)));
        let mut adam = VarAdamW::new(vars, options()).unwrap();
        let mut reference = options();
        for step in 0..3 {
            let g: Vec<f32> = adam.vars().flat_map(|(_, v)| gradient_of(v, step).to_vec1::<f32>().unwrap()).collect();
            let norm = in_place_step(&mut adam, step, clip);
            let exact = g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            assert!((norm - exact).abs() < 1e-5 * exact, "{norm} {exact}");
            let scale = clip.map_or(1.0, |clip| (f64::from(clip) / (norm + 1e-6)).min(1.0)) as f32;
            reference.step(&mut flat, &g.iter().map(|g| g * scale).collect::<Vec<_>>(), 0.01).unwrap();
            assert_eq!(all_values(adam.vars()), flat, "clip {clip:?} step {step}");
        }
    }
}

#[test]
fn in_place_state_goes_on_to_the_same_bits() {
    let mut whole = VarAdamW::new(variables(&[7, 9]), options()).unwrap();
    for step in 0..4 {
        in_place_step(&mut whole, step, Some(1.0));
    }
    let mut first = VarAdamW::new(variables(&[7, 9]), options()).unwrap();
    for step in 0..2 {
        in_place_step(&mut first, step, Some(1.0));
    }
    let vars = first.vars().map(|(name, var)| (name.to_owned(), var.clone())).collect();
    let mut second = VarAdamW::new(vars, options()).unwrap();
    second.load_state(&first.state()).unwrap();
    for step in 2..4 {
        in_place_step(&mut second, step, Some(1.0));
    }
    assert_eq!((all_values(whole.vars()), whole.state()), (all_values(second.vars()), second.state()));
    let missing: Vec<_> = first.state().into_iter().filter(|(name, _)| name != "v/p1").collect();
    assert!(second.load_state(&missing).unwrap_err().to_string().contains("v/p1"));
}

#[test]
fn groups_masks_and_missing_gradients() {
    let no_decay = |name: &str, _: &[usize]| Group { decay: name != "p1", lr: if name == "p2" { 0.0 } else { 1.0 } };
    let mut adam = VarAdamW::new(variables(&[2, 2, 2, 2]), options()).unwrap().with_groups(no_decay);
    let before = all_values(adam.vars());
    adam.set_mask("p3", vec![false, true]).unwrap();
    assert!(adam.set_mask("p3", vec![true]).is_err() && adam.set_mask("p9", vec![true]).is_err());
    let one = Tensor::new(&[1.0_f32, 1.0], &Device::Cpu).unwrap();
    // p0 and p1 have no gradient: p0 decays, p1 doesn't. p2 has a rate of 0. Of p3 the second element moves.
    adam.accumulate(|name| (name == "p2" || name == "p3").then_some(&one), 0.5).unwrap();
    adam.accumulate(|name| (name == "p3").then_some(&one), 0.25).unwrap();
    let norm = adam.step(0.01, None).unwrap();
    assert!((norm - (2.0 * 0.25 + 0.75_f64.powi(2)).sqrt()).abs() < 1e-6, "{norm}");
    let after = all_values(adam.vars());
    let kept = (1.0 - f64::from(0.01_f32) * f64::from(0.1_f32)) as f32;
    assert_eq!(after[..2], [before[0] * kept, before[1] * kept]);
    assert_eq!(after[2..7], before[2..7]);
    assert!((after[7] - (before[7] * kept - 0.01)).abs() < 1e-5);

    // A gradient that is no number changes nothing; a step without gradient is refused.
    let nan = Tensor::new(&[f32::NAN, 0.0], &Device::Cpu).unwrap();
    adam.accumulate(|_| Some(&nan), 1.0).unwrap();
    assert!(adam.step(0.01, Some(1.0)).unwrap().is_nan());
    assert_eq!((all_values(adam.vars()), adam.steps()), (after, 1));
    assert!(adam.step(0.01, None).is_err());
    let long = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    assert!(adam.accumulate(|_| Some(&long), 1.0).unwrap_err().to_string().contains("gradient has 3"));
}

/// torch.nn.utils.clip_grad_norm_: g = (3, 4), max_norm 1 gives (0.6, 0.8) up to its 1e-6 in the denominator.
#[test]
fn a_masked_element_does_not_count_in_the_norm() {
    let mut adam = VarAdamW::new(variables(&[2]), options()).unwrap();
    let g = Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).unwrap();
    adam.accumulate(|_| Some(&g), 1.0).unwrap();
    assert!((adam.norm() - 5.0).abs() < 1e-6);
    adam.set_mask("p0", vec![true, false]).unwrap();
    assert!((adam.norm() - 3.0).abs() < 1e-6);
}
