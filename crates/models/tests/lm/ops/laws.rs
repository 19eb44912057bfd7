use ashlar_models::lm::{Ops, Reduction};
use candle_core::{DType, Device, Tensor, Var};

use super::{both_ways, cases, distance, numbers, probe};

#[test]
fn fused_is_composed() {
    for (dtype, forward, backward) in [(DType::F64, 1e-12, 1e-11), (DType::F32, 1e-6, 1e-5)] {
        for seed in 0..24 {
            for case in cases(seed, dtype, seed % 6 == 5) {
                let ((y, dx), (expected, dx_expected)) =
                    (both_ways(&case, Ops::Fused), both_ways(&case, Ops::Composed));
                let off = distance(&y, &expected, 1.0);
                assert!(off <= forward, "{} {dtype:?}, seed {seed}: {off:e}", case.name);
                // candle's backward of both GELUs has constants of six digits; finite differences below side with ours.
                let backward = if case.name.contains("Gelu") { f64::max(backward, 1e-6) } else { backward };
                for (i, (ours, theirs)) in dx.iter().zip(&dx_expected).enumerate() {
                    let off = distance(ours, theirs, 1.0);
                    assert!(off <= backward, "{} {dtype:?}, gradient {i}, seed {seed}: {off:e}", case.name);
                }
            }
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    const STEP: f64 = 1e-5;
    for seed in 100..104 {
        for case in cases(seed, DType::F64, false) {
            let (_, gradients) = both_ways(&case, Ops::Fused);
            for (i, (input, gradient)) in case.inputs.iter().zip(&gradients).enumerate() {
                let (values, gradient) = (numbers(input), numbers(gradient));
                let size = gradient.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
                for at in (0..values.len()).step_by(values.len().div_ceil(12)) {
                    // The kink of relu.
                    if case.name.contains("Relu") && values[at].abs() < 2.0 * STEP {
                        continue;
                    }
                    let shifted = |by: f64| {
                        let mut values = values.clone();
                        values[at] += by;
                        let mut inputs = case.inputs.clone();
                        inputs[i] = Tensor::from_vec(values, input.shape(), &Device::Cpu).unwrap();
                        probe(&(case.run)(Ops::Fused, &inputs)).to_scalar::<f64>().unwrap()
                    };
                    let slope = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
                    let off = (slope - gradient[at]).abs() / size;
                    assert!(off <= 1e-7, "{}, input {i}, element {at}: {slope} and {}", case.name, gradient[at]);
                }
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    for seed in [5, 11, 17] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let of = |case| {
                    let (y, gradients) = both_ways(case, Ops::Fused);
                    [vec![y], gradients].concat().iter().map(numbers).collect::<Vec<_>>()
                };
                cases(seed, DType::F32, true).iter().map(of).collect::<Vec<_>>()
            })
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(run(threads) == one, "seed {seed}: {threads} threads give other bits than one");
        }
    }
}

#[test]
fn frozen_weights_get_no_gradient() {
    let device = &Device::Cpu;
    let x = Var::from_tensor(&Tensor::ones((3, 4), DType::F32, device).unwrap()).unwrap();
    let w = Tensor::ones(4, DType::F32, device).unwrap();
    let rule = ashlar_models::lm::RmsWeight::AfterCast;
    let y = Ops::Fused.rms_norm(x.as_tensor(), &w, 1e-5, rule).unwrap();
    let gradients = probe(&y).backward().unwrap();
    assert!(gradients.get(x.as_tensor()).is_some() && gradients.get(&w).is_none());
}

#[test]
fn cross_entropy_of_known_logits() {
    let device = &Device::Cpu;
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let logits = Tensor::new(&[[2.0_f32, 0.5, -1.0, 0.0], [0.0; 4]], device).unwrap().to_dtype(dtype).unwrap();
        for ops in [Ops::Fused, Ops::Composed] {
            let loss = |labels: &[Option<u32>], reduction| {
                numbers(&ops.cross_entropy(&logits, labels, reduction, 0.0).unwrap())
            };
            let first = (2_f64.exp() + 0.5_f64.exp() + (-1_f64).exp() + 1.0).ln() - 0.5;
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} and {b}");
            near(loss(&[Some(1), None], Reduction::Mean)[0], first);
            near(loss(&[Some(1), Some(3)], Reduction::Mean)[0], f64::midpoint(first, 4_f64.ln()));
            near(loss(&[Some(1), Some(3)], Reduction::Sum)[0], first + 4_f64.ln());
            assert_eq!(loss(&[None, None], Reduction::Mean), [0.0]);
            assert_eq!(loss(&[None, None], Reduction::Rows), [0.0, 0.0]);
        }
    }
    // Far from 0 nothing overflows, and nothing is lost.
    let logits = Tensor::new(&[[1e4_f32, 1e4 - 1.0, -1e4]], device).unwrap();
    let loss = Ops::Fused.cross_entropy(&logits, &[Some(0)], Reduction::Mean, 0.0).unwrap();
    assert!((numbers(&loss)[0] - (1.0 + (-1_f64).exp()).ln()).abs() < 1e-6);
    // What is no number stays none.
    let logits = Tensor::new(&[[f32::NAN, 0.0]], device).unwrap();
    assert!(numbers(&Ops::Fused.cross_entropy(&logits, &[Some(1)], Reduction::Mean, 0.0).unwrap())[0].is_nan());
}

#[test]
fn labels_that_do_not_fit() {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let error = |labels: &[Option<u32>]| {
        Ops::Fused.cross_entropy(&logits, labels, Reduction::Mean, 0.0).unwrap_err().to_string()
    };
    assert_eq!(error(&[Some(1), Some(3)]), "label 3 of example 1 is not below the number of classes, 3");
    assert_eq!(error(&[Some(1)]), "the labels has 1 elements, but 2 were expected");
}
