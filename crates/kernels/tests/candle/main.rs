//! The functions on candle's tensors: the bits of the kernels called directly, gradients against closed forms and
//! differences, every layout, and what is refused.
#![cfg(feature = "candle")]

mod clip;
mod dequant;
#[cfg(feature = "candle-cuda")]
mod gpu;
mod selection;
mod sketch;
mod sparse;

use ashlar_kernels::rng::SplitMix64;
use candle_core::{DType, Device, Result, Tensor};

/// n numbers in [−1, 1) that f32 holds exactly, all different.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    (0..n).map(|_| (random.next_u64() >> 41) as f32 / (1 << 22) as f32 - 1.0).collect()
}

fn tensor(n: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(numbers(n.iter().product(), seed), n, &Device::Cpu).expect("a tensor")
}

/// The same `[rows, columns]` numbers in five layouts: in order, with an offset, transposed, in steps, broadcast; each with
/// its elements in row-major order.
fn layouts(rows: usize, columns: usize) -> Vec<(Tensor, Vec<f32>)> {
    let plain = tensor(&[rows, columns], 1);
    let offset = tensor(&[rows + 3, columns], 2).narrow(0, 2, rows).expect("rows");
    let transposed = tensor(&[columns, rows], 3).t().expect("a matrix");
    let steps = tensor(&[rows, columns + 5], 4).narrow(1, 3, columns).expect("columns");
    let broadcast = tensor(&[1, columns], 5).broadcast_as((rows, columns)).expect("rows alike");
    let all = [plain, offset, transposed, steps, broadcast];
    all.map(|x| (x.clone(), elements(&x))).into_iter().collect()
}

fn elements(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1()).expect("numbers")
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    }
}

/// d loss / d x by central differences of `step`, with loss = Σ wᵢ·f(x)ᵢ added in f64.
fn differences(x: &Tensor, weights: &[f32], step: f32, f: impl Fn(&Tensor) -> Result<Tensor>) -> Vec<f64> {
    let values = elements(x);
    let loss = |values: Vec<f32>| -> f64 {
        let y = f(&Tensor::from_vec(values, x.dims(), &Device::Cpu).expect("a tensor")).expect("a result");
        elements(&y).iter().zip(weights).map(|(y, w)| *y as f64 * *w as f64).sum()
    };
    (0..values.len())
        .map(|at| {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                loss(values)
            };
            (moved(step) - moved(-step)) / (2.0 * step as f64)
        })
        .collect()
}

/// d loss / d x by `backward`.
fn gradient(x: &Tensor, weights: &[f32], f: impl Fn(&Tensor) -> Result<Tensor>) -> Vec<f32> {
    let var = candle_core::Var::from_tensor(x).expect("a variable");
    let y = f(&var).expect("a result");
    let weights = Tensor::from_vec(weights.to_vec(), y.dims(), &Device::Cpu).expect("weights");
    let gradients = (y * weights).and_then(|y| y.sum_all()?.backward()).expect("gradients");
    elements(gradients.get(&var).expect("a gradient"))
}
