//! Work on kept coordinates beside the dense work of equal result and a copy of equal bytes, on one thread.
//!
//! Names end in the share of coordinates that is kept. Rates count the bytes of the dense work, so that times compare as
//! rates do; for masks and codes they count the indices (4 bytes each).
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{noise, one_thread, read_sweep};
use ashlar_kernels::rng::SplitMix64;
use ashlar_kernels::sparse::code::{push_gaps, read_gaps};
use ashlar_kernels::sparse::{AdamWStep, Support, sddmm};
use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const N: usize = 1 << 24;
const SHARES: [(&str, f64); 3] = [("0.1%", 0.001), ("1%", 0.01), ("10%", 0.1)];

/// Each coordinate is kept with this probability.
fn random(n: usize, share: f64) -> Support {
    let mut mix = SplitMix64::new(7);
    let below = (share * (1_u64 << 32) as f64) as u64;
    Support::new(n as u64, (0..n as u32).filter(|_| mix.next_u64() >> 32 < below).collect()).expect("in order")
}

fn vectors(criterion: &mut Criterion) {
    one_thread();
    let (x, mut dst) = (noise(1, N), noise(2, N));
    let mut group = criterion.benchmark_group("sparse vectors 2^24");
    group.sample_size(20).throughput(Throughput::Bytes(4 * N as u64));
    group.bench_function("read sweep", |b| b.iter(|| read_sweep(black_box(&x))));
    group.bench_function("copy", |b| b.iter(|| dst.copy_from_slice(black_box(&x))));
    group.bench_function("dense add", |b| {
        b.iter(|| dst.iter_mut().zip(black_box(&x)).for_each(|(dst, x)| *dst += 0.5 * x));
    });
    for (name, share) in SHARES {
        let at = random(N, share);
        let mut kept = vec![0.0; at.nnz()];
        group.bench_function(format!("gather {name}"), |b| b.iter(|| at.gather_into(black_box(&x), &mut kept, 1)));
        group.bench_function(format!("axpy {name}"), |b| b.iter(|| at.axpy(0.5, black_box(&kept), &mut dst, 1)));
    }
    // Every second row of 1024, against the same rows of one block.
    let rows = Support::new(N as u64 >> 10, (0..(N >> 10) as u32).step_by(2).collect()).expect("in order");
    let mut kept = vec![0.0; N / 2];
    group.throughput(Throughput::Bytes(2 * N as u64));
    group.bench_function("copy of half", |b| b.iter(|| kept.copy_from_slice(black_box(&x[..N / 2]))));
    group.bench_function("gather half the rows", |b| b.iter(|| rows.gather_into(black_box(&x), &mut kept, 1024)));
    group.finish();
}

fn optimiser(criterion: &mut Criterion) {
    one_thread();
    let (g, mut w) = (noise(1, N), noise(2, N));
    let step = AdamWStep::new(10, 1e-3, [0.9, 0.999], 1e-8, 0.01, 1.0).expect("options");
    let mut group = criterion.benchmark_group("adamw 2^24");
    group.sample_size(20).throughput(Throughput::Bytes(28 * N as u64));
    for (name, share) in [("dense", 1.0), ("10%", 0.1), ("1%", 0.01)] {
        let at = random(N, share);
        let (mut m, mut v) = (vec![0.0; at.nnz()], vec![0.0; at.nnz()]);
        group.bench_function(name, |b| b.iter(|| step.apply(&at, &mut w, black_box(&g), &mut m, &mut v)));
        let kept = at.gather(&g, 1).expect("lengths");
        let name = format!("{name}, kept gradients");
        group.bench_function(name, |b| b.iter(|| step.apply(&at, &mut w, black_box(&kept), &mut m, &mut v)));
    }
    // A dense optimiser with a mask of bytes, as research code has it: all state, all of it read.
    let mask: Vec<bool> = {
        let at = random(N, 0.1).to_mask().expect("short");
        (0..N).map(|i| at.get(i)).collect()
    };
    let (mut m, mut v) = (vec![0.0_f32; N], vec![0.0_f32; N]);
    group.bench_function("dense state, mask of 10%", |b| {
        b.iter(|| {
            for i in 0..N {
                let g = if mask[i] { g[i] } else { 0.0 };
                m[i] += 0.1 * (g - m[i]);
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                if mask[i] {
                    w[i] = w[i] * 0.99999 - 1e-3 * m[i] / (v[i].sqrt() + 1e-8);
                }
            }
        });
    });
    group.finish();
}

fn products(criterion: &mut Criterion) {
    one_thread();
    let (positions, outputs, inputs) = (512, 1024, 1024);
    let (dy, x) = (noise(1, positions * outputs), noise(2, positions * inputs));
    let tensor = |x: &[f32]| Tensor::from_slice(x, (positions, 1024), &Device::Cpu).expect("fits");
    let (dy_tensor, x_tensor) = (tensor(&dy).t().expect("matrix"), tensor(&x));
    let mut group = criterion.benchmark_group("dW of 1024x1024, 512 positions");
    group.sample_size(20).throughput(Throughput::Elements((positions * outputs * inputs) as u64));
    group.bench_function("dense matmul", |b| b.iter(|| black_box(&dy_tensor).matmul(&x_tensor)));
    for (name, share) in SHARES.into_iter().chain([("3%", 0.03)]) {
        let at = random(outputs * inputs, share);
        group.bench_function(format!("sddmm {name}"), |b| {
            b.iter(|| sddmm(&at, black_box(&dy), &x, positions, outputs, inputs));
        });
    }
    group.finish();
}

fn indices(criterion: &mut Criterion) {
    one_thread();
    let mut group = criterion.benchmark_group("indices of 2^24");
    group.sample_size(20);
    for (name, share) in SHARES.into_iter().chain([("50%", 0.5)]) {
        let at = random(N, share);
        let mask = at.to_mask().expect("short");
        group.throughput(Throughput::Bytes(4 * at.nnz() as u64));
        let mut to = vec![0; at.nnz()];
        group.bench_function(format!("copy {name}"), |b| b.iter(|| to.copy_from_slice(black_box(at.idx()))));
        group.bench_function(format!("to mask {name}"), |b| b.iter(|| black_box(&at).to_mask()));
        group.bench_function(format!("from mask {name}"), |b| b.iter(|| Support::from_mask(black_box(&mask))));
        let mut bytes = Vec::new();
        group.bench_function(format!("gaps {name}"), |b| {
            b.iter(|| {
                bytes.clear();
                push_gaps(&mut bytes, black_box(at.idx()))
            });
        });
        let count = at.nnz() as u64;
        group.bench_function(format!("from gaps {name}"), |b| {
            b.iter(|| read_gaps(black_box(&bytes), &mut 0, count, N as u64));
        });
    }
    group.finish();
}

criterion_group!(benches, vectors, optimiser, products, indices);
criterion_main!(benches);
