//! Projections, lookups and experts' rows: against the composed operations, finite differences, and themselves on other
//! numbers of threads.

use ashlar_models::lm::{HookSet, Input, KvCache, Model, Ops};
use candle_core::{DType, Device, Tensor, Var};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn wave(dims: &[usize], seed: f64, dtype: DType) -> Tensor {
    let n: usize = dims.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (0.37 * (i as f64 + 1.0) * (1.0 + seed) + seed).sin()).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference over largest value.
fn off(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let size = values(b).iter().fold(1e-30, |max: f64, x| max.max(x.abs()));
    let difference = values(a).into_iter().zip(values(b)).map(|(a, b)| (a - b).abs());
    difference.fold(0.0, |max: f64, d| if d.is_nan() { f64::INFINITY } else { max.max(d) }) / size
}

type Function<'a> = &'a (dyn Fn(Ops, &[Tensor]) -> Tensor + Sync);

/// Result and gradients of a weighted sum of it.
fn run(f: Function, ops: Ops, inputs: &[(Tensor, bool)]) -> Vec<Tensor> {
    let vars: Vec<Option<Var>> =
        inputs.iter().map(|(x, tracked)| tracked.then(|| Var::from_tensor(x).unwrap())).collect();
    let tensors: Vec<Tensor> = inputs
        .iter()
        .zip(&vars)
        .map(|((x, _), var)| var.as_ref().map_or_else(|| x.clone(), |var| var.as_tensor().clone()))
        .collect();
    let y = f(ops, &tensors);
    let weights = wave(y.dims(), 0.61, y.dtype());
    let mut all = vec![y.detach()];
    if vars.iter().any(Option::is_some) {
        let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        all.extend(vars.iter().flatten().map(|var| gradients.get(var.as_tensor()).unwrap().clone()));
    }
    all
}

fn agrees(f: Function, inputs: &[(Tensor, bool)]) {
    let (fused, composed) = (run(f, Ops::Fused, inputs), run(f, Ops::Composed, inputs));
    let (forward, backward) = if inputs[0].0.dtype() == DType::F64 { (1e-13, 1e-12) } else { (1e-6, 1e-5) };
    for (i, (a, b)) in fused.iter().zip(&composed).enumerate() {
        let bound = if i == 0 { forward } else { backward };
        assert!(off(a, b) <= bound, "result {i}: {:e}", off(a, b));
    }
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (i, (a, b)) in pool.install(|| run(f, Ops::Fused, inputs)).iter().zip(&fused).enumerate() {
            assert_eq!(values(a), values(b), "result {i} on {threads} threads");
        }
    }
}

#[test]
fn projections() {
    let f: Function = &|ops, x| ops.linear(&x[0], &x[1], x.get(2)).unwrap();
    for dtype in [DType::F32, DType::F64] {
        for (rows, out, width) in [(1, 7, 5), (3, 33, 65), (8, 96, 100), (9, 4, 3), (40, 300, 129), (700, 65, 48)] {
            let (x, w, b) =
                (wave(&[rows, width], 0.1, dtype), wave(&[out, width], 0.2, dtype), wave(&[out], 0.3, dtype));
            for tracked in [[false; 3], [true; 3], [true, false, false], [false, true, false], [false, false, true]] {
                let inputs = [(x.clone(), tracked[0]), (w.clone(), tracked[1]), (b.clone(), tracked[2])];
                agrees(f, &inputs);
                agrees(f, &inputs[..2]);
            }
        }
    }
    // Views and more dimensions.
    let x = wave(&[4, 3, 6], 0.1, DType::F32).transpose(0, 1).unwrap();
    agrees(f, &[(x, true), (wave(&[5, 6], 0.2, DType::F32).narrow(0, 1, 3).unwrap(), true)]);
}

#[test]
fn low_rank_changes() {
    let f: Function = &|ops, x| ops.lora_linear(&x[0], &x[1], Some(&x[2]), &x[3], &x[4], 1.7).unwrap();
    for dtype in [DType::F32, DType::F64] {
        for (n, out, width, r) in [(2, 9, 7, 3), (300, 70, 90, 8)] {
            let dims: [&[usize]; 5] = [&[n, width], &[out, width], &[out], &[r, width], &[out, r]];
            let inputs = dims.map(|dims| wave(dims, 0.1 + dims.len() as f64 + dims[0] as f64, dtype));
            for tracked in [[true, false, false, true, true], [false, false, false, false, true], [true; 5]] {
                let inputs: Vec<_> = inputs.iter().cloned().zip(tracked).collect();
                agrees(f, &inputs);
            }
        }
    }
}

