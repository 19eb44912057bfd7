//! Clipped sums and ghost norms.

use ashlar_kernels::candle::{clip, ghost};
use ashlar_kernels::clip::ghost::{self as direct, LinearShape, NormMethod, Window};
use ashlar_kernels::clip::{ClipRule, Clipper, Finish, TokenGroups};
use ashlar_kernels::noise::NoiseKey;
use candle_core::{DType, Device, Tensor, Var};

use super::{bits, differences, elements, gradient, layouts, message, tensor};

#[test]
fn every_layout_gives_the_kernels_sum() {
    let clipper = Clipper::new(ClipRule::Flat, 1.5, 29).expect("a bound that works");
    let noise = NoiseKey::philox(1).gaussian(0, 0);
    let finish = Finish { noise, scale: 0.5, divisor: 8.0 };
    for (x, values) in layouts(13, 29) {
        let mut expected = vec![0.0; 29];
        let expected_factors = clipper.accumulate(&values, &mut expected).expect("shapes that fit");
        let (sum, factors) = clip::sum(&clipper, &x).expect("shapes that fit");
        assert_eq!((bits(&elements(&sum)), &factors), (bits(&expected), &expected_factors));

        // In place, on a part of a larger tensor: a microbatch, then the last with noise.
        let all = tensor(&[3, 29], 6);
        let before = elements(&all);
        let part = all.get(1).expect("a row");
        let mut expected = before[29..58].to_vec();
        clipper.accumulate(&values, &mut expected).expect("shapes that fit");
        assert_eq!(clip::accumulate(&clipper, &x, &part).expect("shapes that fit"), expected_factors);
        assert_eq!(elements(&part), expected);
        clipper.finish(&values, &mut expected, &finish).expect("shapes that fit");
        assert_eq!(clip::finish(&clipper, &x, &part, &finish).expect("shapes that fit"), expected_factors);
        assert_eq!(elements(&all), [&before[..29], &expected[..], &before[58..]].concat());
    }
    // [N, p, d] is [N, p·d].
    let (sum, _) =
        clip::sum(&Clipper::new(ClipRule::Flat, 1.0, 12).expect("a bound"), &tensor(&[2, 3, 4], 1)).expect("fits");
    assert_eq!(sum.dims(), [12]);
    let empty = Tensor::zeros((0, 29), DType::F32, &Device::Cpu).expect("empty");
    assert_eq!(elements(&clip::sum(&clipper, &empty).expect("no examples").0), vec![0.0; 29]);
}

#[test]
fn no_gradient_is_lost_silently() {
    let clipper = Clipper::new(ClipRule::Flat, 1.0, 4).expect("a bound");
    let g = Var::from_tensor(&tensor(&[3, 4], 1)).expect("a variable");
    let (sum, _) = clip::sum(&clipper, &g).expect("fits");
    let error = message(sum.sum_all().and_then(|loss| loss.backward()));
    assert!(error.contains("clipped sum"), "{error}");
    let sum = Tensor::zeros(4, DType::F32, &Device::Cpu).expect("zeros");
    let error = message(clip::accumulate(&clipper, &g, &sum));
    assert!(error.contains("records no gradient: call it on .detach()"), "{error}");
    assert!(clip::accumulate(&clipper, &g.detach(), &sum).is_ok());

    let a = Var::from_tensor(&tensor(&[3, 4], 1)).expect("a variable");
    let sum = ghost::linear_weighted_sum(&a, &tensor(&[3, 2], 2), &[1.0; 3]).expect("fits");
    let error = message(sum.sum_all().and_then(|loss| loss.backward()));
    assert!(error.contains("weighted sum of a linear layer's gradients"), "{error}");
    let b = Var::from_tensor(&tensor(&[1, 2, 3], 2)).expect("a variable");
    let ids = Tensor::new(&[[0_u32, 1]], &Device::Cpu).expect("ids");
    let sum = ghost::embedding_weighted_sum(&ids, &b, &[1.0], 5).expect("fits");
    let error = message(sum.sum_all().and_then(|loss| loss.backward()));
    assert!(error.contains("weighted sum of an embedding's gradients"), "{error}");
    let images = Var::from_tensor(&tensor(&[1, 1, 3, 3], 1)).expect("a variable");
    let window = Window { kernel: 3, stride: 1, padding: 0, dilation: 1 };
    assert!(message(ghost::convolution(&images, &tensor(&[1, 1, 1, 1], 1), window)).contains(".detach()"));
}

