//! `ashlar-models convert`, and `--adapter` on what loads.

use std::path::Path;

use ashlar_models::lm::{HookSet, Input, Model};
use candle_core::{DType, Device, Tensor};

use crate::{
    adapters::{case, folder},
    checkpoint::checkpoint,
    command::{json, models},
};

fn logits(path: &Path) -> Tensor {
    let model = Model::load(path, DType::F32, &Device::Cpu).unwrap();
    let input = Input::rows(&[(3..15).collect::<Vec<u32>>()]).unwrap();
    model.forward(&input, None, &HookSet::new()).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn converted_checkpoints_load() {
    let from = checkpoint("mixtral", 5);
    let to = tempfile::tempdir().unwrap();
    let out = to.path().join("out");
    let args = ["convert", from.path().to_str().unwrap(), "--dtype", "f32", "--out", out.to_str().unwrap()];
    let answer = json(&[&args[..], &["--shard-size", "100k"]].concat());
    assert!(answer["files"].as_array().unwrap().len() > 3, "{answer}");
    assert_eq!(answer["bytes"].as_u64().unwrap(), 4 * answer["params"].as_u64().unwrap());
    assert_eq!(distance(&logits(&out), &logits(from.path())), 0.0);
    let half = to.path().join("half");
    json(&["convert", from.path().to_str().unwrap(), "--dtype", "bf16", "--out", half.to_str().unwrap()]);
    let off = distance(&logits(&half), &logits(from.path()));
    assert!(off > 0.0 && off < 1.0, "{off}");

    let (code, _, stderr) = models(&args);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("something already"), "{stderr}");
    for (size, part) in [("0", "above 0"), ("-1", "above 0"), ("5X", "--shard-size 5X"), ("99999999999G", "above 0")] {
        let other = to.path().join("other");
        let (code, _, stderr) = models(&[&args[..5], &[other.to_str().unwrap(), "--shard-size", size]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(part), "{size}: {stderr}");
    }
    let (code, _, stderr) = models(&[&args[..5], &["/proc/nowhere/out"]].concat());
    assert_eq!(code, 1, "{stderr}");
}

#[test]
fn adapters_on_the_command_line() {
    let case = case("experts");
    let base = checkpoint(&case.family, 5);
    let adapter = folder(&case.config, &case.tensors);
    let to = tempfile::tempdir().unwrap();
    let (path, adapter) = (base.path().to_str().unwrap(), adapter.path().to_str().unwrap());
    let ids = "3,4,5,6,7,8,9,10,11,12,13,14";
    let run = |name: &str, more: &[&str]| -> Tensor {
        let out = to.path().join(name);
        json(&[&["logits", path, "--token-ids", ids, "--output", out.to_str().unwrap()], more].concat());
        candle_core::safetensors::load(&out, &Device::Cpu).unwrap()["logits"].clone()
    };
    let plain = run("plain", &[]);
    let once = run("once", &["--adapter", adapter]);
    let twice = run("twice", &["--adapter", adapter, "--adapter", adapter]);
    assert_eq!(distance(&plain, &logits(base.path())), 0.0);
    assert!(distance(&plain, &once) > 0.1 && distance(&once, &twice) > 0.1);

    let merged = to.path().join("merged");
    let out = merged.to_str().unwrap();
    let args = ["convert", path, "--dtype", "f32", "--out", out, "--adapter", adapter];
    // Merging is said, not guessed.
    let (code, _, stderr) = models(&args);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--merge"), "{stderr}");
    let answer = json(&[&args[..], &["--adapter", adapter, "--merge"]].concat());
    assert_eq!(answer["merged"], 2);
    assert!(distance(&logits(&merged), &twice) < 1e-4);

    let (code, _, stderr) = models(&["logits", path, "--token-ids", ids, "--output", out, "--adapter", path]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("adapter_config.json"), "{stderr}");
}
