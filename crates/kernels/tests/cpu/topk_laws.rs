use ashlar_kernels::{
    SparseVec,
    topk::{self, Count, NanPolicy, TopK},
};
use proptest::prelude::*;

use super::common::{bits, everywhere, nasty_vec, noise};

/// The definition: a stable sort by decreasing key.
fn reference(x: &[f32], k: usize, as_zero: bool) -> (Vec<u32>, u32) {
    let key = |x: f32| if as_zero && x.is_nan() { 0 } else { x.to_bits() & 0x7fff_ffff };
    let mut order: Vec<u32> = (0..x.len() as u32).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(key(x[i as usize])));
    let threshold = key(x[order[k - 1] as usize]);
    order.truncate(k);
    order.sort_unstable();
    (order, threshold)
}

fn check(x: &[f32], k: usize, hint: Option<f32>, policy: NanPolicy) {
    let as_zero = policy == NanPolicy::AsZero;
    let (expected, threshold) = reference(x, k, as_zero);
    let mut top = TopK::new(Count::Exact(k as u64)).nan(policy);
    if let Some(hint) = hint {
        top = top.hint(hint);
    }
    let value = |&i: &u32| {
        let x = x[i as usize];
        if as_zero && x.is_nan() { 0 } else { x.to_bits() }
    };
    let (idx, val, found, nans) = everywhere(|| {
        let (found, stats) = top.select(x).unwrap();
        (found.idx().to_vec(), bits(found.val()), stats.threshold.to_bits(), stats.nan_count)
    });
    assert_eq!(idx, expected);
    assert_eq!(val, expected.iter().map(value).collect::<Vec<_>>());
    assert_eq!((found, nans), (threshold, x.iter().filter(|x| x.is_nan()).count() as u64));

    let mut reused = SparseVec::new(9, vec![1, 2, 8], vec![1.0; 3]).unwrap();
    for _ in 0..2 {
        top.select_into(x, &mut reused).unwrap();
        assert_eq!((reused.idx(), bits(reused.val())), (&idx[..], val.clone()));
    }

    let mask = everywhere(|| top.mask(x).unwrap().0);
    assert_eq!(mask.ones().map(|i| i as u32).collect::<Vec<_>>(), expected);

    let mut zeroed = x.to_vec();
    for &i in &expected {
        zeroed[i as usize] = 0.0;
    }
    let left = everywhere(|| {
        let mut x = x.to_vec();
        top.select_and_zero(&mut x).unwrap();
        bits(&x)
    });
    assert_eq!(left, bits(&zeroed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_the_stable_sort(
        x in nasty_vec(), share in 0.0..=1.0_f64, as_zero: bool, hint in prop::option::of(any::<u32>().prop_map(f32::from_bits)),
    ) {
        let k = ((share * x.len() as f64) as usize).clamp(1, x.len());
        check(&x, k, hint, if as_zero { NanPolicy::AsZero } else { NanPolicy::Largest });
    }

    #[test]
    fn error_feedback_is_add_then_select_then_zero(
        e in nasty_vec(), seed: u64, lr in -2.0..2.0_f32, share in 0.0..=1.0_f64, as_zero: bool,
    ) {
        let k = ((share * e.len() as f64) as usize).clamp(1, e.len());
        let g = noise(seed, e.len());
        let top = TopK::new(Count::Exact(k as u64)).nan(if as_zero { NanPolicy::AsZero } else { NanPolicy::Largest });
        let mut v: Vec<f32> = e.iter().zip(&g).map(|(e, g)| e + lr * g).collect();
        let (expected, stats) = top.select_and_zero(&mut v).unwrap();
        let (idx, val, left, threshold) = everywhere(|| {
            let mut e = e.clone();
            let (found, stats) = top.error_feedback(&mut e, &g, lr).unwrap();
            (found.idx().to_vec(), nan_bits(found.val()), nan_bits(&e), stats.threshold.to_bits() )
        });
        prop_assert_eq!(idx, expected.idx());
        prop_assert_eq!(val, nan_bits(expected.val()));
        prop_assert_eq!(left, nan_bits(&v));
        if !stats.threshold.is_nan() {
            prop_assert_eq!(threshold, stats.threshold.to_bits());
        }
    }
}

/// Bits, except that sums give NaNs of any sign and payload.
fn nan_bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
}

/// Long enough for the sampled road and for several threads.
#[test]
fn long_inputs_equal_the_stable_sort() {
    let n = 300_000;
    let plain = noise(1, n);
    let mut sorted = plain.clone();
    sorted.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
    let mut steps = plain.clone();
    for x in &mut steps {
        *x = (*x * 4.0).round();
    }
    let mut spiky = vec![0.0; n];
    (0..2000).for_each(|i| spiky[i * 149] = plain[i] * 1e3);
    let mut nans = plain.clone();
    (0..n).step_by(3).for_each(|i| nans[i] = f32::NAN);
    let heavy: Vec<f32> = plain.iter().map(|x| x.powi(9)).collect();
    let mut head = plain.clone();
    head[..4000].iter_mut().for_each(|x| *x *= 1000.0);
    for x in [plain, sorted, steps, spiky, nans, heavy, head, vec![2.0; n]] {
        for k in [1, 7, 300, 3000, 30_000, 150_000, n - 1, n] {
            check(&x, k, None, NanPolicy::Largest);
        }
        check(&x, 3000, None, NanPolicy::AsZero);
    }
}

#[test]
fn hints_change_nothing() {
    let x = noise(5, 200_000);
    let (expected, stats) = topk::select(&x, Count::Exact(2000)).unwrap();
    for hint in [stats.threshold, stats.threshold * 0.9, stats.threshold * 1.3, 0.0, -1.0, f32::NAN, f32::INFINITY] {
        let found = everywhere(|| TopK::new(Count::Exact(2000)).hint(hint).select(&x).unwrap().0);
        assert_eq!(found, expected, "hint {hint}");
    }
}
