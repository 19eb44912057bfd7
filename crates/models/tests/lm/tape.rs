//! Gradients by example against one example at a time through candle's own operations.

use std::collections::BTreeMap;

use ashlar_models::{
    Error,
    lm::{AdapterSpec, HookSet, Input, Model, Ops},
};
use candle_core::{D, DType, Device, Tensor};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

/// Sum over each row's tokens of −log p(next), `[B]`; rows end at the last column.
fn losses(logits: &Tensor, rows: &[Vec<u32>]) -> Result<Tensor, Error> {
    let columns = logits.dim(1)?;
    let of = |(b, row): (usize, &Vec<u32>)| {
        let n = row.len() - 1;
        let logits = logits.get(b)?.narrow(0, columns - row.len(), n)?;
        let next = Tensor::new(&row[1..], &Device::Cpu)?.unsqueeze(1)?;
        let total = logits.exp()?.sum(D::Minus1)?.log()?.sum_all()?;
        total - logits.gather(&next, 1)?.sum_all()?
    };
    let all = rows.iter().enumerate().map(of).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::stack(&all, 0)?)
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Gradients of one row alone by the composed operations.
fn oracle(model: &Model, row: &[u32]) -> BTreeMap<String, Vec<f64>> {
    let model = model.clone().with_ops(Ops::Composed);
    let rows = [row.to_vec()];
    let logits = model.forward(&Input::rows(&rows).unwrap(), None, &HookSet::new()).unwrap();
    let gradients = losses(&logits, &rows).unwrap().sum_all().unwrap().backward().unwrap();
    let of = |(name, var): (&String, &candle_core::Var)| {
        let zeros = || vec![0.0; var.elem_count()];
        (name.clone(), gradients.get(var.as_tensor()).map_or_else(zeros, values))
    };
    model.vars().iter().map(of).collect()
}

