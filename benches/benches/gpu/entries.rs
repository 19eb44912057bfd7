//! What is timed, and the bytes that it must move.

use ashlar_benches::noise;
use ashlar_kernels::clip::{ClipRule, Clipper, Finish};
use ashlar_kernels::dequant::{Format, Group, Int4, Scale, ZeroPoint};
use ashlar_kernels::launch::{DeviceSketch, DeviceSupport};
use ashlar_kernels::noise::NoiseKey;
use ashlar_kernels::sketch::SketchConfig;
use ashlar_kernels::sparse::{AdamWStep, Support};
use ashlar_kernels::topk::{Count, TopK};
use criterion::Criterion;
use half::bf16;

use crate::timing::{Outcome, Timer};

/// Every entry, on inputs of `n` f32 in all.
pub fn all(criterion: &mut Criterion, timer: &Timer, n: usize) -> Outcome {
    let x = noise(1, n);
    topk(criterion, timer, &x)?;
    sketch(criterion, timer, &x)?;
    clip(criterion, timer, &x)?;
    sparse(criterion, timer, &x)?;
    dequant(criterion, timer, &x)?;
    noises(criterion, timer, n)?;
    pinned(criterion, timer, n)
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
            // Each coordinate looks five cells up; the table is in the cache, so a share of the copy above 1 is no surprise.
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

/// A tenth of the coordinates, every tenth: their indices, and four bytes for each value read or written.
fn sparse(criterion: &mut Criterion, timer: &Timer, x: &[f32]) -> Outcome {
    let rt = timer.rt;
    let (mut dense, kept) = (rt.upload(x)?, Support::new(x.len() as u64, (0..x.len() as u32).step_by(10).collect())?);
    let nnz = kept.nnz();
    let kept = DeviceSupport::new(rt, kept)?;
    let values = kept.gather(rt, &dense, 1)?;
    timer.entry(criterion, "sparse gather 10%", 12 * nnz as u64, || {
        kept.gather(rt, &dense, 1)?;
        Ok(())
    })?;
    timer.entry(criterion, "sparse scatter_add 10%", 16 * nnz as u64, || {
        Ok(kept.scatter_add(rt, &values, &mut dense, 1)?)
    })?;
    let step = AdamWStep::new(1, 1e-6, [0.9, 0.999], 1e-8, 0.0, 1.0)?;
    let (mut m, mut v) = (rt.zeros::<f32>(nnz)?, rt.zeros::<f32>(nnz)?);
    timer.entry(criterion, "masked AdamW 10%", 32 * nnz as u64, || {
        Ok(step.run(rt, &kept, &mut dense, &values, [&mut m, &mut v])?)
    })
}

/// Codes and scales are read, two bytes an element are written.
fn dequant(criterion: &mut Criterion, timer: &Timer, x: &[f32]) -> Outcome {
    let int4 = Int4 { group: Group::G128, scale: Scale::F16, zero_point: ZeroPoint::Eight };
    for (name, format) in [("int4 g128", Format::Int4(int4)), ("q8_0", Format::Q8_0)] {
        let packed = format.quantise(x)?;
        let bytes = packed.len() as u64 + 2 * x.len() as u64;
        let packed = timer.rt.upload(&packed)?;
        let mut out = timer.rt.zeros::<bf16>(x.len())?;
        timer.entry(criterion, &format!("dequantise {name} to bf16"), bytes, || {
            Ok(format.run_dequantise(timer.rt, &packed, 0, &mut out)?)
        })?;
    }
    Ok(())
}

/// Eight of 64 experts' records, scattered over pinned memory, to a slot each, beside one copy of as many bytes.
fn pinned(criterion: &mut Criterion, timer: &Timer, n: usize) -> Outcome {
    const EXPERTS: usize = 64;
    const WANTED: [usize; 8] = [3, 11, 18, 25, 37, 42, 50, 61];
    let record = 4 * n / EXPERTS;
    // SAFETY: bytes, all of which are written before any is read.
    let mut slab = unsafe { timer.stream.context().alloc_pinned_with_flags::<u8>(EXPERTS * record, 0)? };
    slab.as_mut_slice()?.fill(1);
    let slab = slab.as_slice()?;
    let slots: Result<Vec<_>, _> = WANTED.iter().map(|_| timer.stream.alloc_zeros::<u8>(record)).collect();
    let (mut slots, bytes) = (slots?, WANTED.len() * record);
    let mut whole = timer.stream.alloc_zeros::<u8>(bytes)?;
    let gather = || {
        for (slot, expert) in slots.iter_mut().zip(WANTED) {
            timer.stream.memcpy_htod(&slab[expert * record..][..record], slot)?;
        }
        Ok(())
    };
    let copy = || Ok(timer.stream.memcpy_htod(&slab[..bytes], &mut whole)?);
    timer.beside(criterion, "8 of 64 experts from pinned memory", bytes as u64, gather, copy)
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
