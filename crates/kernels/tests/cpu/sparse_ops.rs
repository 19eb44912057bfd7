//! Work on kept coordinates against plain loops, dense work in f64 and torch's optimisers; misuse.

use ashlar_kernels::simd::{Level, with_level};
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support, sddmm};
use ashlar_kernels::{BitMask, Error, SparseVec};
use proptest::prelude::*;

fn support() -> impl Strategy<Value = Support> {
    (1_u32..3000).prop_flat_map(|len| {
        prop::collection::btree_set(0..len, 0..200)
            .prop_map(move |idx| Support::new(len as u64, idx.into_iter().collect()).unwrap())
    })
}

fn values(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 8e6 - 1.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_and_copies_agree_with_plain_loops(at in support(), width in 1_usize..4, seed: u32, scale in -2_f32..2.0) {
        let (n, k) = (at.len() as usize, at.nnz());
        let mut mask = BitMask::zeros(n);
        at.idx().iter().for_each(|&i| mask.set(i as usize, true));
        prop_assert_eq!(&at.to_mask().unwrap(), &mask);

        let (x, val) = (values(n * width, seed), values(k * width, !seed));
        let mut want = x.clone();
        let mut kept = Vec::new();
        for (j, &i) in at.idx().iter().enumerate() {
            for c in 0..width {
                kept.push(x[i as usize * width + c]);
                want[i as usize * width + c] += scale * val[j * width + c];
            }
        }
        for level in Level::available() {
            let mut dst = x.clone();
            with_level(level, || at.axpy(scale, &val, &mut dst, width)).unwrap();
            prop_assert_eq!(&dst, &want);
            prop_assert_eq!(&with_level(level, || at.gather(&x, width)).unwrap(), &kept);
            prop_assert_eq!(&with_level(level, || Support::from_mask(&mask)).unwrap(), &at);
        }
    }

    #[test]
    fn sddmm_is_the_dense_product(t in 0_usize..80, outputs in 1_usize..40, inputs in 1_usize..40, every in 1_u32..9, seed: u32) {
        check_sddmm(t, outputs, inputs, every, seed);
    }
}

/// Against sums in f64, at every level of instructions.
fn check_sddmm(t: usize, outputs: usize, inputs: usize, every: u32, seed: u32) {
    let idx = (0..(outputs * inputs) as u32).filter(|i| (i ^ seed) % every == 0).collect();
    let at = Support::new((outputs * inputs) as u64, idx).unwrap();
    let (dy, x) = (values(t * outputs, seed), values(t * inputs, !seed));
    let got = sddmm(&at, &dy, &x, t, outputs, inputs).unwrap();
    assert_eq!(got.len(), at.nnz());
    for (&i, &got) in at.idx().iter().zip(&got) {
        let (r, c) = (i as usize / inputs, i as usize % inputs);
        let terms = (0..t).map(|t| dy[t * outputs + r] as f64 * x[t * inputs + c] as f64);
        let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
        assert!((got as f64 - sum).abs() <= 1e-6 * size, "entry ({r}, {c}): {got}, {sum}");
    }
    for level in Level::available() {
        assert_eq!(with_level(level, || sddmm(&at, &dy, &x, t, outputs, inputs)).unwrap(), got);
    }
}

/// So many positions that the columns are taken in blocks, so many entries that there are several parts, whose borders lie
/// within rows.
#[test]
fn sddmm_in_blocks_and_parts() {
    for (t, outputs, inputs, every) in [(2100, 6, 124, 1), (2100, 30, 129, 3), (70_000, 2, 9, 1), (33, 100, 177, 1)] {
        check_sddmm(t, outputs, inputs, every, 0);
    }
}

