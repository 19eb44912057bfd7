//! Norms and weighted sums of per-example gradients from what a layer saw: [`crate::clip::ghost`] on tensors.
//!
//! Norms come back on the host, for [`Clipper::factors`](crate::clip::Clipper::factors), so nothing can be propagated
//! through them. A weighted sum is a tensor without a gradient: `backward` through it ends with an error that names it.
//! [`channel_gradients`] has its exact one.

use candle_core::{Result, Shape, Tensor};

use super::op::{self, Op1, Op2};
use crate::clip::TokenGroups;
use crate::clip::ghost::{self, LinearShape, NormMethod, Window};
use crate::launch::{Buf, Runtime, clip as on_device};

/// A `[N, S, d]` or `[N, d]`, B `[N, S, p]` or `[N, p]`.
fn linear_shape(a: &Tensor, b: &Tensor) -> Result<LinearShape> {
    let shape = match (a.dims(), b.dims()) {
        (&[samples, positions, inputs], &[n, s, outputs]) if (n, s) == (samples, positions) => {
            LinearShape { samples, positions, inputs, outputs }
        }
        (&[samples, inputs], &[n, outputs]) if n == samples => LinearShape { samples, positions: 1, inputs, outputs },
        (a, b) => candle_core::bail!(
            "a linear layer's record is inputs [N, S, d] and output gradients [N, S, p], or [N, d] and [N, p]; not {a:?} and {b:?}"
        ),
    };
    Ok(shape)
}

/// Squared norms `[N]` of a linear layer's gradients, from inputs `[N, S, d]` and output gradients `[N, S, p]` (or without
/// S): [`ghost::linear_squared_norms`].
///
/// # Errors
/// As there; tensors that aren't f32 or on different devices.
pub fn linear_squared_norms(a: &Tensor, b: &Tensor, method: NormMethod) -> Result<Vec<f64>> {
    let shape = linear_shape(a, b)?;
    op::read2::<f32, f32, _>(
        "ghost norm",
        (a, b),
        |a, b| ghost::linear_squared_norms(shape, a, b, method),
        |rt, a, b| on_device::linear_squared_norms(rt, shape, a, b, method),
    )
}

pub(super) struct LinearSum {
    pub shape: LinearShape,
    pub factors: Vec<f32>,
}

impl Op2 for LinearSum {
    const NAME: &'static str = "weighted sum of a linear layer's gradients";
    type A = f32;
    type B = f32;
    type Out = f32;

    fn shape(&self, _: &Shape, _: &Shape) -> Shape {
        Shape::from((self.shape.outputs, self.shape.inputs))
    }

    fn cpu(&self, a: &[f32], b: &[f32], _: [&[usize]; 2]) -> crate::Result<Vec<f32>> {
        let mut sum = vec![0.0; self.shape.outputs * self.shape.inputs];
        ghost::linear_weighted_sum(self.shape, a, b, &self.factors, &mut sum)?;
        Ok(sum)
    }

    fn device(&self, rt: &Runtime, a: &Buf<f32>, b: &Buf<f32>, _: [&[usize]; 2]) -> crate::Result<Buf<f32>> {
        let mut sum = rt.zeros(self.shape.outputs * self.shape.inputs)?;
        on_device::linear_weighted_sum(rt, self.shape, a, b, &self.factors, &mut sum)?;
        Ok(sum)
    }
}

/// Σᵢ cᵢ·gᵢ `[p, d]` of a linear layer: [`ghost::linear_weighted_sum`]. No gradient.
///
/// # Errors
/// As there; tensors that aren't f32 or on different devices.
pub fn linear_weighted_sum(a: &Tensor, b: &Tensor, factors: &[f32]) -> Result<Tensor> {
    let op = LinearSum { shape: linear_shape(a, b)?, factors: factors.to_vec() };
    op::apply2(op, a, b)
}

