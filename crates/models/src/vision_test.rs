use candle_core::{DType, Tensor};
use rand::RngCore;

use super::*;
use crate::Arch;

/// Uniform in ±1, never exactly 0.
fn noise(seed: u64, name: &str, len: usize) -> Vec<f32> {
    let mut rng = ashlar_kernels::rng::stream(seed, &["test", name]);
    (0..len).map(|_| ((rng.next_u32() >> 8) as f32 + 0.5) / 8_388_608.0 - 1.0).collect()
}

/// Every architecture, small enough for finite differences.
fn small() -> Vec<VisionModel> {
    let spec = |arch, width| ModelSpec { width: Some(width), ..ModelSpec::new(arch) };
    [
        (ModelSpec::new(Arch::Linear), [2, 3, 3]),
        (ModelSpec::mlp([5, 4]), [1, 4, 4]),
        (ModelSpec::mlp([]), [1, 4, 4]),
        (spec(Arch::LeafCnn, 2), [1, 9, 7]),
        (spec(Arch::SmallCnn, 3), [3, 8, 9]),
        (spec(Arch::Resnet9, 2), [3, 32, 32]),
        (spec(Arch::Resnet9Gn, 4), [3, 32, 32]),
    ]
    .into_iter()
    .map(|(spec, input)| VisionModel::new(&spec, input, 4, &Device::Cpu, 7).unwrap())
    .chain([groups_of_three()])
    .collect()
}

/// No architecture of this width has more than one channel a group.
fn groups_of_three() -> VisionModel {
    let layers = vec![
        Layer::conv("conv".to_owned(), 6, 3, false),
        Layer::GroupNorm { name: "norm".to_owned(), groups: 2 },
        Layer::Relu,
        Layer::Flatten,
        Layer::linear("fc".to_owned(), 4),
    ];
    let (spec, input) = (ModelSpec::new(Arch::SmallCnn), [2, 5, 4]);
    let net = Net::new("test", &layers, input).unwrap();
    VisionModel { spec, layers, input, net, device: Device::Cpu, seed: 7 }
}

/// Weights large enough that all logits matter, even behind the ResNet's factor 0.125.
fn weights(model: &VisionModel) -> Vec<f32> {
    let scale = if model.spec.arch == Arch::Resnet9 { 2.0 } else { 1.0 };
    let jitter = noise(3, "weights", model.num_params());
    model.init_flat().iter().zip(jitter).map(|(w, e)| scale * w + 0.02 * e).collect()
}

fn relative(a: &[f32], b: &[f32]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut b.iter().map(|b| f64::from(*b))).max(1e-30)
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |arch, input, classes| {
        VisionModel::new(&ModelSpec::new(arch), input, classes, &Device::Cpu, 0).unwrap().num_params()
    };
    assert_eq!(count(Arch::Linear, [1, 28, 28], 10), 7_850);
    assert_eq!(count(Arch::Mlp, [1, 28, 28], 10), 50_890);
    assert_eq!(count(Arch::LeafCnn, [1, 28, 28], 62), 6_603_710);
    assert_eq!(count(Arch::SmallCnn, [3, 32, 32], 10), 896 + 18_496 + 36_928 + 10_250);
    assert_eq!(count(Arch::Resnet9, [3, 32, 32], 10), 6_568_640);
    let norms = 2 * (64 + 128 + 2 * 128 + 256 + 512 + 2 * 512);
    assert_eq!(count(Arch::Resnet9Gn, [3, 32, 32], 10), 6_568_640 + norms);
}

#[test]
fn parameters_are_in_name_order_without_gaps() {
    for model in small() {
        let mut at = 0;
        for pair in model.params().windows(2) {
            assert!(pair[0].name < pair[1].name, "{} {}", pair[0].name, pair[1].name);
        }
        for param in model.params() {
            assert_eq!(param.offset, at);
            at = param.range().end;
        }
        assert_eq!((at, model.init_flat().len()), (model.num_params(), model.num_params()));
    }
}