#[test]
fn lookups_and_experts() {
    let ids: Vec<u32> = (0..400).map(|i| (i * i + 3) % 50).collect();
    let f: Function = &|ops, x| ops.gather_rows(&x[0], &ids).unwrap();
    let g: Function = &|ops, x| ops.combine_rows(&x[0], &x[1], &ids, 60).unwrap();
    for dtype in [DType::F32, DType::F64] {
        agrees(f, &[(wave(&[50, 9], 0.2, dtype), true)]);
        agrees(f, &[(wave(&[50, 300], 0.2, dtype), true)]);
        for tracked in [[true, true], [true, false], [false, true]] {
            agrees(g, &[(wave(&[400, 33], 0.3, dtype), tracked[0]), (wave(&[400], 0.4, dtype), tracked[1])]);
        }
    }
    let x = wave(&[4, 2], 0.1, DType::F32);
    assert!(Ops::Fused.gather_rows(&x, &[4]).is_err());
    assert!(Ops::Fused.combine_rows(&x, &wave(&[3], 0.1, DType::F32), &[0; 4], 1).is_err());
    assert!(Ops::Fused.combine_rows(&x, &wave(&[4], 0.1, DType::F32), &[1; 4], 1).is_err());
}

#[test]
fn finite_differences() {
    let tokens = [0, 2, 2, 1];
    let cases: [(Function, Vec<Vec<usize>>); 3] = [
        (&|ops, x| ops.linear(&x[0], &x[1], Some(&x[2])).unwrap(), vec![vec![3, 4], vec![5, 4], vec![5]]),
        (
            &|ops, x| ops.lora_linear(&x[0], &wave(&[5, 4], 0.9, DType::F64), None, &x[1], &x[2], 0.8).unwrap(),
            vec![vec![3, 4], vec![2, 4], vec![5, 2]],
        ),
        (&|ops, x| ops.combine_rows(&x[0], &x[1], &tokens, 3).unwrap(), vec![vec![4, 3], vec![4]]),
    ];
    for (f, dims) in cases {
        let inputs: Vec<(Tensor, bool)> =
            dims.iter().enumerate().map(|(i, dims)| (wave(dims, 0.3 * i as f64, DType::F64), true)).collect();
        let analytic = run(f, Ops::Fused, &inputs);
        let value = |inputs: &[Tensor]| -> f64 {
            let y = f(Ops::Fused, inputs);
            let weights = wave(y.dims(), 0.61, y.dtype());
            values(&(y * weights).unwrap()).iter().sum()
        };
        for (i, dims) in dims.iter().enumerate() {
            let plain: Vec<Tensor> = inputs.iter().map(|(x, _)| x.clone()).collect();
            for (j, gradient) in values(&analytic[i + 1]).into_iter().enumerate() {
                let moved = |h: f64| {
                    let mut inputs = plain.clone();
                    let mut x = values(&inputs[i]);
                    x[j] += h;
                    inputs[i] = Tensor::from_vec(x, dims.as_slice(), &Device::Cpu).unwrap();
                    value(&inputs)
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((difference - gradient).abs() < 1e-7, "input {i}, entry {j}: {gradient} for {difference}");
            }
        }
    }
}

/// Token by token with a cache, in a padded batch, the logits are those of one pass.
#[test]
fn decoding_is_the_full_forward() {
    for family in FAMILIES {
        let folder = checkpoint(family, 5);
        for (dtype, ops) in [(DType::F32, Ops::Fused), (DType::F32, Ops::Composed), (DType::BF16, Ops::Fused)] {
            let model = Model::load(folder.path(), dtype, &Device::Cpu).unwrap().with_ops(ops);
            let rows = rows(&expected(family));
            let whole = Input::rows(&rows).unwrap();
            let full = model.forward(&whole, None, &HookSet::new()).unwrap();
            let reference = Model::load(folder.path(), DType::F64, &Device::Cpu).unwrap();
            let exact = reference.forward(&whole, None, &HookSet::new()).unwrap();
            let mut cache = KvCache::new();
            // All but the last four columns first, in two chunks.
            let shortest = rows.iter().map(Vec::len).min().unwrap();
            let cut = |from: usize, to: usize| -> Vec<Vec<u32>> {
                rows.iter().map(|row| row[row.len().saturating_sub(from)..row.len() - to].to_vec()).collect()
            };
            model
                .forward(&Input::rows(&cut(usize::MAX, shortest - 1)).unwrap(), Some(&mut cache), &HookSet::new())
                .unwrap();
            let (mut stepwise, mut at_once) = (0.0, 0.0);
            for left in (0..shortest - 1).rev() {
                let step = Input::rows(&cut(left + 1, left)).unwrap();
                let logits = model.forward(&step, Some(&mut cache), &HookSet::new()).unwrap();
                let column = whole.columns() - 1 - left;
                let (full, exact) = (full.narrow(1, column, 1).unwrap(), exact.narrow(1, column, 1).unwrap());
                if dtype == DType::F32 {
                    assert!(off(&logits, &full) <= 1e-5, "{family} {ops:?}: {:e}", off(&logits, &full));
                } else {
                    let distance =
                        |x: &Tensor| values(x).iter().zip(values(&exact)).map(|(a, b)| (a - b).abs()).sum::<f64>();
                    stepwise += distance(&logits);
                    at_once += distance(&full);
                }
            }
            // In bf16 no further from exact numbers than one pass; a router's choice may flip, which is no rounding.
            let dense = model.spec().moe.iter().all(Option::is_none);
            assert!(!dense || stepwise <= 1.25 * at_once, "{family} {dtype:?}: {stepwise} for {at_once}");
        }
    }
}
