//! Checkpoints out: bit for bit what was read, in every family, dialect and dtype.

use std::fs;

use ashlar_models::{
    Error,
    lm::{HookSet, Input, Model, ModelSpec, SaveOptions},
};
use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};

use crate::checkpoint::{FAMILIES, checkpoint, config, tensors, write};

fn load(folder: &std::path::Path, dtype: DType) -> Model {
    Model::load(folder, dtype, &Device::Cpu).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    let bits = |x: &Tensor| -> Vec<u64> {
        let values = x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    };
    a.dtype() == b.dtype() && a.dims() == b.dims() && bits(a) == bits(b)
}

fn keys(config: &Value) -> Map<String, Value> {
    config.as_object().unwrap().clone()
}

#[test]
fn what_is_saved_loads_bit_for_bit() {
    for family in FAMILIES {
        for dialect in [4, 5] {
            let from = checkpoint(family, dialect);
            let model = load(from.path(), DType::F32);
            let to = tempfile::tempdir().unwrap();
            let out = to.path().join("saved");
            let saved = model.save(&out, &SaveOptions::default()).unwrap();
            assert_eq!(saved.shards, ["model.safetensors"]);
            let again = load(&out, DType::F32);
            assert_eq!(model.params().keys().collect::<Vec<_>>(), again.params().keys().collect::<Vec<_>>());
            for (name, x) in model.params() {
                assert!(same(x, &again.params()[name]), "{family}: {name}");
            }
            // The same names and layouts as transformers wrote, and its own configuration back.
            let file = candle_core::safetensors::load(out.join("model.safetensors"), &Device::Cpu).unwrap();
            let original = tensors(family);
            assert_eq!(file.len(), original.len(), "{family}");
            assert!(original.iter().all(|(name, x)| same(x, &file[name])), "{family}");
            let written: Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
            // Beside what it said there is now the other dialect, which says the same.
            for (key, value) in keys(&config(family, dialect)) {
                if !["dtype", "torch_dtype", "tie_word_embeddings"].contains(&key.as_str()) {
                    assert_eq!(written[&key], value, "{family}: {key}");
                }
            }
            let more = ["dtype", "torch_dtype", "tie_word_embeddings", "rope_theta", "rope_scaling", "rope_parameters"];
            let read = keys(&config(family, dialect));
            for key in keys(&written).keys() {
                let known = read.contains_key(key) || more.contains(&key.as_str());
                assert!(known || (*family == "qwen3_moe" && key.contains("experts")), "{family}: {key}");
            }
            assert!(again.spec().warnings.is_empty(), "{family}: {:?}", again.spec().warnings);
        }
    }
}

#[test]
fn a_specification_without_its_file_is_written_in_full() {
    for family in FAMILIES {
        let model = load(checkpoint(family, 5).path(), DType::F32);
        let spec = ModelSpec { extra: Map::new(), ..model.spec().clone() };
        let written = spec.to_hf("float32").unwrap();
        let again = ModelSpec::from_hf(&written).unwrap();
        assert_eq!(ModelSpec { extra: Map::new(), dtype: spec.dtype.clone(), ..again.clone() }, spec, "{family}");
        assert!(again.warnings.is_empty(), "{family}: {:?}", again.warnings);
        for key in ["dtype", "torch_dtype"] {
            assert_eq!(written[key], "float32", "{family}");
        }
        if *family != "gpt2" {
            assert_eq!(written["rope_theta"], written["rope_parameters"]["rope_theta"], "{family}");
        }
    }
}

#[test]
fn a_changed_specification_overrides_the_file_it_was_read_from() {
    let llama = load(checkpoint("llama", 4).path(), DType::F32);
    let mut spec = llama.spec().clone();
    spec.max_pos = 4096;
    spec.rope.as_mut().unwrap().theta = 7.0;
    let again = ModelSpec::from_hf(&spec.to_hf("float32").unwrap()).unwrap();
    assert_eq!((again.max_pos, again.rope), (4096, spec.rope));
    // No file of a llama says that it has a window, or experts.
    spec.window[1] = Some(8);
    assert!(matches!(spec.to_hf("float32"), Err(Error::NoConfig { family: "llama" })));
    let mistral = load(checkpoint("mistral", 5).path(), DType::F32);
    let mut spec = mistral.spec().clone();
    spec.window[1] = None;
    assert!(spec.to_hf("float32").unwrap_err().to_string().contains("mistral"));
}

#[test]
fn shards_have_an_index() {
    let model = load(checkpoint("qwen2_moe", 5).path(), DType::F32);
    let to = tempfile::tempdir().unwrap();
    let out = to.path().join("saved");
    // Smaller than the largest tensor, which gets a file of its own.
    let saved = model.save(&out, &SaveOptions { shard_bytes: 20_000, ..SaveOptions::default() }).unwrap();
    assert!(saved.shards.len() > 5, "{:?}", saved.shards);
    let index: Value = serde_json::from_slice(&fs::read(out.join("model.safetensors.index.json")).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], saved.bytes);
    assert_eq!(saved.bytes, 4 * model.spec().num_params());
    assert_eq!(index["weight_map"].as_object().unwrap().len(), saved.tensors);
    for file in &saved.shards {
        let there = candle_core::safetensors::load(out.join(file), &Device::Cpu).unwrap();
        let bytes: usize = there.values().map(|x| 4 * x.elem_count()).sum();
        assert!(bytes <= 20_000 || there.len() == 1, "{file}: {bytes} bytes in {} tensors", there.len());
    }
    let again = load(&out, DType::F32);
    assert!(model.params().iter().all(|(name, x)| same(x, &again.params()[name])));
}

