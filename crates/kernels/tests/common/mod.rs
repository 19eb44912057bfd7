//! Inputs that break kernels, and the checks that every back end must pass: the bits of the CPU, whatever its vector level.
#![allow(dead_code)] // each test binary uses a part

pub mod clip;
pub mod dequant;
pub mod sparse;

use ashlar_kernels::launch::{DeviceSketch, Runtime};
use ashlar_kernels::noise::{Noise, NoiseKey};
use ashlar_kernels::simd::{Level, with_level};
use ashlar_kernels::sketch::{CountSketch, SketchConfig};
use ashlar_kernels::topk::{Count, NanPolicy, TopK, TopKStats};
use ashlar_kernels::{Error, SparseVec, quantise};
use proptest::prelude::*;

/// Lengths at the edges of warps, blocks and tiles, and some between.
pub fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![
        10 => prop::sample::select(vec![0_usize, 1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 511, 512, 513]),
        5 => 0_usize..1500,
        3 => prop::sample::select(vec![2047_usize, 2048, 2049, 4095, 4096, 4097]),
        1 => 4000_usize..20_000,
    ]
}

/// How the values of a vector are made.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    /// Bell-shaped, as gradients are.
    Normal,
    /// Five magnitudes, so nearly everything ties.
    Ties,
    /// One value.
    Equal,
    /// 0 and −0, now and then something.
    Zeros,
    /// Below the smallest normal number.
    Denormal,
    /// With NaNs of several kinds and infinities.
    Special,
    /// Any bits at all.
    Bits,
    /// Increasing magnitude.
    Sorted,
}

pub fn makes() -> impl Strategy<Value = Make> {
    use Make::*;
    prop::sample::select(vec![Normal, Ties, Equal, Zeros, Denormal, Special, Bits, Sorted])
}

/// SplitMix64.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

pub fn vector(make: Make, n: usize, mut seed: u64) -> Vec<f32> {
    let equal = f32::from_bits(next(&mut seed) as u32 & 0x7fff_ffff).min(1e30);
    let value = |at: usize, bits: u64| {
        let normal = ((0..4).map(|b| (bits >> (16 * b) & 0xffff) as f32).sum::<f32>() - 131_070.0) / 40_000.0;
        let sign = if bits >> 63 == 0 { 1.0 } else { -1.0 };
        match make {
            Make::Normal => normal,
            Make::Ties => sign * (bits % 5) as f32 / 4.0,
            Make::Equal => sign * equal,
            Make::Zeros if bits.is_multiple_of(50) => normal,
            Make::Zeros => sign * 0.0,
            Make::Denormal => sign * f32::from_bits(bits as u32 & 0x7f_ffff),
            Make::Special => match bits % 8 {
                0 => f32::from_bits(0x7fc0_0000 | bits as u32 >> 10),
                1 => sign * f32::INFINITY,
                _ => normal,
            },
            Make::Bits => f32::from_bits((bits >> 32) as u32),
            Make::Sorted => sign * at as f32,
        }
    };
    (0..n).map(|at| value(at, next(&mut seed))).collect()
}

/// Without what a sketch can't hold.
pub fn finite(x: Vec<f32>) -> Vec<f32> {
    x.into_iter().map(|x| if x.is_finite() { x.clamp(-1e9, 1e9) } else { 1.5 }).collect()
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Bits, all NaNs being one: which NaN an addition gives depends on the processor.
pub fn bits_but_nan(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }).collect()
}

type Selected = Result<(Vec<u32>, Vec<u32>, [u64; 4]), String>;

fn plain(result: Result<(SparseVec, TopKStats), Error>) -> Selected {
    let (top, stats) = result.map_err(|error| error.to_string())?;
    Ok((top.idx().to_vec(), bits(top.val()), numbers(stats)))
}

fn numbers(stats: TopKStats) -> [u64; 4] {
    [stats.n, stats.k, stats.threshold.to_bits() as u64, stats.nan_count]
}

/// The same on every vector level of this CPU.
fn on_every_level<R: PartialEq + std::fmt::Debug>(work: impl Fn() -> R) -> R {
    let mut results = Level::available().map(|level| (level, with_level(level, &work)));
    let (_, first) = results.next().expect("scalar is always there");
    for (level, result) in results {
        assert_eq!(result, first, "{} against scalar", level.name());
    }
    first
}

