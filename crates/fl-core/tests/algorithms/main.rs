//! The vector-level algorithms against the specification's numbers, an independent program's, laws and planted mistakes.
// The helpers outside #[test] functions may fail the same way as the tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod aggregators;
mod attacks;
mod bad_input;
mod byte_counts;
mod certificates;
mod exact_sums;
mod optimisers;
mod pitfalls;
mod servers;
mod speed;
mod states;

use ashlar_fl_core::{Aggregate, HashFamily, SketchConfig, TableKind};
use serde_json::Value;

/// What `scripts/fixtures/fl_server.py` computed.
pub(crate) fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/fl_server.json")).unwrap()
}

pub(crate) fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

pub(crate) fn floats32(value: &Value) -> Vec<f32> {
    floats(value).into_iter().map(|x| x as f32).collect()
}

pub(crate) fn indices(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

/// The fixture script's dyadic gradients: exact in f32.
pub(crate) fn gradient(round: u64, client: u64, d: u64) -> Vec<f32> {
    (0..d)
        .map(|i| {
            let x = i * 7919 + round * 104_729 + client * 1_299_709 + i * i * (3 + round) + i * client * 13;
            ((x % 503) as f32 - 251.0) / 16.0
        })
        .collect()
}

/// A gradient that is its own mean.
pub(crate) fn mean(values: Vec<f32>) -> Aggregate {
    Aggregate::mean(values, 1.0)
}

pub(crate) fn sketch(d: u64, rows: u32, cols: u64, seed: u64) -> SketchConfig {
    SketchConfig { d, rows, cols, seed, hash: HashFamily::Fmix64, table: TableKind::F32 }
}

pub(crate) fn close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "coordinate {i}: {found}, expected {expected}");
    }
}

/// Numbers that repeat: splitmix64, mapped to [-1, 1).
pub(crate) fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..n).map(|_| (next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}
