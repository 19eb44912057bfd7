//! Gather, scatter, axpy, sampled products and masked steps.

use ashlar_kernels::candle::sparse::Kept;
use ashlar_kernels::candle::steps::{MaskedAdamW, MaskedSgd};
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support, sddmm};
use candle_core::{DType, Device, Result, Tensor, Var};

use super::{bits, differences, elements, gradient, layouts, message, numbers, tensor};

fn support(len: u64, step: usize) -> Support {
    Support::new(len, (1..len as u32).step_by(step).collect()).expect("increasing")
}

fn kept(len: u64, step: usize) -> Kept {
    Kept::from(support(len, step))
}

#[test]
fn every_layout_gives_the_kernels_values() {
    for (x, values) in layouts(13, 29) {
        let (host, kept) = (support(13, 3), kept(13, 3));
        let gathered = kept.gather(&x).expect("fits");
        let expected = host.gather(&values, 29).expect("fits");
        assert_eq!((gathered.dims(), bits(&elements(&gathered))), (&[host.nnz(), 29][..], bits(&expected)));

        let few = x.narrow(0, 2, host.nnz()).expect("rows");
        let mut expected = vec![0.0; 13 * 29];
        host.scatter_add(&elements(&few), &mut expected, 29).expect("fits");
        let scattered = kept.scatter(&few).expect("fits");
        assert_eq!((scattered.dims(), elements(&scattered)), (&[13, 29][..], expected));

        let mut expected = values.clone();
        host.axpy(-0.5, &elements(&few), &mut expected, 29).expect("fits");
        assert_eq!(bits(&elements(&kept.axpy(&x, -0.5, &few).expect("fits"))), bits(&expected));
        let own = Tensor::from_vec(values.clone(), (13, 29), &Device::Cpu).expect("a matrix");
        kept.axpy_in_place(&own, -0.5, &few).expect("fits");
        assert_eq!(bits(&elements(&own)), bits(&expected));
    }
    // A vector: one value a coordinate.
    let (x, kept) = (tensor(&[20], 1), kept(20, 7));
    assert_eq!(kept.gather(&x).expect("fits").dims(), [3]);
    let sum = kept.scatter_add(&x, &tensor(&[3], 2)).expect("fits");
    assert_eq!(sum.dims(), [20]);
}

#[test]
fn gather_scatter_and_axpy_are_each_others_gradients() {
    let (host, kept) = (support(8, 3), kept(8, 3)); // 1, 4, 7
    let (x, v) = (tensor(&[8, 2], 1), tensor(&[3, 2], 2));
    let (of_x, of_v) = (numbers(16, 3), numbers(6, 4));
    let mut scattered = vec![0.0; 16];
    host.scatter_add(&of_v, &mut scattered, 2).expect("fits");
    assert_eq!(gradient(&x, &of_v, |x| kept.gather(x)), scattered);
    let gathered = host.gather(&of_x, 2).expect("fits");
    assert_eq!(gradient(&v, &of_x, |v| kept.scatter(v)), gathered);
    assert_eq!(gradient(&x, &of_x, |x| kept.axpy(x, -0.5, &v)), of_x);
    let halves: Vec<f32> = gathered.iter().map(|g| -0.5 * g).collect();
    assert_eq!(gradient(&v, &of_x, |v| kept.axpy(&x, -0.5, v)), halves);
    // Gradients of gradients: ‖Sᵀx‖² has 2·S·Sᵀx.
    let var = Var::from_tensor(&x).expect("a variable");
    let gradients = kept.gather(&var).and_then(|g| g.sqr()?.sum_all()?.backward()).expect("gradients");
    let twice = kept.scatter(&kept.gather(&x).expect("fits")).and_then(|x| x * 2.0).expect("fits");
    assert_eq!(elements(gradients.get(&var).expect("a gradient")), elements(&twice));
}

#[test]
fn a_sampled_product_has_both_gradients() {
    let (host, kept) = (support(15, 2), kept(15, 2)); // of [3, 5]
    // Small whole numbers: everything is exact.
    let whole = |n: &[usize], seed| (tensor(n, seed) * 6.0).and_then(|x| x.round()).expect("numbers");
    let (dy, x) = (whole(&[2, 4, 3], 1), whole(&[2, 4, 5], 2));
    let got = kept.sddmm(&dy, &x).expect("fits");
    let expected = sddmm(&host, &elements(&dy), &elements(&x), 8, 3, 5).expect("fits");
    assert_eq!((got.dims(), elements(&got)), (&[7][..], expected));
    // Positions last, turned around.
    let turned = dy.transpose(1, 2).and_then(|dy| dy.contiguous()?.transpose(1, 2)).expect("three dimensions");
    assert_eq!(elements(&kept.sddmm(&turned, &x).expect("fits")), elements(&got));

    let weights = elements(&whole(&[7], 3));
    let same = |got: Vec<f32>, slopes: Vec<f64>| assert_eq!(got.iter().map(|x| *x as f64).collect::<Vec<_>>(), slopes);
    let of_dy = |dy: &Tensor| kept.sddmm(dy, &x);
    same(gradient(&dy, &weights, of_dy), differences(&dy, &weights, 0.5, of_dy));
    let of_x = |x: &Tensor| kept.sddmm(&dy, x);
    same(gradient(&x, &weights, of_x), differences(&x, &weights, 0.5, of_x));
}