#[test]
fn init_is_pytorchs_and_each_parameter_has_its_own_stream() {
    let model = VisionModel::new(&ModelSpec::mlp([64]), [1, 28, 28], 10, &Device::Cpu, 1).unwrap();
    let flat = model.init_flat();
    assert_eq!(flat, model.init_flat());
    let find = |name: &str| model.params().iter().find(|p| p.name == name).unwrap().range();
    for (name, fan_in) in [("fc1.weight", 784.0_f64), ("fc1.bias", 784.0), ("fc2.weight", 64.0)] {
        let (values, bound) = (&flat[find(name)], 1.0 / fan_in.sqrt());
        assert!(values.iter().all(|x| f64::from(x.abs()) <= bound * 1.000_001), "{name}");
        let variance = values.iter().map(|x| f64::from(x * x)).sum::<f64>() / values.len() as f64;
        let slack = if values.len() > 600 { 0.15 } else { 0.5 };
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < slack, "{name}: {variance}");
    }
    // The hidden layer's weights don't depend on what comes after it.
    let other = VisionModel::new(&ModelSpec::mlp([64, 32]), [1, 28, 28], 10, &Device::Cpu, 1).unwrap();
    assert_eq!(other.init_flat()[..50_240], flat[..50_240]);
    let seed = VisionModel::new(&ModelSpec::mlp([64]), [1, 28, 28], 10, &Device::Cpu, 2).unwrap();
    assert_ne!(seed.init_flat(), flat);
}

#[test]
fn agrees_with_candles_autograd() {
    for model in small() {
        for n in [1, 5] {
            let (flat, x) = (weights(&model), noise(1, "images", n * model.features()));
            let labels: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
            let bound = model.bind(&flat).unwrap();
            let (mut ours, mut theirs) = (vec![0.0; flat.len()], vec![0.0; flat.len()]);
            let loss = model.loss_and_grad(&bound, &x, &labels, &mut ours).unwrap();
            let vars = graph::variables(model.params(), &flat, &Device::Cpu).unwrap();
            let reference = model.graph_loss_and_grad(&vars, &x, &labels, &mut theirs).unwrap();
            let arch = model.spec.arch.name();
            assert!((loss - reference).abs() < 1e-5, "{arch}: loss {loss}, candle {reference}");
            for param in model.params() {
                let error = relative(&ours[param.range()], &theirs[param.range()]);
                assert!(error < 1e-5, "{arch}, batch {n}: {} is off by {error:e}", param.name);
            }
            let expected = graph::forward(&model.layers, &vars, &model.batch(&x, n).unwrap()).unwrap();
            let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let logits = model.logits(&bound, &x, n).unwrap();
            assert!(relative(&logits, &expected) < 1e-5, "{arch}: logits");
        }
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    for model in small() {
        let (n, flat) = (6, weights(&model));
        let x = noise(2, "images", n * model.features());
        let mut grad = vec![f32::NAN; flat.len()];
        model.loss_and_grad(&model.bind(&flat).unwrap(), &x, &[0, 1, 2, 3, 0, 1], &mut grad).unwrap();
        for param in model.params() {
            let part = &grad[param.range()];
            assert!(part.iter().all(|g| g.is_finite()), "{}: not finite", param.name);
            assert!(part.iter().any(|g| *g != 0.0), "{}: {} has no gradient", model.spec.arch.name(), param.name);
        }
    }
}

/// f64, central differences. ReLU and max-pool bend, so a coordinate may be off where a step crosses a bend; it then
/// agrees at a smaller step.
#[test]
fn agrees_with_finite_differences() {
    for model in small() {
        let n = 3;
        let mut w: Vec<f64> = weights(&model).into_iter().map(f64::from).collect();
        let x: Vec<f64> = noise(4, "images", n * model.features()).into_iter().map(f64::from).collect();
        let labels = [0, 3, 1];
        let mut ws = Workspace::default();
        let mut grad = vec![0.0; w.len()];
        loss_and_grad(&model.net, &w, &x, &labels, &mut grad, &mut ws);
        let mut loss = |w: &[f64]| {
            model.net.forward(w, &x, n, &mut ws);
            model.net.loss(&labels, 1.0, &mut ws) / n as f64
        };
        for param in model.params() {
            let range = param.range();
            for i in range.clone().step_by((range.len() / 7).max(1)) {
                let at = w[i];
                let mut error = f64::INFINITY;
                for step in [1e-5, 1e-6, 1e-7] {
                    w[i] = at + step;
                    let above = loss(&w);
                    w[i] = at - step;
                    let below = loss(&w);
                    error = error.min(((above - below) / (2.0 * step) - grad[i]).abs() / grad[i].abs().max(1e-3));
                }
                w[i] = at;
                assert!(
                    error < 1e-5,
                    "{}: {}[{}] is off by {error:e}",
                    model.spec.arch.name(),
                    param.name,
                    i - range.start
                );
            }
        }
    }
}

#[test]
fn a_batch_cut_into_passes_gives_the_mean() {
    let mut model = small().remove(4);
    let (n, flat) = (7, weights(&model));
    let x = noise(5, "images", n * model.features());
    let labels = [0, 1, 2, 3, 0, 1, 2];
    let (mut whole, mut cut) = (vec![0.0; flat.len()], vec![0.0; flat.len()]);
    let bound = model.bind(&flat).unwrap();
    let loss = model.loss_and_grad(&bound, &x, &labels, &mut whole).unwrap();
    model.net.micro_batch = 3;
    let loss_cut = model.loss_and_grad(&bound, &x, &labels, &mut cut).unwrap();
    assert!((loss - loss_cut).abs() < 1e-6);
    assert!(relative(&cut, &whole) < 1e-6);
}

#[test]
fn threads_do_not_change_a_bit() {
    for model in small() {
        let (n, flat) = (300, weights(&model));
        let x = noise(6, "images", n * model.features());
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let bound = model.bind(&flat).unwrap();
                // Many clients at once on one model and one binding.
                let grads: Vec<Vec<u32>> = (0..8_usize)
                    .into_par_iter()
                    .map(|client| {
                        let at = client * 5;
                        let (x, labels) = (&x[at * model.features()..][..5 * model.features()], &labels[at..at + 5]);
                        let mut grad = vec![0.0; flat.len()];
                        model.loss_and_grad(&bound, x, labels, &mut grad).unwrap();
                        grad.iter().map(|g| g.to_bits()).collect()
                    })
                    .collect();
                let logits = model.logits(&bound, &x, n).unwrap();
                (grads, logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            })
        };
        assert!(run(1) == run(2), "{}", model.spec.arch.name());
        assert!(run(1) == run(5), "{}", model.spec.arch.name());
    }
}

