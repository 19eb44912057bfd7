//! Eight settings of steering as rows of one generation, against eight generations:
//! `cargo run --release -p ashlar-models --example sweep`.
//!
//! Decoding one row reads every weight once a token; eight rows read them once too. The prompt of 256 tokens is read once
//! for all. Prints the best of three of each, and fails if a row differs from the run alone.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ashlar_models::{
    Result,
    lm::{Coef, Edit, Family, HookPoint, HookSet, InitSpec, Input, KvCache, Model, Site, Where},
};
use candle_core::{D, DType, Device, Tensor};

const SETTINGS: usize = 8;
const PROMPT: usize = 256;
const NEW: usize = 32;

/// Greedy tokens of every row after the same prompt, which is read once.
fn decode(model: &Model, prompt: &Input, rows: &[usize], hooks: &HookSet) -> Result<Vec<Vec<u32>>> {
    let mut cache = KvCache::new();
    let logits = model.forward(prompt, Some(&mut cache), hooks)?;
    let first = logits.narrow(1, PROMPT - 1, 1)?.argmax(D::Minus1)?.flatten_all()?.to_vec1::<u32>()?[0];
    cache.retain_rows(&vec![0; rows.len()])?;
    let mut tokens = vec![vec![first]; rows.len()];
    for _ in 1..NEW {
        let last: Vec<Vec<u32>> = tokens.iter().map(|row| row[row.len() - 1..].to_vec()).collect();
        let input = Input::rows(&last)?.with_rows(rows.to_vec())?;
        let next =
            model.forward(&input, Some(&mut cache), hooks)?.argmax(D::Minus1)?.flatten_all()?.to_vec1::<u32>()?;
        tokens.iter_mut().zip(next).for_each(|(row, token)| row.push(token));
    }
    Ok(tokens)
}

fn main() -> Result<()> {
    let init = InitSpec { max_pos: Some(512), ..InitSpec::new(Family::Llama, 8, 1024, 8) };
    let model = Model::init(init.spec(2048)?, 0)?;
    let spec = model.spec();
    println!(
        "{} M parameters, {SETTINGS} settings, {PROMPT} tokens of prompt, {NEW} new",
        spec.num_params() / 1_000_000
    );
    let prompt = Input::rows(&[(0..PROMPT as u32).map(|i| i * 7 % 2048).collect()])?;
    let v = Tensor::from_vec((0..1024).map(|i| (0.37 * i as f32).sin()).collect::<Vec<_>>(), 1024, &Device::Cpu)?;
    let v = v.to_dtype(DType::F32)?;
    let edit = |setting: usize| {
        let point = HookPoint::of(setting % spec.n_layers, Site::ResidPost);
        (point, Edit::Add { v: v.clone(), coef: Coef::Rel(0.1 * setting as f64) })
    };
    let mut all = HookSet::new();
    let mut each = Vec::new();
    for setting in 0..SETTINGS {
        let (point, edit) = edit(setting);
        all = all.on(spec, point, edit.clone().at(Where::GeneratedOnly.in_rows([setting])))?;
        each.push(HookSet::new().on(spec, point, edit.at(Where::GeneratedOnly))?);
    }
    let rows: Vec<usize> = (0..SETTINGS).collect();
    let (mut together, mut alone) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        let start = Instant::now();
        let batch = decode(&model, &prompt, &rows, &all)?;
        together = together.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let runs =
            rows.iter().map(|&row| decode(&model, &prompt, &[row], &each[row])).collect::<Result<Vec<_>>>()?.concat();
        alone = alone.min(start.elapsed().as_secs_f64());
        assert_eq!(batch, runs, "a row differs from its run alone");
    }
    println!("one run {together:.2} s, {SETTINGS} runs {alone:.2} s: {:.2} times as fast", alone / together);
    Ok(())
}
