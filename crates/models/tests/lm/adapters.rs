//! Adapters against PEFT (`scripts/fixtures/adapters.py`), and the laws that hold without it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ashlar_models::{
    Error,
    lm::{
        AdapterSpec, Batch, Dropout, HookPoint, HookSet, InitA, Input, LossOptions, Model, PassOptions, Recompute,
        SaveOptions, Site, Targets,
    },
};
use candle_core::{D, DType, Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkpoint::{checkpoint, fixture, uniform};

const CASES: &[&str] = &[
    "lora",
    "rslora",
    "dora",
    "patterns",
    "all-linear",
    "gpt2",
    "gpt2-dora",
    "bias",
    "layers",
    "experts",
    "experts-patterns",
    "router",
    "tables",
];

pub struct Case {
    pub family: String,
    pub config: Value,
    pub tensors: BTreeMap<String, Tensor>,
    pub expected: BTreeMap<String, Tensor>,
}

fn path(case: &str, file: &str) -> PathBuf {
    fixture("peft", case).join(file)
}

fn read(path: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub fn case(name: &str) -> Case {
    let json = read(path(name, "tensors.json"));
    let seed = json["seed"].as_u64().unwrap();
    let family = json["base"].as_str().unwrap().to_owned();
    let base = crate::checkpoint::tensors(&family);
    let tensor = |(name, shape): (&String, &Value)| {
        let shape: Vec<usize> = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        if let Some(copied) = name.strip_suffix(".base_layer.weight") {
            let of = format!("{}.weight", copied.strip_prefix("base_model.model.").unwrap());
            return (name.clone(), base[&of].clone());
        }
        let value = |u: f64| {
            if name.ends_with("lora_magnitude_vector") {
                2.4 * (1.0 + 0.4 * u)
            } else if name.ends_with("bias") {
                0.5 * 3_f64.sqrt() * u
            } else {
                0.2 * 3_f64.sqrt() * u
            }
        };
        let values: Vec<f32> = uniform(name, seed, shape.iter().product()).map(|u| value(u) as f32).collect();
        (name.clone(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    let tensors = json["shapes"].as_object().unwrap().iter().map(tensor).collect();
    let expected = candle_core::safetensors::load(path(name, "expected.safetensors"), &Device::Cpu).unwrap();
    Case { family, config: read(path(name, "adapter_config.json")), tensors, expected: expected.into_iter().collect() }
}

pub fn folder(config: &Value, tensors: &BTreeMap<String, Tensor>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    let map: std::collections::HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    candle_core::safetensors::save(&map, folder.path().join("adapter_model.safetensors")).unwrap();
    folder
}

pub fn base(family: &str, dtype: DType) -> Model {
    Model::load(checkpoint(family, 5).path(), dtype, &Device::Cpu).unwrap()
}

fn adapted(name: &str, dtype: DType) -> (Case, Model) {
    let case = case(name);
    let model = base(&case.family, dtype).load_adapter(folder(&case.config, &case.tensors).path());
    (case, model.unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn rows(case: &Case) -> Vec<Vec<u32>> {
    let ids = case.expected["ids"].to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
    ids.into_iter().zip([12, 5]).map(|(row, n)| row[..n].to_vec()).collect()
}

/// Logits of all tokens, row by row, as f64.
fn logits(model: &Model, rows: &[Vec<u32>]) -> Tensor {
    logits_with(model, rows, &PassOptions::default())
}

fn logits_with(model: &Model, rows: &[Vec<u32>], options: &PassOptions) -> Tensor {
    let one = |row: &Vec<u32>| {
        let input = Input::rows(std::slice::from_ref(row)).unwrap();
        model.forward_with(&input, None, &HookSet::new(), options).unwrap().squeeze(0).unwrap()
    };
    let all: Vec<Tensor> = rows.iter().map(one).collect();
    Tensor::cat(&all, 0).unwrap().to_dtype(DType::F64).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let wide = |x: &Tensor| x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(a.dims(), b.dims());
    let off = wide(a).into_iter().zip(wide(b)).map(|(a, b)| (a - b).abs());
    off.fold(0.0, |max, d| if d.is_nan() { f64::INFINITY } else { f64::max(max, d) })
}

fn largest(x: &Tensor) -> f64 {
    distance(x, &x.zeros_like().unwrap())
}

fn same(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) -> bool {
    let bits = |x: &Tensor| -> Vec<u64> {
        let values = x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    };
    a.len() == b.len() && a.iter().all(|(name, x)| b.get(name).is_some_and(|y| bits(x) == bits(y)))
}

/// Mean next-token loss.
fn loss(model: &Model, rows: &[Vec<u32>]) -> Tensor {
    let mut sum = Tensor::zeros((), model.dtype(), &Device::Cpu).unwrap();
    for row in rows {
        let input = Input::rows(std::slice::from_ref(row)).unwrap();
        let logits = model.forward(&input, None, &HookSet::new()).unwrap().squeeze(0).unwrap();
        let logits = logits.narrow(0, 0, row.len() - 1).unwrap();
        let next = Tensor::new(&row[1..], &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let total = logits.exp().unwrap().sum(D::Minus1).unwrap().log().unwrap();
        let chosen = logits.gather(&next, 1).unwrap().squeeze(1).unwrap();
        sum = ((sum + total.sum_all().unwrap()).unwrap() - chosen.sum_all().unwrap()).unwrap();
    }
    (sum / rows.iter().map(|row| row.len() - 1).sum::<usize>() as f64).unwrap()
}

#[test]
fn logits_are_those_of_peft() {
    for name in CASES {
        for (dtype, bound) in [(DType::F64, 5e-5), (DType::F32, 2e-4)] {
            let (case, model) = adapted(name, dtype);
            let off = distance(&logits(&model, &rows(&case)), &case.expected["logits"]);
            println!("{name} {dtype:?}: {off:.1e}");
            assert!(off <= bound, "{name} {dtype:?}: {off:e} > {bound:e}");
        }
    }
}

#[test]
fn merged_logits_are_those_of_peft_and_the_base_stays() {
    for name in CASES {
        for (dtype, bound, own) in [(DType::F64, 5e-5, 1e-10), (DType::F32, 2e-4, 1e-4)] {
            let (case, model) = adapted(name, dtype);
            assert!(same(model.params(), base(&case.family, dtype).params()), "{name}: the base changed");
            let merged = model.merge().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(merged.adapter_params().is_empty());
            let (before, after) = (logits(&model, &rows(&case)), logits(&merged, &rows(&case)));
            let off = distance(&after, &case.expected["merged"]);
            assert!(off <= bound, "{name} {dtype:?}: {off:e} > {bound:e}");
            // Of logits up to 12 the f32 rounding of two ways to sum is what remains.
            let off = distance(&before, &after);
            println!("{name} {dtype:?} merged − unmerged: {off:.1e}");
            assert!(off <= own, "{name} {dtype:?}: {off:e} > {own:e}");
            let again = merged.unmerge().unwrap();
            assert!(same(again.params(), base(&case.family, dtype).params()), "{name}: unmerging changed the base");
            assert_eq!(distance(&logits(&again, &rows(&case)), &before), 0.0);
            assert!(matches!(again.unmerge(), Err(Error::AdapterState { .. })));
        }
    }
}

#[test]
fn gradients_are_those_of_torch() {
    for name in CASES {
        for (dtype, bound) in [(DType::F64, 1e-5), (DType::F32, 1e-3)] {
            let (case, model) = adapted(name, dtype);
            let model = model.trainable(|name| name.contains("lora_")).unwrap();
            assert_eq!(model.vars().len(), model.adapter_params()[0].len());
            let loss = loss(&model, &rows(&case));
            let off = distance(&loss.reshape(1).unwrap(), &case.expected["loss"]);
            assert!(off < 1e-4, "{name} {dtype:?} loss: {off:e}");
            let gradients = loss.backward().unwrap();
            let mut compared = 0;
            for (param, var) in model.vars() {
                let Some(expected) = case.expected.get(&format!("grad.{param}")) else { continue };
                let gradient = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}: {param} got none"));
                let off = distance(gradient, expected) / largest(expected);
                assert!(off <= bound, "{name} {dtype:?} {param}: {off:e}");
                compared += 1;
            }
            assert_eq!(compared, case.expected.keys().filter(|key| key.starts_with("grad.")).count(), "{name}");
        }
    }
}

#[test]
fn folders_round_trip() {
    for name in CASES {
        let (case, model) = adapted(name, DType::F32);
        let out = tempfile::tempdir().unwrap();
        let saved = out.path().join("adapter");
        model.save_adapter(&saved).unwrap();
        let written = read(saved.join("adapter_config.json"));
        assert_eq!(written, case.config, "{name}");
        let file: BTreeMap<String, Tensor> =
            candle_core::safetensors::load(saved.join("adapter_model.safetensors"), &Device::Cpu)
                .unwrap()
                .into_iter()
                .collect();
        let mut wanted = case.tensors.clone();
        wanted.retain(|name, _| !name.ends_with(".base_layer.weight"));
        assert!(same(&file, &wanted), "{name}");
        let again = base(&case.family, DType::F32).load_adapter(&saved).unwrap();
        assert_eq!(distance(&logits(&again, &rows(&case)), &logits(&model, &rows(&case))), 0.0, "{name}");
    }
}

fn spec(targets: &[&str]) -> AdapterSpec {
    let targets = Targets::List(targets.iter().map(|&name| name.to_owned()).collect());
    AdapterSpec { r: 4, alpha: 8.0, targets, ..AdapterSpec::default() }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_trains_only_itself() {
    for (family, dora) in
        [("llama", false), ("llama-tied", true), ("gpt2", true), ("qwen2_moe", false), ("mixtral", false)]
    {
        let plain = base(family, DType::F32);
        let mut spec = AdapterSpec { r: 4, dora, ..AdapterSpec::default() };
        if plain.spec().moe.iter().any(Option::is_some) {
            spec.target_parameters = vec!["experts.gate_up_proj".to_owned(), "experts.down_proj".to_owned()];
        }
        let model = plain.inject_lora(&spec, 3).unwrap();
        let rows = [(3..15).collect::<Vec<u32>>()];
        let off = distance(&logits(&model, &rows), &logits(&plain, &rows));
        assert!(off <= 2e-5, "{family}: {off:e}");
        assert!(same(plain.params(), model.params()), "{family}");
        assert!(model.vars().keys().all(|name| name.starts_with("base_model.model.")), "{family}");
        assert_eq!(model.vars().len(), model.adapter_params()[0].len());
        // With B away from 0 every part gets a gradient.
        for (name, var) in model.vars() {
            if name.contains("lora_B") {
                var.set(&(var.as_tensor().ones_like().unwrap() * 0.01).unwrap()).unwrap();
            }
        }
        let gradients = loss(&model, &rows).backward().unwrap();
        for (name, var) in model.vars() {
            let gradient = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{family}: {name} got no gradient"));
            assert!(largest(gradient) > 0.0, "{family}: {name}");
        }
        // Numbers of the same seed don't depend on what else is a target.
        let again = plain.inject_lora(&spec, 3).unwrap();
        let other = plain.inject_lora(&spec, 4).unwrap();
        let a = |model: &Model| {
            let params = model.adapter_params()[0];
            params.iter().find(|(name, _)| name.ends_with("lora_A.weight")).map(|(_, x)| x.clone()).unwrap()
        };
        assert_eq!(distance(&a(&model), &a(&again)), 0.0);
        assert!(distance(&a(&model), &a(&other)) > 0.01);
    }
}

#[test]
fn initial_values() {
    let plain = base("llama", DType::F32);
    let values = |spec: &AdapterSpec| {
        let model = plain.inject_lora(spec, 1).unwrap();
        let params = model.adapter_params()[0].clone();
        let of = |end: &str| -> Vec<f64> {
            let all = params.iter().filter(|(name, _)| name.ends_with(end));
            all.flat_map(|(_, x)| x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap())
                .collect()
        };
        (of("lora_A.weight"), of("lora_B.weight"))
    };
    let (a, b) = values(&AdapterSpec { r: 32, ..spec(&["q_proj", "k_proj"]) });
    assert!(b.iter().all(|&x| x == 0.0));
    // U(−1/8, 1/8) for 64 inputs: variance 1/(3·64).
    assert!(a.iter().all(|x| x.abs() <= 0.125) && a.iter().any(|x| x.abs() > 0.12));
    let variance = |a: &[f64]| a.iter().map(|x| x * x).sum::<f64>() / a.len() as f64;
    assert!((variance(&a) * 192.0 - 1.0).abs() < 0.05, "{}", variance(&a) * 192.0);
    let (a, _) = values(&AdapterSpec { r: 32, init: InitA::Gaussian, ..spec(&["q_proj", "k_proj"]) });
    assert!((variance(&a) * 1024.0 - 1.0).abs() < 0.07, "{}", variance(&a) * 1024.0);

    let frozen = plain.inject_lora(&AdapterSpec { freeze_a: true, ..spec(&["q_proj"]) }, 1).unwrap();
    assert!(!frozen.vars().is_empty() && frozen.vars().keys().all(|name| name.ends_with("lora_B.weight")));
}

#[test]
fn dropout_drops_the_adapters_input_and_nothing_else() {
    for dora in [false, true] {
        let (case, model) = adapted(if dora { "dora" } else { "lora" }, DType::F64);
        let mut config = case.config.clone();
        config["lora_dropout"] = json!(0.4);
        let dropped = base(&case.family, DType::F64).load_adapter(folder(&config, &case.tensors).path()).unwrap();
        let rows = rows(&case);
        let at = |seed: u64, step: u64| PassOptions { dropout: Some(Dropout { seed, step }), ..PassOptions::default() };
        // Without the option, or where p = 0, it is off.
        assert_eq!(distance(&logits(&dropped, &rows), &logits(&model, &rows)), 0.0);
        assert_eq!(distance(&logits_with(&model, &rows, &at(1, 1)), &logits(&model, &rows)), 0.0);
        let one = logits_with(&dropped, &rows, &at(1, 1));
        assert_eq!(distance(&one, &logits_with(&dropped, &rows, &at(1, 1))), 0.0);
        for other in [at(1, 2), at(2, 1)] {
            assert!(distance(&one, &logits_with(&dropped, &rows, &other)) > 0.1);
        }
        assert!(distance(&one, &logits(&model, &rows)) > 0.1);
    }
    // Both terms of DoRA see the dropped input: with B = 0 the one of the base weight is left.
    let mut case = case("dora");
    case.config["lora_dropout"] = json!(0.4);
    for (name, x) in &mut case.tensors {
        if name.ends_with("lora_B.weight") {
            *x = x.zeros_like().unwrap();
        }
    }
    let model = base(&case.family, DType::F64).load_adapter(folder(&case.config, &case.tensors).path()).unwrap();
    let options = PassOptions { dropout: Some(Dropout { seed: 1, step: 1 }), ..PassOptions::default() };
    assert!(distance(&logits_with(&model, &rows(&case), &options), &logits(&model, &rows(&case))) > 0.1);
    // The mean over masks of a linear layer's output is the undropped output: one projection, read before the norm.
    let (case, _) = adapted("lora", DType::F64);
    let mut config = case.config.clone();
    config["lora_dropout"] = json!(0.4);
    config["target_modules"] = json!(["layers.0.self_attn.v_proj"]);
    let mut tensors = case.tensors.clone();
    tensors.retain(|name, _| name.contains("layers.0.self_attn.v_proj"));
    let model = base(&case.family, DType::F64).load_adapter(folder(&config, &tensors).path()).unwrap();
    let point = HookPoint::of(0, Site::V);
    let v = |options: &PassOptions| {
        let (hooks, captured) = HookSet::new().capture(model.spec(), &[point]).unwrap();
        model.forward_with(&Input::rows(&rows(&case)[..1]).unwrap(), None, &hooks, options).unwrap();
        captured.get(point).unwrap()
    };
    let plain = v(&PassOptions::default());
    let n = 400;
    let mut sum = plain.zeros_like().unwrap();
    let mut squares = plain.zeros_like().unwrap();
    for step in 0..n {
        let off =
            (v(&PassOptions { dropout: Some(Dropout { seed: 5, step }), ..PassOptions::default() }) - &plain).unwrap();
        squares = (squares + off.sqr().unwrap()).unwrap();
        sum = (sum + off).unwrap();
    }
    // Mean offset in standard errors, squared, averaged over the elements: 1 for an unbiased mask.
    let n = n as f64;
    let z = (((sum / n).unwrap().sqr().unwrap() * n).unwrap() / (squares / n).unwrap()).unwrap();
    let z = z.mean_all().unwrap().to_scalar::<f64>().unwrap();
    assert!((0.7..1.3).contains(&z), "{z}");
}

#[test]
fn adapters_add_up_in_any_number() {
    let (case, one) = adapted("lora", DType::F64);
    let two = one.load_adapter(folder(&case.config, &case.tensors).path()).unwrap();
    // Twice the same change is the change at twice α.
    let mut config = case.config.clone();
    config["lora_alpha"] = json!(16);
    let double = base(&case.family, DType::F64).load_adapter(folder(&config, &case.tensors).path()).unwrap();
    let rows = rows(&case);
    assert!(distance(&logits(&two, &rows), &logits(&double, &rows)) < 1e-9);
    assert!(distance(&logits(&two.merge().unwrap(), &rows), &logits(&double, &rows)) < 1e-9);
    assert_eq!(two.adapter_params().len(), 2);
    // A fresh one on top trains alone.
    let three = two.inject_lora(&spec(&["q_proj"]), 0).unwrap();
    assert_eq!(three.adapter_params().len(), 3);
    assert_eq!(three.vars().len(), 4);
    assert_eq!(distance(&logits(&three, &rows), &logits(&two, &rows)), 0.0);
}

/// Blocks that are computed again in the backward pass give the same gradients, the first one's too, below which nothing is
/// trained; and the same masks.
#[test]
fn recomputed_blocks() {
    for name in ["lora", "dora", "experts"] {
        let mut case = case(name);
        let dropout = name != "experts";
        case.config["lora_dropout"] = json!(if dropout { 0.3 } else { 0.0 });
        let model = base(&case.family, DType::F32).load_adapter(folder(&case.config, &case.tensors).path()).unwrap();
        let model = model.trainable(|name| name.contains("lora_")).unwrap();
        let batch = Batch::stream(&rows(&case)[..1]).unwrap();
        let gradients = |recompute: Option<Recompute>| {
            let pass = PassOptions { recompute, dropout: Some(Dropout { seed: 1, step: 2 }), ..PassOptions::default() };
            let loss = model.loss_with(&batch, &HookSet::new(), &LossOptions::default(), &pass).unwrap();
            loss.backward(&model).unwrap()
        };
        let (plain, again) = (gradients(None), gradients(Some(Recompute::new())));
        for param in model.vars().keys() {
            let (a, b) = (plain.get(param), again.get(param));
            let (Some(a), Some(b)) = (a, b) else { panic!("{name}: {param} {} {}", a.is_some(), b.is_some()) };
            assert!(distance(a, b) <= 1e-6 * largest(a), "{name}: {param}");
        }
    }
}

/// A frozen copy sees what training does.
#[test]
fn frozen_copies_see_the_variables() {
    let (case, model) = adapted("dora", DType::F64);
    let model = model.trainable(|name| name.contains("lora_")).unwrap();
    let frozen = model.frozen().unwrap();
    for var in model.vars().values() {
        var.set(&(var.as_tensor() * 1.5).unwrap()).unwrap();
    }
    assert!(frozen.vars().is_empty());
    assert_eq!(distance(&logits(&frozen, &rows(&case)), &logits(&model, &rows(&case))), 0.0);
}

/// transformers 4 has a module an expert; its adapters read the same numbers from other names.
#[test]
fn experts_of_transformers_4() {
    let case = case("experts");
    let model = base(&case.family, DType::F64);
    let (e, r, ff) = (4, 3, 96);
    let mut tensors = BTreeMap::new();
    for (name, x) in &case.tensors {
        let Some(at) = name.strip_suffix("lora_A.weight").filter(|at| at.contains(".experts.")) else {
            if !name.contains(".experts.") {
                tensors.insert(name.clone(), x.clone());
            }
            continue;
        };
        let b = case.tensors[&format!("{at}lora_B.weight")].reshape(((), r, e)).unwrap();
        let gate_up = at.contains("base_layer");
        let block = at.replace("mlp.experts.base_layer.", "").replace("mlp.experts.", "") + "block_sparse_moe.experts";
        for expert in 0..e {
            let a = x.narrow(0, expert * r, r).unwrap();
            let b = b.narrow(2, expert, 1).unwrap().squeeze(2).unwrap();
            let parts = if gate_up { vec![("w1", 0, ff), ("w3", ff, ff)] } else { vec![("w2", 0, b.dim(0).unwrap())] };
            for (part, from, rows) in parts {
                let at = format!("{block}.{expert}.{part}");
                tensors.insert(format!("{at}.lora_A.weight"), a.clone());
                let b = b.narrow(0, from, rows).unwrap().contiguous().unwrap();
                tensors.insert(format!("{at}.lora_B.weight"), b);
            }
        }
    }
    let mut config = case.config.clone();
    config["target_modules"] = json!(["q_proj", "w1", "w2", "w3"]);
    config["target_parameters"] = json!(null);
    let model = model.load_adapter(folder(&config, &tensors).path()).unwrap();
    let off = distance(&logits(&model, &rows(&case)), &case.expected["logits"]);
    assert!(off <= 5e-5, "{off:e}");
}

#[test]
fn nesting_and_prefixes_are_settled_by_shape_and_name() {
    let case = case("experts");
    let mut swapped = BTreeMap::new();
    for (name, x) in &case.tensors {
        let name = if name.contains("experts.base_layer.") {
            name.replace("experts.base_layer.", "experts.")
        } else {
            name.replace("experts.", "experts.base_layer.")
        };
        swapped.insert(name, x.clone());
    }
    let model = base(&case.family, DType::F64);
    let other = model.load_adapter(folder(&case.config, &swapped).path()).unwrap();
    assert!(distance(&logits(&other, &rows(&case)), &case.expected["logits"]) <= 5e-5);

    let case = self::case("lora");
    let bare = case.tensors.iter().map(|(name, x)| (name.replacen("model.model.model.", "model.model.", 1), x.clone()));
    let bare: BTreeMap<String, Tensor> = bare.collect();
    assert!(bare.keys().all(|name| name.starts_with("base_model.model.layers.")));
    let model = base(&case.family, DType::F64).load_adapter(folder(&case.config, &bare).path()).unwrap();
    assert!(distance(&logits(&model, &rows(&case)), &case.expected["logits"]) <= 5e-5);
}

/// The sum over heads, which a hook asks for, sees the change of the output projection.
#[test]
fn heads_apart_see_the_adapter() {
    let (case, model) = adapted("dora", DType::F64);
    let (hooks, _captured) = HookSet::new().capture(model.spec(), &[HookPoint::of(1, Site::AttnResult)]).unwrap();
    let row = &rows(&case)[..1];
    let input = Input::rows(row).unwrap();
    let apart = model.forward(&input, None, &hooks).unwrap().squeeze(0).unwrap();
    assert!(distance(&apart, &logits(&model, row)) < 1e-9);
}

#[test]
fn saving_a_merged_model() {
    let (case, model) = adapted("experts", DType::F32);
    let out = tempfile::tempdir().unwrap();
    let error = model.save(&out.path().join("a"), &SaveOptions::default()).unwrap_err();
    assert!(error.to_string().contains("merge"), "{error}");
    let merged = model.merge().unwrap();
    merged.save(&out.path().join("b"), &SaveOptions::default()).unwrap();
    let again = Model::load(&out.path().join("b"), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(distance(&logits(&again, &rows(&case)), &logits(&merged, &rows(&case))), 0.0);
}
