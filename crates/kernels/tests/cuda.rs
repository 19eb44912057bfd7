//! The kernels on a GPU give the bits of the Rust twins. Without a driver each test prints that it is skipped;
//! `ASHLAR_REQUIRE_GPU=1` makes that a failure.
#![cfg(feature = "cuda")]

mod common;

use ashlar_kernels::device::{Device, DeviceInfo};
use ashlar_kernels::launch::Runtime;
use ashlar_kernels::require_gpu;
use ashlar_kernels::topk::{Count, TopK};
use common::clip::{check_clip, check_records, clippings, records};
use common::dequant::{check_dequant, packings};
use common::sparse::{check_sparse, problems};
use common::{
    Make, check_noise, check_sketch, check_topk, lengths, makes, noises, offsets, selections, sketches, vector,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn cases(count: u32) -> TestRunner {
    TestRunner::new(Config { cases: count, failure_persistence: None, ..Config::default() })
}

#[test]
fn topk_has_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let input = (lengths(), makes(), makes(), any::<u64>(), selections());
    let outcome = cases(1000).run(&input, |(n, make, make_g, seed, selection)| {
        check_topk(&rt, &vector(make, n, seed), &vector(make_g, n, !seed), 0.1, selection);
        Ok(())
    });
    outcome.expect("the CPU's bits");
}

#[test]
fn sketches_have_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let outcome = cases(1000).run(&sketches(), |(config, x, y, split, factor, k)| {
        check_sketch(&rt, config, &x, &y, split, factor, k);
        Ok(())
    });
    outcome.expect("the CPU's bits");
}

#[test]
fn noise_has_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let outcome =
        cases(1000).run(&(noises(), lengths(), offsets(), makes(), any::<u64>()), |(noise, n, offset, make, seed)| {
            check_noise(&rt, noise, offset, &vector(make, n, seed), 0.37, 3.7);
            Ok(())
        });
    outcome.expect("the CPU's bits");
    check_noise(
        &rt,
        ashlar_kernels::noise::NoiseKey::philox(1).gaussian(0, 0),
        77,
        &vector(Make::Normal, 10_000_019, 7),
        1.0,
        1.0,
    );
}

#[test]
fn clipping_has_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let outcome = cases(1000).run(&clippings(), |(clipper, g, start, finish)| {
        check_clip(&rt, &clipper, &g, &start, finish.as_ref());
        Ok(())
    });
    outcome.expect("the CPU's bits");
    let outcome = cases(1000).run(&records(), |records| {
        check_records(&rt, &records);
        Ok(())
    });
    outcome.expect("the CPU's bits");
}

#[test]
fn sparse_work_has_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let outcome = cases(1000).run(&problems(), |problem| {
        check_sparse(&rt, &problem);
        Ok(())
    });
    outcome.expect("the CPU's bits");
}

#[test]
fn unpacking_has_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    let outcome = cases(1000).run(&packings(), |(format, n, packed, from)| {
        check_dequant(&rt, format, n, &packed, from);
        Ok(())
    });
    outcome.expect("the CPU's bits");
}

/// What the shim can't reach: every multiprocessor busy, look-back over thousands of tiles.
#[test]
fn large_inputs_have_the_bits_of_the_cpu() {
    let rt = require_gpu!();
    for (make, n) in [(Make::Normal, 1 << 24), (Make::Ties, (1 << 24) + 1), (Make::Bits, 10_000_019)] {
        let x = vector(make, n, 7);
        let buffer = rt.upload(&x).expect("upload");
        for k in [Count::Exact(1), Count::Fraction(0.001), Count::Fraction(0.1), Count::Fraction(0.6)] {
            let (expected, stats) = TopK::new(k).select(&x).expect("k fits");
            for topk in [TopK::new(k), TopK::new(k).hint(stats.threshold), TopK::new(k).hint(0.0)] {
                let (got, got_stats) = topk.run(&rt, &buffer).expect("k fits");
                assert_eq!(got.idx(), expected.idx(), "{make:?}, {k:?}");
                assert_eq!(common::bits(got.val()), common::bits(expected.val()));
                assert_eq!(got_stats.threshold.to_bits(), stats.threshold.to_bits());
            }
        }
    }
}

#[test]
fn the_gpu_is_described() {
    let rt = require_gpu!();
    let info = rt.describe();
    assert_eq!(info.device.as_deref(), Some("cuda:0"));
    assert!(info.driver_found && !info.gpus.is_empty() && info.auto_device == "cuda:0");
    println!("{info}");
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let error = Runtime::new(&Device::Cuda(99)).expect_err("no hundredth GPU");
    assert!(error.is_input());
    let text = error.to_string();
    if DeviceInfo::probe().driver_found {
        assert!(text.starts_with("there is no cuda:99; this machine has "), "{text}");
    } else {
        assert!(text.starts_with("no NVIDIA driver: looked for libcuda.so"), "{text}");
    }
}

#[test]
fn a_buffer_of_another_device_is_refused() {
    let rt = require_gpu!();
    let here = Runtime::cpu().upload(&[1.0_f32, 2.0]).expect("upload");
    let error = TopK::new(Count::Exact(1)).run(&rt, &here).expect_err("host memory");
    assert!(error.to_string().contains("isn't on cuda:0"), "{error}");
}
