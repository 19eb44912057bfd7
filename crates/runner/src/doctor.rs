//! `ashlar doctor`: what this binary and this machine can do, and why `--device auto` takes what it takes.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ashlar_cli::{Answer, Failure};
use ashlar_kernels::{device::DeviceInfo, simd};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use serde_json::json;

/// How long each of the two measurements takes.
const MEASURE: Duration = Duration::from_millis(300);
/// Floats that are copied: 64 MiB, beyond most caches.
const COPIED: usize = 1 << 24;
/// Side of the matrices that are multiplied.
const SIDE: usize = 768;

/// Arguments of `ashlar doctor`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  ashlar doctor\n  ashlar doctor --format json")]
pub struct DoctorCommand {}

/// Looks and measures; takes about a second.
///
/// # Errors
/// Exit code 1 if the matrices can't be multiplied.
pub fn run() -> Result<Answer, Failure> {
    let info = DeviceInfo::probe();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let env = ashlar_train::run::Env::collect("cpu", cores, 0, "");
    let cpu = format!("{}, {cores} threads", env.cpu.as_deref().unwrap_or("unknown CPU"));
    let simd = simd::Level::detected().name();
    let gemm = gemm_path();
    let candle_cuda = cfg!(feature = "candle-cuda");
    let copy = copy_gb_per_s();
    let matmul = matmul_gflops().map_err(|error| Failure::from_error(&error, false))?;
    let text = format!(
        "CPU: {cpu}\nSIMD: {simd}\nmatrix products: {gemm}\n{info}\ncandle-cuda feature: {}\ncopy: {copy:.1} GB/s (read \
         and written, one thread)\nmatrix product: {matmul:.0} GFLOP/s (f32, {SIDE} x {SIDE}, {cores} threads)",
        if candle_cuda { "compiled in" } else { "not compiled in" },
    );
    let json = json!({
        "cpu": cpu, "simd": simd, "gemm": gemm,
        "cuda_feature": info.cuda_feature, "candle_cuda_feature": candle_cuda,
        "driver": info.driver, "gpus": info.gpus, "ptx": info.ptx,
        "auto_device": info.auto_device, "reason": info.reason,
        "copy_gb_per_s": copy, "matmul_gflops": matmul,
    });
    Ok(Answer::new(json, text))
}

/// The kernel that the crate `gemm` chooses at run time.
fn gemm_path() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "gemm, AVX-512";
        }
        if std::arch::is_x86_feature_detected!("fma") {
            return "gemm, AVX2 with FMA";
        }
    }
    #[cfg(target_arch = "aarch64")]
    return "gemm, NEON";
    #[allow(unreachable_code, reason = "not on every architecture")]
    "gemm, without SIMD"
}

/// Best of the copies within the time.
fn copy_gb_per_s() -> f64 {
    let from = vec![1.0f32; COPIED];
    let mut to = vec![0.0f32; COPIED];
    let bytes = (2 * COPIED * size_of::<f32>()) as f64;
    let seconds = best(|| black_box(&mut to[..]).copy_from_slice(black_box(&from[..])));
    bytes / seconds / 1e9
}

fn matmul_gflops() -> candle_core::Result<f64> {
    let a = Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu)?;
    let b = a.matmul(&a)?;
    let seconds = best(|| {
        // The first product has shown that it works.
        let _ = black_box(a.matmul(&b));
    });
    Ok(2.0 * (SIDE as f64).powi(3) / seconds / 1e9)
}

fn best(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || start.elapsed() < MEASURE {
        let begun = Instant::now();
        work();
        best = best.min(begun.elapsed().as_secs_f64());
    }
    best
}
