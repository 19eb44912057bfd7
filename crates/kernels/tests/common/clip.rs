//! Clipping on a device beside the CPU.

use ashlar_kernels::clip::ghost::{self, LinearShape, NormMethod};
use ashlar_kernels::clip::{ClipRule, Clipper, Factors, Finish, TokenGroups};
use ashlar_kernels::launch::{self, Runtime};
use ashlar_kernels::noise::Noise;
use proptest::prelude::*;

use super::{Make, bits_but_nan, makes, next, noises, on_every_level, vector};

/// Norms as bits, all NaNs being one.
fn doubles(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect()
}

fn plain(factors: &Factors) -> (Vec<u32>, Vec<u64>, u64, u64) {
    (bits_but_nan(factors.values()), doubles(factors.squared_norms()), factors.clipped(), factors.dropped())
}

/// A clipper, rows of gradients, a sum to begin with, and perhaps a finish.
pub fn clippings() -> impl Strategy<Value = (Clipper, Vec<f32>, Vec<f32>, Option<Finish>)> {
    let rule = prop::sample::select(vec![
        ClipRule::Flat,
        ClipRule::Automatic { gamma: 0.01 },
        ClipRule::Normalize,
        ClipRule::Global { cutoff: 60.0 },
    ]);
    let layers = prop_oneof![
        prop::collection::vec(1_usize..300, 1..5),
        prop::sample::select(vec![
            vec![2047],
            vec![2048],
            vec![2049],
            vec![4100],
            vec![1, 2048, 63, 64, 65],
            vec![31, 4097]
        ]),
    ];
    let finish = prop::option::of((noises(), 0.0_f32..3.0, prop::sample::select(vec![1.0_f32, 256.0, 3.7])));
    (rule, 0.01_f64..50.0, layers, 0_usize..6, makes(), finish, any::<u64>()).prop_map(
        |(rule, bound, layers, rows, make, finish, seed)| {
            let clipper = Clipper::uniform(rule, bound, &layers).expect("a bound that works");
            let columns = clipper.columns();
            let finish = finish.map(|(noise, scale, divisor): (Noise, f32, f32)| {
                let (param, _) = noise.coordinates();
                Finish { noise: noise.param(param.min(u32::MAX - 10)), scale, divisor }
            });
            (clipper, vector(make, rows * columns, seed), vector(Make::Normal, columns, !seed), finish)
        },
    )
}

pub fn check_clip(rt: &Runtime, clipper: &Clipper, g: &[f32], start: &[f32], finish: Option<&Finish>) {
    let expected = on_every_level(|| {
        let mut sum = start.to_vec();
        let factors = match finish {
            Some(finish) => clipper.finish(g, &mut sum, finish),
            None => clipper.accumulate(g, &mut sum),
        };
        (plain(&factors.expect("shapes that fit")), bits_but_nan(&sum))
    });
    let mut sum = rt.upload(start).expect("upload");
    let factors = clipper.run(rt, &rt.upload(g).expect("upload"), &mut sum, finish).expect("shapes that fit");
    assert_eq!((plain(&factors), bits_but_nan(&sum.to_vec().expect("download"))), expected);
}

/// What layers recorded.
#[derive(Debug)]
pub struct Records {
    shape: LinearShape,
    a: Vec<f32>,
    b: Vec<f32>,
    factors: Vec<f32>,
    tokens: Vec<u32>,
    vocabulary: usize,
}

pub fn records() -> impl Strategy<Value = Records> {
    let size = || prop_oneof![4 => 1_usize..20, 1 => prop::sample::select(vec![31_usize, 32, 33, 64, 65])];
    let deep = prop_oneof![8 => size(), 1 => prop::sample::select(vec![127_usize, 128, 129, 300])];
    let long = prop_oneof![8 => size(), 1 => prop::sample::select(vec![127_usize, 128, 129])];
    let make = prop_oneof![6 => Just(Make::Normal), 1 => makes()];
    (0_usize..4, long, deep, size(), 1_usize..20, make, any::<u64>()).prop_map(
        |(samples, positions, inputs, outputs, vocabulary, make, mut seed)| {
            let rows = samples * positions;
            let (a, b) = (vector(make, rows * inputs, seed), vector(Make::Normal, rows * outputs, !seed));
            let tokens = (0..rows).map(|_| (next(&mut seed) % vocabulary as u64) as u32).collect();
            let factors = (0..samples).map(|_| if next(&mut seed) % 4 == 0 { 0.0 } else { 0.3 }).collect();
            Records { shape: LinearShape { samples, positions, inputs, outputs }, a, b, factors, tokens, vocabulary }
        },
    )
}

pub fn check_records(rt: &Runtime, records: &Records) {
    let Records { shape, a, b, factors, tokens, vocabulary } = records;
    let (shape, vocabulary) = (*shape, *vocabulary);
    let (da, db) = (rt.upload(a).expect("upload"), rt.upload(b).expect("upload"));
    let down = |buffer: launch::Buf<f32>| bits_but_nan(&buffer.into_vec().expect("download"));
    for method in [NormMethod::Gram, NormMethod::Explicit] {
        let host = on_every_level(|| doubles(&ghost::linear_squared_norms(shape, a, b, method).expect("shapes")));
        let device = launch::clip::linear_squared_norms(rt, shape, &da, &db, method).expect("shapes");
        assert_eq!(doubles(&device), host, "{method:?}");
    }

    let start = vector(Make::Normal, shape.outputs * shape.inputs, 1);
    let host = on_every_level(|| {
        let mut sum = start.clone();
        ghost::linear_weighted_sum(shape, a, b, factors, &mut sum).expect("shapes");
        bits_but_nan(&sum)
    });
    let mut sum = rt.upload(&start).expect("upload");
    launch::clip::linear_weighted_sum(rt, shape, &da, &db, factors, &mut sum).expect("shapes");
    assert_eq!(down(sum), host, "weighted sum");

    let groups = TokenGroups::new(tokens, shape.positions, vocabulary).expect("tokens in range");
    let host = on_every_level(|| doubles(&ghost::embedding_squared_norms(&groups, a, shape.inputs).expect("shapes")));
    let device = launch::clip::embedding_squared_norms(rt, &groups, &da, shape.inputs).expect("shapes");
    assert_eq!(doubles(&device), host, "embedding norms");
    let start = vector(Make::Normal, vocabulary * shape.inputs, 2);
    let host = on_every_level(|| {
        let mut sum = start.clone();
        ghost::embedding_weighted_sum(&groups, a, factors, &mut sum).expect("shapes");
        bits_but_nan(&sum)
    });
    let mut sum = rt.upload(&start).expect("upload");
    launch::clip::embedding_weighted_sum(rt, &groups, &da, factors, &mut sum).expect("shapes");
    assert_eq!(down(sum), host, "embedding sum");

    let (positions, channels) = (shape.positions, shape.inputs);
    for with in [false, true] {
        let (x, dx) = (with.then_some(&a[..]), with.then_some(&da));
        let host = ghost::channel_gradients(x, a, positions, channels).expect("shapes");
        let device = launch::clip::channel_gradients(rt, dx, &da, positions, channels).expect("shapes");
        assert_eq!(down(device), bits_but_nan(&host), "channels");
    }
    let host = on_every_level(|| doubles(&ghost::squared_norms(a, channels).expect("shapes")));
    assert_eq!(doubles(&launch::clip::squared_norms(rt, &da, channels).expect("shapes")), host, "squared norms");
}
