//! Logits, loss and gradients against PyTorch: fixtures by `scripts/fixtures/vision.py`.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::path::Path;

use ashlar_models::{Arch, ModelSpec, VisionModel};
use candle_core::Device;
use safetensors::SafeTensors;

fn read(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = tensors.tensor(name).unwrap_or_else(|_| panic!("the fixture has no {name}"));
    view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// ‖a − b‖/‖b‖.
fn relative(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>();
    (squares(&mut a.iter().zip(b).map(|(a, b)| a - b)) / squares(&mut b.iter().copied())).sqrt()
}

fn check(name: &str, spec: &ModelSpec, input: [usize; 3], classes: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let fixture = SafeTensors::deserialize(&bytes).unwrap();
    let model = VisionModel::new(spec, input, classes, &Device::Cpu, 0).unwrap();
    let names = fixture.names().into_iter().filter(|n| n.starts_with("w/")).count();
    assert_eq!(names, model.params().len(), "{name}: the reference has other parameters");

    let mut flat = Vec::new();
    for param in model.params() {
        let key = format!("w/{}", param.name);
        assert_eq!(fixture.tensor(&key).unwrap().shape(), param.shape, "{name}: {key}");
        flat.extend(read(&fixture, &key));
    }
    let x = read(&fixture, "x");
    let labels: Vec<u32> = read(&fixture, "labels").iter().map(|&label| label as u32).collect();
    let weights = model.bind(&flat).unwrap();

    let error = relative(&model.logits(&weights, &x, labels.len()).unwrap(), &read(&fixture, "logits"));
    assert!(error < 2e-6, "{name}: logits are off by {error:e}");
    let mut grad = vec![f32::NAN; flat.len()];
    let loss = model.loss_and_grad(&weights, &x, &labels, &mut grad).unwrap();
    let expected = read(&fixture, "loss")[0];
    assert!((loss - expected).abs() < 2e-6, "{name}: loss {loss}, not {expected}");
    for param in model.params() {
        let error = relative(&grad[param.range()], &read(&fixture, &format!("g/{}", param.name)));
        assert!(error < 1e-5, "{name}: the gradient of {} is off by {error:e}", param.name);
    }
}

fn width(arch: Arch, width: usize) -> ModelSpec {
    ModelSpec { width: Some(width), ..ModelSpec::new(arch) }
}

#[test]
fn mlp() {
    check("mlp", &ModelSpec::mlp([7]), [1, 6, 6], 5);
}

#[test]
fn leaf_cnn() {
    check("leaf-cnn", &width(Arch::LeafCnn, 2), [1, 12, 12], 6);
}

#[test]
fn small_cnn() {
    check("small-cnn", &width(Arch::SmallCnn, 4), [3, 20, 20], 5);
}

#[test]
fn resnet9() {
    check("resnet9", &width(Arch::Resnet9, 2), [3, 32, 32], 5);
}

#[test]
fn resnet9_gn() {
    check("resnet9-gn", &width(Arch::Resnet9Gn, 2), [3, 32, 32], 5);
}
