//! Everything that can be wrong with an adapter.

use std::{collections::BTreeMap, fs};

use ashlar_models::{
    Error,
    lm::{AdapterSpec, Model, Targets},
};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::adapters::{base, case, folder};

fn load(family: &str, config: &Value, tensors: &BTreeMap<String, Tensor>) -> Result<Model, Error> {
    base(family, DType::F32).load_adapter(folder(config, tensors).path())
}

fn refused(result: Result<Model, Error>, what: &str, parts: &[&str]) {
    let error = result.err().unwrap_or_else(|| panic!("{what} loads"));
    let message = error.to_string();
    assert!(error.is_input(), "{what}: {message}");
    for part in parts {
        assert!(message.contains(part), "{what}: {part:?} is not in {message}");
    }
}

#[test]
fn configurations_that_cannot_be() {
    let case = case("lora");
    for (changes, parts) in [
        (json!({"peft_type": "VERA", "save_projection": false}), vec!["peft_type", "VERA", "save_projection=True"]),
        (json!({"peft_type": "IA3"}), vec!["peft_type", "IA3", "LORA"]),
        (json!({"peft_type": null}), vec!["peft_type", "missing"]),
        (json!({"r": 0}), vec!["r = 0", "at least 1"]),
        (json!({"r": -1}), vec!["r = -1"]),
        (json!({"r": null}), vec!["the key r is missing"]),
        (json!({"lora_alpha": "x"}), vec!["lora_alpha"]),
        (json!({"lora_dropout": 1.0}), vec!["lora_dropout", "below 1"]),
        (json!({"rank_pattern": {"q_proj": 0}}), vec!["rank_pattern.q_proj = 0"]),
        (json!({"rank_pattern": {"(": 2}}), vec!["rank_pattern", "regular expression", "unclosed group"]),
        (json!({"alpha_pattern": {"q_proj": "x"}}), vec!["alpha_pattern.q_proj"]),
        (json!({"target_modules": "(?=x)"}), vec!["target_modules", "look-around"]),
        (json!({"target_modules": [1]}), vec!["target_modules", "string"]),
        (json!({"target_modules": "q_proj", "layers_to_transform": [1]}), vec!["layers_to_transform", "list"]),
        (json!({"layers_to_transform": ["a"]}), vec!["layers_to_transform"]),
        (json!({"modules_to_save": ["lm_head"]}), vec!["modules_to_save", "lm_head", "not supported"]),
        (json!({"layer_replication": [[0, 1]]}), vec!["layer_replication"]),
        (json!({"alora_invocation_tokens": [1, 2]}), vec!["alora_invocation_tokens"]),
        (json!({"trainable_token_indices": [1]}), vec!["trainable_token_indices"]),
        (json!({"use_qalora": true}), vec!["use_qalora"]),
        (json!({"velora_config": {"a": 1}}), vec!["velora_config"]),
        (json!({"use_something_new": true}), vec!["use_something_new"]),
        (json!({"bias": "all"}), vec!["bias", "all", "none"]),
        (json!({"init_lora_weights": "pissa"}), vec!["init_lora_weights", "pissa", "path_initial_model"]),
        (json!({"lora_bias": true, "use_dora": true}), vec!["lora_bias", "use_dora"]),
        (json!({"target_parameters": ["x"], "use_dora": true}), vec!["use_dora", "target_parameters"]),
        (
            json!({"target_modules": ["query"]}),
            vec!["target_modules", "query", "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj", "lm_head"],
        ),
        (json!({"target_modules": null}), vec!["no module"]),
        (json!({"exclude_modules": "all-linear"}), vec!["exclude_modules", "all-linear"]),
    ] {
        let mut config = case.config.clone();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let mut all = vec!["adapter_config.json"];
        all.extend(parts);
        refused(load(&case.family, &config, &case.tensors), &changes.to_string(), &all);
    }
    // What nobody knows is kept, and what is off is off.
    let mut config = case.config.clone();
    config["a_new_key"] = json!({"x": [1, 2]});
    config["use_something_new"] = json!(false);
    let model = load(&case.family, &config, &case.tensors).unwrap();
    let out = tempfile::tempdir().unwrap();
    model.save_adapter(&out.path().join("a")).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(out.path().join("a/adapter_config.json")).unwrap()).unwrap();
    assert_eq!(written, config);
    refused(
        model.save_adapter(&out.path().join("a")).map(|()| model),
        "a folder that is there",
        &["something already"],
    );
}

#[test]
fn misfits_are_listed_together() {
    let case = case("lora");
    let mut tensors = case.tensors.clone();
    let at = "base_model.model.model.layers.0.self_attn";
    tensors.remove(&format!("{at}.q_proj.lora_B.weight"));
    tensors.insert(format!("{at}.v_proj.lora_A.weight"), Tensor::zeros((4, 32), DType::F32, &Device::Cpu).unwrap());
    tensors.insert(format!("{at}.k_proj.lora_A.weight"), Tensor::zeros((4, 64), DType::F32, &Device::Cpu).unwrap());
    tensors.insert(format!("{at}.q_proj.lora_A.weight"), Tensor::zeros((4, 64), DType::I64, &Device::Cpu).unwrap());
    refused(
        load(&case.family, &case.config, &tensors),
        "misfits",
        &[
            "adapter_model.safetensors: 4 tensors",
            "q_proj.lora_B.weight: missing; the adapter needs [64, 4]",
            "v_proj.lora_A.weight: shape [4, 32], but model and configuration need [4, 64]",
            "k_proj.lora_A.weight: belongs to no target",
            "q_proj.lora_A.weight: no floating-point tensor",
        ],
    );
    // Another rank than the configuration says, and another model.
    let mut config = case.config.clone();
    config["r"] = json!(3);
    refused(load(&case.family, &config, &case.tensors), "another rank", &["12 tensors", "need [3, 64]"]);
    refused(load("qwen3", &case.config, &case.tensors), "another model", &["lora_B.weight", "shape"]);
    // A copy of the token table that is not ours.
    let case = self::case("tables");
    let mut tensors = case.tensors.clone();
    let name = "base_model.model.model.embed_tokens.base_layer.weight";
    tensors.insert(name.to_owned(), (&tensors[name] * 2.0).unwrap());
    refused(load(&case.family, &case.config, &tensors), "another table", &[name, "resized or trained"]);
}

