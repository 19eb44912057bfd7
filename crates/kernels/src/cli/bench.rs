//! `bench`: each kernel beside a read sweep and a copy of equal bytes, measured in the same process.

use std::{hint::black_box, time::Instant};

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    SparseVec,
    clip::{ClipRule, Clipper, ghost},
    noise::NoiseKey,
    rng::SplitMix64,
    simd,
    sketch::{CountSketch, SketchConfig},
    topk::{Count, TopK},
};

/// Measures the kernels; quote the fractions, which survive a busy machine better than seconds.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  ashlar-kernels --threads 1 bench --filter topk --format json")]
pub(super) struct BenchArgs {
    /// Only benchmarks whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Elements.
    #[arg(long, value_name = "N", default_value_t = 1 << 24, value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    n: u32,
    /// Repetitions, of which the median counts.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
}

pub(super) fn run(args: &BenchArgs) -> Result<Answer, Failure> {
    let n = args.n as usize;
    let mut mix = SplitMix64::new(1);
    // A sum of four uniforms: near normal, and cheap.
    let mut noise = || -> Vec<f32> {
        let normal = |word: u64| {
            let sum: i32 = (0..4).map(|part| (word >> (16 * part)) as u16 as i32).sum();
            (sum - 131_070) as f32 / 37_837.0
        };
        (0..n).map(|_| normal(mix.next_u64())).collect()
    };
    let x = noise();
    let mut to = vec![0.0_f32; n];
    let copy_s = median(args.repeat, || to.copy_from_slice(black_box(&x)))?;
    // Read and written: each byte counts twice.
    let copy = 8.0 * n as f64 / copy_s / 1e9;

    let mut rows = Vec::new();
    let mut measure = |name: &str, bytes: f64, work: &mut dyn FnMut() -> crate::Result<()>| -> Result<(), Failure> {
        if name.contains(&args.filter) {
            let mut failed = None;
            let median_s = median(args.repeat, || failed = work().err())?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            let rate = bytes / median_s / 1e9;
            rows.push(json!({
                "name": name, "n": n, "device": format!("cpu ({})", simd::level().name()), "median_s": median_s,
                "gb_per_s": rate, "copy_gb_per_s": copy, "fraction_of_copy": rate / copy,
            }));
        }
        Ok(())
    };
    let dense = 4.0 * n as f64;
    measure("read", dense, &mut || {
        black_box(read_sweep(&x));
        Ok(())
    })?;
    for (name, share) in [("0.1%", 0.001), ("1%", 0.01), ("10%", 0.1)] {
        let topk = TopK::new(Count::Fraction(share));
        let mut top = SparseVec::default();
        measure(&format!("topk {name}"), dense, &mut || topk.select_into(&x, &mut top).map(drop))?;
        measure(&format!("topk mask {name}"), dense, &mut || topk.mask(&x).map(drop))?;
    }
    let mut e = noise();
    let feedback = TopK::new(Count::Fraction(0.01));
    measure("topk error feedback 1%", 3.0 * dense, &mut || feedback.error_feedback(&mut e, &x, 0.1).map(drop))?;
    for cols in [1 << 14, 500_000] {
        let config = SketchConfig::new(n as u64, 5, cols, 42);
        for (kind, config) in [("f32", config), ("fixed", config.fixed(20))] {
            let mut sketch = CountSketch::new(config)?;
            measure(&format!("sketch accumulate {kind} 5x{cols}"), dense, &mut || sketch.accumulate(&x, 0))?;
        }
        let mut sketch = CountSketch::new(config)?;
        sketch.accumulate(&x, 0)?;
        let k = (cols / 10).min(n as u64);
        measure(&format!("sketch unsketch {k} 5x{cols}"), dense, &mut || sketch.unsketch(k).map(drop))?;
    }
    // Noise beside a fill of equal bytes; clipping beside the read of the same rows.
    let mut out = vec![0.0_f32; n];
    measure("noise memset", dense, &mut || {
        black_box(&mut out[..]).fill(1.5);
        Ok(())
    })?;
    let (philox, chacha) = (NoiseKey::philox(1), NoiseKey::chacha([1; 32]));
    for (name, noise) in [
        ("noise philox gaussian", philox.gaussian(0, 0)),
        ("noise philox laplace", philox.laplace(0, 0)),
        ("noise chacha20 gaussian", chacha.gaussian(0, 0)),
        ("noise chacha20 sum of four", chacha.gaussian(0, 0).sum4()),
    ] {
        measure(name, dense, &mut || noise.fill(0, 1.0, &mut out))?;
    }
    measure("noise philox add", 2.0 * dense, &mut || philox.gaussian(0, 0).add(0, 1.0, &mut out))?;
    measure("clip read", dense, &mut || {
        black_box(read_sweep(&x));
        Ok(())
    })?;
    // Wide rows are read twice from memory; of narrow ones the second read is the cache's.
    for (columns, reads) in [(n / 16, 2.0), ((n / 16).min(1 << 14), 1.0)] {
        let clipper = Clipper::new(ClipRule::Flat, 1.0, columns)?;
        let x = &x[..n / columns * columns];
        let mut sum = vec![0.0; columns];
        let name = format!("clip accumulate {}x{columns}", n / columns);
        measure(&name, reads * 4.0 * x.len() as f64, &mut || clipper.accumulate(x, &mut sum).map(drop))?;
    }
    // A layer of 256 x 256 over as many sequences of 128 as n elements hold.
    let shape = ghost::LinearShape { samples: (n >> 15).min(32), positions: 128, inputs: 256, outputs: 256 };
    if shape.samples > 0 {
        let (a, b) = (&x[..shape.samples << 15], &e[..shape.samples << 15]);
        for (name, method) in
            [("clip ghost gram", ghost::NormMethod::Gram), ("clip ghost explicit", ghost::NormMethod::Explicit)]
        {
            let bytes = 8.0 * a.len() as f64;
            measure(name, bytes, &mut || ghost::linear_squared_norms(shape, a, b, method).map(drop))?;
        }
    }
    if rows.is_empty() {
        return Err(Failure::usage(format!("no benchmark's name contains `{}`", args.filter))
            .help("names begin with `read`, `topk`, `sketch`, `noise` or `clip`"));
    }
    let line = |row: &Value| {
        let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        format!(
            "{:34} {:10.3} ms {:8.2} GB/s {:7.3} of copy",
            row["name"].as_str().unwrap_or(""),
            number("median_s") * 1e3,
            number("gb_per_s"),
            number("fraction_of_copy")
        )
    };
    let text = rows.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(Value::Array(rows), text))
}

fn median(repeat: u16, mut work: impl FnMut()) -> Result<f64, Failure> {
    work(); // pages and caches
    let mut seconds: Vec<f64> = (0..repeat)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().ok_or_else(|| Failure::usage("--repeat must be at least 1"))
}

fn read_sweep(x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 64];
    for chunk in x.chunks_exact(64) {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().sum()
}
