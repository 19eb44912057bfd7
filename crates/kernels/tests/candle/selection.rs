//! Top-k and noise.

use ashlar_kernels::SparseVec;
use ashlar_kernels::candle::{noise, topk};
use ashlar_kernels::noise::NoiseKey;
use ashlar_kernels::topk::{Count, NanPolicy, TopK};
use candle_core::{DType, Device, Tensor, Var};

use super::{bits, elements, gradient, layouts, message, numbers, tensor};

#[test]
fn every_layout_gives_the_kernels_winners() {
    for (x, values) in layouts(13, 29) {
        for k in [Count::Exact(1), Count::Exact(40), Count::Fraction(0.5), Count::Fraction(1.0)] {
            let ask = TopK::new(k);
            let (expected, expected_stats) = ask.select(&values).expect("k fits");
            let (kept, stats) = topk::sparsify(&x, &ask).expect("k fits");
            assert_eq!(kept.dims(), [13, 29]);
            assert_eq!(bits(&elements(&kept)), bits(&expected.to_dense()));
            assert_eq!((stats.k, stats.threshold), (expected_stats.k, expected_stats.threshold));
            let (places, winners, _) = topk::top_k(&x, &ask).expect("k fits");
            assert_eq!(places.to_vec1::<u32>().expect("u32"), expected.idx());
            assert_eq!(bits(&elements(&winners)), bits(expected.val()));
            assert_eq!(topk::sparse(&x, &ask).expect("k fits").0, expected);
        }
    }
}

#[test]
fn signs_of_zero_and_nans_are_those_of_the_kernel() {
    let values = [-0.0, f32::NAN, 0.0, 1.0, -0.0];
    let x = Tensor::new(&values, &Device::Cpu).expect("a tensor");
    for (k, policy) in
        [(5, NanPolicy::Largest), (5, NanPolicy::AsZero), (3, NanPolicy::AsZero), (2, NanPolicy::Largest)]
    {
        let ask = TopK::new(Count::Exact(k)).nan(policy);
        let expected = ask.select(&values).expect("k fits").0;
        let kept = topk::sparsify(&x, &ask).expect("k fits").0;
        assert_eq!(bits(&elements(&kept)), bits(&expected.to_dense()), "{k} {policy:?}");
    }
    let error = message(topk::sparsify(&x, &TopK::new(Count::Exact(1)).nan(NanPolicy::Error)));
    assert!(error.contains("NaN at index 1"), "{error}");
}

#[test]
fn the_gradient_passes_where_something_is_kept() {
    let (x, weights) = (tensor(&[6, 11], 8), numbers(66, 9));
    let ask = TopK::new(Count::Exact(20));
    let kept = ask.select(&elements(&x)).expect("k fits").0;
    let expected = SparseVec::new(66, kept.idx().to_vec(), kept.idx().iter().map(|&i| weights[i as usize]).collect());
    let expected = expected.expect("sorted").to_dense();
    assert_eq!(gradient(&x, &weights, |x| Ok(topk::sparsify(x, &ask)?.0)), expected);
    // Kept zeros have a gradient too: what is kept counts, not what differs from 0.
    let zeros = Tensor::zeros((6, 11), DType::F32, &Device::Cpu).expect("zeros");
    let first = |i: usize| if i < 20 { weights[i] } else { 0.0 };
    let got = gradient(&zeros, &weights, |x| Ok(topk::sparsify(x, &ask)?.0));
    assert_eq!(got, (0..66).map(first).collect::<Vec<_>>());
    // The values' gradient goes where they came from; through a transposed input too.
    let got = gradient(&x, &weights[..20], |x| Ok(topk::top_k(&x.t()?, &ask)?.1));
    let turned = ask.select(&elements(&x.t().expect("a matrix"))).expect("k fits").0;
    let mut expected = vec![0.0; 66];
    for (at, &place) in turned.idx().iter().enumerate() {
        expected[place as usize % 6 * 11 + place as usize / 6] = weights[at];
    }
    assert_eq!(got, expected);
}

