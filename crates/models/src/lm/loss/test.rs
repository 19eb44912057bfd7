use candle_core::{DType, Device, Tensor};

use super::router::{load_balancing, z_loss};

/// G [10, 4] = sin(0.9 (i + 1)(e + 1) + s).
fn router(s: f64) -> Tensor {
    let values: Vec<f64> =
        (1..=10).flat_map(|i| (1..=4).map(move |e| (0.9 * f64::from(i) * f64::from(e) + s).sin())).collect();
    Tensor::from_vec(values, (10, 4), &Device::Cpu).unwrap()
}

fn value(x: Tensor) -> f64 {
    x.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap()
}

/// `load_balancing_loss_func` of transformers 4.57.1 and 5.23, to the five decimals that were kept.
#[test]
fn load_balancing_is_that_of_transformers() {
    let (g1, g2) = (router(0.3), router(1.7));
    let all = [true; 10];
    let mut holed = all;
    holed[4] = false;
    let both = [g1.clone(), g2.clone()];
    for (logits, rows, expected) in [
        (both.as_slice(), all, 2.00153),
        (both.as_slice(), holed, 2.02755),
        (&[g1], all, 2.02234),
        (&[g2], all, 2.01232),
    ] {
        let found = value(load_balancing(logits, 2, &rows).unwrap());
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}

#[test]
fn a_balanced_router_has_the_loss_k() {
    let zeros = Tensor::zeros((6, 3), DType::F64, &Device::Cpu).unwrap();
    assert!((value(load_balancing(std::slice::from_ref(&zeros), 2, &[true; 6]).unwrap()) - 2.0).abs() < 1e-12);
    let z = value(z_loss(&[zeros], &[true; 6]).unwrap());
    assert!((z - 3_f64.ln().powi(2)).abs() < 1e-12);
}