#[test]
fn dtypes() {
    let from = checkpoint("gpt2", 5);
    let to = tempfile::tempdir().unwrap();
    for (dtype, name) in [(DType::BF16, "bfloat16"), (DType::F16, "float16"), (DType::F64, "float64")] {
        let out = to.path().join(name);
        let model = load(from.path(), DType::F32);
        model.save(&out, &SaveOptions { dtype: Some(dtype), ..SaveOptions::default() }).unwrap();
        let again = load(&out, dtype);
        assert_eq!(again.spec().dtype.as_deref(), Some(name));
        for (name, x) in model.params() {
            assert!(same(&x.to_dtype(dtype).unwrap(), &again.params()[name]), "{name}");
        }
    }
    let mut large = tensors("gpt2");
    let name = "transformer.h.0.ln_1.weight";
    large.insert(name.to_owned(), (&large[name] * 1e6).unwrap());
    let out = to.path().join("too-large");
    let model = load(write(&large, &config("gpt2", 5)).path(), DType::F32);
    let error = model.save(&out, &SaveOptions { dtype: Some(DType::F16), ..SaveOptions::default() }).unwrap_err();
    assert!(error.to_string().contains(name), "{error}");
    // Nothing is left of a save that failed.
    assert!(
        fs::read_dir(to.path()).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("large"))
    );
}

#[test]
fn a_head_that_differs_is_saved_untied() {
    let mut both = tensors("llama-tied");
    let table = "model.embed_tokens.weight";
    both.insert("lm_head.weight".to_owned(), (&both[table] * 2.0).unwrap());
    let model = load(write(&both, &config("llama-tied", 5)).path(), DType::F32);
    let to = tempfile::tempdir().unwrap();
    let out = to.path().join("saved");
    model.save(&out, &SaveOptions::default()).unwrap();
    let again = load(&out, DType::F32);
    assert!(!again.spec().tied && again.spec().warnings.is_empty());
    let input = Input::rows(&[vec![3, 4, 5]]).unwrap();
    let logits = |model: &Model| model.forward(&input, None, &HookSet::new()).unwrap();
    assert!(same(&logits(&model), &logits(&again)));
}

#[test]
fn companions_go_along() {
    let from = checkpoint("llama", 5);
    for (name, text) in
        [("tokenizer.json", "{}"), ("chat_template.jinja", "hello"), ("generation_config.json", "{\"a\":1}")]
    {
        fs::write(from.path().join(name), text).unwrap();
    }
    fs::write(from.path().join("notes.txt"), "mine").unwrap();
    let to = tempfile::tempdir().unwrap();
    let model = load(from.path(), DType::F32).trainable(|_| true).unwrap();
    model.save(&to.path().join("a"), &SaveOptions::default()).unwrap();
    let read = |name: &str| fs::read_to_string(to.path().join("a").join(name));
    assert_eq!(read("chat_template.jinja").unwrap(), "hello");
    assert_eq!(read("tokenizer.json").unwrap(), "{}");
    assert_eq!(read("generation_config.json").unwrap(), "{\"a\":1}");
    assert!(read("notes.txt").is_err());

    let built = Model::from_params(model.spec().clone(), model.params().clone()).unwrap();
    built.save(&to.path().join("b"), &SaveOptions::default()).unwrap();
    let settings: Value =
        serde_json::from_slice(&fs::read(to.path().join("b/generation_config.json")).unwrap()).unwrap();
    assert_eq!(settings, json!({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}));
}

#[test]
fn what_stands_there_is_not_touched() {
    let model = load(checkpoint("llama", 5).path(), DType::F32);
    let to = tempfile::tempdir().unwrap();
    let refused = |out: &std::path::Path| {
        let error = model.save(out, &SaveOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Taken { .. }) && error.is_input(), "{error}");
    };
    fs::create_dir(to.path().join("full")).unwrap();
    fs::write(to.path().join("full/mine"), "mine").unwrap();
    refused(&to.path().join("full"));
    refused(&to.path().join("full/mine"));
    refused(&to.path().join(".."));
    assert_eq!(fs::read_to_string(to.path().join("full/mine")).unwrap(), "mine");
    fs::create_dir(to.path().join("empty")).unwrap();
    model.save(&to.path().join("empty"), &SaveOptions::default()).unwrap();
    model.save(&to.path().join("new/deeper"), &SaveOptions::default()).unwrap();
    let error = model.save(&to.path().join("full/mine/below"), &SaveOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