fn square(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn check(family: &str, dtype: DType, bound: f64, rows: &[Vec<u32>], filter: impl Fn(&str) -> bool) {
    let model = Model::load(checkpoint(family, 5).path(), dtype, &Device::Cpu).unwrap().trainable(filter).unwrap();
    check_model(&model, family, bound, rows);
}

fn check_model(model: &Model, family: &str, bound: f64, rows: &[Vec<u32>]) {
    let dtype = model.dtype();
    let input = Input::rows(rows).unwrap();
    let found = model.per_sample(&input, &HookSet::new(), |logits| losses(logits, rows)).unwrap();
    let alone: Vec<BTreeMap<String, Vec<f64>>> = rows.iter().map(|row| oracle(model, row)).collect();

    let norms = found.tape.squared_norms_by_parameter().unwrap();
    assert_eq!(norms.len(), model.vars().len());
    let total = found.tape.squared_norms().unwrap();
    for (i, alone) in alone.iter().enumerate() {
        let whole: f64 = alone.values().map(|g| square(g)).sum();
        let off = (total[i] / whole).sqrt() - 1.0;
        assert!(off.abs() <= bound, "{family} {dtype:?}, example {i}: norm off by {off:e}");
        for (name, gradient) in alone {
            let (ours, theirs) = (norms[name][i].sqrt(), square(gradient).sqrt());
            // What is small beside the whole is small beside its roundings too.
            let off = (ours - theirs).abs() / theirs.max(1e-3 * whole.sqrt());
            assert!(off <= 10.0 * bound, "{family} {dtype:?}, example {i}, {name}: {ours} for {theirs}");
        }
    }
    let factors: Vec<f64> = (0..rows.len()).map(|i| [0.7, 0.0, 1.9][i % 3]).collect();
    let sums = found.tape.weighted_sum(&factors).unwrap();
    for (name, sum) in &sums {
        assert_eq!(sum.dims(), model.vars()[name].dims());
        let mut wanted = vec![0.0; sum.elem_count()];
        for (alone, c) in alone.iter().zip(&factors) {
            wanted.iter_mut().zip(&alone[name]).for_each(|(sum, g)| *sum += c * g);
        }
        // A gradient that is 0 but for roundings (a bias of k: softmax doesn't see it) has no size of its own.
        let size = wanted.iter().fold(1e-3, |max: f64, x| max.max(x.abs()));
        let off = values(sum).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size;
        assert!(off <= 10.0 * bound, "{family} {dtype:?}, {name}: sum off by {off:e}");
    }
}

/// Ragged, so padded; the second row repeats tokens.
fn batch(family: &str) -> Vec<Vec<u32>> {
    let mut rows = rows(&expected(family));
    rows[1] = [rows[1].as_slice(), &[5, 5, 5, 9, 5]].concat();
    rows[1].drain(..5);
    rows
}

#[test]
fn every_family_in_f64() {
    for family in FAMILIES {
        check(family, DType::F64, 1e-10, &batch(family), |_| true);
    }
}

#[test]
fn every_family_in_f32() {
    for family in FAMILIES {
        check(family, DType::F32, 1e-5, &batch(family), |_| true);
    }
}

#[test]
fn what_is_frozen_contributes_nothing() {
    for only in ["q_proj.weight", "embed_tokens", "norm", "bias"] {
        check("llama-tied", DType::F64, 1e-10, &batch("llama-tied"), |name| name.contains(only));
    }
}

/// Short rows take the ghost norm, also across the two uses of a tied table.
#[test]
fn short_rows_of_a_tied_table() {
    let rows = [vec![3, 3, 7], vec![8, 3], vec![4, 4, 4, 4]];
    for family in ["llama-tied", "gemma2", "gpt2"] {
        check(family, DType::F64, 1e-10, &rows, |_| true);
    }
}

#[test]
fn a_factor_of_zero_silences_even_a_nan() {
    let rows = [vec![3, 5, 7], vec![8, 3, 1]];
    let model =
        Model::load(checkpoint("llama", 5).path(), DType::F32, &Device::Cpu).unwrap().trainable(|_| true).unwrap();
    let input = Input::rows(&rows).unwrap();
    let found = model
        .per_sample(&input, &HookSet::new(), |logits| {
            Ok((losses(logits, &rows)? * Tensor::new(&[f32::NAN, 1.0], &Device::Cpu)?)?)
        })
        .unwrap();
    let norms = found.tape.squared_norms().unwrap();
    assert!(norms[0].is_nan() && norms[1].is_finite(), "{norms:?}");
    for (name, sum) in found.tape.weighted_sum(&[0.0, 1.0]).unwrap() {
        assert!(values(&sum).iter().all(|x| x.is_finite()), "{name}");
    }
    assert!(found.tape.weighted_sum(&[1.0]).unwrap_err().to_string().contains("the factors"));
}

#[test]
fn adapters() {
    for family in ["llama", "gpt2", "qwen2"] {
        for freeze_a in [false, true] {
            let base = Model::load(checkpoint(family, 5).path(), DType::F64, &Device::Cpu).unwrap();
            let spec = AdapterSpec { r: 3, alpha: 6.0, freeze_a, ..AdapterSpec::default() };
            let model = base.inject_lora(&spec, 1).unwrap();
            for (i, var) in model.vars().values().enumerate() {
                let n = var.elem_count();
                let values: Vec<f64> = (0..n).map(|j| 0.1 * (0.7 * j as f64 + i as f64).sin()).collect();
                var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
            }
            assert!(model.vars().keys().all(|name| name.contains("lora_")));
            check_model(&model, family, 1e-10, &batch(family));
        }
    }
}

#[test]
fn what_has_no_gradients_by_example_is_named() {
    let model =
        Model::load(checkpoint("llama", 5).path(), DType::BF16, &Device::Cpu).unwrap().trainable(|_| true).unwrap();
    let rows = [vec![3, 5, 7]];
    let input = Input::rows(&rows).unwrap();
    let error = model.per_sample(&input, &HookSet::new(), |logits| losses(logits, &rows)).unwrap_err().to_string();
    assert!(error.contains("f32 or f64"), "{error}");

    let model =
        Model::load(checkpoint("llama", 5).path(), DType::F64, &Device::Cpu).unwrap().trainable(|_| true).unwrap();
    let error = model.per_sample(&input, &HookSet::new(), |logits| Ok(logits.mean_all()?)).unwrap_err().to_string();
    assert!(error.contains("the losses"), "{error}");
    let first = |logits: &Tensor| Ok(logits.detach().sum(2)?.sum(1)?);
    let error = model.per_sample(&input, &HookSet::new(), first).unwrap_err().to_string();
    assert!(error.contains("no gradient was recorded"), "{error}");
}
