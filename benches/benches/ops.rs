//! Each fused operation of the language models beside candle's own, forward and forward with backward.
//!
//! Shapes of a model of d 128, 4 heads, MLP 320, V 256 at B×T = 32×128 and 8×64. Threads: rayon's, so
//! `RAYON_NUM_THREADS` and, for candle's own operations, `CANDLE_NUM_THREADS`. Group `op/BxT`; names
//! `forward|both/fused|composed`.
#![allow(missing_docs)] // criterion's macros

use std::{hint::black_box, time::Duration};

use ashlar_benches::noise;
use ashlar_models::lm::{Act, Ops, Reduction, RmsWeight};
use candle_core::{Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};

const D: usize = 128;
const HEADS: usize = 4;
const FF: usize = 320;
const VOCAB: usize = 256;

type Run = Box<dyn Fn(Ops, &[Tensor]) -> Tensor>;

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    Tensor::from_vec(noise(seed, shape.iter().product()), shape, &Device::Cpu).expect("fits")
}

fn cases(b: usize, t: usize) -> Vec<(&'static str, Vec<Tensor>, Run)> {
    let hd = D / HEADS;
    let heads = |seed| tensor(seed, &[b, t, HEADS, hd]);
    let seen = |i: usize, key: usize| if key <= i { 0.0 } else { f32::NEG_INFINITY };
    let mask: Vec<f32> = (0..t).flat_map(|i| (0..t).map(move |key| seen(i, key))).collect();
    let mask = Tensor::from_vec(mask, (1, 1, t, t), &Device::Cpu).expect("fits");
    let of_softmax = mask.clone();
    let angles = tensor(9, &[1, t, 1, hd]);
    let (cos, sin) = (angles.cos().expect("f32"), angles.sin().expect("f32"));
    let labels: Vec<Option<u32>> = (0..b * t).map(|i| Some((i * 7 % VOCAB) as u32)).collect();
    let rms = |ops: Ops, x: &[Tensor]| ops.rms_norm(&x[0], &x[1], 1e-5, RmsWeight::AfterCast).expect("fits");
    let layer = |ops: Ops, x: &[Tensor]| ops.layer_norm(&x[0], Some((&x[1], &x[2])), 1e-5).expect("fits");
    let [gate, up] = [3, 4].map(|seed| tensor(seed, &[b * t, FF]));
    vec![
        (
            "cross_entropy",
            vec![tensor(1, &[b * t, VOCAB])],
            Box::new(move |ops, x| ops.cross_entropy(&x[0], &labels, Reduction::Mean, 0.0).expect("fits")),
        ),
        (
            "attention",
            [5, 6, 7].map(heads).to_vec(),
            Box::new(move |ops, x| ops.attention([&x[0], &x[1], &x[2]], &mask, 0.18, None).expect("fits")),
        ),
        (
            "masked_softmax",
            vec![tensor(8, &[b, HEADS, t, t])],
            Box::new(move |ops, x| ops.masked_softmax(&x[0], &of_softmax).expect("fits")),
        ),
        ("rms_norm", vec![tensor(1, &[b * t, D]), tensor(2, &[D])], Box::new(rms)),
        ("layer_norm", vec![tensor(1, &[b * t, D]), tensor(2, &[D]), tensor(3, &[D])], Box::new(layer)),
        ("gated silu", vec![gate.clone(), up], Box::new(|ops, x| ops.gated(&x[0], &x[1], Act::Silu).expect("fits"))),
        ("gelu_tanh", vec![gate], Box::new(|ops, x| ops.activate(&x[0], Act::GeluTanh).expect("fits"))),
        ("rope", vec![heads(1)], Box::new(move |ops, x| ops.rope(&x[0], &cos, &sin).expect("fits"))),
    ]
}

fn ops(criterion: &mut Criterion) {
    for (b, t) in [(32, 128), (8, 64)] {
        for (name, inputs, run) in cases(b, t) {
            let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).expect("copied")).collect();
            let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let mut group = criterion.benchmark_group(format!("{name}/{b}x{t}"));
            group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
            for (kind, ops) in [("fused", Ops::Fused), ("composed", Ops::Composed)] {
                group.bench_function(format!("forward/{kind}"), |bench| bench.iter(|| black_box(run(ops, &inputs))));
                group.bench_function(format!("both/{kind}"), |bench| {
                    bench.iter(|| black_box(run(ops, &tracked).backward().expect("differentiable")));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, ops);
criterion_main!(benches);
