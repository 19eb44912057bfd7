//! Count-sketches beside a read sweep of equal bytes, on one thread.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{noise, one_thread, read_sweep};
use ashlar_kernels::sketch::{CountSketch, SketchConfig};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn sketch(criterion: &mut Criterion) {
    one_thread();
    for (d, cols, k) in [(1 << 22, 1 << 14, 10_000), (1_000_000, 50_000, 10_000), (6_568_640, 500_000, 50_000)] {
        let x = noise(1, d);
        let mut group = criterion.benchmark_group(format!("sketch {d} in 5x{cols}"));
        group.sample_size(10).throughput(Throughput::Elements(d as u64));
        group.bench_function("read sweep", |b| b.iter(|| read_sweep(black_box(&x))));
        let config = SketchConfig::new(d as u64, 5, cols, 42);
        for (name, config) in [("f32", config), ("fixed", config.fixed(20))] {
            let Ok(mut sketch) = CountSketch::new(config) else { continue };
            group.bench_function(format!("accumulate {name}"), |b| b.iter(|| sketch.accumulate(black_box(&x), 0)));
        }
        let Ok(mut sketch) = CountSketch::new(config) else { continue };
        if sketch.accumulate(&x, 0).is_ok() {
            group.bench_function(format!("unsketch {k}"), |b| b.iter(|| sketch.unsketch(k)));
        }
        group.finish();
    }
}

criterion_group!(benches, sketch);
criterion_main!(benches);
