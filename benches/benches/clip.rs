//! Per-sample clipping beside a read sweep, noise beside a memset, ghost norms beside explicit gradients; on one thread.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{noise, one_thread, read_sweep};
use ashlar_kernels::clip::ghost::{self, LinearShape, NormMethod};
use ashlar_kernels::clip::{ClipRule, Clipper, Finish};
use ashlar_kernels::noise::NoiseKey;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const N: usize = 1 << 24;

fn clip(criterion: &mut Criterion) {
    one_thread();
    let g = noise(1, N);
    let mut group = criterion.benchmark_group("clip 2^24");
    group.sample_size(20).throughput(Throughput::Bytes(4 * N as u64));
    group.bench_function("read sweep", |b| b.iter(|| read_sweep(black_box(&g))));
    let finish = Finish { noise: NoiseKey::philox(1).gaussian(0, 0), scale: 1.0, divisor: 16.0 };
    // Rows of 4 MiB are read twice from memory, so twice the bytes that the rate counts; shorter ones once, and once from
    // the cache.
    for columns in [1 << 20, 1 << 16, 1 << 14, 1 << 10] {
        let rows = N / columns;
        let mut sum = vec![0.0; columns];
        let clipper = Clipper::new(ClipRule::Flat, 1.0, columns).expect("a bound that works");
        group.bench_function(format!("accumulate {rows}x{columns}"), |b| b.iter(|| clipper.accumulate(&g, &mut sum)));
        group.bench_function(format!("finish {rows}x{columns}"), |b| b.iter(|| clipper.finish(&g, &mut sum, &finish)));
    }
    group.finish();
}

fn noises(criterion: &mut Criterion) {
    one_thread();
    let mut out = vec![0.0_f32; N];
    let mut group = criterion.benchmark_group("noise 2^24");
    group.sample_size(20).throughput(Throughput::Bytes(4 * N as u64));
    group.bench_function("memset", |b| b.iter(|| black_box(&mut out[..]).fill(1.5)));
    let (philox, chacha) = (NoiseKey::philox(1), NoiseKey::chacha([1; 32]));
    for (name, noise) in [
        ("philox gaussian", philox.gaussian(0, 0)),
        ("philox laplace", philox.laplace(0, 0)),
        ("chacha20 gaussian", chacha.gaussian(0, 0)),
        ("chacha20 sum of four", chacha.gaussian(0, 0).sum4()),
    ] {
        group.bench_function(name, |b| b.iter(|| noise.fill(0, 1.0, black_box(&mut out))));
    }
    group.finish();
}

/// The explicit way stores each example's gradient, then takes its norm.
fn ghosts(criterion: &mut Criterion) {
    one_thread();
    let mut group = criterion.benchmark_group("ghost norms, 8 examples of 768x768");
    group.sample_size(10);
    for positions in [16, 128, 512] {
        let shape = LinearShape { samples: 8, positions, inputs: 768, outputs: 768 };
        let (a, b) = (noise(1, 8 * positions * 768), noise(2, 8 * positions * 768));
        for (name, method) in [("gram", NormMethod::Gram), ("explicit tiles", NormMethod::Explicit)] {
            let name = format!("{name}, S = {positions}");
            group.bench_function(name, |bench| bench.iter(|| ghost::linear_squared_norms(shape, &a, &b, method)));
        }
        group.bench_function(format!("stored gradients, S = {positions}"), |bench| {
            bench.iter(|| {
                let one = LinearShape { samples: 1, ..shape };
                let mut gradients = vec![0.0; 8 * 768 * 768];
                let (a, b) = (a.chunks(positions * 768), b.chunks(positions * 768));
                for ((a, b), g) in a.zip(b).zip(gradients.chunks_mut(768 * 768)) {
                    ghost::linear_weighted_sum(one, a, b, &[1.0], g).expect("shapes that fit");
                }
                ghost::squared_norms(&gradients, 768 * 768)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, clip, noises, ghosts);
criterion_main!(benches);
