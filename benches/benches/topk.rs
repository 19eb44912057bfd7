//! Top-k beside a read sweep and a copy of equal bytes, on one thread.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{noise, one_thread, read_sweep};
use ashlar_kernels::{
    SparseVec,
    topk::{Count, TopK},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const N: usize = 1 << 24;

fn topk(criterion: &mut Criterion) {
    one_thread();
    let x = noise(1, N);
    let mut group = criterion.benchmark_group("topk 2^24");
    group.sample_size(20).throughput(Throughput::Bytes(4 * N as u64));
    group.bench_function("read sweep", |b| b.iter(|| read_sweep(black_box(&x))));
    let mut to = vec![0.0_f32; N];
    group.bench_function("copy", |b| b.iter(|| to.copy_from_slice(black_box(&x))));
    for (name, share) in [("0.1%", 0.001), ("1%", 0.01), ("10%", 0.1)] {
        let topk = TopK::new(Count::Fraction(share));
        group.bench_function(format!("select {name}"), |b| b.iter(|| topk.select(black_box(&x))));
        let mut top = SparseVec::default();
        group.bench_function(format!("select into {name}"), |b| b.iter(|| topk.select_into(black_box(&x), &mut top)));
        group.bench_function(format!("mask {name}"), |b| b.iter(|| topk.mask(black_box(&x))));
    }
    // What the specification compares with: a fresh index array, partitioned by the same order.
    group.sample_size(10).bench_function("select_nth_unstable_by 1%", |b| {
        b.iter(|| {
            let mut order: Vec<u32> = (0..N as u32).collect();
            let key = |i: u32| (u32::MAX - (x[i as usize].to_bits() & 0x7fff_ffff), i);
            order.select_nth_unstable_by(N / 100, |&a, &b| key(a).cmp(&key(b)));
            black_box(order[0])
        });
    });
    let (mut e, g) = (noise(2, N), noise(3, N));
    let feedback = TopK::new(Count::Fraction(0.01));
    group.bench_function("error feedback 1%", |b| b.iter(|| feedback.error_feedback(&mut e, &g, 0.1)));
    group.finish();
}

criterion_group!(benches, topk);
criterion_main!(benches);
