//! The CUDA sources, run on the CPU, give the bits of the Rust twins in any order of blocks and threads; and the shim
//! that runs them reports misuse.
#![cfg(feature = "simt")]

mod common;

use std::ffi::{c_uint, c_void};
use std::process::Command;

use ashlar_kernels::device::Device;
use ashlar_kernels::launch::{DeviceSketch, Runtime};
use ashlar_kernels::simt::set_order;
use ashlar_kernels::sketch::{HashFamily, SketchConfig};
use ashlar_kernels::topk::{Count, NanPolicy, TopK};
use common::clip::{check_clip, check_records, clippings, records};
use common::dequant::{check_dequant, packings};
use common::sparse::{check_sparse, problems};
use common::{check_noise, check_sketch, check_topk, lengths, makes, noises, offsets, selections, sketches, vector};
use proptest::prelude::*;

fn simt() -> Runtime {
    Runtime::new(&Device::Simt).expect("the shim is built in")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn topk_has_the_bits_of_the_cpu(
        n in lengths(), (make, make_g) in (makes(), makes()), seed: u64, order: u64, selection in selections(),
    ) {
        set_order(order % 4 * order);
        let (x, g) = (vector(make, n, seed), vector(make_g, n, !seed));
        check_topk(&simt(), &x, &g, 0.1, selection);
    }

    #[test]
    fn sketches_have_the_bits_of_the_cpu((config, x, y, split, factor, k) in sketches(), order: u64) {
        set_order(order % 4 * order);
        check_sketch(&simt(), config, &x, &y, split, factor, k);
    }

    #[test]
    fn clipping_has_the_bits_of_the_cpu((clipper, g, start, finish) in clippings(), order: u64) {
        set_order(order % 4 * order);
        check_clip(&simt(), &clipper, &g, &start, finish.as_ref());
    }

    #[test]
    fn ghost_norms_have_the_bits_of_the_cpu(records in records(), order: u64) {
        set_order(order % 4 * order);
        check_records(&simt(), &records);
    }

    #[test]
    fn sparse_work_has_the_bits_of_the_cpu(problem in problems(), order: u64) {
        set_order(order % 4 * order);
        check_sparse(&simt(), &problem);
    }

    #[test]
    fn unpacking_has_the_bits_of_the_cpu((format, n, packed, from) in packings(), order: u64) {
        set_order(order % 4 * order);
        check_dequant(&simt(), format, n, &packed, from);
    }

    #[test]
    fn noise_has_the_bits_of_the_cpu(
        noise in noises(), n in lengths(), offset in offsets(), make in makes(), seed: u64, order: u64,
        scale in prop::sample::select(vec![0.0_f32, 1.0, 0.37, 1e-20, 3e20]),
        divisor in prop::sample::select(vec![1.0_f32, 256.0, 3.7]),
    ) {
        set_order(order % 4 * order);
        check_noise(&simt(), noise, offset, &vector(make, n, seed), scale, divisor);
    }
}

#[test]
fn the_list_overflows_when_one_bin_holds_everything() {
    // 20,000 values in one bin of the first histogram, k small: the candidates don't fit, the input is read again.
    let x: Vec<f32> = (0..20_000_u32).map(|i| 1.0 + (i * 7919 % 20_000) as f32 * 1e-6).collect();
    for k in [1, 100, 600] {
        let (expected, _) = TopK::new(Count::Exact(k)).select(&x).expect("finite");
        let rt = simt();
        let (got, _) = TopK::new(Count::Exact(k)).run(&rt, &rt.upload(&x).expect("upload")).expect("finite");
        assert_eq!(got, expected);
    }
}

#[test]
fn the_order_of_blocks_and_threads_changes_nothing() {
    let x = vector(common::Make::Ties, 9_000, 3);
    let rt = simt();
    let buffer = rt.upload(&x).expect("upload");
    let expected = TopK::new(Count::Fraction(0.05)).select(&x).expect("finite").0;
    for seed in 0..8 {
        set_order(seed);
        assert_eq!(TopK::new(Count::Fraction(0.05)).run(&rt, &buffer).expect("finite").0, expected, "order {seed}");
    }
    set_order(0);
}

