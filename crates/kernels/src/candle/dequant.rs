//! Packed weights as tensors: [`Format`] from a tensor of bytes.

use std::marker::PhantomData;

use candle_core::{DType, Result, Shape, Tensor};
use half::{bf16, f16};

use super::op::{self, Number, Op1};
use crate::dequant::{Float, Format};
use crate::launch::{Buf, Runtime};

pub(super) struct Dequantise<T> {
    pub format: Format,
    pub shape: Shape,
    pub output: PhantomData<fn() -> T>,
}

impl<T: Float + Number> Op1 for Dequantise<T> {
    const NAME: &'static str = "dequantisation";
    type In = u8;
    type Out = T;

    fn shape(&self, _: &Shape) -> Shape {
        self.shape.clone()
    }

    fn cpu(&self, packed: &[u8], _: &[usize]) -> crate::Result<Vec<T>> {
        let mut out = vec![T::default(); self.shape.elem_count()];
        self.format.dequantise(packed, &mut out)?;
        Ok(out)
    }

    fn device(&self, rt: &Runtime, packed: &Buf<u8>, _: &[usize]) -> crate::Result<Buf<T>> {
        let mut out = rt.zeros(self.shape.elem_count())?;
        self.format.run_dequantise(rt, packed, 0, &mut out)?;
        Ok(out)
    }
}

/// The weights of this shape in a tensor of bytes, as f32, bf16 or f16. Codes are integers: there is no gradient, and the
/// result is a constant of the graph.
///
/// On a GPU the bytes must begin at a multiple of 16 of their storage.
///
/// # Errors
/// As [`Format::dequantise`]; a tensor that isn't u8; another type asked for.
pub fn dequantise(packed: &Tensor, format: &Format, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    let (format, shape, packed) = (*format, shape.into(), packed.detach());
    match dtype {
        DType::F32 => op::apply(Dequantise::<f32> { format, shape, output: PhantomData }, &packed),
        DType::BF16 => op::apply(Dequantise::<bf16> { format, shape, output: PhantomData }, &packed),
        DType::F16 => op::apply(Dequantise::<f16> { format, shape, output: PhantomData }, &packed),
        other => candle_core::bail!("packed weights become f32, bf16 or f16, not {}", other.as_str()),
    }
}
