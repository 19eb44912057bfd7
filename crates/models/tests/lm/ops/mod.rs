//! Every fused operation against the composed one: forward, backward, finite differences, and any number of threads.

mod families;
mod laws;

use ashlar_models::lm::{Act, Ops, Reduction, RmsWeight};
use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Calls an operation.
pub type Run = dyn Fn(Ops, &[Tensor]) -> Tensor;

/// One operation at one shape, with the ways to call it.
pub struct Case {
    pub name: String,
    pub inputs: Vec<Tensor>,
    pub run: Box<Run>,
}

fn normal(rng: &mut StdRng, shape: &[usize], dtype: DType) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|_| (0..4).map(|_| rng.random_range(-1.0..1.0)).sum::<f64>()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// A causal mask `[B or 1, 1, T, S]` with padding on the left of some rows, and a window.
fn mask(rng: &mut StdRng, [rows, t, s]: [usize; 3], dtype: DType) -> Tensor {
    let window = rng.random_range(1..=s + 1);
    let mut values = vec![f32::NEG_INFINITY; rows * t * s];
    for rows in values.chunks_exact_mut(t * s) {
        let padding = rng.random_range(0..=s / 2);
        for (i, row) in rows.chunks_exact_mut(s).enumerate() {
            let query = s - t + i;
            for (key, value) in row.iter_mut().enumerate() {
                if key == query || (key < query && query - key < window && key >= padding) {
                    *value = 0.0;
                }
            }
        }
    }
    Tensor::from_vec(values, (rows, 1, t, s), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Every operation at shapes by `seed`.
pub fn cases(seed: u64, dtype: DType, large: bool) -> Vec<Case> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cases = Vec::new();
    let mut add = |name: String, inputs: Vec<Tensor>, run: Box<Run>| {
        cases.push(Case { name, inputs, run });
    };
    let most = if large { 700 } else { 9 };
    let (n, d) = (rng.random_range(1..=most), rng.random_range(1..=if large { 150 } else { 37 }));

    for weight in [RmsWeight::AfterCast, RmsWeight::BeforeCast, RmsWeight::PlusOne] {
        let inputs = vec![normal(&mut rng, &[1, n, d], dtype), normal(&mut rng, &[d], dtype)];
        let run = move |ops: Ops, x: &[Tensor]| ops.rms_norm(&x[0], &x[1], 1e-5, weight).unwrap();
        add(format!("rms_norm {weight:?} {n}x{d}"), inputs, Box::new(run));
    }
    let [x, w, b] = [&[n, d][..], &[d], &[d]].map(|shape| normal(&mut rng, shape, dtype));
    let run = |ops: Ops, x: &[Tensor]| ops.layer_norm(&x[0], Some((&x[1], &x[2])), 1e-5).unwrap();
    add(format!("layer_norm {n}x{d}"), vec![x.clone(), w, b], Box::new(run));
    // A row of one number has no direction: its plain norm is 0 whatever it is.
    if d > 1 {
        add(
            format!("plain layer_norm {n}x{d}"),
            vec![x],
            Box::new(|ops, x| ops.layer_norm(&x[0], None, 1e-5).unwrap()),
        );
    }
    for act in [Act::Silu, Act::Gelu, Act::GeluTanh, Act::Relu] {
        let [x, u] = [0, 1].map(|_| normal(&mut rng, &[n, d], dtype));
        let run = move |ops: Ops, x: &[Tensor]| ops.activate(&x[0], act).unwrap();
        add(format!("{act:?} {n}x{d}"), vec![x.clone()], Box::new(run));
        let run = move |ops: Ops, x: &[Tensor]| ops.gated(&x[0], &x[1], act).unwrap();
        add(format!("gated {act:?} {n}x{d}"), vec![x, u], Box::new(run));
    }
    let x = (normal(&mut rng, &[n, d], dtype) * 5.0).unwrap();
    add(format!("softcap {n}x{d}"), vec![x.clone()], Box::new(|ops, x| ops.softcap(&x[0], 7.0).unwrap()));
    add(format!("softmax {n}x{d}"), vec![x.clone()], Box::new(|ops, x| ops.softmax(&x[0]).unwrap()));

    let labels: Vec<Option<u32>> =
        (0..n).map(|_| Some(rng.random_range(0..d as u32)).filter(|_| rng.random_bool(0.8))).collect();
    for (reduction, z) in [(Reduction::Mean, 0.0), (Reduction::Sum, 1e-2), (Reduction::Rows, 1e-3)] {
        let labels = labels.clone();
        let run = move |ops: Ops, x: &[Tensor]| ops.cross_entropy(&x[0], &labels, reduction, z).unwrap();
        add(format!("cross_entropy {reduction:?} {n}x{d}"), vec![x.clone()], Box::new(run));
    }

    let (b, t, n_kv) =
        (rng.random_range(1..=3), rng.random_range(1..=if large { 90 } else { 6 }), rng.random_range(1..=2));
    let (s, h, hd) = (t + rng.random_range(0..=5), n_kv * rng.random_range(1..=3), 2 * rng.random_range(1..=9));
    for rows in [1, b] {
        let angles = normal(&mut rng, &[rows, t, 1, hd / 2], DType::F64);
        let angles = Tensor::cat(&[&angles, &angles], 3).unwrap();
        let [cos, sin] = [angles.cos(), angles.sin()].map(|x| x.unwrap().to_dtype(dtype).unwrap());
        let run = move |ops: Ops, x: &[Tensor]| ops.rope(&x[0], &cos, &sin).unwrap();
        add(format!("rope {b}x{t}x{h}x{hd}"), vec![normal(&mut rng, &[b, t, h, hd], dtype)], Box::new(run));

        let mask = mask(&mut rng, [rows, t, s], dtype);
        let scores = mask.clone();
        let run = move |ops: Ops, x: &[Tensor]| ops.masked_softmax(&x[0], &scores).unwrap();
        add(format!("masked_softmax {b}x{h}x{t}x{s}"), vec![normal(&mut rng, &[b, h, t, s], dtype)], Box::new(run));

        for cap in [None, Some(3.0)] {
            let mask = mask.clone();
            let inputs =
                [[b, t, h, hd], [b, s, n_kv, hd], [b, s, n_kv, hd]].map(|shape| normal(&mut rng, &shape, dtype));
            let run = move |ops: Ops, x: &[Tensor]| ops.attention([&x[0], &x[1], &x[2]], &mask, 0.4, cap).unwrap();
            add(format!("attention {b}x{t}x{s}, {h}/{n_kv} of {hd}, cap {cap:?}"), inputs.to_vec(), Box::new(run));
            // Keys and values as a cache gives them: [B, Hkv, S, hd] seen as [B, S, Hkv, hd].
            let mask = mask_of(rows, t, s, dtype);
            let inputs =
                [[b, t, h, hd], [b, n_kv, s, hd], [b, n_kv, s, hd]].map(|shape| normal(&mut rng, &shape, dtype));
            let run = move |ops: Ops, x: &[Tensor]| {
                let [k, v] = [1, 2].map(|i| x[i].transpose(1, 2).unwrap());
                ops.attention([&x[0], &k, &v], &mask, 0.4, cap).unwrap()
            };
            add(format!("strided attention {b}x{t}x{s}, {h}/{n_kv} of {hd}"), inputs.to_vec(), Box::new(run));
        }
    }
    cases
}

/// A plain causal mask.
fn mask_of(rows: usize, t: usize, s: usize, dtype: DType) -> Tensor {
    let seen = |i: usize, key: usize| if key <= s - t + i { 0.0 } else { f32::NEG_INFINITY };
    let row: Vec<f32> = (0..t).flat_map(|i| (0..s).map(move |key| seen(i, key))).collect();
    Tensor::from_vec(row.repeat(rows), (rows, 1, t, s), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// A fixed weighted sum of the result, so that every element's gradient differs.
pub fn probe(y: &Tensor) -> Tensor {
    let weights: Vec<f64> = (0..y.elem_count()).map(|i| ((i * 7919 + 13) % 101) as f64 / 50.0 - 1.0).collect();
    let weights = Tensor::from_vec(weights, y.shape(), &Device::Cpu).unwrap().to_dtype(y.dtype()).unwrap();
    (y * weights).unwrap().sum_all().unwrap()
}

/// The result and the gradients of all inputs.
pub fn both_ways(case: &Case, ops: Ops) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = case.inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = (case.run)(ops, &inputs);
    let gradients = probe(&y).backward().unwrap();
    let of = |x: &Tensor| gradients.get(x).unwrap_or_else(|| panic!("{}: no gradient", case.name)).clone();
    (y, inputs.iter().map(of).collect())
}

pub fn numbers(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Largest difference over the largest value (at least `floor`); NaN is infinitely far.
pub fn distance(a: &Tensor, b: &Tensor, floor: f64) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (numbers(a), numbers(b));
    let size = b.iter().fold(floor, |size, x| size.max(x.abs()));
    a.iter().zip(&b).map(|(a, b)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() }).fold(0.0, f64::max)
        / size
}
