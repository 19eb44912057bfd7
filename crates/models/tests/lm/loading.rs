//! Every way in which a checkpoint can be written, and everything that can be wrong with one.

use std::{collections::BTreeMap, fs};

use ashlar_models::{
    Error,
    lm::{HookSet, Input, Model},
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkpoint::{config, tensors, write};

fn load(folder: &TempDir) -> Result<Model, Error> {
    Model::load(folder.path(), DType::F32, &Device::Cpu)
}

fn logits(model: &Model) -> Vec<f32> {
    let input = Input::rows(&[(3..20).collect::<Vec<u32>>()]).unwrap();
    let logits = model.forward(&input, None, &HookSet::new()).unwrap();
    logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn usual(family: &str) -> Vec<f32> {
    logits(&load(&write(&tensors(family), &config(family, 5))).unwrap())
}

#[test]
fn experts_fused_as_transformers_5_holds_them() {
    for (family, block, [gate, up, down]) in [
        ("mixtral", "block_sparse_moe", ["w1", "w3", "w2"]),
        ("qwen2_moe", "mlp", ["gate_proj", "up_proj", "down_proj"]),
        ("qwen3_moe", "mlp", ["gate_proj", "up_proj", "down_proj"]),
        ("olmoe", "mlp", ["gate_proj", "up_proj", "down_proj"]),
    ] {
        let mut fused: BTreeMap<String, Tensor> = BTreeMap::new();
        let all = tensors(family);
        for (name, x) in &all {
            if !name.contains(".experts.") {
                fused.insert(name.replace("block_sparse_moe.gate", "mlp.gate"), x.clone());
            }
        }
        for l in 0..4 {
            let of = |e: usize, part: &str| all.get(&format!("model.layers.{l}.{block}.experts.{e}.{part}.weight"));
            let experts = (0..100).take_while(|&e| of(e, gate).is_some()).count();
            if experts == 0 {
                continue;
            }
            let gate_up: Vec<Tensor> =
                (0..experts).map(|e| Tensor::cat(&[of(e, gate).unwrap(), of(e, up).unwrap()], 0).unwrap()).collect();
            let down: Vec<Tensor> = (0..experts).map(|e| of(e, down).unwrap().clone()).collect();
            let at = format!("model.layers.{l}.mlp.experts.");
            fused.insert(format!("{at}gate_up_proj"), Tensor::stack(&gate_up, 0).unwrap());
            fused.insert(format!("{at}down_proj"), Tensor::stack(&down, 0).unwrap());
        }
        assert_eq!(logits(&load(&write(&fused, &config(family, 5))).unwrap()), usual(family), "{family}");
    }
}

#[test]
fn base_models_without_their_prefix() {
    for (family, prefix) in [("llama", "model."), ("gpt2", "transformer.")] {
        let bare =
            tensors(family).into_iter().map(|(n, x)| (n.strip_prefix(prefix).unwrap_or(&n).to_owned(), x)).collect();
        assert_eq!(logits(&load(&write(&bare, &config(family, 5))).unwrap()), usual(family), "{family}");
    }
}

#[test]
fn tied_heads() {
    let table = "model.embed_tokens.weight";
    let mut both = tensors("llama-tied");
    both.insert("lm_head.weight".to_owned(), both[table].clone());
    let config = config("llama-tied", 5);
    let model = load(&write(&both, &config)).unwrap();
    assert!(model.spec().tied && model.spec().warnings.is_empty());
    assert_eq!(logits(&model), usual("llama-tied"));

    let mut only_head = both.clone();
    only_head.remove(table);
    assert_eq!(logits(&load(&write(&only_head, &config)).unwrap()), usual("llama-tied"));

    let mut different = both;
    different.insert("lm_head.weight".to_owned(), (&different[table] * 2.0).unwrap());
    let model = load(&write(&different, &config)).unwrap();
    assert!(!model.spec().tied);
    assert!(model.spec().warnings[0].contains("lm_head.weight"), "{:?}", model.spec().warnings);
    let doubled: Vec<f32> = usual("llama-tied").iter().map(|x| 2.0 * x).collect();
    assert_eq!(logits(&model), doubled);
}

#[test]
fn shards_by_their_index() {
    let all = tensors("llama");
    let folder = tempfile::tempdir().unwrap();
    let mut map = serde_json::Map::new();
    for (i, (name, x)) in all.iter().enumerate() {
        let file = format!("model-0000{}-of-00003.safetensors", i % 3 + 1);
        map.insert(name.clone(), json!(file));
        let path = folder.path().join(&file);
        let mut shard = if path.exists() {
            candle_core::safetensors::load(&path, &Device::Cpu).unwrap()
        } else {
            std::collections::HashMap::default()
        };
        shard.insert(name.clone(), x.clone());
        candle_core::safetensors::save(&shard, &path).unwrap();
    }
    fs::write(folder.path().join("config.json"), config("llama", 4).to_string()).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    assert_eq!(logits(&load(&folder).unwrap()), usual("llama"));

    for bad in [
        "[]",
        "{\"weight_map\": {\"a\": 1}}",
        "{\"weight_map\": {\"a\": \"../other.safetensors\"}}",
        "{\"weight_map\": {}}",
    ] {
        fs::write(&index, bad).unwrap();
        let error = load(&folder).unwrap_err();
        assert!(matches!(error, Error::ShardIndex { .. }), "{bad}: {error}");
    }
}

#[test]
fn old_buffers_are_ignored() {
    let mut with = tensors("gpt2");
    with.insert("transformer.h.0.attn.bias".to_owned(), Tensor::zeros((1, 1, 4, 4), DType::U8, &Device::Cpu).unwrap());
    assert_eq!(logits(&load(&write(&with, &config("gpt2", 5))).unwrap()), usual("gpt2"));
}

#[test]
fn misfits_are_listed_together() {
    let mut bad = tensors("llama");
    bad.remove("model.norm.weight");
    bad.insert("model.extra.weight".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    bad.insert("lm_head.weight".to_owned(), Tensor::zeros((5, 64), DType::F32, &Device::Cpu).unwrap());
    let q = "model.layers.0.self_attn.q_proj.weight";
    bad.insert(q.to_owned(), bad[q].to_dtype(DType::I64).unwrap());
    let message = load(&write(&bad, &config("llama", 5))).unwrap_err().to_string();
    for part in [
        "4 tensors",
        "model.norm.weight: missing; the model needs [64]",
        "model.extra.weight: no parameter of this model ([3])",
        "lm_head.weight: shape [5, 64], but the model needs [97, 64]",
        "q_proj.weight: dtype I64",
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

fn with(family: &str, changes: Value) -> Result<Model, Error> {
    let mut config = config(family, 5);
    for (key, value) in changes.as_object().unwrap() {
        if value == "ABSENT" {
            config.as_object_mut().unwrap().shift_remove(key);
        } else {
            config[key] = value.clone();
        }
    }
    load(&write(&tensors(family), &config))
}

#[test]
fn configurations_that_cannot_be() {
    for (family, changes, parts) in [
        ("llama", json!({"model_type": "bert"}), vec!["model_type", "bert", "llama, mistral, qwen2"]),
        ("llama", json!({"quantization_config": {"bits": 4}}), vec!["quantization_config", "dequantise"]),
        ("llama", json!({"hidden_act": "mish"}), vec!["hidden_act", "mish", "silu"]),
        (
            "llama",
            json!({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
            vec!["rope_type", "yarn", "llama3"],
        ),
        (
            "llama",
            json!({"rope_scaling": {"type": "dynamic", "factor": 4.0}}),
            vec!["rope_scaling.rope_type", "dynamic"],
        ),
        ("llama", json!({"attn_logit_softcapping": 30.0}), vec!["attn_logit_softcapping", "llama"]),
        ("llama", json!({"hidden_size": "wide"}), vec!["hidden_size", "wide"]),
        ("llama", json!({"hidden_size": -1}), vec!["hidden_size", "-1"]),
        ("llama", json!({"hidden_size": 1e300}), vec!["hidden_size"]),
        ("llama", json!({"vocab_size": "ABSENT"}), vec!["vocab_size", "missing"]),
        ("llama", json!({"num_key_value_heads": 3}), vec!["num_key_value_heads", "divisor"]),
        ("llama", json!({"num_key_value_heads": 0}), vec!["num_key_value_heads"]),
        ("mistral", json!({"num_key_value_heads": "ABSENT"}), vec!["num_key_value_heads", "missing"]),
        ("gpt2", json!({"scale_attn_weights": false}), vec!["scale_attn_weights"]),
        ("gpt2", json!({"n_head": 7}), vec!["n_embd", "7 heads"]),
        ("qwen2", json!({"layer_types": ["full_attention"]}), vec!["layer_types", "3 layers"]),
        (
            "qwen2",
            json!({"layer_types": ["full_attention", "x", "full_attention"]}),
            vec!["layer_types", "sliding_attention"],
        ),
        ("mixtral", json!({"num_experts_per_tok": 9}), vec!["num_experts_per_tok", "4 experts"]),
        ("qwen2_moe", json!({"decoder_sparse_step": 0}), vec!["decoder_sparse_step"]),
        ("llama", json!({"num_hidden_layers": 2_000_000_000}), vec!["num_hidden_layers", "10000"]),
        ("mixtral", json!({"num_local_experts": 2_000_000_000}), vec!["num_local_experts", "10000"]),
        ("llama", json!({"rms_norm_eps": 0}), vec!["rms_norm_eps", "above 0"]),
    ] {
        let error = with(family, changes.clone()).err().unwrap_or_else(|| panic!("{family} {changes} loads"));
        let message = error.to_string();
        assert!(error.is_input(), "{changes}: {message}");
        assert!(message.contains("config.json"), "{changes}: {message}");
        for part in parts {
            assert!(message.contains(part), "{changes}: {part:?} is not in {message}");
        }
    }
}

#[test]
fn shapes_that_no_machine_holds() {
    let n = i32::MAX;
    let huge = json!({"hidden_size": n, "intermediate_size": n, "vocab_size": n, "num_attention_heads": 1,
                      "num_key_value_heads": 1, "head_dim": n - 1});
    let message = with("llama", huge).unwrap_err().to_string();
    assert!(message.contains("the model needs [2147483647, 2147483647]"), "{message}");
}

#[test]
fn what_absent_keys_mean() {
    let spec = |family: &str, changes: Value| with(family, changes).unwrap().spec().clone();
    assert_eq!(spec("mistral", json!({"sliding_window": "ABSENT"})).window, vec![Some(4096); 2]);
    assert_eq!(spec("mistral", json!({"sliding_window": null})).window, vec![None; 2]);
    assert_eq!(spec("mixtral", json!({"sliding_window": "ABSENT"})).window, vec![None; 2]);
    let qwen2 = spec("qwen2", json!({"layer_types": "ABSENT"}));
    assert_eq!(qwen2.window, vec![None, Some(8), Some(8)]);
    assert_eq!(spec("qwen2", json!({"use_sliding_window": false})).window, vec![None; 3]);
    assert_eq!(spec("gemma2", json!({"layer_types": "ABSENT"})).window, vec![Some(8), None, Some(8)]);
    assert!(!spec("qwen2_moe", json!({"norm_topk_prob": "ABSENT"})).moe[1].unwrap().renorm);
    assert_eq!(spec("gemma2", json!({"attn_logit_softcapping": "ABSENT"})).attn_softcap, Some(50.0));
    assert_eq!(spec("gemma2", json!({"attn_logit_softcapping": null})).attn_softcap, None);
    assert!(spec("gemma2", json!({"tie_word_embeddings": "ABSENT"})).tied);
    assert_eq!(spec("llama", json!({"rope_parameters": "ABSENT", "rope_theta": 7.0})).rope.unwrap().theta, 7.0);
    let inside = json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}, "rope_theta": 7.0});
    assert_eq!(spec("llama", inside).rope.unwrap().theta, 5.0);
    let both = spec("mixtral", json!({"num_experts": 7}));
    assert_eq!(both.moe[0].unwrap().experts, 4);
    assert!(both.warnings[0].contains("disagree"));
}

/// Truncated, shuffled and hostile files: an error each, never a panic.
#[test]
fn hostile_files() {
    let folder = write(&tensors("llama"), &config("llama", 5));
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let error = load(&folder).err().unwrap_or_else(|| panic!("{what} loads"));
        assert!(error.is_input(), "{what}: {error}");
        assert!(error.to_string().contains("model.safetensors"), "{what}: {error}");
    };
    for n in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..n], &format!("the first {n} bytes"));
    }
    refused(&[whole.as_slice(), b"more"].concat(), "a longer file");
    for size in [u64::MAX, u64::MAX - 7, 1 << 40, whole.len() as u64] {
        refused(&[&size.to_le_bytes()[..], &whole[8..]].concat(), "an oversized header");
    }
    let header = |json: &Value, data: usize| {
        let text = json.to_string();
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &vec![0; data]].concat()
    };
    let one = |shape: Value, from: u64, to: u64| json!({"dtype": "F32", "shape": shape, "data_offsets": [from, to]});
    for (what, json, data) in [
        ("overlapping offsets", json!({"a": one(json!([2]), 0, 8), "b": one(json!([2]), 4, 12)}), 12),
        ("a hole", json!({"a": one(json!([1]), 4, 8)}), 8),
        ("backward offsets", json!({"a": one(json!([1]), 8, 4)}), 8),
        ("a shape that overflows", json!({"a": one(json!([u64::MAX / 2, 4]), 0, 8)}), 8),
        ("a huge claim", json!({"a": one(json!([1_u64 << 40]), 0, 1_u64 << 42)}), 8),
        ("offsets near the largest integer", json!({"a": one(json!([1]), u64::MAX - 4, u64::MAX)}), 8),
    ] {
        refused(&header(&json, data), what);
    }
}
