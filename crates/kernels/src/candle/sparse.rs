//! Work on kept coordinates only: [`Support`] on tensors.
//!
//! [`Kept`] is a support that goes to a GPU once, when it is first used there. A dense tensor's first dimension is what the
//! support's indices count; the rest are rows that move together: x `[len, …]` gives values `[nnz, …]`. With S the matrix
//! that puts values at their places, [`Kept::gather`] is Sᵀx, [`Kept::scatter`] is S·v and [`Kept::axpy`] is d + a·S·v, so
//! each is the others' gradient, and gradients of gradients follow.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Shape, Tensor};

use super::inplace::{self, Both};
use super::op::{self, Op1, Op2};
use crate::launch::{Buf, DeviceSupport, Runtime};
use crate::sparse::{Support, sddmm};

/// Kept coordinates, shared by the operations on them.
#[derive(Clone, Debug)]
pub struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Support,
    /// One a GPU that it was used on.
    devices: Mutex<Vec<(crate::device::Device, Arc<DeviceSupport>)>>,
}

impl From<Support> for Kept {
    fn from(host: Support) -> Self {
        Self(Arc::new(Inner { host, devices: Mutex::default() }))
    }
}

impl Kept {
    /// The coordinates.
    pub fn support(&self) -> &Support {
        &self.0.host
    }

    pub(super) fn on(&self, rt: &Runtime) -> crate::Result<Arc<DeviceSupport>> {
        let mut devices = self.0.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, there)) = devices.iter().find(|(device, _)| *device == rt.device()) {
            return Ok(there.clone());
        }
        let there = Arc::new(DeviceSupport::new(rt, self.support().clone())?);
        devices.push((rt.device(), there.clone()));
        Ok(there)
    }

    /// Values `[nnz, …]` of x `[len, …]`. Gradient: [`Self::scatter`].
    ///
    /// # Errors
    /// A tensor that isn't f32, or of another length.
    pub fn gather(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.width(x)?;
        op::apply(Gather { kept: self.clone(), width }, x)
    }

    /// Values `[nnz, …]` at their places in zeros `[len, …]`. Gradient: [`Self::gather`].
    ///
    /// # Errors
    /// Values that aren't f32, or of another number.
    pub fn scatter(&self, values: &Tensor) -> Result<Tensor> {
        let width = self.value_width(values)?;
        op::apply(Scatter { kept: self.clone(), width }, values)
    }

    /// x + v at the kept places, for x `[len, …]` and v `[nnz, …]`. Gradients: the identity, and [`Self::gather`].
    ///
    /// # Errors
    /// As [`Self::axpy`].
    pub fn scatter_add(&self, x: &Tensor, values: &Tensor) -> Result<Tensor> {
        self.axpy(x, 1.0, values)
    }

    /// x + scale·v at the kept places. Gradients: the identity, and scale times [`Self::gather`].
    ///
    /// # Errors
    /// Tensors that aren't f32, of shapes that don't belong together, or on different devices.
    pub fn axpy(&self, x: &Tensor, scale: f32, values: &Tensor) -> Result<Tensor> {
        self.pair(x, values)?;
        op::apply2(Axpy { kept: self.clone(), scale }, x, values)
    }

    /// [`Self::axpy`] into x itself.
    ///
    /// # Errors
    /// As there; an x that isn't contiguous; tensors on the tape.
    pub fn axpy_in_place(&self, x: &Tensor, scale: f32, values: &Tensor) -> Result<()> {
        let width = self.pair(x, values)?;
        let both = Both {
            name: "sparse axpy in place",
            cpu: |x: &mut [f32], values: &[f32]| self.support().axpy(scale, values, x, width),
            device: |rt: &Runtime, x: &mut Buf<f32>, values: &Buf<f32>| self.on(rt)?.axpy(rt, scale, values, x, width),
        };
        inplace::run(x, values, both)
    }

    /// The kept entries `[nnz]` of dyᵀ·x, for dy `[…, outputs]` and x `[…, inputs]` of as many positions and a support of
    /// outputs × inputs: the gradient of a sparse weight.
    ///
    /// With G the result's gradient as a matrix `[outputs, inputs]`, the gradients are x·Gᵀ and dy·G: two products whose
    /// sparse factor is made dense for candle's matmul (4 bytes an entry for as long as `backward` needs them).
    ///
    /// # Errors
    /// Tensors that aren't f32, of shapes that don't belong together, or on different devices.
    pub fn sddmm(&self, dy: &Tensor, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = (last(dy)?, last(x)?);
        let positions = dy.elem_count() / outputs.max(1);
        if dy.dims()[..dy.rank() - 1] != x.dims()[..x.rank() - 1]
            || self.support().len() != outputs as u64 * inputs as u64
        {
            candle_core::bail!(
                "sddmm takes dy […, outputs] and x […, inputs] of the same positions and a support of outputs x inputs, \
                 not {:?}, {:?} and {}",
                dy.dims(),
                x.dims(),
                self.support().len()
            );
        }
        op::apply2(Sddmm { kept: self.clone(), sizes: [positions, outputs, inputs] }, dy, x)
    }

    /// Values a coordinate of x `[len, …]`.
    fn width(&self, x: &Tensor) -> Result<usize> {
        match x.dims() {
            [len, rest @ ..] if *len as u64 == self.support().len() => Ok(rest.iter().product()),
            dims => candle_core::bail!("the kept coordinates are of [{}, …], not {dims:?}", self.support().len()),
        }
    }

    fn value_width(&self, values: &Tensor) -> Result<usize> {
        match values.dims() {
            [nnz, rest @ ..] if *nnz == self.support().nnz() => Ok(rest.iter().product()),
            dims => candle_core::bail!(
                "{} coordinates are kept, so values are [{0}, …], not {dims:?}",
                self.support().nnz()
            ),
        }
    }

    fn pair(&self, x: &Tensor, values: &Tensor) -> Result<usize> {
        let (width, _) = (self.width(x)?, self.value_width(values)?);
        if x.dims()[1..] != values.dims()[1..] {
            candle_core::bail!("x is {:?} and the values {:?}: all but the first must agree", x.dims(), values.dims());
        }
        Ok(width)
    }
}

