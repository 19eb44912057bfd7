//! What an operation is: a computation on slices, the same on a device's buffers, and a gradient.

#[cfg(feature = "candle-cuda")]
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Error, Layout, Result, Shape, Storage, Tensor, WithDType};
#[cfg(feature = "candle-cuda")]
use candle_core::{CudaStorage, cuda_backend::CudaDType};

use crate::launch::{Buf, Element, Runtime};

/// What both a candle tensor and a kernel's buffer can hold.
#[cfg(not(feature = "candle-cuda"))]
pub(super) trait Number: WithDType + Element {}
/// What both a candle tensor and a kernel's buffer can hold.
#[cfg(feature = "candle-cuda")]
pub(super) trait Number: WithDType + Element + CudaDType {}
impl Number for f32 {}
impl Number for f64 {}
impl Number for u8 {}
impl Number for u32 {}
impl Number for i64 {}
impl Number for half::bf16 {}
impl Number for half::f16 {}

/// An operation of one tensor.
pub(super) trait Op1: Send + Sync + 'static {
    /// For messages.
    const NAME: &'static str;
    type In: Number;
    type Out: Number;

    /// Shape of the result.
    fn shape(&self, x: &Shape) -> Shape {
        x.clone()
    }

    /// The elements in row-major order.
    fn cpu(&self, x: &[Self::In], dims: &[usize]) -> crate::Result<Vec<Self::Out>>;

    /// The same on a runtime's device, with the same bits.
    #[cfg_attr(not(any(feature = "candle-cuda", all(test, feature = "simt"))), allow(dead_code))]
    fn device(&self, rt: &Runtime, x: &Buf<Self::In>, dims: &[usize]) -> crate::Result<Buf<Self::Out>>;

    /// The argument's gradient; an error where there is none.
    fn bwd(&self, _x: &Tensor, _result: &Tensor, _grad: &Tensor) -> Result<Option<Tensor>> {
        Err(Error::BackwardNotSupported { op: Self::NAME })
    }
}

/// An operation of two tensors; see [`Op1`].
pub(super) trait Op2: Send + Sync + 'static {
    const NAME: &'static str;
    type A: Number;
    type B: Number;
    type Out: Number;

    fn shape(&self, a: &Shape, b: &Shape) -> Shape;

    fn cpu(&self, a: &[Self::A], b: &[Self::B], dims: [&[usize]; 2]) -> crate::Result<Vec<Self::Out>>;

    #[cfg_attr(not(any(feature = "candle-cuda", all(test, feature = "simt"))), allow(dead_code))]
    fn device(
        &self,
        rt: &Runtime,
        a: &Buf<Self::A>,
        b: &Buf<Self::B>,
        dims: [&[usize]; 2],
    ) -> crate::Result<Buf<Self::Out>>;

    fn bwd(&self, _a: &Tensor, _b: &Tensor, _grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Err(Error::BackwardNotSupported { op: Self::NAME })
    }
}

/// An operation as candle takes it.
struct Custom<T>(T);

impl<T: Op1> CustomOp1 for Custom<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.0.cpu(elements(T::NAME, x, layout)?, layout.dims()).map_err(Error::wrap)?;
        Ok((WithDType::to_cpu_storage_owned(out), self.0.shape(layout.shape())))
    }

    #[cfg(feature = "candle-cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = x.device();
        let rt = Runtime::on_candle(device).map_err(Error::wrap)?;
        let x = super::gpu::lend(T::NAME, &rt, x, layout)?;
        let out = self.0.device(&rt, &x, layout.dims()).map_err(Error::wrap)?;
        Ok((super::gpu::give(out, device)?, self.0.shape(layout.shape())))
    }

    fn bwd(&self, x: &Tensor, result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.0.bwd(x, result, grad)
    }
}

impl<T: Op2> CustomOp2 for Custom<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, at_a: &Layout, b: &CpuStorage, at_b: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (elements(T::NAME, a, at_a)?, elements(T::NAME, b, at_b)?);
        let out = self.0.cpu(a, b, [at_a.dims(), at_b.dims()]).map_err(Error::wrap)?;
        Ok((WithDType::to_cpu_storage_owned(out), self.0.shape(at_a.shape(), at_b.shape())))
    }

    #[cfg(feature = "candle-cuda")]
    fn cuda_fwd(&self, a: &CudaStorage, at_a: &Layout, b: &CudaStorage, at_b: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = a.device();
        let rt = Runtime::on_candle(device).map_err(Error::wrap)?;
        let (a, b) = (super::gpu::lend(T::NAME, &rt, a, at_a)?, super::gpu::lend(T::NAME, &rt, b, at_b)?);
        let out = self.0.device(&rt, &a, &b, [at_a.dims(), at_b.dims()]).map_err(Error::wrap)?;
        Ok((super::gpu::give(out, device)?, self.0.shape(at_a.shape(), at_b.shape())))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.bwd(a, b, grad)
    }
}

