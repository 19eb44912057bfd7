//! Noise on tensors: [`Noise`] added out of place, with the identity as its gradient.

use candle_core::{Device, Result, Shape, Tensor};

use super::op::{self, Op1};
use crate::launch::{Buf, Runtime};
use crate::noise::Noise;

pub(super) struct AddNoise {
    pub noise: Noise,
    pub offset: u64,
    pub scale: f32,
    pub divisor: f32,
}

impl Op1 for AddNoise {
    const NAME: &'static str = "noise";
    type In = f32;
    type Out = f32;

    fn cpu(&self, x: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut out = x.to_vec();
        self.noise.add_and_divide(self.offset, self.scale, self.divisor, &mut out)?;
        Ok(out)
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        self.noise.run_sum(rt, self.offset, self.scale, self.divisor, x)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(if self.divisor == 1.0 { grad.clone() } else { (grad / self.divisor as f64)? }))
    }
}

/// x + `scale`·z: element i of x (row-major) gets noise element `offset` + i. Gradient: the identity.
///
/// # Errors
/// As [`Noise::add`]; a tensor that isn't f32.
pub fn add(x: &Tensor, noise: &Noise, offset: u64, scale: f32) -> Result<Tensor> {
    add_and_divide(x, noise, offset, scale, 1.0)
}

/// (x + `scale`·z)/`divisor`. Gradient: 1/`divisor`.
///
/// # Errors
/// As [`Noise::add_and_divide`]; a tensor that isn't f32.
pub fn add_and_divide(x: &Tensor, noise: &Noise, offset: u64, scale: f32, divisor: f32) -> Result<Tensor> {
    op::apply(AddNoise { noise: *noise, offset, scale, divisor }, x)
}

/// A tensor of noise elements `offset..`, times `scale`.
///
/// # Errors
/// As [`Noise::fill`].
pub fn fill(shape: impl Into<Shape>, device: &Device, noise: &Noise, offset: u64, scale: f32) -> Result<Tensor> {
    let zeros = Tensor::zeros(shape.into(), candle_core::DType::F32, device)?;
    add(&zeros, noise, offset, scale)
}