#[test]
fn tied_tables_and_ranks() {
    let tied = base("llama-tied", DType::F32);
    for target in ["embed_tokens", "lm_head"] {
        let targets = Targets::List(vec![target.to_owned()]);
        let spec = AdapterSpec { targets, ..AdapterSpec::default() };
        refused(tied.inject_lora(&spec, 0), target, &[target, "token table"]);
    }
    let model = base("llama", DType::F32);
    let spec = |r: usize| AdapterSpec { r, ..AdapterSpec::default() };
    refused(model.inject_lora(&spec(0), 0), "r = 0", &["r = 0"]);
    refused(model.inject_lora(&spec(1 << 30), 0), "a huge r", &["r = 1073741824", "at most 64"]);
    let none = AdapterSpec { targets: Targets::Regex("nothing".to_owned()), ..AdapterSpec::default() };
    refused(model.inject_lora(&none, 0), "no match", &["nothing", "q_proj", "lm_head"]);
    for (alpha, dropout) in [(f64::NAN, 0.0), (1.0, 1.0), (1.0, f64::NAN), (1.0, -0.1)] {
        let spec = AdapterSpec { alpha, dropout, ..AdapterSpec::default() };
        assert!(model.inject_lora(&spec, 0).is_err(), "{alpha} {dropout}");
    }
    assert!(matches!(model.merge(), Err(Error::AdapterState { .. })));
    assert!(matches!(model.save_adapter(std::path::Path::new("x")), Err(Error::AdapterState { .. })));
}

#[test]
fn missing_and_hostile_files() {
    let case = case("lora");
    let model = base(&case.family, DType::F32);
    refused(model.load_adapter(std::path::Path::new("/nowhere")), "no folder", &["adapter_config.json: no such file"]);
    let folder = folder(&case.config, &case.tensors);
    let path = folder.path().join("adapter_model.safetensors");
    let whole = fs::read(&path).unwrap();
    for n in [0, 7, 8, 100, whole.len() - 1] {
        fs::write(&path, &whole[..n]).unwrap();
        refused(model.load_adapter(folder.path()), &format!("{n} bytes"), &["adapter_model.safetensors"]);
    }
    fs::write(&path, [&u64::MAX.to_le_bytes()[..], &whole[8..]].concat()).unwrap();
    refused(model.load_adapter(folder.path()), "a huge header", &["adapter_model.safetensors"]);
    fs::rename(&path, folder.path().join("adapter_model.bin")).unwrap();
    refused(model.load_adapter(folder.path()), "a pickle", &["adapter_model.safetensors: no such file", "pickled"]);
    fs::write(folder.path().join("adapter_config.json"), "{").unwrap();
    refused(model.load_adapter(folder.path()), "half a JSON", &["adapter_config.json: not valid JSON"]);
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        "[a-z_.*()|\\[\\]{}0-9^$?+\\\\]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["q_proj", "all-linear", ".*", "LORA", "gaussian", "none"]).prop_map(Value::from),
        prop::collection::vec("[a-z_.]{0,8}", 0..3).prop_map(Value::from),
        prop::collection::vec(0_u32..4, 0..3).prop_map(Value::from),
        prop::collection::vec(("[a-z_.*]{0,8}", 0_u32..9), 0..3).prop_map(|pairs| pairs
            .into_iter()
            .map(|(key, n)| (key, Value::from(n)))
            .collect::<serde_json::Map<_, _>>()
            .into()),
    ]
}

/// Mutated configurations of adapters load or are refused; nothing panics. The crate's own tests try 10,000 without files.
#[test]
fn mutated_configurations() {
    for name in ["lora", "patterns", "experts", "layers"] {
        let case = case(name);
        let model = base(&case.family, DType::F32);
        let folder = folder(&case.config, &case.tensors);
        let keys: Vec<String> = case.config.as_object().unwrap().keys().cloned().collect();
        let changes = prop::collection::vec((prop::sample::select(keys), value()), 1..4);
        let text = case.config.to_string();
        let cut = (0..text.len(), any::<u8>());
        let strategy = prop_oneof![
            4 => changes.prop_map(|changes| (Some(changes), None)),
            1 => cut.prop_map(|cut| (None, Some(cut))),
        ];
        let cases = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(cases);
        let run = runner.run(&strategy, |(changes, cut)| {
            let mut config = case.config.clone();
            for (key, value) in changes.into_iter().flatten() {
                config[&key] = value;
            }
            let mut bytes = config.to_string().into_bytes();
            if let Some((at, byte)) = cut {
                bytes[at.min(text.len() - 1)] = byte;
            }
            fs::write(folder.path().join("adapter_config.json"), bytes).unwrap();
            let _ = model.load_adapter(folder.path());
            Ok(())
        });
        run.unwrap();
    }
}