/// Runs an operation and puts it on the tape.
pub(super) fn apply<T: Op1>(op: T, x: &Tensor) -> Result<Tensor> {
    ready::<T::In>(T::NAME, x)?.apply_op1(Custom(op))
}

/// Runs an operation and puts it on the tape.
pub(super) fn apply2<T: Op2>(op: T, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (ready::<T::A>(T::NAME, a)?, ready::<T::B>(T::NAME, b)?);
    a.apply_op2(&b, Custom(op))
}

/// The tensor with its elements in order, copied if they aren't; an error for another type of number.
pub(super) fn ready<T: Number>(op: &'static str, x: &Tensor) -> Result<Tensor> {
    same_type::<T>(op, x)?;
    x.contiguous()
}

pub(super) fn same_type<T: Number>(op: &'static str, x: &Tensor) -> Result<()> {
    if x.dtype() == T::DTYPE {
        return Ok(());
    }
    let (want, found) = (name_of(T::DTYPE), name_of(x.dtype()));
    candle_core::bail!("{op} takes {want}, not {found}: convert with .to_dtype(DType::{:?})?", T::DTYPE)
}

fn name_of(dtype: DType) -> &'static str {
    dtype.as_str()
}

/// The elements of a CPU tensor, in order.
pub(super) fn elements<'a, T: Number>(op: &'static str, x: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (from, to) = layout.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op }.bt())?;
    Ok(&x.as_slice::<T>()?[from..to])
}

/// Computes something that isn't a tensor: from a slice on the CPU, from a buffer on a GPU.
pub(super) fn read<T: Number, R>(
    op: &'static str,
    x: &Tensor,
    cpu: impl FnOnce(&[T]) -> crate::Result<R>,
    device: impl FnOnce(&Runtime, &Buf<T>) -> crate::Result<R>,
) -> Result<R> {
    let x = ready::<T>(op, x)?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(x) => cpu(elements(op, x, layout)?).map_err(Error::wrap),
        #[cfg(feature = "candle-cuda")]
        Storage::Cuda(x) => {
            let rt = Runtime::on_candle(x.device()).map_err(Error::wrap)?;
            device(&rt, &*super::gpu::lend(op, &rt, x, layout)?).map_err(Error::wrap)
        }
        _ => {
            let _ = device;
            unsupported(op, &x)
        }
    }
}

/// [`read`] of two tensors.
pub(super) fn read2<A: Number, B: Number, R>(
    op: &'static str,
    (a, b): (&Tensor, &Tensor),
    cpu: impl FnOnce(&[A], &[B]) -> crate::Result<R>,
    device: impl FnOnce(&Runtime, &Buf<A>, &Buf<B>) -> crate::Result<R>,
) -> Result<R> {
    let (a, b) = (ready::<A>(op, a)?, ready::<B>(op, b)?);
    let ((of_a, at_a), (of_b, at_b)) = (a.storage_and_layout(), b.storage_and_layout());
    match (&*of_a, &*of_b) {
        (Storage::Cpu(a), Storage::Cpu(b)) => cpu(elements(op, a, at_a)?, elements(op, b, at_b)?).map_err(Error::wrap),
        #[cfg(feature = "candle-cuda")]
        (Storage::Cuda(of_a), Storage::Cuda(of_b)) => {
            let rt = Runtime::on_candle(of_a.device()).map_err(Error::wrap)?;
            let (a, b) = (super::gpu::lend(op, &rt, of_a, at_a)?, super::gpu::lend(op, &rt, of_b, at_b)?);
            device(&rt, &a, &b).map_err(Error::wrap)
        }
        _ => {
            let _ = device;
            unsupported(op, if a.device().is_cpu() { &b } else { &a })
        }
    }
}

fn unsupported<R>(op: &'static str, x: &Tensor) -> Result<R> {
    candle_core::bail!("{op} has no kernel for {:?} here: move the tensors to one CPU or CUDA device", x.device())
}

/// A tensor that is about to be overwritten: contiguous, of the right type, and on nobody's tape, since a change in place
/// is invisible to gradients.
pub(super) fn writable<T: Number>(op: &'static str, x: &Tensor) -> Result<()> {
    same_type::<T>(op, x)?;
    if !x.is_contiguous() {
        candle_core::bail!("{op} changes its argument in place, which must be contiguous: call .contiguous()? first")
    }
    untracked(op, x)
}

/// An error for a tensor whose gradient would silently be lost.
pub(super) fn untracked(op: &'static str, x: &Tensor) -> Result<()> {
    if x.track_op() {
        candle_core::bail!("{op} works in place and records no gradient: call it on .detach()")
    }
    Ok(())
}
