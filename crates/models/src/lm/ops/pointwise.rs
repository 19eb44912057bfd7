//! Activations, gated activations and the softcap: a curve, its slope, and loops over both.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor, backend::BackendStorage};

use super::{
    Ops, composed,
    float::Float,
    simd::vectorised,
    tasks::{EXP_TASK, by_dtype, each, elements, read},
};
use crate::{Result, lm::config::Act};

/// `$body` with `$curve` as the activation's curve.
macro_rules! by_act {
    ($act:expr, $curve:ident => $body:expr) => {
        match $act {
            Act::Silu => {
                let $curve = Silu;
                $body
            }
            Act::Gelu => {
                let $curve = Gelu;
                $body
            }
            Act::GeluTanh => {
                let $curve = GeluTanh;
                $body
            }
            Act::Relu => {
                let $curve = Relu;
                $body
            }
        }
    };
}

impl Ops {
    /// c · tanh(x / c).
    pub fn softcap(self, x: &Tensor, cap: f64) -> Result<Tensor> {
        if self.fuses(&[x]) {
            return Ok(x.contiguous()?.apply_op1(Pointwise(Softcap(cap)))?);
        }
        composed::softcap(x, cap)
    }

    /// The activation.
    pub fn activate(self, x: &Tensor, act: Act) -> Result<Tensor> {
        if self.fuses(&[x]) {
            let x = x.contiguous()?;
            return Ok(by_act!(act, curve => x.apply_op1(Pointwise(curve)))?);
        }
        composed::activate(x, act)
    }

    /// act(gate) ⊙ up.
    pub fn gated(self, gate: &Tensor, up: &Tensor, act: Act) -> Result<Tensor> {
        if self.fuses(&[gate, up]) && gate.shape() == up.shape() {
            let (gate, up) = (gate.contiguous()?, up.contiguous()?);
            return Ok(by_act!(act, curve => gate.apply_op2(&up, Gated(curve)))?);
        }
        Ok((composed::activate(gate, act)? * up)?)
    }
}

/// A function of one number.
trait Curve: Copy + Send + Sync + 'static {
    /// Value and slope.
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T);
}

/// x·σ(x).
#[derive(Clone, Copy)]
struct Silu;
/// x·Φ(x) with the normal distribution's Φ.
#[derive(Clone, Copy)]
struct Gelu;
/// x·σ(2u), u = √(2/π)·(x + 0.044715 x³): the form with ½(1 + tanh u), since that is σ(2u).
#[derive(Clone, Copy)]
struct GeluTanh;
/// max(x, 0).
#[derive(Clone, Copy)]
struct Relu;
/// c·tanh(x / c).
#[derive(Clone, Copy)]
pub(super) struct Softcap(pub f64);

#[inline(always)]
fn sigmoid<T: Float, const FMA: bool>(x: T) -> T {
    T::ONE / (T::ONE + x.minus().fast_exp::<FMA>())
}

impl Curve for Silu {
    #[inline(always)]
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T) {
        let open = sigmoid::<T, FMA>(x);
        let value = x * open;
        (value, open + value * (T::ONE - open))
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T) {
        let below = T::from_f64(0.5) * (T::ONE + (x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf());
        let density = T::from_f64(0.398_942_280_401_432_7) * (x * x * T::from_f64(-0.5)).fast_exp::<FMA>();
        (x * below, below + x * density)
    }
}

impl Curve for GeluTanh {
    #[inline(always)]
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T) {
        // 2·√(2/π)
        const SCALE: f64 = 1.595_769_121_605_730_7;
        const CUBE: f64 = 0.044715;
        let square = x * x;
        let open = sigmoid::<T, FMA>(x * (T::from_f64(SCALE) + T::from_f64(SCALE * CUBE) * square));
        let value = x * open;
        let inner = T::from_f64(SCALE) + T::from_f64(3.0 * SCALE * CUBE) * square;
        (value, open + value * (T::ONE - open) * inner)
    }
}

impl Curve for Relu {
    #[inline(always)]
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T) {
        let zero = T::default();
        // NaN stays.
        (if x < zero { zero } else { x }, if x > zero { T::ONE } else { zero })
    }
}

