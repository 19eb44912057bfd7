//! A 100 M-parameter llama of random weights: decoding beside a read of as many bytes, prefill in GFLOP/s.
//!
//! `cargo bench -p ashlar-benches --bench decode`. `scripts/peers/decode` times candle-transformers on the same shapes.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)] // criterion's macros; a benchmark

use std::{hint::black_box, time::Instant};

use ashlar_benches::{noise, read_sweep};
use ashlar_models::lm::{HookSet, Input, KvCache, Model, ModelSpec, Params, PassOptions, parameters};
use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use rayon::prelude::*;
use serde_json::json;

/// Tokens in the cache before the steps that are timed.
const PAST: usize = 128;

fn spec() -> ModelSpec {
    let config = json!({
        "model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "num_key_value_heads": 4, "intermediate_size": 2048, "vocab_size": 32000, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    ModelSpec::from_hf(&config).unwrap()
}

fn model(dtype: DType) -> Model {
    let spec = spec();
    let params: Params = parameters(&spec)
        .into_iter()
        .enumerate()
        .map(|(i, param)| {
            let n = param.shape.iter().product();
            let values: Vec<f32> = noise(i as u64, n).into_iter().map(|x| 0.02 * x).collect();
            let tensor = Tensor::from_vec(values, param.shape.as_slice(), &Device::Cpu).unwrap();
            (param.name, tensor.to_dtype(dtype).unwrap())
        })
        .collect();
    Model::from_params(spec, params).unwrap()
}

fn rows(batch: usize, columns: usize) -> Input {
    let row = |b: usize| (0..columns).map(|t| ((b * 7919 + t * 104_729) % 32_000) as u32).collect();
    Input::rows(&(0..batch).map(row).collect::<Vec<Vec<u32>>>()).unwrap()
}

/// The shortest of several runs, in seconds: the machine is shared.
fn shortest(runs: usize, mut work: impl FnMut()) -> f64 {
    let time = |()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(|_| ()).map(time).fold(f64::INFINITY, f64::min)
}

fn decode(criterion: &mut Criterion) {
    let count = spec().num_params() as f64;
    for dtype in [DType::F32, DType::BF16] {
        let model = model(dtype);
        let bytes = count * dtype.size_in_bytes() as f64;
        let memory = noise(1, bytes as usize / 4);
        let sweep = || memory.par_chunks(1 << 18).map(read_sweep).sum::<f32>();
        for batch in [1, 8] {
            let mut cache = KvCache::new();
            model.forward(&rows(batch, PAST), Some(&mut cache), &HookSet::new()).unwrap();
            let next = rows(batch, 1);
            let mut step = || {
                cache.truncate(PAST);
                model.forward(&next, Some(&mut cache), &HookSet::new()).unwrap()
            };
            // In turn, so that both see the same load.
            let (mut ours, mut read) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..10 {
                ours = ours.min(shortest(3, || drop(black_box(step()))));
                read = read.min(shortest(3, || {
                    let _ = black_box(sweep());
                }));
            }
            let name = format!("decode/b{batch}/{dtype:?}");
            println!(
                "{name}: {:.1} tokens/s, weights at {:.1} GB/s, sweep {:.1} GB/s, share {:.0} %, {:.1} GFLOP/s",
                batch as f64 / ours,
                bytes / ours / 1e9,
                bytes / read / 1e9,
                100.0 * read / ours,
                2.0 * count * batch as f64 / ours / 1e9,
            );
            criterion.bench_function(&name, |b| b.iter(&mut step));
        }
    }
}

fn prefill(criterion: &mut Criterion) {
    let model = model(DType::F32);
    let options = PassOptions { last_only: true, ..PassOptions::default() };
    let spec = model.spec();
    // The head sees one column.
    let count = (spec.num_params() - (spec.vocab * spec.d_model) as u64) as f64;
    for columns in [128, 1024] {
        let input = rows(1, columns);
        let run = || model.forward_with(&input, None, &HookSet::new(), &options).unwrap();
        let best = shortest(5, || drop(black_box(run())));
        let name = format!("prefill/{columns}");
        let (per_second, gflops) = (columns as f64 / best, 2.0 * count * columns as f64 / best / 1e9);
        println!("{name}: {per_second:.0} tokens/s, {gflops:.1} GFLOP/s");
        criterion.bench_function(&name, |b| b.iter(run));
    }
}

criterion_group!(name = benches; config = Criterion::default().sample_size(10); targets = decode, prefill);
criterion_main!(benches);
