//! Work on kept coordinates against dense work in f64 and torch's optimisers; misuse; damaged index codes.

use ashlar_kernels::simd::{Level, with_level};
use ashlar_kernels::sparse::code::{gaps_len, push_gaps, push_varint, read_gaps, read_varint, varint_len};
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support, sddmm};
use ashlar_kernels::{BitMask, Error};
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
    fn masks_codes_and_copies_agree_with_plain_loops(at in support(), width in 1_usize..4, seed: u32, scale in -2_f32..2.0) {
        let (n, k) = (at.len() as usize, at.nnz());
        let mut mask = BitMask::zeros(n);
        at.idx().iter().for_each(|&i| mask.set(i as usize, true));
        prop_assert_eq!(&at.to_mask().unwrap(), &mask);
        prop_assert_eq!(&Support::from_mask(&mask).unwrap(), &at);

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
        }

        let mut bytes = Vec::new();
        push_gaps(&mut bytes, at.idx()).unwrap();
        prop_assert_eq!(bytes.len() as u64, gaps_len(at.idx().iter().copied()));
        let mut end = 0;
        prop_assert_eq!(read_gaps(&bytes, &mut end, k as u64, at.len()).unwrap(), at.idx());
        prop_assert_eq!(end, bytes.len());
        if k > 0 {
            prop_assert!(read_gaps(&bytes[..bytes.len() - 1], &mut 0, k as u64, at.len()).is_err());
        }
    }

    #[test]
    fn sddmm_is_the_dense_product(t in 0_usize..80, outputs in 1_usize..40, inputs in 1_usize..40, every in 1_u32..9, seed: u32) {
        let idx: Vec<u32> = (0..(outputs * inputs) as u32).filter(|i| (i ^ seed) % every == 0).collect();
        let at = Support::new((outputs * inputs) as u64, idx).unwrap();
        let (dy, x) = (values(t * outputs, seed), values(t * inputs, !seed));
        let got = sddmm(&at, &dy, &x, t, outputs, inputs).unwrap();
        for (&i, &got) in at.idx().iter().zip(&got) {
            let (r, c) = (i as usize / inputs, i as usize % inputs);
            let terms = (0..t).map(|t| dy[t * outputs + r] as f64 * x[t * inputs + c] as f64);
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            prop_assert!((got as f64 - sum).abs() <= 1e-6 * size);
        }
        for level in Level::available() {
            prop_assert_eq!(&with_level(level, || sddmm(&at, &dy, &x, t, outputs, inputs)).unwrap(), &got);
        }
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

#[test]
fn kept_coordinates_step_as_torch_does() {
    let text = include_str!("../../../train/tests/fixtures/optim.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    let list = |v: &serde_json::Value| -> Vec<f32> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let mut met = 0;
    for case in cases.as_array().unwrap() {
        let option = |name: &str, default: f64| case["options"][name].as_f64().unwrap_or(default) as f32;
        let start = list(&case["start"]);
        let at = Support::new(start.len() as u64, (0..start.len() as u32).step_by(2).collect()).unwrap();
        let k = at.nnz();
        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; k], vec![0.0; k]);
        let steps = case["gradients"].as_array().unwrap().iter().zip(case["weights"].as_array().unwrap());
        for (t, ((g, want), lr)) in steps.zip(list(&case["lr"])).enumerate() {
            let (g, want) = (list(g), list(want));
            match case["name"].as_str().unwrap() {
                name if name.starts_with("sgd") => {
                    let nesterov = case["options"]["nesterov"].as_bool().unwrap_or(false);
                    let step =
                        SgdStep::new(lr, option("momentum", 0.0), option("weight_decay", 0.0), nesterov).unwrap();
                    step.apply(&at, &mut w, &g, &mut m).unwrap();
                }
                name if name.starts_with("adamw") => {
                    let betas = case["options"]["betas"]
                        .as_array()
                        .map_or([0.9, 0.999], |b| [b[0].as_f64().unwrap() as f32, b[1].as_f64().unwrap() as f32]);
                    let (eps, decay) = (option("eps", 1e-8), option("weight_decay", 0.01));
                    let step = AdamWStep::new(t as u64 + 1, lr, betas, eps, decay, 1.0).unwrap();
                    step.apply(&at, &mut w, &at.gather(&g, 1).unwrap(), &mut m, &mut v).unwrap();
                }
                _ => break,
            }
            met += 1;
            for i in 0..start.len() {
                let want = if i % 2 == 0 { want[i] } else { start[i] };
                assert!(
                    (w[i] - want).abs() <= 2e-6 * want.abs().max(1.0),
                    "{} step {t}: {} {want}",
                    case["name"],
                    w[i]
                );
            }
        }
    }
    assert!(met >= 16, "{met}");
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
    assert!(AdamWStep::new(0, 0.1, [0.9, 0.999], 1e-8, 0.0, 1.0).is_err());
    assert!(AdamWStep::new(1, f32::NAN, [0.9, 0.999], 1e-8, 0.0, 1.0).is_err());
    assert!(SgdStep::new(0.1, 0.0, 0.0, true).is_err());
}

#[test]
fn damaged_codes_are_refused() {
    assert_eq!([0, 1, 127, 128, 16383, 16384, u64::MAX].map(varint_len), [1, 1, 1, 2, 2, 3, 10]);
    let mut bytes = Vec::new();
    push_varint(&mut bytes, u64::MAX);
    assert_eq!(read_varint(&bytes, &mut 0).unwrap(), u64::MAX);
    for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
        assert!(matches!(read_varint(bad, &mut 0), Err(Error::IndexCode { .. })), "{bad:?}");
    }
    assert!(matches!(read_gaps(&[1, 2], &mut 0, u64::MAX, 9), Err(Error::IndexCode { .. })));
    assert!(matches!(read_gaps(&[1, 7], &mut 0, 2, 9), Err(Error::SparseIndex { position: 1, index: 9, .. })));
    assert!(push_gaps(&mut bytes, &[2, 2]).is_err());

    // 200,000 codes with a byte changed, cut or put in: whatever is read is a list in order that is written the same.
    let mut state = 1_u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let mut read = 0;
    for _ in 0..200_000 {
        let mut idx: Vec<u32> = (0..1 + next(12)).map(|_| (next(1 << 31) >> next(31)) as u32).collect();
        idx.sort_unstable();
        idx.dedup();
        let mut bytes = Vec::new();
        push_gaps(&mut bytes, &idx).unwrap();
        let at = next(bytes.len());
        match next(3) {
            0 => bytes[at] ^= 1 << next(8),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, next(256) as u8),
        }
        let mut end = 0;
        if let Ok(list) = read_gaps(&bytes, &mut end, idx.len() as u64, 1 << 31) {
            let mut again = Vec::new();
            push_gaps(&mut again, &list).unwrap();
            assert_eq!(again, bytes[..end]);
            read += 1;
        }
    }
    assert!(read > 1000 && read < 199_000, "{read}");
}