impl Curve for Softcap {
    #[inline(always)]
    fn at<T: Float, const FMA: bool>(self, x: T) -> (T, T) {
        let tanh = (x / T::from_f64(self.0)).fast_tanh::<FMA>();
        (tanh * T::from_f64(self.0), T::ONE - tanh * tanh)
    }
}

struct Pointwise<C>(C);

#[inline(always)]
fn values<C: Curve, T: Float, const FMA: bool>(curve: C, x: &[T], out: &mut [T]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = curve.at::<T, FMA>(x).0);
}

#[inline(always)]
fn slopes<C: Curve, T: Float, const FMA: bool>(curve: C, x: &[T], grad: &[T], out: &mut [T]) {
    out.iter_mut().zip(x).zip(grad).for_each(|((out, &x), &g)| *out = g * curve.at::<T, FMA>(x).1);
}

impl<C: Curve> CustomOp1 for Pointwise<C> {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let curve = self.0;
        let out = by_dtype!(x.dtype(), T => {
            let x = elements::<T>(x, layout)?;
            let mut out = vec![T::default(); x.len()];
            each(x.chunks(EXP_TASK).zip(out.chunks_mut(EXP_TASK)), |(x, out)| {
                vectorised!(values::<C: Curve, T: Float>(curve: C, x: &[T], out: &mut [T]));
            });
            T::storage(out)
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (curve, shape) = (self.0, x.shape());
        by_dtype!(x.dtype(), T => {
            read!(T; x = x, grad = grad);
            let mut out = vec![T::default(); x.len()];
            each(x.chunks(EXP_TASK).zip(grad.chunks(EXP_TASK)).zip(out.chunks_mut(EXP_TASK)), |((x, grad), out)| {
                vectorised!(slopes::<C: Curve, T: Float>(curve: C, x: &[T], grad: &[T], out: &mut [T]));
            });
            Ok(Some(T::tensor(out, shape)?))
        })
    }
}

struct Gated<C>(C);

#[inline(always)]
fn products<C: Curve, T: Float, const FMA: bool>(curve: C, gate: &[T], up: &[T], out: &mut [T]) {
    out.iter_mut().zip(gate).zip(up).for_each(|((out, &x), &u)| *out = curve.at::<T, FMA>(x).0 * u);
}

#[inline(always)]
fn product_slopes<C: Curve, T: Float, const FMA: bool>(
    curve: C,
    gate: &[T],
    up: &[T],
    grad: &[T],
    dg: &mut [T],
    du: &mut [T],
) {
    for ((((&x, &u), &g), dg), du) in gate.iter().zip(up).zip(grad).zip(dg).zip(du) {
        let (value, slope) = curve.at::<T, FMA>(x);
        *dg = g * u * slope;
        *du = g * value;
    }
}

impl<C: Curve> CustomOp2 for Gated<C> {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        lg: &Layout,
        up: &CpuStorage,
        lu: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let curve = self.0;
        let out = by_dtype!(gate.dtype(), T => {
            let (gate, up) = (elements::<T>(gate, lg)?, elements::<T>(up, lu)?);
            let mut out = vec![T::default(); gate.len()];
            each(gate.chunks(EXP_TASK).zip(up.chunks(EXP_TASK)).zip(out.chunks_mut(EXP_TASK)), |((gate, up), out)| {
                vectorised!(products::<C: Curve, T: Float>(curve: C, gate: &[T], up: &[T], out: &mut [T]));
            });
            T::storage(out)
        });
        Ok((out, lg.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (curve, shape) = (self.0, gate.shape());
        by_dtype!(gate.dtype(), T => {
            read!(T; gate = gate, up = up, grad = grad);
            let (mut dg, mut du) = (vec![T::default(); gate.len()], vec![T::default(); gate.len()]);
            let inputs = gate.chunks(EXP_TASK).zip(up.chunks(EXP_TASK)).zip(grad.chunks(EXP_TASK));
            let tasks = inputs.zip(dg.chunks_mut(EXP_TASK)).zip(du.chunks_mut(EXP_TASK));
            each(tasks, |((((gate, up), grad), dg), du)| {
                vectorised!(product_slopes::<C: Curve, T: Float>(
                    curve: C, gate: &[T], up: &[T], grad: &[T], dg: &mut [T], du: &mut [T]));
            });
            Ok((Some(T::tensor(dg, shape)?), Some(T::tensor(du, shape)?)))
        })
    }
}
