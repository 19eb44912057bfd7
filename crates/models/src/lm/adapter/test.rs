use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{
    config::AdapterConfig,
    site::{Place, sites},
};
use crate::lm::ModelSpec;

fn fixture(path: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lm").join(path);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        "[a-z_.*()|\\[\\]{}0-9^$?+\\\\]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["q_proj", "all-linear", ".*", "LORA", "gaussian", "none"]).prop_map(Value::from),
        prop::collection::vec("[a-z_.]{0,8}", 0..3).prop_map(Value::from),
        prop::collection::vec(0_u32..4, 0..3).prop_map(Value::from),
        prop::collection::vec(("[a-z_.*]{0,8}", 0_u32..9), 0..3).prop_map(|pairs| pairs
            .into_iter()
            .map(|(key, n)| (key, Value::from(n)))
            .collect::<Map<_, _>>()
            .into()),
    ]
}

/// Mutated configurations are read or refused; whatever is read has sites or is refused: nothing panics.
#[test]
fn mutated_configurations() {
    for name in ["lora", "patterns", "experts", "layers"] {
        let config = fixture(&format!("peft/{name}/adapter_config.json"));
        let tensors = fixture(&format!("peft/{name}/tensors.json"));
        let family = tensors["base"].as_str().unwrap();
        let spec = ModelSpec::from_hf(&fixture(&format!("{family}/config5.json"))).unwrap();
        let keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        let changes = prop::collection::vec((prop::sample::select(keys), value()), 1..4);
        let settings = ProptestConfig { cases: 2_600, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(settings);
        let run = runner.run(&changes, |changes| {
            let mut config = config.clone();
            for (key, value) in changes {
                config[&key] = value;
            }
            if let Ok(config) = AdapterConfig::read(&config) {
                for bare in [false, true] {
                    let found = sites(&spec, &config, bare, |_| bare);
                    prop_assert!(found.is_err() || found.is_ok_and(|sites| !sites.is_empty()));
                }
            }
            Ok(())
        });
        run.unwrap();
    }
}

/// The first pattern of the file that matches wins, and rank and α are looked up apart.
#[test]
fn patterns_in_the_files_order() {
    let json = |ranks: &str, alphas: &str| {
        let text = format!(
            r#"{{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
                "rank_pattern": {ranks}, "alpha_pattern": {alphas}}}"#
        );
        AdapterConfig::read(&serde_json::from_str(&text).unwrap()).unwrap()
    };
    let q = "model.layers.1.self_attn.q_proj";
    assert_eq!(json("{}", "{}").rank_and_scale(q), (8, 2.0));
    assert_eq!(json(r#"{"q_proj": 4, "layers.1.self_attn.q_proj": 2}"#, "{}").rank_and_scale(q), (4, 4.0));
    assert_eq!(json(r#"{"layers.1.self_attn.q_proj": 2, "q_proj": 4}"#, "{}").rank_and_scale(q), (2, 8.0));
    assert_eq!(json(r#"{"_proj": 4}"#, r#"{"self_attn.q_proj": 4, "q_proj": 1}"#).rank_and_scale(q), (8, 0.5));
    assert_eq!(json(r#"{"[qk]_proj": 4}"#, r#"{"^model.*q_proj": 1}"#).rank_and_scale(q), (4, 0.25));
}

/// A list matches whole segments, the layer is the first number of a path, exclusions win.
#[test]
fn targets() {
    let spec = ModelSpec::from_hf(&fixture("olmoe/config5.json")).unwrap();
    let paths = |json: &str| -> Vec<String> {
        let mut config: Value = serde_json::from_str(json).unwrap();
        for (key, value) in [("peft_type", "LORA".into()), ("r", 2.into()), ("lora_alpha", Value::from(2))] {
            config[key] = value;
        }
        let config = AdapterConfig::read(&config).unwrap();
        sites(&spec, &config, false, |_| true).unwrap().into_iter().map(|site| site.key).collect()
    };
    assert_eq!(paths(r#"{"target_modules": ["1.self_attn.q_proj"]}"#), ["model.layers.1.self_attn.q_proj"]);
    // Not the end of a name: `j` is the end of every projection's.
    assert_eq!(paths(r#"{"target_modules": ["j", "model.layers.0.self_attn.k_proj"]}"#).len(), 1);
    // Expert 1 of layer 0 is not in layer 1.
    let experts = paths(r#"{"target_modules": ["down_proj"], "layers_to_transform": 1}"#);
    assert!(experts.len() == 6 && experts.iter().all(|path| path.starts_with("model.layers.1.")), "{experts:?}");
    assert_eq!(paths(r#"{"target_modules": ".*q_proj", "exclude_modules": [".*"]}"#).len(), 2);
    assert_eq!(paths(r#"{"target_modules": ".*q_proj", "exclude_modules": ".*0.*"}"#).len(), 1);
    // A regular expression is of the whole path.
    assert_eq!(paths(r#"{"target_modules": "model.layers.0.self_attn.q_proj|q_proj|layers"}"#).len(), 1);
    let all = paths(r#"{"target_modules": "All-Linear"}"#);
    assert!(all.iter().all(|path| path != "lm_head" && path != "model.embed_tokens"), "{all:?}");
    let nested = paths(r#"{"target_parameters": ["mlp.experts.down_proj", "experts.gate_up_proj"]}"#);
    assert_eq!(nested[..2], ["model.layers.0.mlp.experts.base_layer", "model.layers.0.mlp.experts"]);
    let single = paths(r#"{"target_parameters": ["mlp.experts.gate_up_proj"]}"#);
    assert_eq!(single[0], "model.layers.0.mlp.experts");

    let config = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_parameters": ["mlp.gate.weight"]}"#;
    let config = AdapterConfig::read(&serde_json::from_str(config).unwrap()).unwrap();
    let mixtral = ModelSpec::from_hf(&fixture("mixtral/config5.json")).unwrap();
    let sites = sites(&mixtral, &config, false, |_| false).unwrap();
    assert_eq!(sites[0].key, "model.layers.0.mlp.gate");
    assert_eq!(sites[0].place, Place::Linear("model.layers.0.block_sparse_moe.gate".to_owned()));
}