#[test]
fn masked_adamw_by_hand() {
    // sparse-adapt oracle 8: kept 0 and 2, clipped to norm 0.2 after masking.
    let at = Support::new(4, vec![0, 2]).unwrap();
    let (mut w, mut m, mut v) = ([1.0_f32, 2.0, 3.0, 4.0], [0.0; 2], [0.0; 2]);
    for (step, g, want) in [
        (1, [0.1_f32, 10.0, -0.2, 5.0], [0.900_000_01_f32, 2.0, 3.1, 4.0]),
        (2, [0.3, -4.0, 0.1, 2.0], [0.804_124_5, 2.0, 3.138_354_5, 4.0]),
    ] {
        let scale = (0.2 / (g[0].hypot(g[2]) + 1e-6)).min(1.0);
        AdamWStep::new(step, 0.1, [0.9, 0.999], 1e-8, 0.0, scale)
            .unwrap()
            .apply(&at, &mut w, &g, &mut m, &mut v)
            .unwrap();
        assert!(w.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{w:?}");
    }
    let dy = [1.0, 2.0, 0.0, -1.0];
    let got = sddmm(&Support::new(6, vec![0, 5]).unwrap(), &dy, &[1.0, 0.0, 2.0, 3.0, 1.0, -1.0], 2, 2, 3).unwrap();
    assert_eq!(got, [1.0, 5.0]);
}

/// Kept coordinates and values in number enough for several parts of every kernel.
fn large() -> (Support, Vec<f32>) {
    let n = 400_000_u32;
    let idx = (0..n).filter(|i| i.wrapping_mul(2_654_435_761) >> 28 < 4 || i % 65_536 < 1000).collect();
    (Support::new(n as u64, idx).unwrap(), values(n as usize, 9))
}

#[test]
fn parts_join() {
    let (at, x) = large();
    let k = at.nnz();
    assert!(k > 3 << 15);
    let mut mask = BitMask::zeros(x.len());
    at.idx().iter().for_each(|&i| mask.set(i as usize, true));
    let (half, val) =
        (Support::new(at.len() / 2, at.idx().iter().copied().filter(|&i| i < 200_000).collect()), values(k, 3));
    let half = half.unwrap();
    let rows = half.gather(&x, 2).unwrap();
    let (mut dense, mut row_dense) = (x.clone(), x.clone());
    for (&i, &val) in at.idx().iter().zip(&val) {
        dense[i as usize] += 0.3 * val;
    }
    for (&i, row) in half.idx().iter().zip(rows.chunks(2)) {
        assert_eq!(row, &x[2 * i as usize..][..2]);
        row_dense[2 * i as usize] += row[0];
        row_dense[2 * i as usize + 1] += row[1];
    }
    for (threads, level) in [(1, Level::Scalar), (2, Level::Avx2), (5, Level::Avx512)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut got, mut row_got) = (x.clone(), x.clone());
        pool.install(|| {
            with_level(level, || {
                assert_eq!(at.to_mask().unwrap(), mask);
                assert_eq!(Support::from_mask(&mask).unwrap(), at);
                at.axpy(0.3, &val, &mut got, 1).unwrap();
                half.scatter_add(&rows, &mut row_got, 2).unwrap();
            });
        });
        assert!(got == dense && row_got == row_dense);
    }
    let sparse = SparseVec::new(at.len(), at.idx().to_vec(), val.clone()).unwrap();
    assert_eq!((sparse.mask(), sparse.support()), (mask, &at));
    assert_eq!(at.with_values(val).unwrap(), sparse);
}

/// The dense optimiser with a mask, element by element, has the bits of the sparse one; the rest does not move.
#[test]
fn kept_coordinates_have_the_bits_of_the_dense_step() {
    let (at, start) = large();
    let n = start.len();
    let (lr, [b1, b2], eps, decay, mu) = (0.01_f32, [0.9_f32, 0.99], 1e-8_f32, 0.1_f32, 0.8_f32);
    let (mut dense, mut dense_m, mut dense_v) = (start.clone(), vec![0.0_f32; n], vec![0.0_f32; n]);
    let (mut w, mut m, mut v) = (start.clone(), vec![0.0; at.nnz()], vec![0.0; at.nnz()]);
    let (mut sgd_dense, mut sgd_b, mut sgd_w, mut b) = (start.clone(), vec![0.0_f32; n], start.clone(), m.clone());
    for t in 1..4_i32 {
        let g = values(n, t as u32);
        let keep = (1.0 - lr as f64 * decay as f64) as f32;
        let rate = (lr as f64 / (1.0 - (b1 as f64).powi(t))) as f32;
        let root = (1.0 - (b2 as f64).powi(t)).sqrt() as f32;
        for i in 0..n {
            dense_m[i] += (1.0 - b1) * (g[i] - dense_m[i]);
            dense_v[i] = b2 * dense_v[i] + (1.0 - b2) * g[i] * g[i];
            dense[i] = dense[i] * keep - rate * dense_m[i] / (dense_v[i].sqrt() / root + eps);
            let d = g[i] + decay * sgd_dense[i];
            sgd_b[i] = mu * sgd_b[i] + d;
            sgd_dense[i] -= lr * (d + mu * sgd_b[i]);
        }
        // Kept gradients, and all of them, are the same to it.
        let kept = at.gather(&g, 1).unwrap();
        let g = if t == 2 { &kept } else { &g };
        let step = AdamWStep::new(t as u64, lr, [b1, b2], eps, decay, 1.0).unwrap();
        step.apply(&at, &mut w, g, &mut m, &mut v).unwrap();
        SgdStep::new(lr, mu, decay, true).unwrap().apply(&at, &mut sgd_w, g, &mut b).unwrap();
    }
    let mask = at.to_mask().unwrap();
    for i in 0..n {
        let (want, sgd_want) = if mask.get(i) { (dense[i], sgd_dense[i]) } else { (start[i], start[i]) };
        assert_eq!((w[i].to_bits(), sgd_w[i].to_bits()), (want.to_bits(), sgd_want.to_bits()), "at {i}");
    }
    assert!(at.gather(&dense_m, 1).unwrap() == m && at.gather(&dense_v, 1).unwrap() == v);
    assert!(at.gather(&sgd_b, 1).unwrap() == b);
}