#[test]
fn masked_steps_are_the_kernels() {
    let (host, kept) = (support(300, 7), kept(300, 7));
    let (mut w, mut m, mut v) = (numbers(300, 1), vec![0.0; host.nnz()], vec![0.0; host.nnz()]);
    let all = Tensor::from_vec([&numbers(300, 9)[..], &w[..]].concat(), (2, 300), &Device::Cpu).expect("a matrix");
    let part = all.get(1).expect("a row");
    let mut optimiser = MaskedAdamW::new(kept.clone());
    assert!(optimiser.moments().expect("host memory").is_none());
    for number in 1..4 {
        // Dense gradients, then those of the kept coordinates alone.
        let g = numbers(if number == 3 { host.nnz() } else { 300 }, 10 + number);
        let step = AdamWStep::new(number, 0.1, [0.9, 0.999], 1e-8, 0.01, 1.0).expect("factors");
        step.apply(&host, &mut w, &g, &mut m, &mut v).expect("fits");
        let g = Tensor::new(&g[..], &Device::Cpu).expect("a tensor");
        optimiser.step(&step, &part, &g).expect("fits");
        assert_eq!(bits(&elements(&part)), bits(&w));
    }
    assert_eq!(optimiser.moments().expect("host memory"), Some([m, v]));
    assert_eq!(elements(&all)[..300], numbers(300, 9)[..]);

    let (mut w, mut b) = (numbers(300, 1), vec![0.0; host.nnz()]);
    let var = Var::new(&w[..], &Device::Cpu).expect("a variable");
    let mut optimiser = MaskedSgd::new(kept);
    let step = SgdStep::new(0.1, 0.9, 0.01, true).expect("factors");
    for seed in 0..3 {
        let g = numbers(300, seed);
        step.apply(&host, &mut w, &g, &mut b).expect("fits");
        let g = Tensor::new(&g[..], &Device::Cpu).expect("a tensor");
        assert!(message(optimiser.step(&step, &var, &g)).contains("call it on .detach()"));
        optimiser.step(&step, &var.detach(), &g).expect("fits");
        assert_eq!(bits(&elements(&var)), bits(&w));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let kept = kept(8, 3);
    assert!(message(kept.gather(&tensor(&[9, 2], 1))).contains("the kept coordinates are of [8, …], not [9, 2]"));
    assert!(
        message(kept.scatter(&tensor(&[4, 2], 1))).contains("3 coordinates are kept, so values are [3, …], not [4, 2]")
    );
    let error = message(kept.axpy(&tensor(&[8, 2], 1), 1.0, &tensor(&[3, 4], 1)));
    assert!(error.contains("x is [8, 2] and the values [3, 4]"), "{error}");
    let wrong = tensor(&[8], 1).to_dtype(DType::F64).expect("f64");
    assert!(message(kept.gather(&wrong)).contains("sparse gather takes f32, not f64"));
    assert!(message(kept.gather(&Tensor::new(1.0_f32, &Device::Cpu).expect("a number"))).contains("not []"));
    let error = message(kept.sddmm(&tensor(&[4, 3], 1), &tensor(&[4, 5], 1)));
    assert!(error.contains("not [4, 3], [4, 5] and 8"), "{error}");
    let error = message(kept.sddmm(&tensor(&[3, 2], 1), &tensor(&[4, 4], 1)));
    assert!(error.contains("of the same positions"), "{error}");
    let x = tensor(&[2, 8], 1).t().expect("a matrix");
    let error = message(kept.axpy_in_place(&x, 1.0, &tensor(&[3, 2], 1)));
    assert!(error.contains("must be contiguous"), "{error}");
    let mut optimiser = MaskedAdamW::new(kept.clone());
    let step = AdamWStep::new(1, 0.1, [0.9, 0.999], 1e-8, 0.0, 1.0).expect("factors");
    assert!(optimiser.step(&step, &tensor(&[9], 1), &tensor(&[9], 1)).is_err());
    assert!(optimiser.step(&step, &tensor(&[8], 1), &tensor(&[5], 1)).is_err());

    // Nothing kept, and rows of nothing.
    let none = Kept::from(Support::new(8, Vec::new()).expect("empty"));
    assert_eq!(none.gather(&tensor(&[8, 2], 1)).expect("nothing").dims(), [0, 2]);
    let empty = |n: &[usize]| -> Result<Tensor> { Tensor::zeros(n, DType::F32, &Device::Cpu) };
    assert_eq!(none.scatter(&empty(&[0, 2]).expect("empty")).expect("zeros").dims(), [8, 2]);
    assert_eq!(kept.gather(&empty(&[8, 0]).expect("empty")).expect("nothing").dims(), [3, 0]);
}
