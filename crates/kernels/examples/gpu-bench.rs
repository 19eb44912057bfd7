//! Times the kernels on `cuda:0` against a copy of equal bytes measured in the same run, and checks every result.
//!
//! `cargo run --release -p ashlar-kernels --features cuda --example gpu-bench [log2 of n, default 26]`: a JSON line each
//! with `name, n, device, median_ms, gb_per_s, copy_gb_per_s, fraction_of_copy`. Bytes are those that must move. Times are
//! of whole calls (working memory, launches, the winners' copy to the host), so they bound the kernels from above.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ashlar_kernels::device::Device;
use ashlar_kernels::launch::{DeviceSketch, Runtime};
use ashlar_kernels::rng::SplitMix64;
use ashlar_kernels::sketch::SketchConfig;
use ashlar_kernels::topk::{Count, TopK};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let rt = match Runtime::new(&Device::Cuda(0)) {
        Ok(rt) => rt,
        Err(error) => {
            println!("skipped: {error}");
            return Ok(());
        }
    };
    let log2: u32 = std::env::args().nth(1).map_or(Ok(26), |text| text.parse())?;
    let n = 1_usize << log2;
    let mut random = SplitMix64::new(1);
    // The sum of four uniforms is near enough to a gradient's shape.
    let mut normal = || {
        let bits = random.next_u64();
        ((0..4).map(|part| (bits >> (16 * part) & 0xffff) as f32).sum::<f32>() - 131_070.0) / 37_837.0
    };
    let x: Vec<f32> = (0..n).map(|_| normal()).collect();
    let buffer = rt.upload(&x)?;
    let Some(stream) = rt.cuda_stream() else { return Ok(()) };

    let device = rt.describe().gpus.first().map_or_else(String::new, |gpu| gpu.name.clone());
    let source = buffer.cuda().ok_or("the buffer is on the GPU")?;
    let mut copy = stream.alloc_zeros::<f32>(n)?;
    let copied = median(&rt, || Ok(stream.memcpy_dtod(source, &mut copy)?))?;
    let copy_gb = 8.0 * n as f64 / copied / 1e9; // a read and a write
    let report = |name: &str, seconds: f64, bytes: f64| {
        let gb = bytes / seconds / 1e9;
        println!(
            "{{\"name\":\"{name}\",\"n\":{n},\"device\":\"{device}\",\"median_ms\":{:.4},\"gb_per_s\":{gb:.1},\
             \"copy_gb_per_s\":{copy_gb:.1},\"fraction_of_copy\":{:.3}}}",
            seconds * 1e3,
            gb / copy_gb
        );
    };
    report("copy", copied, 8.0 * n as f64);

    for (share, label) in [(0.001, "0.1%"), (0.01, "1%"), (0.1, "10%")] {
        let topk = TopK::new(Count::Fraction(share));
        let (expected, stats) = topk.select(&x)?;
        let out = 8.0 * stats.k as f64;
        for (name, topk, reads) in [("topk", topk, 8.0), ("topk with a hint", topk.hint(stats.threshold), 4.0)] {
            if topk.run(&rt, &buffer)?.0 != expected {
                return Err(format!("{name} {label}: not the CPU's result").into());
            }
            let seconds = median(&rt, || Ok(topk.run(&rt, &buffer)?))?;
            report(&format!("{name} {label}"), seconds, reads * n as f64 + out);
        }
    }

    for cols in [10_000_u64, 500_000] {
        for config in [SketchConfig::new(n as u64, 5, cols, 7).fixed(30), SketchConfig::new(n as u64, 5, cols, 7)] {
            let kind = config.table.name();
            let mut sketch = DeviceSketch::new(&rt, config)?;
            let add = median(&rt, || Ok(sketch.accumulate(&rt, &buffer, 0)?))?;
            report(&format!("sketch accumulate {kind} 5x{cols}"), add, 4.0 * n as f64);
            let unsketch = median(&rt, || Ok(sketch.unsketch(&rt, cols / 10)?))?;
            report(&format!("unsketch {kind} 5x{cols}"), unsketch, 20.0 * n as f64);
        }
    }
    Ok(())
}

/// Median seconds of 21 calls, after 5 that warm up.
fn median<T>(rt: &Runtime, mut work: impl FnMut() -> Result<T, Failure>) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for call in 0..26 {
        rt.synchronize()?;
        let start = Instant::now();
        work()?;
        rt.synchronize()?;
        if call >= 5 {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
