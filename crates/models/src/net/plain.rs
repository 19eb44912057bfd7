//! Element-wise steps, reorderings and the loss.

use crate::matmul::Real;

/// `[B, C, P]` to `[C, B, P]`.
pub fn to_planes<T: Real>(x: &[T], y: &mut [T], n: usize, channels: usize, plane: usize) {
    for b in 0..n {
        for c in 0..channels {
            let (from, to) = ((b * channels + c) * plane, (c * n + b) * plane);
            y[to..to + plane].copy_from_slice(&x[from..from + plane]);
        }
    }
}

/// `[C, B, P]` to `[B, C, P]`.
pub fn from_planes<T: Real>(x: &[T], y: &mut [T], n: usize, channels: usize, plane: usize) {
    for b in 0..n {
        for c in 0..channels {
            let (from, to) = ((c * n + b) * plane, (b * channels + c) * plane);
            y[to..to + plane].copy_from_slice(&x[from..from + plane]);
        }
    }
}

/// NaN stays NaN, as in PyTorch.
pub fn relu<T: Real>(x: &mut [T]) {
    let zero = T::default();
    for x in x {
        *x = if *x < zero { zero } else { *x };
    }
}

/// `y` is the result of the forward pass.
pub fn relu_backward<T: Real>(y: &[T], gradient: &mut [T]) {
    let zero = T::default();
    for (g, &y) in gradient.iter_mut().zip(y) {
        *g = if y > zero { *g } else { zero };
    }
}

pub fn scale<T: Real>(x: &mut [T], factor: f64) {
    let factor = T::from_f64(factor);
    for x in x {
        *x *= factor;
    }
}

pub fn add<T: Real>(x: &mut [T], y: &[T]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Sum in 16 lanes, so that it vectorises; the order depends on the length alone.
pub fn sum<T: Real>(x: &[T]) -> T {
    lanes(x, |a, &x| *a += x)
}

/// Dot product in 16 lanes.
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::default(); 16];
    let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
    let rest = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| x * y).sum::<T>();
    for (x, y) in xs.zip(ys) {
        for ((a, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *a += x * y;
        }
    }
    lanes.into_iter().sum::<T>() + rest
}

fn lanes<T: Real>(x: &[T], add: impl Fn(&mut T, &T)) -> T {
    let mut lanes = [T::default(); 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder().iter().copied().sum::<T>();
    for chunk in chunks {
        for (a, x) in lanes.iter_mut().zip(chunk) {
            add(a, x);
        }
    }
    lanes.into_iter().sum::<T>() + rest
}

/// −log softmax at the label; `gradient` becomes `scale · (softmax − one-hot)`. In f64: ten numbers an example.
pub fn cross_entropy<T: Real>(logits: &[T], label: usize, scale: f64, gradient: &mut [T]) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.to_f64()));
    let total: f64 = logits.iter().map(|x| (x.to_f64() - largest).exp()).sum();
    for (i, (g, x)) in gradient.iter_mut().zip(logits).enumerate() {
        let p = (x.to_f64() - largest).exp() / total;
        *g = T::from_f64(scale * (p - f64::from(u8::from(i == label))));
    }
    total.ln() - (logits[label].to_f64() - largest)
}