#[test]
fn the_oracle_of_eleven() {
    let x = [1.0, -3.0, 3.0, f32::NAN, 0.0, f32::NEG_INFINITY, 2.0, 3.0, -0.0, 1e-45, -2.0];
    let rt = simt();
    let buffer = rt.upload(&x).expect("upload");
    let top = |k| TopK::new(Count::Exact(k)).run(&rt, &buffer).expect("k fits");
    for (k, indices, threshold) in [
        (1, &[3][..], 0x7fc0_0000),
        (2, &[3, 5], 0x7f80_0000),
        (4, &[1, 2, 3, 5], 0x4040_0000),
        (5, &[1, 2, 3, 5, 7], 0x4040_0000),
        (7, &[1, 2, 3, 5, 6, 7, 10], 0x4000_0000),
        (11, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0),
    ] {
        let (top, stats) = top(k);
        assert_eq!((top.idx(), stats.threshold.to_bits(), stats.nan_count), (indices, threshold, 1), "k = {k}");
    }
    let error = TopK::new(Count::Exact(1)).nan(NanPolicy::Error).run(&rt, &buffer).expect_err("a NaN");
    assert!(error.to_string().contains("index 3"), "{error}");
    for (k, message) in [(0, "k must be at least 1"), (12, "k = 12 exceeds the 11 elements")] {
        let error = TopK::new(Count::Exact(k)).run(&rt, &buffer).expect_err("k that doesn't fit");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn the_oracle_of_eight() {
    let v = [5.0, -3.0, 0.5, 0.25, -0.125, 8.0, 1.0, -1.0];
    let rt = simt();
    for config in [SketchConfig::new(8, 5, 8, 7), SketchConfig::new(8, 5, 8, 7).fixed(57)] {
        let mut sketch = DeviceSketch::new(&rt, config).expect("a configuration that works");
        sketch.accumulate(&rt, &rt.upload(&v).expect("upload"), 0).expect("8 coordinates");
        let table = sketch.to_f32(&rt).and_then(|s| s.to_host()).expect("table");
        assert_eq!(table.table_f32()[..8], [0.5, -5.0, 0.875, -4.0, 0.25, 0.0, 0.0, -8.0]);
        assert_eq!(table.table_f32()[32..], [1.125, 0.0, 0.0, 1.0, 8.0, 0.0, 0.25, -0.5]);
        let medians = sketch.estimates(&rt, 0, 8).and_then(|x| x.to_vec()).expect("estimates");
        assert_eq!(medians, [5.0, -3.25, 0.5, 0.25, 0.375, 8.0, 1.0, -1.0]);
    }
}

#[test]
fn values_that_fixed_point_cannot_hold_change_nothing() {
    let rt = simt();
    let config = SketchConfig::new(100, 3, 10, 1).fixed(50);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 4096.0, -1e30] {
        let mut x = vec![1.0; 100];
        x[42] = bad;
        let mut sketch = DeviceSketch::new(&rt, config).expect("a configuration that works");
        let error = sketch.accumulate(&rt, &rt.upload(&x).expect("upload"), 0).expect_err("a bad value");
        assert!(error.to_string().contains("index 42") && error.is_input(), "{error}");
        assert!(sketch.to_host().expect("download").table_fixed().iter().all(|&cell| cell == 0));
    }
    // Values that fit one by one, and a sum that doesn't.
    let config = SketchConfig::new(100, 1, 1, 1).fixed(60);
    let mut sketch = DeviceSketch::new(&rt, config).expect("a configuration that works");
    let host = ashlar_kernels::sketch::CountSketch::new(config).expect("a configuration that works");
    let x: Vec<f32> = (0..100).map(|i| if host.place(0, i).expect("a coordinate").1 { -3.0 } else { 3.0 }).collect();
    let error = sketch.accumulate(&rt, &rt.upload(&x).expect("upload"), 0).expect_err("an overflow");
    assert!(error.to_string().contains("overflows fixed point"), "{error}");
    assert!(sketch.to_host().expect("download").table_fixed().iter().all(|&cell| cell == 0));
}

#[test]
fn nan_in_a_table_ends_unsketch() {
    let rt = simt();
    let mut sketch = DeviceSketch::new(&rt, SketchConfig::new(10, 3, 20, 1)).expect("a configuration that works");
    let mut x = [1.0; 10];
    x[3] = f32::NAN;
    sketch.accumulate(&rt, &rt.upload(&x).expect("upload"), 0).expect("an f32 table takes NaN");
    let error = sketch.unsketch(&rt, 2).expect_err("a NaN");
    assert!(error.to_string().contains("the sketch table holds NaN"), "{error}");
}

#[test]
fn other_hash_families_are_refused() {
    let config = SketchConfig::new(10, 3, 20, 1).hash(HashFamily::Poly61);
    let error = DeviceSketch::new(&simt(), config).expect_err("CPU only");
    assert!(error.to_string().contains("exists on the CPU only: use HashFamily::Fmix64"), "{error}");
}

#[test]
fn a_kernel_that_is_wrong_on_purpose_is_reported() {
    // Each runs in a child process, which the shim aborts.
    for (name, parts) in [
        ("misuse_half_barrier", &["thread (0, 0, 0)", "waits at the barrier", "only 32 of 64 threads reached"][..]),
        ("misuse_half_shuffle", &["a shuffle", "mask ffffffff", "never fills: lanes ffff0000 did not come"]),
        ("misuse_outside_mask", &["thread (16, 0, 0)", "lane 16", "mask 0000ffff, which leaves it out"]),
        ("misuse_mixed", &["is in __ballot_sync", "while its warp is in a shuffle"]),
        ("misuse_two_barriers", &["waits at the barrier", "while thread (0, 0, 0) waits at"]),
        ("misuse_stack", &["thread (1, 0, 0)", "overran its stack of 32768 bytes"]),
    ] {
        // In ascending order, and shuffled: then other threads are named.
        for order in [0, 5] {
            let child = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", "run_a_wrong_kernel", "--nocapture"])
                .env("ASHLAR_MISUSE", name)
                .env("ASHLAR_ORDER", order.to_string())
                .output()
                .expect("a child process");
            assert!(!child.status.success(), "{name} went unnoticed in order {order}");
            let message = String::from_utf8_lossy(&child.stderr);
            assert!(message.contains(&format!("simt: kernel {name}, block (0, 0, 0), thread (")), "{name}: {message}");
            for part in parts.iter().filter(|_| order == 0) {
                assert!(message.contains(part), "{name}: no `{part}` in: {message}");
            }
        }
    }
}

type HostKernel = unsafe extern "C" fn(c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, *mut *mut c_void);
macro_rules! misuse {
    ($($name:ident)*) => {
        unsafe extern "C" {
            $(fn $name(gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, args: *mut *mut c_void);)*
        }
        fn misuse(name: &str) -> Option<HostKernel> {
            $(if stringify!($name).strip_prefix("simt_") == Some(name) {
                return Some($name);
            })*
            None
        }
    };
}
misuse! { simt_misuse_half_barrier simt_misuse_half_shuffle simt_misuse_outside_mask simt_misuse_mixed simt_misuse_two_barriers simt_misuse_stack }

/// The child of the test above; alone it does nothing.
#[test]
fn run_a_wrong_kernel() {
    let Ok(name) = std::env::var("ASHLAR_MISUSE") else { return };
    set_order(std::env::var("ASHLAR_ORDER").ok().and_then(|order| order.parse().ok()).unwrap_or(0));
    let kernel = misuse(&name).expect("a kernel of misuse.cu");
    let mut out = [0_u32; 64];
    let mut pointer = out.as_mut_ptr();
    let mut args = [(&raw mut pointer).cast::<c_void>()];
    // SAFETY: one block of 64 threads, and room for a number a thread.
    unsafe { kernel(1, 1, 1, 64, 1, 1, 0, args.as_mut_ptr()) };
}
