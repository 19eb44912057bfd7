use std::collections::BTreeMap;

use ashlar_models::lm::{HookPoint, HookSet, Input, Model, Ops, Reduction, Site};
use candle_core::{DType, Device, Tensor};

use super::{distance, numbers};
use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load(family: &str, dtype: DType) -> Model {
    Model::load(checkpoint(family, 5).path(), dtype, &Device::Cpu).unwrap().trainable(|_| true).unwrap()
}

/// Mean next-token loss of the fixture's padded rows and every parameter's gradient.
fn gradients(model: &Model, family: &str, hooks: &HookSet) -> (Tensor, BTreeMap<String, Tensor>) {
    let input = Input::rows(&rows(&expected(family))).unwrap();
    let logits = model.forward(&input, None, hooks).unwrap();
    let mut labels = Vec::new();
    for row in rows(&expected(family)) {
        labels.extend(vec![None; input.columns() - row.len()]);
        labels.extend(row[1..].iter().map(|&id| Some(id)));
        labels.push(None);
    }
    let logits = logits.reshape((labels.len(), model.spec().vocab)).unwrap();
    let loss = Ops::Fused.cross_entropy(&logits, &labels, Reduction::Mean, 0.0).unwrap();
    let store = loss.backward().unwrap();
    let of = |(name, var): (&String, &candle_core::Var)| {
        let gradient = store.get(var.as_tensor()).unwrap_or_else(|| panic!("{family}: {name} got no gradient"));
        (name.clone(), gradient.clone())
    };
    (loss, model.vars().iter().map(of).collect())
}

#[test]
fn gradients_of_every_parameter_are_the_composed_ones() {
    for family in FAMILIES {
        for (dtype, bound) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            let model = load(family, dtype);
            let (loss, fused) = gradients(&model, family, &HookSet::new());
            let (expected, composed) = gradients(&model.clone().with_ops(Ops::Composed), family, &HookSet::new());
            assert!(distance(&loss, &expected, 1.0) <= bound, "{family} {dtype:?}: {loss} and {expected}");
            // candle's backward of GELU has constants of six digits.
            let bound = if matches!(*family, "gemma2" | "gpt2") { f64::max(bound, 1e-6) } else { bound };
            for (name, gradient) in &fused {
                let off = distance(gradient, &composed[name], 1e-3);
                assert!(off <= bound, "{family} {dtype:?} {name}: {off:e}");
                let some = numbers(gradient).iter().any(|&x| x != 0.0);
                assert!(some, "{family} {dtype:?} {name}: the gradient is 0");
            }
        }
    }
}

#[test]
fn threads_and_hooks_change_nothing() {
    for family in ["llama", "gemma2", "gpt2", "qwen2_moe"] {
        let model = load(family, DType::F32);
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gradients(&model, family, &HookSet::new()).1.values().map(numbers).collect::<Vec<_>>())
        };
        let one = bits(1);
        assert!(bits(2) == one && bits(3) == one, "{family}");
        // A capture of scores and pattern takes the path with a tensor of scores.
        let points = [Site::AttnScores, Site::Pattern].map(|site| HookPoint::of(0, site));
        let (hooks, captured) = HookSet::new().capture(model.spec(), &points).unwrap();
        let (_, seen) = gradients(&model, family, &hooks);
        assert!(points.iter().all(|&point| captured.get(point).is_some()));
        for (name, gradient) in gradients(&model, family, &HookSet::new()).1 {
            let off = distance(&seen[&name], &gradient, 1e-3);
            assert!(off <= 1e-4, "{family} {name}: {off:e}");
        }
    }
}
