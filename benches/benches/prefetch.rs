//! Packed weights unpacked beside a copy of the bytes they become, and the expert arena beside a plain copy of its records.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_benches::{noise, one_thread};
use ashlar_kernels::dequant::{Float, Format, Group, Int4, Scale, ZeroPoint};
use ashlar_kernels::prefetch::{Config, ExpertSlots, MemorySource, dense_places};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use half::bf16;

const N: usize = 1 << 24;

/// Bytes out; a `memcpy` of those bytes reads more than unpacking does and writes as much.
fn unpack<T: Float>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, formats: &[(&str, Format)], x: &[f32]) {
    let bytes = (N * size_of::<T>()) as u64;
    group.throughput(Throughput::Bytes(bytes));
    let (from, mut out) = (vec![T::default(); N], vec![T::default(); N]);
    group.bench_function(format!("memcpy {name}"), |b| b.iter(|| black_box(&mut out[..]).copy_from_slice(&from)));
    for (format_name, format) in formats {
        let packed = format.quantise(x).expect("finite weights");
        group.bench_function(format!("{format_name} to {name}"), |b| {
            b.iter(|| format.dequantise(black_box(&packed), &mut out).expect("lengths that fit"));
        });
    }
}

fn dequant(criterion: &mut Criterion) {
    one_thread();
    let int4 = |group, zero_point| Format::Int4(Int4 { group, scale: Scale::F16, zero_point });
    let formats = [
        ("int4 128", int4(Group::G128, ZeroPoint::Eight)),
        ("int4 32 stored zero-points", int4(Group::G32, ZeroPoint::Stored)),
        ("q8_0", Format::Q8_0),
    ];
    let x = noise(1, N);
    let mut group = criterion.benchmark_group("dequant 2^24");
    group.sample_size(20);
    unpack::<f32>(&mut group, "f32", &formats, &x);
    unpack::<bf16>(&mut group, "bf16", &formats, &x);
    group.finish();
}

/// All demands are misses, so each copies its record: the scheduler's cost is the difference.
fn arena(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expert arena");
    group.sample_size(20);
    for (name, bytes, used) in
        [("2.7 MB", 2_654_208_usize, 8_u32), ("9.4 MB", 9_437_184, 8), ("100 MB", 100_000_000, 2)]
    {
        let weights = vec![1_u8; 2 * used as usize * bytes];
        let mut slots = vec![vec![0_u8; bytes]; used as usize];
        group.throughput(Throughput::Bytes(used as u64 * bytes as u64));
        let mut half = 0;
        group.bench_function(format!("memcpy {used} of {name}"), |b| {
            b.iter(|| {
                half = 1 - half;
                let records = weights.chunks_exact(bytes).skip(half * used as usize);
                for (slot, record) in slots.iter_mut().zip(records) {
                    black_box(&mut slot[..]).copy_from_slice(record);
                }
            });
        });
        let source = MemorySource::new(weights, dense_places(1, 2 * used, bytes as u64)).expect("places inside");
        let experts = ExpertSlots::new(Config::new(used, 1 << 40), source).expect("a budget that works");
        let mut half = 0;
        group.bench_function(format!("demand {used} of {name}"), |b| {
            b.iter(|| {
                half = 1 - half;
                let needed: Vec<u32> = (half * used..(half + 1) * used).collect();
                black_box(experts.acquire(0, &needed).expect("memory is read"));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dequant, arena);
criterion_main!(benches);