fn groups(ids: &Tensor, b: &Tensor, vocabulary: usize) -> Result<(TokenGroups, usize)> {
    let width = match (ids.dims(), b.dims()) {
        (&[n, s], &[samples, positions, width]) if (n, s) == (samples, positions) => width,
        (ids, b) => candle_core::bail!(
            "an embedding's record is ids [N, S] and output gradients [N, S, d], not {ids:?} and {b:?}"
        ),
    };
    op::same_type::<u32>("ids of an embedding", ids)?;
    // Grouping equal tokens is the host's work.
    let tokens = ids.flatten_all()?.to_vec1::<u32>()?;
    let groups = TokenGroups::new(&tokens, ids.dim(1)?, vocabulary).map_err(candle_core::Error::wrap)?;
    Ok((groups, width))
}

/// Squared norms `[N]` of an embedding's gradients from ids `[N, S]` (u32) and output gradients `[N, S, d]`:
/// [`ghost::embedding_squared_norms`].
///
/// # Errors
/// As there and [`TokenGroups::new`]; other types of numbers.
pub fn embedding_squared_norms(ids: &Tensor, b: &Tensor, vocabulary: usize) -> Result<Vec<f64>> {
    let (groups, width) = groups(ids, b, vocabulary)?;
    op::read::<f32, _>(
        "ghost norm",
        b,
        |b| ghost::embedding_squared_norms(&groups, b, width),
        |rt, b| on_device::embedding_squared_norms(rt, &groups, b, width),
    )
}

pub(super) struct EmbeddingSum {
    pub groups: TokenGroups,
    pub factors: Vec<f32>,
    pub dims: [usize; 2],
}

impl Op1 for EmbeddingSum {
    const NAME: &'static str = "weighted sum of an embedding's gradients";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from((self.dims[0], self.dims[1]))
    }

    fn cpu(&self, b: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut sum = vec![0.0; self.dims[0] * self.dims[1]];
        ghost::embedding_weighted_sum(&self.groups, b, &self.factors, &mut sum)?;
        Ok(sum)
    }

    fn device(&self, rt: &Runtime, b: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        let mut sum = rt.zeros(self.dims[0] * self.dims[1])?;
        on_device::embedding_weighted_sum(rt, &self.groups, b, &self.factors, &mut sum)?;
        Ok(sum)
    }
}

/// Σᵢ cᵢ·gᵢ `[vocabulary, d]` of an embedding: [`ghost::embedding_weighted_sum`]. No gradient.
///
/// # Errors
/// As [`embedding_squared_norms`]; factors of another length.
pub fn embedding_weighted_sum(ids: &Tensor, b: &Tensor, factors: &[f32], vocabulary: usize) -> Result<Tensor> {
    let (groups, width) = groups(ids, b, vocabulary)?;
    op::apply(EmbeddingSum { groups, factors: factors.to_vec(), dims: [vocabulary, width] }, b)
}

pub(super) struct Channels;

impl Channels {
    fn split(dims: &[usize]) -> (usize, usize) {
        (dims[1], dims[2])
    }
}

impl Op2 for Channels {
    const NAME: &'static str = "per-example gradients of a scale";
    type A = f32;
    type B = f32;
    type Out = f32;

    fn shape(&self, _: &Shape, b: &Shape) -> Shape {
        Shape::from((b.dims()[0], b.dims()[2]))
    }

    fn cpu(&self, x: &[f32], b: &[f32], [_, dims]: [&[usize]; 2]) -> crate::Result<Vec<f32>> {
        let (positions, channels) = Self::split(dims);
        ghost::channel_gradients(Some(x), b, positions, channels)
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, b: &Buf<f32>, [_, dims]: [&[usize]; 2]) -> crate::Result<Buf<f32>> {
        let (positions, channels) = Self::split(dims);
        on_device::channel_gradients(rt, Some(x), b, positions, channels)
    }

    fn bwd(&self, x: &Tensor, b: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.unsqueeze(1)?;
        Ok((Some(b.broadcast_mul(&grad)?), Some(x.broadcast_mul(&grad)?)))
    }
}