fn last(x: &Tensor) -> Result<usize> {
    match x.dims() {
        [.., last] => Ok(*last),
        [] => candle_core::bail!("sddmm takes matrices, not a number"),
    }
}

fn with_first(first: usize, dims: &[usize]) -> Shape {
    Shape::from([&[first], &dims[1..]].concat())
}

pub(super) struct Gather {
    pub kept: Kept,
    pub width: usize,
}

impl Op1 for Gather {
    const NAME: &'static str = "sparse gather";
    type In = f32;
    type Out = f32;

    fn shape(&self, x: &Shape) -> Shape {
        with_first(self.kept.support().nnz(), x.dims())
    }

    fn cpu(&self, x: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        if self.width == 0 { Ok(Vec::new()) } else { self.kept.support().gather(x, self.width) }
    }

    fn device(&self, rt: &Runtime, x: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        if self.width == 0 { rt.zeros(0) } else { self.kept.on(rt)?.gather(rt, x, self.width) }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.kept.scatter(grad)?))
    }
}

pub(super) struct Scatter {
    pub kept: Kept,
    pub width: usize,
}

impl Op1 for Scatter {
    const NAME: &'static str = "sparse scatter";
    type In = f32;
    type Out = f32;

    fn shape(&self, values: &Shape) -> Shape {
        with_first(self.kept.support().len() as usize, values.dims())
    }

    fn cpu(&self, values: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut out = vec![0.0; self.kept.support().len() as usize * self.width];
        if self.width > 0 {
            self.kept.support().scatter_add(values, &mut out, self.width)?;
        }
        Ok(out)
    }

    fn device(&self, rt: &Runtime, values: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        let mut out = rt.zeros(self.kept.support().len() as usize * self.width)?;
        if self.width > 0 {
            self.kept.on(rt)?.scatter_add(rt, values, &mut out, self.width)?;
        }
        Ok(out)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.kept.gather(grad)?))
    }
}

pub(super) struct Axpy {
    pub kept: Kept,
    pub scale: f32,
}

impl Op2 for Axpy {
    const NAME: &'static str = "sparse axpy";
    type A = f32;
    type B = f32;
    type Out = f32;

    fn shape(&self, x: &Shape, _: &Shape) -> Shape {
        x.clone()
    }

    fn cpu(&self, x: &[f32], values: &[f32], [dims, _]: [&[usize]; 2]) -> crate::Result<Vec<f32>> {
        let mut out = x.to_vec();
        let width = dims[1..].iter().product();
        if width > 0 {
            self.kept.support().axpy(self.scale, values, &mut out, width)?;
        }
        Ok(out)
    }

    fn device(
        &self,
        rt: &Runtime,
        x: &Buf<f32>,
        values: &Buf<f32>,
        [dims, _]: [&[usize]; 2],
    ) -> crate::Result<Buf<f32>> {
        let mut out = x.duplicate()?;
        let width = dims[1..].iter().product();
        if width > 0 {
            self.kept.on(rt)?.axpy(rt, self.scale, values, &mut out, width)?;
        }
        Ok(out)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some((self.kept.gather(grad)? * self.scale as f64)?)))
    }
}

pub(super) struct Sddmm {
    pub kept: Kept,
    pub sizes: [usize; 3],
}

impl Op2 for Sddmm {
    const NAME: &'static str = "sddmm";
    type A = f32;
    type B = f32;
    type Out = f32;

    fn shape(&self, _: &Shape, _: &Shape) -> Shape {
        Shape::from(self.kept.support().nnz())
    }

    fn cpu(&self, dy: &[f32], x: &[f32], _: [&[usize]; 2]) -> crate::Result<Vec<f32>> {
        let [positions, outputs, inputs] = self.sizes;
        sddmm(self.kept.support(), dy, x, positions, outputs, inputs)
    }

    fn device(&self, rt: &Runtime, dy: &Buf<f32>, x: &Buf<f32>, _: [&[usize]; 2]) -> crate::Result<Buf<f32>> {
        self.kept.on(rt)?.sddmm(rt, dy, x, self.sizes)
    }

    fn bwd(&self, dy: &Tensor, x: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [positions, outputs, inputs] = self.sizes;
        let grad = self.kept.scatter(grad)?.reshape((outputs, inputs))?;
        let (flat_dy, flat_x) = (dy.reshape((positions, outputs))?, x.reshape((positions, inputs))?);
        let of_dy = flat_x.matmul(&grad.t()?)?.reshape(dy.shape())?;
        let of_x = flat_dy.matmul(&grad)?.reshape(x.shape())?;
        Ok((Some(of_dy), Some(of_x)))
    }
}