#[test]
fn error_feedback_changes_its_argument() {
    let (mut e, g) = (numbers(300, 1), numbers(300, 2));
    // A part of a larger tensor: the rest must stay.
    let all = tensor(&[3, 300], 3);
    let before = elements(&all);
    let part = all.get(1).expect("a row");
    e.copy_from_slice(&before[300..600]);
    let ask = TopK::new(Count::Fraction(0.1));
    let expected = ask.error_feedback(&mut e, &g, 0.5).expect("k fits").0;
    let g = Tensor::new(&g[..], &Device::Cpu).expect("a tensor");
    let sent = topk::error_feedback(&part, &g, 0.5, &ask).expect("k fits").0;
    assert_eq!(sent, expected);
    assert_eq!(elements(&all), [&before[..300], &e[..], &before[600..]].concat());
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let ask = TopK::new(Count::Exact(3));
    let f64s = tensor(&[4], 1).to_dtype(DType::F64).expect("f64");
    let error = message(topk::sparsify(&f64s, &ask));
    assert!(error.contains("topk takes f32, not f64: convert with .to_dtype(DType::F32)?"), "{error}");
    assert!(message(topk::sparsify(&tensor(&[2], 1), &ask)).contains("k = 3 exceeds the 2 elements"));
    let empty = Tensor::zeros((0, 5), DType::F32, &Device::Cpu).expect("empty");
    assert!(message(topk::sparsify(&empty, &ask)).contains("k = 3 exceeds the 0 elements"));
    assert!(message(topk::sparsify(&tensor(&[2], 1), &TopK::new(Count::Exact(0)))).contains("k must be at least 1"));

    let (e, g) = (tensor(&[4, 5], 1), tensor(&[4, 5], 2));
    let error = message(topk::error_feedback(&e.t().expect("a matrix"), &g, 1.0, &ask));
    assert!(error.contains("in place, which must be contiguous: call .contiguous()?"), "{error}");
    let var = Var::from_tensor(&e).expect("a variable");
    let error = message(topk::error_feedback(&var, &g, 1.0, &ask));
    assert!(error.contains("records no gradient: call it on .detach()"), "{error}");
    let error = message(topk::error_feedback(&e, &tensor(&[4], 1), 1.0, &ask));
    assert!(error.contains("e has 20 elements and g has 4"), "{error}");
    let error = message(topk::error_feedback(&e, &f64s, 1.0, &ask));
    assert!(error.contains("takes f32, not f64"), "{error}");
}

#[test]
fn noise_is_the_kernels_on_every_layout_and_its_gradient_the_identity() {
    let source = NoiseKey::philox(7).gaussian(3, 5);
    for (x, mut values) in layouts(13, 29) {
        let noisy = noise::add_and_divide(&x, &source, 1000, 0.3, 4.0).expect("noise");
        source.add_and_divide(1000, 0.3, 4.0, &mut values).expect("noise");
        assert_eq!((noisy.dims(), bits(&elements(&noisy))), (&[13, 29][..], bits(&values)));
    }
    let (x, weights) = (tensor(&[10], 1), numbers(10, 2));
    assert_eq!(gradient(&x, &weights, |x| noise::add(x, &source, 0, 0.3)), weights);
    let quarter: Vec<f32> = weights.iter().map(|w| w / 4.0).collect();
    assert_eq!(gradient(&x, &weights, |x| noise::add_and_divide(x, &source, 0, 0.3, 4.0)), quarter);

    let filled = noise::fill((3, 7), &Device::Cpu, &source, 9, 2.0).expect("noise");
    let mut expected = [0.0; 21];
    source.fill(9, 2.0, &mut expected).expect("noise");
    assert_eq!((filled.dims(), elements(&filled)), (&[3, 7][..], expected.to_vec()));
    let empty = noise::fill((0, 7), &Device::Cpu, &source, 0, 1.0).expect("nothing to do");
    assert_eq!(empty.elem_count(), 0);

    assert!(message(noise::add(&x, &source, 0, -1.0)).contains("the noise scale = -1"));
    let wrong = x.to_dtype(DType::BF16).expect("bf16");
    assert!(message(noise::add(&wrong, &source, 0, 1.0)).contains("noise takes f32, not bf16"));
}
