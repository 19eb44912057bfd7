//! What hooks cost: the test of a site without any, an edit a layer while decoding, every activation captured.
//!
//! The share of an empty set is the time of one test times the sites of a pass, over the time of the pass; it is too small
//! to be seen in a difference of two passes.
#![allow(missing_docs, clippy::print_stderr)] // criterion's macros; figures beside them

use std::{hint::black_box, time::Instant};

use ashlar_models::lm::{Coef, Edit, Family, HookPoint, HookSet, InitSpec, Input, KvCache, Model, SITES, Site, Where};
use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

/// 8 layers of d = 1,024: 105 M parameters in the blocks.
fn model() -> Model {
    let init = InitSpec { max_pos: Some(1024), ..InitSpec::new(Family::Llama, 8, 1024, 8) };
    Model::init(init.spec(1024).expect("a model"), 0).expect("weights")
}

fn empty_set(criterion: &mut Criterion) {
    let model = model();
    let layers = model.spec().n_layers;
    let empty = HookSet::new();
    let layered = SITES.iter().filter(|i| i.layered).count();
    let sites = layers * layered + SITES.len() - layered;
    let all_sites = |hooks: &HookSet| {
        let tests = (0..layers).flat_map(|l| SITES.iter().map(move |i| (l, i.site)));
        tests.filter(|&(l, site)| black_box(hooks).wants(black_box(l), black_box(site))).count()
    };
    criterion.bench_function("hooks/empty set, all sites of a pass", |b| b.iter(|| all_sites(&empty)));
    let input = Input::rows(&[vec![5]]).expect("a token");
    criterion.bench_function("hooks/pass of one token", |b| b.iter(|| model.forward(&input, None, &empty)));

    let time = |mut run: Box<dyn FnMut() + '_>| {
        (0..30)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min)
    };
    let tests = time(Box::new(|| {
        for _ in 0..1000 {
            black_box(all_sites(&empty));
        }
    })) / 1000.0;
    let pass = time(Box::new(|| {
        black_box(model.forward(&input, None, &empty).expect("logits"));
    }));
    eprintln!("empty set: {sites} sites, {:.2e} s of {pass:.2e} s a token: {:.4} %", tests, 100.0 * tests / pass);
}

/// One decoding step after 64 tokens, with and without an edit a layer, turn by turn.
fn decode(criterion: &mut Criterion) {
    let model = model();
    let spec = model.spec();
    let v = Tensor::ones(spec.d_model, DType::F32, &Device::Cpu).expect("a vector");
    let add = |coef| Edit::Add { v: v.clone(), coef }.at(Where::GeneratedOnly);
    let on_all = |coef| HookSet::new().on_all(spec, Site::ResidPost, add(coef)).expect("a site");
    let (capture, _captured) = HookSet::new().capture(spec, &HookPoint::all(spec)).expect("sites");
    let sets = [
        ("none", HookSet::new()),
        ("one add a layer", on_all(Coef::Abs(1e-3))),
        ("one relative add a layer", on_all(Coef::Rel(1e-3))),
        ("everything captured", capture),
    ];
    let mut cache = KvCache::new();
    let prompt = Input::rows(&[(0..64).collect()]).expect("a prompt");
    model.forward(&prompt, Some(&mut cache), &HookSet::new()).expect("logits");
    let token = Input::rows(&[vec![7]]).expect("a token");
    let mut step = |hooks: &HookSet| {
        black_box(model.forward(&token, Some(&mut cache), hooks).expect("logits"));
        cache.truncate(64);
    };
    let mut best = [f64::INFINITY; 4];
    for _ in 0..60 {
        for (best, (_, hooks)) in best.iter_mut().zip(&sets) {
            let start = Instant::now();
            step(hooks);
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    for ((name, _), seconds) in sets.iter().zip(best) {
        eprintln!("decode, {name}: {:.3} ms, {:+.2} %", 1e3 * seconds, 100.0 * (seconds / best[0] - 1.0));
    }
    let mut group = criterion.benchmark_group("hooks/decode");
    group.sample_size(20);
    for (name, hooks) in &sets {
        group.bench_function(*name, |b| b.iter(|| step(hooks)));
    }
    group.finish();
}

criterion_group!(benches, empty_set, decode);
criterion_main!(benches);
