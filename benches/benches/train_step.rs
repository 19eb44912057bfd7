//! One training step, forward, backward and update, of the fused operations and of candle's own.
//!
//! `train_step/{tiny,small}/{fused,composed}` at B = 8, T = 64; an element is a useful FLOP (6 a weight and token), so
//! that criterion's elem/s is FLOP/s. `gemm/512` is the machine's rate on as many threads, each with its own product: the
//! roofline. Useful / gemm is the utilisation. Threads: `ASHLAR_BENCH_THREADS`, default all; run it with
//! `CANDLE_NUM_THREADS=1`, as the binaries do. The peer: `scripts/peers/torch_train.py`.
#![allow(missing_docs)] // criterion's macros

use std::{hint::black_box, thread};

use ashlar_models::lm::{
    Batch, HookSet, InitSpec, Model, Ops,
    train::{Learner, TrainSpec, flops_per_token},
};
use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const VOCAB: usize = 65;

fn threads() -> usize {
    let asked = std::env::var("ASHLAR_BENCH_THREADS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

fn train_step(c: &mut Criterion) {
    let spec = TrainSpec::default();
    let id = |r: usize, t: usize| ((r * 131 + t * t * 7 + t) % VOCAB) as u32;
    let rows: Vec<Vec<u32>> = (0..spec.batch).map(|r| (0..=spec.seq).map(|t| id(r, t)).collect()).collect();
    let batch = Batch::stream(&rows).expect("rows are long enough");
    for size in ["tiny", "small"] {
        let init: InitSpec = format!("{size}:llama").parse().expect("a preset");
        let mut group = c.benchmark_group(format!("train_step/{size}"));
        group.sample_size(10);
        for (name, ops) in [("fused", Ops::Fused), ("composed", Ops::Composed)] {
            let model = Model::init(init.spec(VOCAB).expect("a preset"), 0).expect("fits").with_ops(ops);
            group.throughput(Throughput::Elements((flops_per_token(model.spec()) * batch.tokens() as f64) as u64));
            let mut learner = Learner::new(model, spec.clone(), threads()).expect("valid settings");
            group.bench_function(name, |b| {
                b.iter(|| black_box(learner.update(std::slice::from_ref(&batch), &HookSet::new()).expect("a step")));
            });
        }
        group.finish();
    }
}

/// 512³ on each thread at once.
fn gemm(c: &mut Criterion) {
    let n = 512_usize;
    let matrix = || Tensor::randn(0_f32, 1.0, (n, n), &Device::Cpu).expect("fits");
    let pairs: Vec<(Tensor, Tensor)> = (0..threads()).map(|_| (matrix(), matrix())).collect();
    let mut group = c.benchmark_group("gemm");
    group.throughput(Throughput::Elements((2 * n.pow(3) * pairs.len()) as u64));
    group.bench_function("512", |b| {
        b.iter(|| {
            thread::scope(|scope| {
                for (x, y) in &pairs {
                    scope.spawn(|| black_box(x.matmul(y).expect("square")));
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, train_step, gemm);
criterion_main!(benches);
