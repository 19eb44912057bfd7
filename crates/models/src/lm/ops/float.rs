//! Numbers of the fused operations: f32 with functions that vectorise, f64 with the library's.

use candle_core::{CpuStorage, Shape, Tensor, WithDType};

use super::simd::fused;
use crate::matmul::Real;

/// An element of a fused operation.
pub(super) trait Float: Real {
    /// eˣ within 2e-7 of itself; 0 below −87, and e⁸⁸ above 88, in f32.
    fn fast_exp<const FMA: bool>(self) -> Self;
    /// Hyperbolic tangent, within 3e-7 of itself in f32.
    fn fast_tanh<const FMA: bool>(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// All elements of a storage.
    fn slice(storage: &CpuStorage) -> candle_core::Result<&[Self]>;
    /// A storage of them.
    fn storage(values: Vec<Self>) -> CpuStorage;
    /// A tensor of them.
    fn tensor(values: Vec<Self>, shape: &Shape) -> candle_core::Result<Tensor>;
    /// −x.
    #[inline(always)]
    fn minus(self) -> Self {
        Self::default() - self
    }
}

impl Float for f32 {
    /// Cody and Waite's reduction x = n·ln 2 + r, a polynomial in r (coefficients of Cephes' `expf`), times 2ⁿ.
    #[inline(always)]
    fn fast_exp<const FMA: bool>(self) -> Self {
        // 1.5 · 2²³: the sum's last bits are the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        const TERMS: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        // The comparison is false for NaN, which stays.
        let x = if self > 88.0 { 88.0 } else { self };
        let shifted = fused::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = fused::<FMA>(n, -0.693_359_4, x);
        let r = fused::<FMA>(n, 2.121_944_4e-4, r);
        let mut p = 1.987_569_1e-4;
        for term in TERMS {
            p = fused::<FMA>(p, r, term);
        }
        let y = fused::<FMA>(p * r, r, r) + 1.0;
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        if x < -87.0 { 0.0 } else { y * power }
    }

    /// As Cephes' `tanhf`: a polynomial near 0, elsewhere 1 − 2/(e²ˣ + 1).
    #[inline(always)]
    fn fast_tanh<const FMA: bool>(self) -> Self {
        const TERMS: [f32; 4] = [2.063_909e-2, -5.373_971_5e-2, 1.333_144_3e-1, -3.333_328e-1];
        let size = self.abs();
        let square = self * self;
        let mut p = -5.704_988_7e-3;
        for term in TERMS {
            p = fused::<FMA>(p, square, term);
        }
        let near = fused::<FMA>(p * square, self, self);
        let far = 1.0 - 2.0 / ((2.0 * size).fast_exp::<FMA>() + 1.0);
        if size < 0.625 { near } else { far.copysign(self) }
    }

    #[inline(always)]
    fn erf(self) -> Self {
        candle_core::cpu::erf::erf_f32(self)
    }

    fn slice(storage: &CpuStorage) -> candle_core::Result<&[Self]> {
        Self::cpu_storage_as_slice(storage)
    }

    fn storage(values: Vec<Self>) -> CpuStorage {
        CpuStorage::F32(values)
    }

    fn tensor(values: Vec<Self>, shape: &Shape) -> candle_core::Result<Tensor> {
        Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
    }
}

impl Float for f64 {
    #[inline(always)]
    fn fast_exp<const FMA: bool>(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn fast_tanh<const FMA: bool>(self) -> Self {
        self.tanh()
    }

    #[inline(always)]
    fn erf(self) -> Self {
        candle_core::cpu::erf::erf_f64(self)
    }

    fn slice(storage: &CpuStorage) -> candle_core::Result<&[Self]> {
        Self::cpu_storage_as_slice(storage)
    }

    fn storage(values: Vec<Self>) -> CpuStorage {
        CpuStorage::F64(values)
    }

    fn tensor(values: Vec<Self>, shape: &Shape) -> candle_core::Result<Tensor> {
        Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
    }
}

/// Sums of one reduction, so that it vectorises; their order depends on the length alone.
const LANES: usize = 16;

/// The lanes' sum in a tree.
#[inline(always)]
fn tree<T: Float>(mut lanes: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        half /= 2;
    }
    lanes[0]
}

/// Σ f(x).
#[inline(always)]
pub(super) fn sum<T: Float>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::default(); LANES];
    let chunks = x.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = f(x);
    }
    for x in chunks {
        lanes.iter_mut().zip(x).for_each(|(lane, &x)| *lane += f(x));
    }
    tree(lanes)
}

