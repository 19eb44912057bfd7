//! Checkpoints with weights by formula, as `scripts/fixtures/models.py` makes them.

use std::{collections::BTreeMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;

pub const FAMILIES: &[&str] = &[
    "llama",
    "llama-tied",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "olmo",
    "olmo2",
    "gpt2",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "olmoe",
];

pub fn fixture(family: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lm").join(family).join(file)
}

/// FNV-1a.
fn key(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// Values in [-1, 1) by SplitMix64's finaliser over a counter.
pub fn uniform(name: &str, seed: u64, count: usize) -> impl Iterator<Item = f64> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let key = key(name).wrapping_add(seed.wrapping_mul(GOLDEN));
    (1..=count as u64).map(move |i| {
        let mut z = key.wrapping_add(i.wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / 8_388_608.0 - 1.0
    })
}

fn weights(name: &str, shape: &[usize], seed: u64, plus_one: bool) -> Tensor {
    let root3 = 3_f64.sqrt();
    let norm = name.contains("norm") || name.contains(".ln_");
    let value = |u: f64| {
        if name.ends_with("bias") {
            0.5 * root3 * u
        } else if norm {
            0.5 * u + if plus_one { 0.0 } else { 1.0 }
        } else {
            0.3 * root3 * u
        }
    };
    let count = shape.iter().product();
    let values: Vec<f32> = uniform(name, seed, count).map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The tensors that transformers wrote, under its names.
pub fn tensors(family: &str) -> BTreeMap<String, Tensor> {
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture(family, "tensors.json")).unwrap()).unwrap();
    let seed = json["seed"].as_u64().unwrap();
    let shapes = json["shapes"].as_object().unwrap();
    let of = |shape: &serde_json::Value| -> Vec<usize> {
        shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    };
    shapes.iter().map(|(name, shape)| (name.clone(), weights(name, &of(shape), seed, family == "gemma2"))).collect()
}

pub fn write(tensors: &BTreeMap<String, Tensor>, config: &serde_json::Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let map: std::collections::HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    candle_core::safetensors::save(&map, folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

pub fn config(family: &str, dialect: u8) -> serde_json::Value {
    let path = fixture(family, &format!("config{dialect}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A folder as transformers of this major version would have saved it.
pub fn checkpoint(family: &str, dialect: u8) -> TempDir {
    write(&tensors(family), &config(family, dialect))
}

pub fn expected(family: &str) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(fixture(family, "expected.safetensors"), &Device::Cpu).unwrap().into_iter().collect()
}

/// Rows of ids without padding.
pub fn rows(expected: &BTreeMap<String, Tensor>) -> Vec<Vec<u32>> {
    let ids = expected["ids"].to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
    let mask = expected["mask"].to_vec2::<u8>().unwrap();
    let row = |(ids, mask): (&Vec<i64>, &Vec<u8>)| {
        ids.iter().zip(mask).filter(|&(_, &m)| m == 1).map(|(&id, _)| id as u32).collect()
    };
    ids.iter().zip(&mask).map(row).collect()
}