#[test]
fn what_cannot_be_clipped_is_refused() {
    let clipper = Clipper::new(ClipRule::Flat, 1.0, 4).expect("a bound");
    // [4, 3] has as many elements as three examples of 4: the first dimension is the examples'.
    let error = message(clip::sum(&clipper, &tensor(&[4, 3], 1)));
    assert!(error.contains("gradients of 4 elements an example, [N, …], not [4, 3]"), "{error}");
    let wrong = tensor(&[3, 4], 1).to_dtype(DType::F64).expect("f64");
    assert!(message(clip::sum(&clipper, &wrong)).contains("clipped sum takes f32, not f64"));
    let short = Tensor::zeros(3, DType::F32, &Device::Cpu).expect("zeros");
    assert!(message(clip::accumulate(&clipper, &tensor(&[3, 4], 1), &short)).contains("the sum has 3 elements"));
    let scalar = Tensor::new(1.0_f32, &Device::Cpu).expect("a scalar");
    assert!(message(clip::sum(&clipper, &scalar)).contains("not []"));
}

#[test]
fn a_linear_layers_norms_and_sums_are_the_kernels() {
    let shape = LinearShape { samples: 4, positions: 5, inputs: 6, outputs: 3 };
    // B with its positions last, as a convolution leaves it, turned around: a strided tensor.
    let (a, b) = (tensor(&[4, 5, 6], 1), tensor(&[4, 3, 5], 2).transpose(1, 2).expect("three dimensions"));
    let (flat_a, flat_b) = (elements(&a), elements(&b));
    let factors = [0.5, 0.0, 1.0, 0.25];
    for method in [NormMethod::Mixed, NormMethod::Gram, NormMethod::Explicit] {
        let expected = direct::linear_squared_norms(shape, &flat_a, &flat_b, method).expect("fits");
        assert_eq!(ghost::linear_squared_norms(&a, &b, method).expect("fits"), expected);
    }
    let mut expected = vec![0.0; 18];
    direct::linear_weighted_sum(shape, &flat_a, &flat_b, &factors, &mut expected).expect("fits");
    let sum = ghost::linear_weighted_sum(&a, &b, &factors).expect("fits");
    assert_eq!((sum.dims(), elements(&sum)), (&[3, 6][..], expected));
    // Oracle 10, and without positions.
    let g = Tensor::new(&[[[1.0_f32, 0.0, -1.0], [2.0, 1.0, 0.0], [0.0, 1.0, 1.0]]], &Device::Cpu).expect("B");
    let a = Tensor::new(&[[[1.0_f32, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::Cpu).expect("A");
    assert_eq!(ghost::linear_squared_norms(&a, &g, NormMethod::Gram).expect("fits"), [345.0]);
    let flat = ghost::linear_squared_norms(&tensor(&[4, 6], 1), &tensor(&[4, 3], 2), NormMethod::Mixed).expect("fits");
    assert_eq!(flat.len(), 4);

    let error = message(ghost::linear_squared_norms(&tensor(&[4, 5, 6], 1), &tensor(&[4, 6, 3], 1), NormMethod::Mixed));
    assert!(error.contains("not [4, 5, 6] and [4, 6, 3]"), "{error}");
    let wrong = tensor(&[4, 6], 1).to_dtype(DType::BF16).expect("bf16");
    let error = message(ghost::linear_squared_norms(&wrong, &tensor(&[4, 3], 1), NormMethod::Mixed));
    assert!(error.contains("ghost norm takes f32, not bf16"), "{error}");
    let error = message(ghost::linear_weighted_sum(&tensor(&[4, 6], 1), &tensor(&[4, 3], 1), &[1.0]));
    assert!(error.contains("the factors has 1 elements"), "{error}");
}

#[test]
fn an_embeddings_norms_and_sums_are_the_kernels() {
    // Oracle 10: ids (2, 0, 2).
    let ids = Tensor::new(&[[2_u32, 0, 2]], &Device::Cpu).expect("ids");
    let b = Tensor::new(&[[[1.0_f32, 0.0, -1.0], [2.0, 1.0, 0.0], [0.0, 1.0, 1.0]]], &Device::Cpu).expect("B");
    assert_eq!(ghost::embedding_squared_norms(&ids, &b, 4).expect("fits"), [7.0]);
    let ids = Tensor::new(&[[1_u32, 5], [1, 1], [3, 0]], &Device::Cpu).expect("ids").t().expect("a matrix"); // [2, 3]
    let b = tensor(&[2, 3, 7], 1);
    let groups = TokenGroups::new(&[1, 1, 3, 5, 1, 0], 3, 6).expect("tokens");
    let expected = direct::embedding_squared_norms(&groups, &elements(&b), 7).expect("fits");
    assert_eq!(ghost::embedding_squared_norms(&ids, &b, 6).expect("fits"), expected);
    let mut expected = vec![0.0; 42];
    direct::embedding_weighted_sum(&groups, &elements(&b), &[0.5, 2.0], &mut expected).expect("fits");
    let sum = ghost::embedding_weighted_sum(&ids, &b, &[0.5, 2.0], 6).expect("fits");
    assert_eq!((sum.dims(), elements(&sum)), (&[6, 7][..], expected));

    assert!(message(ghost::embedding_squared_norms(&ids, &b, 5)).contains("coordinates 5..6"));
    let signed = ids.to_dtype(DType::I64).expect("i64");
    let error = message(ghost::embedding_squared_norms(&signed, &b, 6));
    assert!(error.contains("ids of an embedding takes u32, not i64"), "{error}");
    assert!(
        message(ghost::embedding_squared_norms(&ids, &tensor(&[2, 2, 7], 1), 6)).contains("not [2, 3] and [2, 2, 7]")
    );
}

#[test]
fn a_norm_layers_gradients_are_the_kernels_and_have_gradients() {
    let (x, b) = (tensor(&[3, 4, 5], 1), tensor(&[3, 5, 4], 2).transpose(1, 2).expect("three dimensions"));
    let scale = ghost::channel_gradients(Some(&x), &b).expect("fits");
    let expected = direct::channel_gradients(Some(&elements(&x)), &elements(&b), 4, 5).expect("fits");
    assert_eq!((scale.dims(), elements(&scale)), (&[3, 5][..], expected));
    let bias = ghost::channel_gradients(None, &b).expect("fits");
    assert_eq!(elements(&bias), direct::channel_gradients(None, &elements(&b), 4, 5).expect("fits"));

    // Small whole numbers: products, sums and differences are exact.
    let whole = |n: &[usize], seed| (tensor(n, seed) * 8.0).and_then(|x| x.round()).expect("numbers");
    let (x, b, weights) = (whole(&[3, 4, 5], 1), whole(&[3, 4, 5], 2), elements(&whole(&[15], 3)));
    let same = |got: Vec<f32>, slopes: Vec<f64>| got.iter().map(|x| *x as f64).collect::<Vec<_>>() == slopes;
    let of_x = |x: &Tensor| ghost::channel_gradients(Some(x), &b);
    assert!(same(gradient(&x, &weights, of_x), differences(&x, &weights, 0.5, of_x)));
    let of_b = |b: &Tensor| ghost::channel_gradients(Some(&x), b);
    assert!(same(gradient(&b, &weights, of_b), differences(&b, &weights, 0.5, of_b)));
    let of_bias = |b: &Tensor| ghost::channel_gradients(None, b);
    assert!(same(gradient(&b, &weights, of_bias), differences(&b, &weights, 0.5, of_bias)));

    assert!(message(ghost::channel_gradients(Some(&tensor(&[3, 4, 6], 1)), &b)).contains("[N, S, d]"));
    assert!(message(ghost::channel_gradients(None, &tensor(&[3, 4], 1))).contains("[N, S, d]"));
    let wrong = b.to_dtype(DType::F64).expect("f64");
    assert!(message(ghost::channel_gradients(None, &wrong)).contains("takes f32, not f64"));
}

#[test]
fn a_convolution_is_a_linear_layer_after_unfolding() {
    let window = Window { kernel: 3, stride: 2, padding: 1, dilation: 1 };
    let (images, b) = (tensor(&[2, 3, 7, 5], 1), tensor(&[2, 4, 4, 3], 2));
    let (a, turned) = ghost::convolution(&images, &b, window).expect("fits");
    assert_eq!((a.dims(), turned.dims()), (&[2, 12, 27][..], &[2, 12, 4][..]));
    let norms = ghost::linear_squared_norms(&a, &turned, NormMethod::Gram).expect("fits");
    // candle's own gradient of the weight, one example at a time.
    for (sample, norm) in norms.iter().enumerate() {
        let weight = Var::from_tensor(&tensor(&[4, 3, 3, 3], 3)).expect("a variable");
        let one = |x: &Tensor| x.narrow(0, sample, 1).expect("an example");
        let loss = one(&images).conv2d(&weight, 1, 2, 1, 1).and_then(|y| (y * one(&b))?.sum_all()).expect("a loss");
        let gradients = loss.backward().expect("gradients");
        let expected: f64 =
            elements(gradients.get(&weight).expect("a gradient")).iter().map(|g| (*g as f64).powi(2)).sum();
        assert!((norm - expected).abs() < 1e-5 * expected, "{norm} for {expected}");
    }
    let error = message(ghost::convolution(&images, &tensor(&[2, 4, 3, 3], 2), window));
    assert!(error.contains("give [2, p, 4, 3], not [2, 4, 3, 3]"), "{error}");
    let none = Window { kernel: 9, ..window };
    assert!(
        message(ghost::convolution(&tensor(&[1, 1, 3, 3], 1), &b, none)).contains("must not exceed the padded image")
    );
}
