use ashlar_models::lm::{HookPoint, HookSet, Input, KvCache, Model, Site};
use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load(family: &str, dialect: u8, dtype: DType) -> Model {
    let folder = checkpoint(family, dialect);
    Model::load(folder.path(), dtype, &Device::Cpu).unwrap_or_else(|error| panic!("{family}: {error}"))
}

/// The columns of a left-padded [B, T, …] that hold tokens, one after the other.
fn real(x: &Tensor, lengths: &[usize]) -> Tensor {
    let columns = x.dim(1).unwrap();
    let rows: Vec<Tensor> =
        lengths.iter().enumerate().map(|(b, &n)| x.get(b).unwrap().narrow(0, columns - n, n).unwrap()).collect();
    Tensor::cat(&rows, 0).unwrap().to_dtype(DType::F64).unwrap()
}

fn largest(x: &Tensor) -> f64 {
    x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let b = b.to_dtype(DType::F64).unwrap();
    // A NaN would vanish in a maximum.
    let difference = (a - &b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    difference.into_iter().fold(0.0, |max, d| if d.is_nan() { f64::INFINITY } else { f64::max(max, d) })
}

fn mean_distance(a: &Tensor, b: &Tensor) -> f64 {
    let b = b.to_dtype(DType::F64).unwrap();
    (a - &b).unwrap().abs().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap()
}

#[test]
fn logits_are_those_of_transformers_in_both_dialects() {
    for family in FAMILIES {
        let expected = expected(family);
        let input = Input::rows(&rows(&expected)).unwrap();
        for dialect in [5, 4] {
            for (dtype, bound) in [(DType::F64, 5e-5), (DType::F32, 2e-4)] {
                let logits = load(family, dialect, dtype).forward(&input, None, &HookSet::new()).unwrap();
                let off = distance(&real(&logits, &input.lengths()), &expected["logits"]);
                println!("{family} config{dialect} {dtype:?}: {off:.1e}");
                assert!(off <= bound, "{family} config{dialect} {dtype:?}: {off:e} > {bound:e}");
            }
        }
    }
}

#[test]
fn hidden_states_and_routers() {
    for family in FAMILIES {
        let expected = expected(family);
        let model = load(family, 5, DType::F32);
        let spec = model.spec();
        let input = Input::rows(&rows(&expected)).unwrap();
        let mut points: Vec<HookPoint> = (0..spec.n_layers).map(|l| HookPoint::of(l, Site::ResidPre)).collect();
        points.push(HookPoint::of(0, Site::LnFinal));
        let sparse = (0..spec.n_layers).filter(|&l| spec.moe[l].is_some());
        let routers: Vec<HookPoint> = sparse.map(|l| HookPoint::of(l, Site::RouterLogits)).collect();
        let all = [points.as_slice(), &routers].concat();
        let (hooks, captured) = HookSet::new().capture(spec, &all).unwrap();
        model.forward(&input, None, &hooks).unwrap();
        // HF's last hidden state is the one after the final norm.
        for (layer, point) in points.iter().enumerate() {
            let expected = &expected[&format!("hidden.{layer}")].to_dtype(DType::F64).unwrap();
            let off = distance(&real(&captured.get(*point).unwrap(), &input.lengths()), expected) / largest(expected);
            assert!(off <= 1e-4, "{family} hidden {layer}: {off:e}");
        }
        for (layer, point) in routers.iter().enumerate() {
            let logits = captured.get(*point).unwrap();
            let logits = logits.reshape((input.batch(), input.columns(), ())).unwrap();
            let expected = &expected[&format!("router.{layer}")].to_dtype(DType::F64).unwrap();
            let off = distance(&real(&logits, &input.lengths()), expected) / largest(expected);
            assert!(off <= 1e-4, "{family} router {layer}: {off:e}");
        }
    }
}

#[test]
fn bf16_is_no_further_from_f64_than_transformers_is() {
    for family in FAMILIES {
        let expected = expected(family);
        let input = Input::rows(&rows(&expected)).unwrap();
        let logits = load(family, 5, DType::BF16).forward(&input, None, &HookSet::new()).unwrap();
        let reference = expected["logits"].to_dtype(DType::F64).unwrap();
        let ours = mean_distance(&real(&logits, &input.lengths()), &reference);
        let theirs = mean_distance(&reference, &expected["bf16"]);
        println!("{family} bf16: {ours:.4} (transformers {theirs:.4})");
        assert!(ours <= 1.25 * theirs, "{family}: {ours} > 1.25 × {theirs}");
    }
}

#[test]
fn greedy_continuation_with_a_cache() {
    for family in FAMILIES {
        let expected = expected(family);
        let model = load(family, 5, DType::F32);
        let rows = rows(&expected);
        let greedy = expected["greedy"].to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
        let mut cache = KvCache::new();
        let mut input = Input::rows(&rows).unwrap();
        for step in 0..8 {
            let logits = model.forward(&input, Some(&mut cache), &HookSet::new()).unwrap();
            let last = logits.narrow(1, logits.dim(1).unwrap() - 1, 1).unwrap().squeeze(1).unwrap();
            let tokens = last.argmax(1).unwrap().to_vec1::<u32>().unwrap();
            let wanted: Vec<u32> = greedy.iter().map(|row| row[step] as u32).collect();
            assert_eq!(tokens, wanted, "{family}, step {step}");
            input = Input::rows(&tokens.iter().map(|&t| vec![t]).collect::<Vec<_>>()).unwrap();
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    for family in FAMILIES {
        let expected = expected(family);
        let model = load(family, 5, DType::F32);
        let rows = rows(&expected);
        let batch = Input::rows(&rows).unwrap();
        let together = real(&model.forward(&batch, None, &HookSet::new()).unwrap(), &batch.lengths());
        let alone: Vec<Tensor> = rows
            .iter()
            .map(|row| {
                let input = Input::rows(std::slice::from_ref(row)).unwrap();
                real(&model.forward(&input, None, &HookSet::new()).unwrap(), &input.lengths())
            })
            .collect();
        let off = distance(&together, &Tensor::cat(&alone, 0).unwrap());
        assert!(off <= 2e-5, "{family}: {off:e}");
    }
}