#[test]
fn nan_shows_up_instead_of_being_lost() {
    let model = small().remove(4);
    let mut x = noise(8, "images", model.features());
    x[10] = f32::NAN;
    let mut grad = vec![0.0; model.num_params()];
    let loss = model.loss_and_grad(&model.bind(&weights(&model)).unwrap(), &x, &[1], &mut grad).unwrap();
    assert!(loss.is_nan() && grad.iter().any(|g| g.is_nan()));
}

#[test]
fn the_loss_of_large_logits_is_finite() {
    let mut gradient = [0.0_f32; 3];
    let loss = crate::net::cross_entropy(&[1e30_f32, 0.0, -1e30], 0, 1.0, &mut gradient);
    assert_eq!((loss, gradient), (0.0, [0.0; 3]));
    let loss = crate::net::cross_entropy(&[0.0_f32, 2.0_f32.ln(), 5.0_f32.ln()], 1, 2.0, &mut gradient);
    assert!((loss - 4.0_f64.ln()).abs() < 1e-7);
    let expected = [0.25, -1.5, 1.25];
    assert!(gradient.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6), "{gradient:?}");
}

#[test]
fn candles_loss_is_the_same() {
    let logits = Tensor::new(&[[0.0_f32, 1.0, 2.0], [3.0, -1.0, 0.5]], &Device::Cpu).unwrap();
    let loss = graph::loss(&logits, &[2, 1]).unwrap().to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    let mut gradient = [0.0; 3];
    let ours = crate::net::cross_entropy(&[0.0, 1.0, 2.0], 2, 1.0, &mut gradient)
        + crate::net::cross_entropy(&[3.0, -1.0, 0.5], 1, 1.0, &mut gradient);
    assert!((loss - ours / 2.0).abs() < 1e-6);
}