#[test]
fn kept_coordinates_step_as_torch_does() {
    let text = include_str!("../fixtures/masked_optim.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let list = |v: &serde_json::Value| -> Vec<f32> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let mut met = 0;
    for run in file["runs"].as_array().unwrap() {
        let option = |name: &str| run["options"][name].as_f64().unwrap() as f32;
        let start = list(&run["start"]);
        let kept: Vec<u32> = list(&run["kept"]).into_iter().map(|x| x as u32).collect();
        let at = Support::new(start.len() as u64, kept).unwrap();
        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; at.nnz()], vec![0.0; at.nnz()]);
        for (t, step) in run["steps"].as_array().unwrap().iter().enumerate() {
            let lr = step["lr"].as_f64().unwrap() as f32;
            let g = at.gather(&list(&step["gradient"]), 1).unwrap();
            if run["name"] == "sgd" {
                let step = SgdStep::new(lr, option("momentum"), option("weight_decay"), option("nesterov") == 1.0);
                step.unwrap().apply(&at, &mut w, &g, &mut m).unwrap();
            } else {
                let (clip, norm) = (option("clip"), g.iter().map(|g| g * g).sum::<f32>().sqrt());
                let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
                let betas = [option("beta1"), option("beta2")];
                let step = AdamWStep::new(t as u64 + 1, lr, betas, option("eps"), option("weight_decay"), scale);
                step.unwrap().apply(&at, &mut w, &g, &mut m, &mut v).unwrap();
            }
            for (i, (got, want)) in w.iter().zip(list(&step["weights"])).enumerate() {
                let (at_i, error) = (at.idx().contains(&(i as u32)), (got - want).abs());
                assert!(
                    error <= if at_i { 2e-6 * want.abs().max(1.0) } else { 0.0 },
                    "{run}, step {t}, {i}: {got} {want}"
                );
            }
            met += 1;
        }
    }
    assert_eq!(met, 30);
}

#[test]
fn misuse_is_an_error() {
    for idx in [vec![3, 1], vec![1, 1], vec![5]] {
        assert!(matches!(Support::new(5, idx), Err(Error::SparseIndex { .. })));
    }
    let at = Support::new(5, vec![1, 4]).unwrap();
    let adamw = AdamWStep::new(1, 0.1, [0.9, 0.999], 1e-8, 0.0, 1.0).unwrap();
    let sgd = SgdStep::new(0.1, 0.9, 0.0, true).unwrap();
    for result in [
        at.gather(&[0.0; 4], 1).map(drop),
        at.gather(&[], usize::MAX).map(drop),
        at.axpy(1.0, &[0.0; 3], &mut [0.0; 5], 1),
        adamw.apply(&at, &mut [0.0; 5], &[0.0; 3], &mut [0.0; 2], &mut [0.0; 2]),
        adamw.apply(&at, &mut [0.0; 5], &[0.0; 2], &mut [0.0; 2], &mut [0.0; 1]),
        sgd.apply(&at, &mut [0.0; 4], &[0.0; 2], &mut [0.0; 2]),
        sddmm(&at, &[0.0; 2], &[0.0; 2], 1, 2, 2).map(drop),
        sddmm(&at, &[], &[], 1, usize::MAX, usize::MAX).map(drop),
    ] {
        assert!(matches!(result, Err(Error::LengthMismatch { .. })));
    }
    for result in [at.gather(&[], 0).map(drop), at.axpy(1.0, &[], &mut [], 0)] {
        assert_eq!(result.unwrap_err().to_string(), "width = 0: at least 1");
    }
    assert!(AdamWStep::new(1, 0.1, [0.9, 0.999], 0.0, 0.0, 1.0).is_err());
    assert!(AdamWStep::new(1, 0.1, [0.9, 1.0], 1e-8, 0.0, 1.0).is_err());
    assert!(AdamWStep::new(0, 0.1, [0.9, 0.999], 1e-8, 0.0, 1.0).is_err());
    assert!(AdamWStep::new(1, f32::NAN, [0.9, 0.999], 1e-8, 0.0, 1.0).is_err());
    assert!(SgdStep::new(0.1, 0.0, 0.0, true).is_err());
}
