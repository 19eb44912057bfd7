//! What is timed, and the bytes that it must move.

use ashlar_benches::noise;
use ashlar_kernels::clip::{ClipRule, Clipper, Finish};
use ashlar_kernels::launch::DeviceSketch;
use ashlar_kernels::noise::NoiseKey;
use ashlar_kernels::sketch::SketchConfig;
use ashlar_kernels::topk::{Count, TopK};
use criterion::Criterion;

use crate::timing::{Outcome, Timer};

/// Every entry, on inputs of `n` f32 in all.
pub fn all(criterion: &mut Criterion, timer: &Timer, n: usize) -> Outcome {
    let x = noise(1, n);
    topk(criterion, timer, &x)?;
    sketch(criterion, timer, &x)?;
    clip(criterion, timer, &x)?;
    noises(criterion, timer, n)
}

/// Two reads and the winners; with a hint one read.
fn topk(criterion: &mut Criterion, timer: &Timer, x: &[f32]) -> Outcome {
    let buffer = timer.rt.upload(x)?;
    for (share, label) in [(0.001, "0.1%"), (0.01, "1%"), (0.1, "10%")] {
        let topk = TopK::new(Count::Fraction(share));
        let (_, stats) = topk.select(x)?;
        for (name, topk, reads) in [("topk", topk, 2), ("topk hinted", topk.hint(stats.threshold), 1)] {
            let bytes = 4 * reads * x.len() as u64 + 8 * stats.k;
            timer.entry(criterion, &format!("{name} {label}"), bytes, || {
                topk.run_on_device(timer.rt, &buffer)?;
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// One read of x; the table is in the cache.
fn sketch(criterion: &mut Criterion, timer: &Timer, x: &[f32]) -> Outcome {
    let buffer = timer.rt.upload(x)?;
    let d = x.len() as u64;
    for cols in [10_000, 500_000] {
        for config in [SketchConfig::new(d, 5, cols, 7).fixed(20), SketchConfig::new(d, 5, cols, 7)] {
            let mut sketch = DeviceSketch::new(timer.rt, config)?;
            let kind = config.table.name().to_lowercase();
            timer.entry(criterion, &format!("sketch accumulate {kind} 5x{cols}"), 4 * d, || {
                // From zero each time: many sums would overflow a fixed-point table.
                sketch.clear(timer.rt)?;
                Ok(sketch.accumulate(timer.rt, &buffer, 0)?)
            })?;
            // Each coordinate looks five cells up, all in the cache; only the winners are written.
            timer.entry(criterion, &format!("unsketch {kind} 5x{cols}"), 20 * d, || {
                sketch.unsketch(timer.rt, (cols / 10).min(d))?;
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Gradients are read for the norms and read again for the sum; the sum is written once.
fn clip(criterion: &mut Criterion, timer: &Timer, x: &[f32]) -> Outcome {
    let buffer = timer.rt.upload(x)?;
    for rows in [16, 256] {
        let columns = x.len() / rows;
        let clipper = Clipper::new(ClipRule::Flat, 1.0, columns)?;
        let mut sum = timer.rt.zeros::<f32>(columns)?;
        let bytes = 8 * x.len() as u64 + 4 * columns as u64;
        let finish = Finish { noise: NoiseKey::philox(1).gaussian(0, 0), scale: 1.0, divisor: rows as f32 };
        for (name, finish) in [("clip", None), ("clip and noise", Some(&finish))] {
            timer.entry(criterion, &format!("{name} {rows} rows"), bytes, || {
                clipper.run(timer.rt, &buffer, &mut sum, finish)?;
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Only writes.
fn noises(criterion: &mut Criterion, timer: &Timer, n: usize) -> Outcome {
    let mut out = timer.rt.zeros::<f32>(n)?;
    let (philox, chacha) = (NoiseKey::philox(1), NoiseKey::chacha([1; 32]));
    for (name, noise) in [("philox", philox.gaussian(0, 0)), ("chacha20", chacha.gaussian(0, 0))] {
        timer.entry(criterion, &format!("noise {name}"), 4 * n as u64, || {
            Ok(noise.run_fill(timer.rt, 0, 1.0, &mut out)?)
        })?;
    }
    Ok(())
}
