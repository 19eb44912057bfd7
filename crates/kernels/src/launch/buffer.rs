//! Memory on a runtime's device.

#[cfg(feature = "cuda")]
use super::Backend;
use super::Runtime;
use crate::Result;
use crate::device::DeviceError;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i64 {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for half::bf16 {}
    impl Sealed for half::f16 {}
}

/// What a buffer can hold: plain numbers, of which zero bytes are a value.
#[cfg(not(feature = "cuda"))]
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {}
/// What a buffer can hold: plain numbers, of which zero bytes are a value.
#[cfg(feature = "cuda")]
pub trait Element:
    sealed::Sealed + Copy + Default + Send + Sync + cudarc::driver::DeviceRepr + cudarc::driver::ValidAsZeroBits + 'static
{
}
impl Element for f32 {}
impl Element for f64 {}
impl Element for i64 {}
impl Element for u8 {}
impl Element for u32 {}
impl Element for u64 {}
impl Element for half::bf16 {}
impl Element for half::f16 {}

/// An array on a device: ordinary memory on the CPU and under the shim, device memory on a GPU.
#[derive(Debug)]
pub struct Buf<T: Element> {
    store: Store<T>,
}

#[derive(Debug)]
enum Store<T: Element> {
    Host(Vec<T>),
    #[cfg(feature = "cuda")]
    Cuda(cudarc::driver::CudaSlice<T>),
}

impl Runtime {
    /// A copy of `data` on the device.
    ///
    /// # Errors
    /// No memory left; what the driver reports.
    pub fn upload<T: Element>(&self, data: &[T]) -> Result<Buf<T>> {
        Ok(Buf {
            store: match &self.backend {
                #[cfg(feature = "cuda")]
                Backend::Cuda(gpu) => Store::Cuda(gpu.upload(data)?),
                _ => Store::Host(data.to_vec()),
            },
        })
    }

    /// An array that this runtime takes over; no copy on the CPU.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub fn take<T: Element>(&self, data: Vec<T>) -> Result<Buf<T>> {
        match &self.backend {
            #[cfg(feature = "cuda")]
            Backend::Cuda(_) => self.upload(&data),
            _ => Ok(Buf { store: Store::Host(data) }),
        }
    }

    /// `len` zeros on the device.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub fn zeros<T: Element>(&self, len: usize) -> Result<Buf<T>> {
        Ok(Buf {
            store: match &self.backend {
                #[cfg(feature = "cuda")]
                Backend::Cuda(gpu) => Store::Cuda(gpu.zeros(len)?),
                _ => Store::Host(vec![T::default(); len]),
            },
        })
    }

    /// Whether the buffer lives here.
    pub(crate) fn check<T: Element>(&self, buffer: &Buf<T>) -> Result<()> {
        let here = match (&self.backend, &buffer.store) {
            #[cfg(feature = "cuda")]
            (Backend::Cuda(gpu), Store::Cuda(slice)) => gpu.owns(slice),
            #[cfg(feature = "cuda")]
            (Backend::Cuda(_), Store::Host(_)) => false,
            (_, Store::Host(_)) => true,
            #[cfg(feature = "cuda")]
            (_, Store::Cuda(_)) => false,
        };
        if here { Ok(()) } else { Err(DeviceError::Elsewhere { device: self.device }.into()) }
    }
}

impl<T: Element> Buf<T> {
    /// Elements.
    pub fn len(&self) -> usize {
        match &self.store {
            Store::Host(data) => data.len(),
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => slice.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy on the host, after everything that was started before.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        match &self.store {
            Store::Host(data) => Ok(data.clone()),
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => crate::cuda::download(slice),
        }
    }

    /// The array itself; copied from a GPU.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn into_vec(self) -> Result<Vec<T>> {
        match self.store {
            Store::Host(data) => Ok(data),
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => crate::cuda::download(&slice),
        }
    }

    /// Overwrites the array from the host.
    ///
    /// # Errors
    /// Another length; what the driver reports.
    pub fn write(&mut self, data: &[T]) -> Result<()> {
        if data.len() != self.len() {
            return Err(crate::Error::LengthMismatch {
                left_name: "the buffer",
                left: self.len() as u64,
                right_name: "the data",
                right: data.len() as u64,
            });
        }
        match &mut self.store {
            Store::Host(own) => own.copy_from_slice(data),
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => crate::cuda::overwrite(slice, data)?,
        }
        Ok(())
    }

    /// The array in ordinary memory; `None` on a GPU.
    pub fn host(&self) -> Option<&[T]> {
        match &self.store {
            Store::Host(data) => Some(data),
            #[cfg(feature = "cuda")]
            Store::Cuda(_) => None,
        }
    }

    /// The array in ordinary memory, to be changed; `None` on a GPU.
    pub fn host_mut(&mut self) -> Option<&mut [T]> {
        match &mut self.store {
            Store::Host(data) => Some(data),
            #[cfg(feature = "cuda")]
            Store::Cuda(_) => None,
        }
    }

    /// The array as cudarc's type, for kernels of your own; `None` on the CPU.
    #[cfg(feature = "cuda")]
    pub fn cuda(&self) -> Option<&cudarc::driver::CudaSlice<T>> {
        match &self.store {
            Store::Host(_) => None,
            Store::Cuda(slice) => Some(slice),
        }
    }

    /// A copy on the same device.
    #[cfg(feature = "candle")]
    #[cfg_attr(not(feature = "cuda"), allow(clippy::unnecessary_wraps))]
    pub(crate) fn duplicate(&self) -> Result<Self> {
        Ok(Self {
            store: match &self.store {
                Store::Host(data) => Store::Host(data.clone()),
                #[cfg(feature = "cuda")]
                Store::Cuda(slice) => Store::Cuda(crate::cuda::duplicate(slice)?),
            },
        })
    }

    /// The array as cudarc's type; `None` on the CPU.
    #[cfg(feature = "candle-cuda")]
    pub(crate) fn into_cuda(self) -> Option<cudarc::driver::CudaSlice<T>> {
        match self.store {
            Store::Host(_) => None,
            Store::Cuda(slice) => Some(slice),
        }
    }

    /// Address on the device, for a kernel that reads.
    pub(super) fn address(&self) -> u64 {
        match &self.store {
            Store::Host(data) => data.as_ptr() as u64,
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => crate::cuda::address(slice),
        }
    }

    /// Address on the device, for a kernel that writes.
    pub(super) fn address_mut(&mut self) -> u64 {
        match &mut self.store {
            Store::Host(data) => data.as_mut_ptr() as u64,
            #[cfg(feature = "cuda")]
            Store::Cuda(slice) => crate::cuda::address(slice),
        }
    }
}

#[cfg(feature = "cuda")]
impl<T: Element> From<cudarc::driver::CudaSlice<T>> for Buf<T> {
    /// A slice that cudarc (or candle) allocated, on the same device as the runtime that it is used with.
    fn from(slice: cudarc::driver::CudaSlice<T>) -> Self {
        Self { store: Store::Cuda(slice) }
    }
}