#[derive(Clone, Copy, Debug)]
pub struct Selection {
    pub k: Count,
    pub nan: NanPolicy,
    /// The hint as a factor on the true threshold.
    pub hint: Option<f32>,
}

pub fn selections() -> impl Strategy<Value = Selection> {
    let k = prop_oneof![
        (0_u64..6).prop_map(Count::Exact),
        (0.001_f64..0.1).prop_map(Count::Fraction),
        (0.1_f64..1.0).prop_map(Count::Fraction),
        Just(Count::Fraction(1.0)),
    ];
    let nan = prop::sample::select(vec![NanPolicy::Largest, NanPolicy::Error, NanPolicy::AsZero]);
    let hint = prop::option::of(prop::sample::select(vec![0.0_f32, 0.5, 0.97, 1.0, 1.05, 1.2, 10.0, f32::NAN]));
    (k, nan, hint).prop_map(|(k, nan, hint)| Selection { k, nan, hint })
}

impl Selection {
    pub fn topk(self, x: &[f32]) -> TopK {
        let topk = TopK::new(self.k).nan(self.nan);
        let Some(factor) = self.hint else { return topk };
        let truth = topk.select(x).map_or(1.0, |(_, stats)| stats.threshold);
        topk.hint(truth * factor)
    }
}

/// Selection, zeroing, error feedback, mask and 64-bit indices of one vector.
pub fn check_topk(rt: &Runtime, x: &[f32], g: &[f32], lr: f32, selection: Selection) {
    let topk = selection.topk(x);
    let expected = on_every_level(|| plain(topk.select(x)));
    let mut buffer = rt.upload(x).expect("upload");
    assert_eq!(plain(topk.run(rt, &buffer)), expected, "select");

    let wide = topk.run_u64(rt, &buffer).map(|(index, value, stats)| {
        (index.into_iter().map(|i| i as u32).collect::<Vec<_>>(), bits(&value), numbers(stats))
    });
    assert_eq!(wide.map_err(|error| error.to_string()), expected, "64-bit indices");

    let left = topk.run_on_device(rt, &buffer).map(|(index, value, stats)| {
        let (index, value) = (index.to_vec().expect("download"), value.to_vec().expect("download"));
        (index, bits(&value), numbers(stats))
    });
    assert_eq!(left.map_err(|error| error.to_string()), expected, "winners left on the device");

    let mask = |result: Result<(ashlar_kernels::BitMask, TopKStats), Error>| {
        result.map(|(mask, stats)| (mask, numbers(stats))).map_err(|error| error.to_string())
    };
    assert_eq!(mask(topk.run_mask(rt, &buffer)), on_every_level(|| mask(topk.mask(x))), "mask");

    let zeroed = on_every_level(|| {
        let mut x = x.to_vec();
        (plain(topk.select_and_zero(&mut x)), bits(&x))
    });
    let got = plain(topk.run_and_zero(rt, &mut buffer));
    assert_eq!((got, bits(&buffer.to_vec().expect("download"))), zeroed, "select and zero");

    // Which NaN an addition gives is the processor's choice: with one kind of NaN, all of them tie everywhere.
    let x: Vec<f32> = x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }).collect();
    let g: Vec<f32> = g.iter().map(|g| if g.is_nan() { 0.0 } else { *g }).collect();
    let (x, g) = (&x[..], &g[..]);
    let sum: Vec<f32> = x.iter().zip(g).map(|(e, g)| e + lr * g).collect();
    let topk = selection.topk(&sum);
    let fed = on_every_level(|| {
        let mut e = x.to_vec();
        (plain_but_nan(topk.error_feedback(&mut e, g, lr)), bits_but_nan(&e))
    });
    let mut e = rt.upload(x).expect("upload");
    let got = plain_but_nan(topk.run_error_feedback(rt, &mut e, &rt.upload(g).expect("upload"), lr));
    assert_eq!((got, bits_but_nan(&e.to_vec().expect("download"))), fed, "error feedback");
}

