//! candle's memory on a GPU, lent to our kernels and taken from them.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use candle_core::cuda_backend::CudaDevice;
use candle_core::{CudaStorage, Error, Layout, Result};
use cudarc::driver::{CudaStream, SyncOnDrop};

use super::op::Number;
use crate::device::DeviceError;
use crate::launch::{Buf, Element, Runtime};

/// A buffer that belongs to a tensor: our kernels wait for what wrote it, and what comes after waits for them.
pub(super) struct Lent<'a, T: Element> {
    buffer: ManuallyDrop<Buf<T>>,
    /// Records the use in the tensor's events when it goes.
    _use: Option<SyncOnDrop<'a>>,
}

impl<T: Element> Deref for Lent<'_, T> {
    type Target = Buf<T>;
    fn deref(&self) -> &Buf<T> {
        &self.buffer
    }
}

impl<T: Element> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut Buf<T> {
        &mut self.buffer
    }
}

impl<T: Element> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the buffer after this.
        let buffer = unsafe { ManuallyDrop::take(&mut self.buffer) };
        if let Some(slice) = buffer.into_cuda() {
            // The memory is the tensor's: the handle goes, the memory stays.
            slice.leak();
        }
    }
}

fn range(op: &'static str, layout: &Layout) -> Result<(usize, usize)> {
    layout.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op }.bt())
}

fn stream(rt: &Runtime) -> Result<&std::sync::Arc<CudaStream>> {
    rt.cuda_stream().ok_or_else(|| Error::wrap(DeviceError::Elsewhere { device: rt.device() }))
}

fn lent<'a, T: Element>(rt: &Runtime, address: u64, len: usize, sync: Option<SyncOnDrop<'a>>) -> Result<Lent<'a, T>> {
    // SAFETY: the address is that of `len` elements which the tensor owns and which outlive 'a; the handle made here is
    // leaked, not dropped.
    let slice = unsafe { stream(rt)?.upgrade_device_ptr(address, len) };
    Ok(Lent { buffer: ManuallyDrop::new(slice.into()), _use: sync })
}

/// A tensor's elements, to be read.
pub(super) fn lend<'a, T: Number>(
    op: &'static str,
    rt: &'a Runtime,
    x: &'a CudaStorage,
    layout: &Layout,
) -> Result<Lent<'a, T>> {
    let (from, to) = range(op, layout)?;
    let slice = x.as_cuda_slice::<T>()?;
    let view = slice.slice(from..to);
    let len = view.len();
    let (address, sync) = view.view_ptr(stream(rt)?);
    lent(rt, address, len, Some(sync))
}

/// A tensor's elements, to be written.
pub(super) fn lend_mut<'a, T: Number>(
    op: &'static str,
    rt: &'a Runtime,
    x: &'a mut CudaStorage,
    layout: &Layout,
) -> Result<Lent<'a, T>> {
    let (from, to) = range(op, layout)?;
    let view = x.as_cuda_slice_mut::<T>()?.slice_mut(from..to);
    let len = view.len();
    let (address, sync) = view.view_ptr(stream(rt)?);
    lent(rt, address, len, Some(sync))
}

/// A kernel's result as candle's storage: no copy.
pub(super) fn give<T: Number>(buffer: Buf<T>, device: &CudaDevice) -> Result<CudaStorage> {
    match buffer.into_cuda() {
        Some(slice) => Ok(T::wrap_cuda_slice(slice, device.clone())),
        None => candle_core::bail!("a kernel's result is not on the GPU: please report this"),
    }
}
