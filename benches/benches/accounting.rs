//! Composing and calibrating with the `pld` accountant: `cargo bench -p ashlar-benches --bench accounting`.
//!
//! `pld_compose/*` is ε at δ = 1e-5, `calibrate/*` the least noise multiplier for an ε. `scripts/peers/accounting.py`
//! times the peers on the same rows.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use ashlar_dp_core::{Accountant, Event, Neighboring, calibrate, pld::Pld};
use criterion::{Criterion, criterion_group, criterion_main};

const DELTA: f64 = 1e-5;

/// Name, σ, q and steps of Gaussian runs.
const RUNS: [(&str, f64, f64, u64); 4] = [
    ("one step", 1.0, 0.01, 1),
    ("cifar10, 875 steps", 9.4, 0.081_92, 875),
    ("mnist, 14,063 steps", 1.1, 256.0 / 60_000.0, 14_063),
    ("1e5 steps", 0.8, 0.01, 100_000),
];

fn accounting(criterion: &mut Criterion) {
    let pld = Pld::new(Neighboring::AddRemove);
    let mut group = criterion.benchmark_group("pld_compose");
    group.sample_size(10);
    for (name, sigma, rate, steps) in RUNS {
        let events = [Event::gaussian(sigma, rate, steps).expect("in range")];
        group.bench_function(name, |b| b.iter(|| pld.epsilon(black_box(&events), DELTA)));
    }
    let mixed = [
        Event::gaussian(1.0, 0.01, 1000).expect("in range"),
        Event::gaussian(2.0, 0.02, 500).expect("in range"),
        Event::laplace(10.0, 0.05, 20).expect("in range"),
    ];
    group.bench_function("three events", |b| b.iter(|| pld.epsilon(black_box(&mixed), DELTA)));
    group.finish();

    let mut group = criterion.benchmark_group("calibrate");
    group.sample_size(10);
    for (name, rate, steps, epsilon) in
        [("cifar10, eps 1", 0.081_92, 875, 1.0), ("mnist, eps 3", 256.0 / 60_000.0, 14_063, 3.0)]
    {
        let shape = Event::gaussian(1.0, rate, steps).expect("in range");
        group.bench_function(name, |b| b.iter(|| calibrate(&pld, black_box(&shape), &[], epsilon, DELTA)));
    }
    group.finish();
}

criterion_group!(benches, accounting);
criterion_main!(benches);