pub(super) struct Bias;

impl Op1 for Bias {
    const NAME: &'static str = "per-example gradients of a bias";
    type In = f32;
    type Out = f32;

    fn shape(&self, b: &Shape) -> Shape {
        Shape::from((b.dims()[0], b.dims()[2]))
    }

    fn cpu(&self, b: &[f32], dims: &[usize]) -> crate::Result<Vec<f32>> {
        let (positions, channels) = Channels::split(dims);
        ghost::channel_gradients(None, b, positions, channels)
    }

    fn device(&self, rt: &Runtime, b: &Buf<f32>, dims: &[usize]) -> crate::Result<Buf<f32>> {
        let (positions, channels) = Channels::split(dims);
        on_device::channel_gradients(rt, None, b, positions, channels)
    }

    fn bwd(&self, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.unsqueeze(1)?.broadcast_as(b.shape())?.contiguous()?))
    }
}

/// Per-example gradients `[N, d]` of a norm layer's scale, Σₛ x̂ₛ∘bₛ with the normalised inputs x̂ `[N, S, d]`, or of a bias,
/// Σₛ bₛ, without: [`ghost::channel_gradients`]. Gradients: x̂ and b times the result's.
///
/// # Errors
/// As there; tensors that aren't f32, of different shapes or on different devices.
pub fn channel_gradients(x: Option<&Tensor>, b: &Tensor) -> Result<Tensor> {
    if b.rank() != 3 || b.dim(1)? * b.dim(2)? == 0 || x.is_some_and(|x| x.dims() != b.dims()) {
        candle_core::bail!(
            "a norm layer's record is inputs and output gradients [N, S, d]; not {:?} and {:?}",
            x.map(Tensor::dims),
            b.dims()
        );
    }
    match x {
        Some(x) => op::apply2(Channels, x, b),
        None => op::apply(Bias, b),
    }
}

/// Inputs and output gradients of a convolution as a linear layer's: `[N, S, C·k·k]` and `[N, S, p]`, S = H'·W', from
/// images `[N, C, H, W]` and output gradients `[N, p, H', W']`, for [`linear_squared_norms`] and [`linear_weighted_sum`]
/// (whose `[p, C·k·k]` is the weight `[p, C, k, k]`). Unfolded on the CPU: tensors of another device are refused.
///
/// # Errors
/// As [`ghost::unfold`]; output gradients that the window doesn't give.
pub fn convolution(images: &Tensor, b: &Tensor, window: Window) -> Result<(Tensor, Tensor)> {
    let name = "a convolution's record";
    if !(images.device().is_cpu() && b.device().is_cpu()) {
        candle_core::bail!("{name} is unfolded on the CPU only: move both tensors there");
    }
    op::untracked(name, images)?;
    op::untracked(name, b)?;
    let (samples, channels, height, width) = images.dims4()?;
    let (n, outputs, rows, columns) = b.dims4()?;
    let wrap = candle_core::Error::wrap;
    let expected = (window.count(height).map_err(wrap)?, window.count(width).map_err(wrap)?);
    if n != samples || (rows, columns) != expected {
        candle_core::bail!(
            "{name}: images {:?} under {window:?} give [{samples}, p, {}, {}], not {:?}",
            images.dims(),
            expected.0,
            expected.1,
            b.dims()
        );
    }
    let positions = rows * columns;
    op::same_type::<f32>(name, images)?;
    op::same_type::<f32>(name, b)?;
    let images = images.flatten_all()?.to_vec1::<f32>()?;
    let (a, _) = ghost::unfold(&images, [channels, height, width], window).map_err(wrap)?;
    let a = Tensor::from_vec(a, (samples, positions, channels * window.kernel * window.kernel), b.device())?;
    Ok((a, b.reshape((samples, outputs, positions))?.transpose(1, 2)?.contiguous()?))
}