/// Σ f(x, y).
#[inline(always)]
pub(super) fn sum2<T: Float>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::default(); LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for ((lane, &x), &y) in lanes.iter_mut().zip(xs.remainder()).zip(ys.remainder()) {
        *lane = f(x, y);
    }
    for (x, y) in xs.zip(ys) {
        lanes.iter_mut().zip(x).zip(y).for_each(|((lane, &x), &y)| *lane += f(x, y));
    }
    tree(lanes)
}

/// Σ f(x, y, z).
#[inline(always)]
pub(super) fn sum3<T: Float>(x: &[T], y: &[T], z: &[T], f: impl Fn(T, T, T) -> T) -> T {
    let mut lanes = [T::default(); LANES];
    let (xs, ys, zs) = (x.chunks_exact(LANES), y.chunks_exact(LANES), z.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder()).zip(zs.remainder());
    for (lane, ((&x, &y), &z)) in lanes.iter_mut().zip(rest) {
        *lane = f(x, y, z);
    }
    for ((x, y), z) in xs.zip(ys).zip(zs) {
        lanes.iter_mut().zip(x).zip(y).zip(z).for_each(|(((lane, &x), &y), &z)| *lane += f(x, y, z));
    }
    tree(lanes)
}

/// The largest; NaN loses, −∞ of none.
#[inline(always)]
pub(super) fn largest<T: Float>(x: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::from_f64(f64::NEG_INFINITY); LANES];
    let chunks = x.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = larger(*lane, x);
    }
    for x in chunks {
        lanes.iter_mut().zip(x).for_each(|(lane, &x)| *lane = larger(*lane, x));
    }
    lanes.into_iter().fold(T::from_f64(f64::NEG_INFINITY), larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(from: f64, to: f64, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let steps = 400_000;
        let at = |i: u32| (from + (to - from) * f64::from(i) / f64::from(steps)) as f32;
        let off = |x: f32| ((f64::from(ours(x)) - exact(f64::from(x))) / exact(f64::from(x))).abs();
        (0..=steps).map(at).filter(|x| *x != 0.0).map(off).fold(0.0, f64::max)
    }

    #[test]
    fn exp_and_tanh_are_those_of_f64() {
        let off = [
            worst(-86.9, 88.0, f32::fast_exp::<false>, f64::exp),
            worst(-86.9, 88.0, f32::fast_exp::<true>, f64::exp),
            worst(-1.0, 1.0, f32::fast_exp::<false>, f64::exp),
        ];
        assert!(off.iter().all(|&off| off < 2e-7), "exp: {off:?}");
        let off = [
            worst(-20.0, 20.0, f32::fast_tanh::<false>, f64::tanh),
            worst(-1.0, 1.0, f32::fast_tanh::<true>, f64::tanh),
            worst(-1e-3, 1e-3, f32::fast_tanh::<false>, f64::tanh),
        ];
        assert!(off.iter().all(|&off| off < 3e-7), "tanh: {off:?}");
    }

    #[test]
    fn at_the_ends() {
        assert_eq!(f32::NEG_INFINITY.fast_exp::<false>(), 0.0);
        assert_eq!((-100.0_f32).fast_exp::<true>(), 0.0);
        assert_eq!(0.0_f32.fast_exp::<false>(), 1.0);
        assert!(f32::INFINITY.fast_exp::<true>() > 1e38);
        assert!(f32::NAN.fast_exp::<true>().is_nan() && f32::NAN.fast_tanh::<true>().is_nan());
        assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(f32::fast_tanh::<true>), [1.0, -1.0]);
    }

    #[test]
    fn reductions_of_any_length() {
        for n in 0..70_u32 {
            let x: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(sum(&x, |x| x), f64::from(n) * (f64::from(n) - 1.0) / 2.0);
            let squares: f64 = x.iter().map(|x| x * x).sum();
            assert_eq!(sum2(&x, &x, |x, y| x * y), squares);
            assert_eq!(sum3(&x, &x, &x, |x, y, _| x * y), squares);
            assert_eq!(largest(&x), if n == 0 { f64::NEG_INFINITY } else { f64::from(n) - 1.0 });
        }
    }
}