#[test]
fn saved_weights_come_back_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let models = small();
    let flat = weights(&models[4]);
    models[4].save(&path, &flat).unwrap();
    assert_eq!(models[4].load(&path).unwrap(), flat);
    let error = models[1].load(&path).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("fc1.bias"), "{error}");
    std::fs::write(&path, &std::fs::read(&path).unwrap()[..50]).unwrap();
    assert!(matches!(models[4].load(&path), Err(Error::SafeTensors { .. })));
    assert!(!models[4].load(dir.path().join("none")).unwrap_err().is_input());
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    let model = &small()[1];
    let bound = model.bind(&weights(model)).unwrap();
    let mut grad = vec![0.0; model.num_params()];
    let message = |result: Result<f32>| {
        let error = result.unwrap_err();
        assert!(error.is_input());
        error.to_string()
    };
    let x = vec![0.0; 32];
    assert_eq!(
        message(model.loss_and_grad(&bound, &x, &[0, 4], &mut grad)),
        "label 4 of example 1 is not below the number of classes, 4"
    );
    assert_eq!(message(model.loss_and_grad(&bound, &[], &[], &mut grad)), "the batch is empty");
    assert!(message(model.loss_and_grad(&bound, &x, &[0], &mut grad)).contains("32 elements, but 16"));
    assert!(message(model.loss_and_grad(&bound, &x, &[0, 1], &mut grad[1..])).contains("gradient"));
    assert!(model.bind(&[0.0]).is_err() && model.logits(&bound, &x, 3).is_err());
    assert!(model.logits(&bound, &[], 0).unwrap().is_empty());
}

#[test]
fn wrong_specs_are_refused() {
    let new = |spec: &ModelSpec, input, classes| VisionModel::new(spec, input, classes, &Device::Cpu, 0);
    let message = |spec: &ModelSpec, input, classes| new(spec, input, classes).unwrap_err().to_string();
    let hidden = ModelSpec { hidden: ModelSpec::mlp([8]).hidden, ..ModelSpec::new(Arch::Linear) };
    assert!(message(&hidden, [1, 8, 8], 2).contains("model.hidden = [8]"));
    assert!(message(&ModelSpec::mlp([8, 0]), [1, 8, 8], 2).contains("at least 1"));
    let width = ModelSpec { width: Some(3), ..ModelSpec::new(Arch::Mlp) };
    assert!(message(&width, [1, 8, 8], 2).contains("model.width = 3"));
    let none = ModelSpec { width: Some(0), ..ModelSpec::new(Arch::SmallCnn) };
    assert!(message(&none, [1, 8, 8], 2).contains("at least 1"));
    let groups = ModelSpec { width: Some(33), ..ModelSpec::new(Arch::Resnet9Gn) };
    assert!(message(&groups, [3, 32, 32], 2).contains("32 groups"));
    assert!(message(&ModelSpec::new(Arch::Resnet9), [3, 28, 28], 10).contains("a 4×4 pool gets 3×3"));
    assert!(message(&ModelSpec::new(Arch::Linear), [1, 0, 8], 10).contains("at least 1"));
    assert!(message(&ModelSpec::new(Arch::Linear), [1, 8, 8], 1).contains("2 classes"));
    assert!(message(&ModelSpec::mlp([usize::MAX]), [1, 8, 8], 2).contains("at most 2^24"));
    assert!(message(&ModelSpec::mlp([1 << 24, 1 << 24]), [1, 8, 8], 2).contains("281476"));
    let broad = ModelSpec { width: Some(1 << 40), ..ModelSpec::new(Arch::LeafCnn) };
    assert!(message(&broad, [1, 28, 28], 2).contains("at most 2^16"));
    let broad = ModelSpec { width: Some(1 << 16), ..ModelSpec::new(Arch::Resnet9) };
    assert!(message(&broad, [3, 32, 32], 2).contains("a smaller width"));
    for arch in Arch::ALL {
        assert!(new(&ModelSpec::new(arch), [1, 32, 32], 3).is_ok());
    }
}

#[test]
fn specs_read_as_the_configuration_writes_them() {
    let read = |text: &str| serde_json::from_str::<ModelSpec>(text);
    assert_eq!(read(r#"{"arch": "mlp", "hidden": 64}"#).unwrap().hidden.unwrap().sizes(), [64]);
    assert_eq!(read(r#"{"arch": "mlp", "hidden": [3, 4]}"#).unwrap(), ModelSpec::mlp([3, 4]));
    assert_eq!(read("{}").unwrap(), ModelSpec::new(Arch::Mlp));
    for arch in Arch::ALL {
        assert_eq!(serde_json::to_string(&arch).unwrap(), format!("\"{}\"", arch.name()));
    }
    assert!(read(r#"{"arch": "mlp", "hiden": 64}"#).unwrap_err().to_string().contains("hiden"));
    assert!(read(r#"{"arch": "mlp", "hidden": "x"}"#).unwrap_err().to_string().contains("such as 64"));
    assert_eq!(serde_json::to_string(&ModelSpec::new(Arch::Linear)).unwrap(), r#"{"arch":"linear"}"#);
}
