//! CPython's generator, head scores beside a read of the same memory, chains.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{one_thread, read_sweep};
use ashlar_eval::{
    PyRandom,
    heads::{self, Attention, Compat, Score, Values},
    lm_eval,
    markov::{Counts, Trajectories},
    resample::Statistic,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn draws(criterion: &mut Criterion) {
    one_thread();
    const N: usize = 1 << 20;
    let mut group = criterion.benchmark_group("py_random");
    group.sample_size(20).throughput(Throughput::Elements(N as u64));
    let mut rng = PyRandom::new(0);
    group.bench_function("random", |b| b.iter(|| (0..N).map(|_| rng.random()).sum::<f64>()));
    group.bench_function("rand_below", |b| b.iter(|| (0..N).map(|_| rng.rand_below(7473)).sum::<u64>()));
    group.bench_function("choices", |b| b.iter(|| black_box(rng.choices(1319, N))));
    // gsm8k's 1,319 items.
    let values: Vec<f64> = (0..1319).map(|_| -3.0 * rng.random()).collect();
    group.throughput(Throughput::Elements(1319 * 2000));
    group.bench_function("bootstrap of a mean, 2,000 x 1,319", |b| {
        b.iter(|| lm_eval::bootstrap(black_box(&values), Statistic::Mean, 2000));
    });
    group.finish();
}

fn head_scores(criterion: &mut Criterion) {
    one_thread();
    const HEADS: usize = 8;
    const LEN: usize = 512;
    const DIM: usize = 64;
    let mut rng = PyRandom::new(1);
    let mut maps = vec![0.0_f32; HEADS * LEN * LEN];
    for (at, row) in maps.chunks_mut(LEN).enumerate() {
        let seen = &mut row[..=at % LEN];
        seen.fill_with(|| rng.random() as f32);
        let sum: f32 = seen.iter().sum();
        for weight in seen {
            *weight /= sum;
        }
    }
    let values: Vec<f32> = (0..HEADS * LEN * DIM).map(|_| rng.random() as f32 - 0.5).collect();
    let attention = Attention::causal(&maps, HEADS, LEN, LEN).expect("rows sum to 1");
    let values = Values::new(&values, HEADS, LEN, DIM).expect("finite");
    let mut group = criterion.benchmark_group("heads 8 x 512 x 512");
    group.sample_size(20).throughput(Throughput::Bytes(4 * maps.len() as u64));
    group.bench_function("read sweep", |b| b.iter(|| read_sweep(black_box(&maps))));
    group.bench_function("check", |b| b.iter(|| Attention::causal(black_box(&maps), HEADS, LEN, LEN)));
    for (name, scores) in [("awft and aeqd", &[Score::Awft, Score::Aeqd][..]), ("all 13", &Score::ALL[..13])] {
        group.bench_function(name, |b| b.iter(|| heads::score(&attention, &values, None, LEN, Compat::Ours, scores)));
    }
    group.finish();
}

fn chains(criterion: &mut Criterion) {
    one_thread();
    let mut rng = PyRandom::new(2);
    let correct = (0..10_000).map(|_| (0..10).map(|_| rng.random() < 0.7).collect()).collect();
    let trajectories = Trajectories { correct, ..Trajectories::default() };
    let mut group = criterion.benchmark_group("markov");
    group.sample_size(10);
    group.bench_function("chain of counts", |b| {
        b.iter(|| black_box(Counts { tt: 720, tf: 80, ft: 45, ff: 155 }).chain())
    });
    group.bench_function("bootstrap, 1,000 x 10,000 questions", |b| b.iter(|| trajectories.bootstrap(1000, 0, 0.95)));
    group.finish();
}

criterion_group!(benches, draws, head_scores, chains);
criterion_main!(benches);
