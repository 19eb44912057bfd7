use ashlar_kernels::{
    Error,
    topk::{self, Count, NanPolicy, TopK},
};

const X: [f32; 11] = [1.0, -3.0, 3.0, f32::NAN, 0.0, f32::NEG_INFINITY, 2.0, 3.0, -0.0, 1e-45, -2.0];

#[test]
fn the_order_is_magnitude_then_index() {
    let order = [3, 5, 1, 2, 7, 6, 10, 0, 9, 4, 8];
    for k in 1..=order.len() {
        let mut expected = order[..k].to_vec();
        expected.sort_unstable();
        let (top, stats) = topk::select(&X, Count::Exact(k as u64)).unwrap();
        assert_eq!(top.idx(), expected, "k = {k}");
        assert_eq!((stats.n, stats.k, stats.nan_count), (11, k as u64, 1));
        let threshold = match k {
            1 => 0x7fc0_0000,
            2 => 0x7f80_0000,
            3..=5 => 0x4040_0000,
            6 | 7 => 0x4000_0000,
            8 => 0x3f80_0000,
            9 => 1,
            _ => 0,
        };
        assert_eq!(stats.threshold.to_bits(), threshold, "k = {k}");
    }
}

#[test]
fn nan_policies() {
    let (top, stats) = TopK::new(Count::Exact(3)).nan(NanPolicy::AsZero).select(&X).unwrap();
    assert_eq!((top.idx(), stats.nan_count), (&[1, 2, 5][..], 1));
    // As zero, the NaN at 3 is the first of the zeros, and comes out as one.
    let (top, _) = TopK::new(Count::Exact(9)).nan(NanPolicy::AsZero).select(&X).unwrap();
    assert_eq!(top.idx(), [0, 1, 2, 3, 5, 6, 7, 9, 10]);
    assert_eq!(top.val()[3].to_bits(), 0);
    let error = TopK::new(Count::Exact(3)).nan(NanPolicy::Error).select(&X).unwrap_err();
    assert!(matches!(error, Error::Nan { index: 3 }), "{error}");
    let mut kept = X;
    assert!(TopK::new(Count::Exact(3)).nan(NanPolicy::Error).select_and_zero(&mut kept).is_err());
    assert_eq!(super::common::bits(&kept), super::common::bits(&X));
    assert_eq!(TopK::new(Count::Exact(3)).nan(NanPolicy::Error).select(&X[..3]).unwrap().0.nnz(), 3);
}

#[test]
fn bad_counts_are_told() {
    let message = |k| topk::select(&X[4..], k).unwrap_err().to_string();
    assert_eq!(message(Count::Exact(0)), "k must be at least 1");
    assert_eq!(message(Count::Exact(12)), "k = 12 exceeds the 7 elements of the input");
    let named = topk::select(&[0.0; 10], Count::Exact(12)).unwrap_err().of("g");
    assert_eq!(named.to_string(), "k = 12 exceeds the 10 elements of 'g'");
    for value in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        assert_eq!(message(Count::Fraction(value)), format!("the fraction {value} is outside (0, 1]"));
    }
    assert_eq!(
        topk::select(&[], Count::Exact(1)).unwrap_err().to_string(),
        "k = 1 exceeds the 0 elements of the input"
    );
    assert!(topk::select(&[], Count::Fraction(0.5)).is_err());
    let error = TopK::new(Count::Exact(1)).error_feedback(&mut [0.0; 2], &[0.0; 3], 1.0).unwrap_err();
    assert_eq!(error.to_string(), "e has 2 elements and g has 3: they must be equal");
}

#[test]
fn shares_round_to_the_nearest_count() {
    for (share, n, k) in [(0.01, 1000, 10), (0.29, 100, 29), (1.0, 7, 7), (1e-9, 5, 1), (0.5, 5, 3)] {
        assert_eq!(Count::Fraction(share).resolve(n).unwrap(), k, "{share} of {n}");
    }
}

#[test]
fn four_billion_elements_need_the_wide_call() {
    // Zeroed pages are never touched: the length is refused first.
    let mut huge: Vec<f32> = Vec::new();
    if huge.try_reserve_exact(1 << 32).is_err() {
        println!("skipped: no address space for 2^32 elements");
        return;
    }
    let huge = vec![0.0_f32; 1 << 32];
    let error = topk::select(&huge, Count::Exact(1)).unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }) && error.to_string().contains("select_u64"), "{error}");
}