/// Error feedback makes NaNs of its own, whose bits are the processor's.
fn plain_but_nan(result: Result<(SparseVec, TopKStats), Error>) -> Selected {
    let (top, mut stats) = result.map_err(|error| error.to_string())?;
    if stats.threshold.is_nan() {
        stats.threshold = f32::NAN;
    }
    Ok((top.idx().to_vec(), bits_but_nan(top.val()), numbers(stats)))
}

/// Everything that a sketch does, on the device and on the CPU, side by side.
pub fn check_sketch(rt: &Runtime, config: SketchConfig, x: &[f32], y: &[f32], split: usize, factor: f32, k: u64) {
    let table = |sketch: &CountSketch| (bits(sketch.table_f32()), sketch.table_fixed().to_vec());
    let same = |device: &DeviceSketch, host: &CountSketch, what: &str| {
        assert_eq!(table(&device.to_host().expect("download")), table(host), "{what}");
    };
    let text = |result: Result<(), Error>| result.map_err(|error| error.to_string());

    // x in two parts, the second first.
    let build = |x: &[f32]| {
        on_every_level(|| {
            let mut sketch = CountSketch::new(config).expect("a configuration that works");
            let after = text(sketch.accumulate(&x[split..], split as u64));
            let before = text(sketch.accumulate(&x[..split], 0));
            (after, before, table(&sketch))
        })
    };
    let mut host = CountSketch::new(config).expect("a configuration that works");
    let mut device = DeviceSketch::new(rt, config).expect("a sketch on the device");
    let after = text(device.accumulate(rt, &rt.upload(&x[split..]).expect("upload"), split as u64));
    let before = text(device.accumulate(rt, &rt.upload(&x[..split]).expect("upload"), 0));
    assert_eq!((after, before, table(&device.to_host().expect("download"))), build(x), "accumulate");
    drop((host.accumulate(&x[split..], split as u64), host.accumulate(&x[..split], 0)));

    // A sparse vector into another one, and both together.
    let sparse: Vec<u32> = (0..y.len() as u32).filter(|i| i % 3 == 0).collect();
    let values = sparse.iter().map(|&i| y[i as usize]).collect();
    let sparse = SparseVec::new(y.len() as u64, sparse, values).expect("increasing indices");
    let (mut host2, mut device2) =
        (CountSketch::new(config).expect("as above"), DeviceSketch::new(rt, config).expect("as above"));
    assert_eq!(text(device2.accumulate_sparse(rt, &sparse)), text(host2.accumulate_sparse(&sparse)));
    same(&device2, &host2, "accumulate a sparse vector");
    assert_eq!(text(device.merge(rt, &device2)), text(host.merge(&host2)));
    same(&device, &host, "merge");
    assert_eq!(text(device.add_scaled(rt, &device2, factor)), text(host.add_scaled(&host2, factor)));
    same(&device, &host, "add scaled");
    assert_eq!(text(device.scale(rt, factor)), text(host.scale(factor)));
    same(&device, &host, "scale");

    if !host.table_fixed().is_empty() {
        let mut integers = vec![0; x.len()];
        let scale_log2 =
            if let ashlar_kernels::sketch::TableKind::Fixed { scale_log2 } = config.table { scale_log2 } else { 0 };
        if quantise(x, scale_log2, &mut integers).is_ok() {
            let buffer = rt.upload(&integers).expect("upload");
            assert_eq!(text(device.accumulate_fixed(rt, &buffer, 0)), text(host.accumulate_fixed(&integers, 0)));
            same(&device, &host, "accumulate integers");
        }
    }

    let estimates = device.estimates(rt, 0, config.d).and_then(|x| x.to_vec()).expect("estimates");
    let expected: Vec<f32> = (0..config.d).map(|i| host.estimate(i).expect("a coordinate")).collect();
    assert_eq!(bits(&estimates), bits(&expected), "estimates");
    let unsketched = |result: Result<SparseVec, Error>| {
        result.map(|top| (top.idx().to_vec(), bits(top.val()))).map_err(|error| error.to_string())
    };
    assert_eq!(unsketched(device.unsketch(rt, k)), on_every_level(|| unsketched(host.unsketch(k))), "unsketch");
    assert_eq!(
        bits(device.to_f32(rt).and_then(|s| s.to_host()).expect("f32").table_f32()),
        bits(host.to_f32().table_f32())
    );

    assert_eq!(
        device.zero_where_nonzero(rt, &device2).expect("same configuration"),
        host.zero_where_nonzero(&host2).expect("same configuration")
    );
    same(&device, &host, "zero where nonzero");
}

