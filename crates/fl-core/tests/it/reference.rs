//! Against a direct computation in f64: softmax regression, all clients in each round.

use ashlar_data::{LabelledSet, Split};
use ashlar_fl_core::{
    config::RunConfig,
    sim::{Federation, Simulation},
};

const FEATURES: usize = 3;
const CLASSES: usize = 3;

fn data() -> LabelledSet {
    // Three noisy clouds, from a fixed congruential sequence.
    let mut state = 12345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1u32 << 24) - 0.5
    };
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for i in 0..60u32 {
        let class = i % CLASSES as u32;
        for feature in 0..FEATURES as u32 {
            x.push((f64::from(u8::from(feature == class)) + next()) as f32);
        }
        labels.push(class);
    }
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    LabelledSet::from_f32([FEATURES, 1, 1], x, labels, classes).unwrap()
}

/// Mean cross-entropy gradient of w = [bias (3), weight (3 × 3, a row a class)], over the given examples.
fn gradient(w: &[f64], set: &LabelledSet, examples: &[u32]) -> Vec<f64> {
    let mut g = vec![0.0; w.len()];
    let mut x = vec![0.0f32; FEATURES];
    for &example in examples {
        set.write_f32(example as usize, &mut x);
        let logits: Vec<f64> = (0..CLASSES)
            .map(|c| w[c] + (0..FEATURES).map(|f| w[CLASSES + c * FEATURES + f] * f64::from(x[f])).sum::<f64>())
            .collect();
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
        for c in 0..CLASSES {
            let p = (logits[c] - top).exp() / total - f64::from(u8::from(c as u32 == set.label(example as usize)));
            g[c] += p;
            for f in 0..FEATURES {
                g[CLASSES + c * FEATURES + f] += p * f64::from(x[f]);
            }
        }
    }
    for g in &mut g {
        *g /= examples.len() as f64;
    }
    g
}

fn simulation(toml: &str) -> Simulation {
    let mut config: RunConfig = toml::from_str(toml).unwrap();
    config.data.clients = 7;
    config.server.per_round = 7;
    config.model = toml::from_str("arch = 'linear'").unwrap();
    let split = Split { train: data(), test: data(), validation: None };
    let federation = Federation::new(split, &config).unwrap();
    Simulation::new(config, federation).unwrap()
}

fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    let distance = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(distance < 2e-5, "{what}: {distance}");
}

#[test]
fn gradients_with_momentum_and_weight_decay() {
    let mut simulation = simulation("[server]\nrounds = 20\nlr = 0.5\nmomentum = 0.9\n[client]\nweight_decay = 0.01");
    let names: Vec<&str> = simulation.model().params().iter().map(|param| param.name.as_str()).collect();
    assert_eq!(names, ["fc1.bias", "fc1.weight"]);
    let mut w: Vec<f64> = simulation.weights().iter().map(|w| f64::from(*w)).collect();
    let mut v = vec![0.0; w.len()];
    let all: Vec<u32> = (0..60).collect();
    for _ in 0..20 {
        let g = gradient(&w, &data(), &all);
        for i in 0..w.len() {
            v[i] = 0.9 * v[i] + g[i] + 0.01 * w[i];
        }
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= 0.5 * v);
    }
    simulation.run_to_end().unwrap();
    assert_near(simulation.weights(), &w, "momentum");
}

#[test]
fn true_topk_with_every_coordinate_is_plain_gradient_descent() {
    let mut simulation = simulation("[server]\nmode = 'true-topk'\nk = 12\nrounds = 20\nlr = 0.5\nmomentum = 0.9");
    let mut w: Vec<f64> = simulation.weights().iter().map(|w| f64::from(*w)).collect();
    let all: Vec<u32> = (0..60).collect();
    for _ in 0..20 {
        let g = gradient(&w, &data(), &all);
        w.iter_mut().zip(&g).for_each(|(w, g)| *w -= 0.5 * g);
    }
    simulation.run_to_end().unwrap();
    assert_near(simulation.weights(), &w, "k = d");
}

#[test]
fn local_sgd_with_momentum_prox_and_decay() {
    let toml = "[server]\nmode = 'fedavg'\nrounds = 3\nmomentum = 0.0\n[client]\nlr = 0.2\nlr_decay = 0.9\nbatch = 4\n\
                epochs = 2\nmomentum = 0.5\nprox_mu = 0.3\nweight_decay = 0.02";
    let mut simulation = simulation(toml);
    let parts = simulation.federation().parts.clone();
    let mut w: Vec<f64> = simulation.weights().iter().map(|w| f64::from(*w)).collect();
    for _ in 0..3 {
        let mut sum = vec![0.0; w.len()];
        for part in &parts {
            let (mut local, mut v, mut lr) = (w.clone(), vec![0.0; w.len()], 0.2);
            for _ in 0..2 {
                for batch in part.chunks(4) {
                    let g = gradient(&local, &data(), batch);
                    for i in 0..w.len() {
                        v[i] = 0.5 * v[i] + g[i] + 0.02 * local[i] + 0.3 * (local[i] - w[i]);
                    }
                    local.iter_mut().zip(&v).for_each(|(w, v)| *w -= lr * v);
                    lr *= 0.9;
                }
            }
            for i in 0..w.len() {
                sum[i] += part.len() as f64 * (local[i] - w[i]);
            }
        }
        w.iter_mut().zip(&sum).for_each(|(w, s)| *w += s / 60.0);
    }
    simulation.run_to_end().unwrap();
    assert_near(simulation.weights(), &w, "local SGD");
}

#[test]
fn commefficients_weight_decay_is_divided_by_the_clients_of_a_round() {
    let mut parity = simulation("[server]\nrounds = 1\nlr = 0.5\n[client]\nweight_decay = 0.7\nwd_div_w = true");
    let w: Vec<f64> = parity.weights().iter().map(|w| f64::from(*w)).collect();
    let parts = parity.federation().parts.clone();
    // Σ n_i·(g_i + wd/W·w) / Σ n_i = G + wd/W·w.
    let all: Vec<u32> = parts.concat();
    let g = gradient(&w, &data(), &all);
    let expected: Vec<f64> = w.iter().zip(&g).map(|(w, g)| w - 0.5 * (g + 0.7 / 7.0 * w)).collect();
    parity.run_to_end().unwrap();
    assert_near(parity.weights(), &expected, "wd / W");
}