/// A configuration for vectors of `d`, the values that go in, and what is done with them.
pub fn sketches() -> impl Strategy<Value = (SketchConfig, Vec<f32>, Vec<f32>, usize, f32, u64)> {
    let rows = prop::sample::select(vec![1_u32, 3, 3, 5, 5, 5, 7, 9]);
    let cols = prop::sample::select(vec![1_u64, 2, 31, 64, 100, 255, 256, 1000, 4096, 5000]);
    let kind = prop::option::of(prop_oneof![4 => 10_i32..40, 1 => -126_i32..126]);
    let factor = prop::sample::select(vec![1.0_f32, -1.0, 0.5, 0.9, -0.1, 0.0, 3e-20, 1e12]);
    (lengths(), makes(), rows, cols, kind, factor, any::<(u64, u16, u16)>()).prop_map(
        |(n, make, rows, cols, kind, factor, (seed, split, k))| {
            let n = n.clamp(1, 6000);
            let mut config = SketchConfig::new(n as u64, rows, cols, seed);
            if let Some(scale_log2) = kind {
                config = config.fixed(scale_log2);
            }
            let (x, y) = (finite(vector(make, n, seed)), finite(vector(Make::Normal, n, !seed)));
            (config, x, y, split as usize % (n + 1), factor, 1 + k as u64 % n as u64)
        },
    )
}

/// A stream of each kind, from its number.
pub fn noises() -> impl Strategy<Value = Noise> {
    (any::<[u8; 32]>(), any::<(u64, u32, u32)>(), 0..6).prop_map(|(key, (seed, param, step), kind)| match kind {
        0 => NoiseKey::philox(seed).gaussian(param, step),
        1 => NoiseKey::philox(seed).gaussian(param, step).sum4(),
        2 => NoiseKey::philox(seed).laplace(param, step),
        3 => NoiseKey::chacha(key).gaussian(param, step),
        4 => NoiseKey::chacha(key).gaussian(param, step).sum4(),
        _ => NoiseKey::chacha(key).laplace(param, step),
    })
}

/// Offsets at the edges of blocks, tiles and words, and any.
pub fn offsets() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(vec![0_u64, 1, 3, 4, 15, 16, 255, 256, 4095, 4096, 4097, (1 << 34) - 5, (1 << 36) - 100]),
        0_u64..10_000,
        0..u64::MAX / 2,
    ]
}

/// Noise filled in, and added to x and divided.
pub fn check_noise(rt: &Runtime, noise: Noise, offset: u64, x: &[f32], scale: f32, divisor: f32) {
    let filled = on_every_level(|| {
        let mut out = vec![0.0; x.len()];
        noise.fill(offset, scale, &mut out).expect("a scale that works");
        bits(&out)
    });
    let mut out = rt.zeros(x.len()).expect("memory");
    noise.run_fill(rt, offset, scale, &mut out).expect("a scale that works");
    assert_eq!(bits(&out.to_vec().expect("download")), filled, "fill");

    let added = on_every_level(|| {
        let mut out = x.to_vec();
        noise.add_and_divide(offset, scale, divisor, &mut out).expect("a scale that works");
        bits_but_nan(&out)
    });
    let mut out = rt.upload(x).expect("upload");
    noise.run_add_and_divide(rt, offset, scale, divisor, &mut out).expect("a scale that works");
    assert_eq!(bits_but_nan(&out.to_vec().expect("download")), added, "add and divide");
    let sum = noise.run_sum(rt, offset, scale, divisor, &rt.upload(x).expect("upload")).expect("a scale that works");
    assert_eq!(bits_but_nan(&sum.to_vec().expect("download")), added, "a sum of its own");
}
