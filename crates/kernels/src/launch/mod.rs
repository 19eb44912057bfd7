//! Where kernels run: a [`Runtime`] for a [`Device`], [`Buf`]fers that live on it, and one way to launch.
//!
//! The CUDA driver and the CPU shim take the same argument array, so everything above [`Launch`] is written once. Library
//! users call [`TopK::run`](crate::topk::TopK::run) and [`DeviceSketch`] and need
//! nothing of this but `Runtime` and `Buf`:
//!
//! ```
//! use ashlar_kernels::device::Device;
//! use ashlar_kernels::launch::Runtime;
//! use ashlar_kernels::topk::{Count, TopK};
//!
//! let rt = Runtime::new(&Device::auto().0)?; // a GPU if there is one, else the CPU
//! let mut x = rt.upload(&[5.0_f32, -3.0, 0.5, 8.0])?;
//! let (top, _) = TopK::new(Count::Exact(2)).run(&rt, &mut x)?;
//! assert_eq!((top.idx(), top.val()), (&[0, 3][..], &[5.0, 8.0][..]));
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```

mod buffer;
pub mod clip;
mod dequant;
mod noise;
mod select;
mod sketch;
mod sparse;
mod table;
mod topk;

use std::ffi::c_void;

pub use buffer::{Buf, Element};
pub use sketch::DeviceSketch;
#[cfg(feature = "candle")]
pub(crate) use sketch::{read_estimates, sketch_row, unsketch_row};
pub use sparse::DeviceSupport;
pub use table::{KernelId, Param};

use crate::Result;
use crate::device::{Device, DeviceError};

/// A back end that runs kernels.
pub trait Launch {
    /// Starts a kernel; `args[i]` points to the value of its i-th argument.
    ///
    /// # Errors
    /// What the back end reports.
    ///
    /// # Safety
    /// `args` match the kernel's parameters in number and type, and the addresses among them are of live memory of this
    /// back end, large enough for what the kernel does.
    unsafe fn launch(
        &self,
        kernel: KernelId,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()>;

    /// Blocks that fill the device four times over.
    fn many_blocks(&self) -> u32;

    /// Bytes of dynamic shared memory that a block may ask for.
    fn shared_limit(&self) -> u32;
}

/// One argument: its bytes and its type.
#[derive(Clone, Copy)]
pub(crate) struct Arg {
    bytes: [u8; 8],
    param: Param,
}

macro_rules! scalar_arg {
    ($($type:ty => $param:ident),*) => { $(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self {
                let mut bytes = [0; 8];
                bytes[..size_of::<$type>()].copy_from_slice(&value.to_ne_bytes());
                Self { bytes, param: Param::$param }
            }
        }
    )* };
}
scalar_arg!(u32 => U32, u64 => U64, f32 => F32, f64 => F64);

impl Arg {
    fn address(address: u64) -> Self {
        Self { param: Param::Pointer, ..address.into() }
    }

    pub const NULL: Self = Self { bytes: [0; 8], param: Param::Pointer };
}

impl<T: Element> From<&Buf<T>> for Arg {
    fn from(buffer: &Buf<T>) -> Self {
        Self::address(buffer.address())
    }
}

impl<T: Element> From<&mut Buf<T>> for Arg {
    fn from(buffer: &mut Buf<T>) -> Self {
        Self::address(buffer.address_mut())
    }
}

impl<T: Element> From<Option<&Buf<T>>> for Arg {
    fn from(buffer: Option<&Buf<T>>) -> Self {
        buffer.map_or(Self::NULL, Self::from)
    }
}

/// A device, ready: driver, stream and kernels loaded.
#[derive(Debug)]
pub struct Runtime {
    device: Device,
    backend: Backend,
}

#[derive(Debug)]
pub(crate) enum Backend {
    /// The Rust twins.
    Cpu,
    #[cfg(feature = "simt")]
    Simt(crate::simt::Simt),
    #[cfg(feature = "cuda")]
    Cuda(crate::cuda::Gpu),
}

impl Runtime {
    /// Opens a device. On a GPU this loads every kernel, so that no later call pays for it.
    ///
    /// # Errors
    /// A device that this build or this machine doesn't have; what the driver reports.
    pub fn new(device: &Device) -> Result<Self> {
        let backend = match device {
            Device::Cpu => Backend::Cpu,
            #[cfg(feature = "simt")]
            Device::Simt => Backend::Simt(crate::simt::Simt::new()),
            #[cfg(not(feature = "simt"))]
            Device::Simt => return Err(DeviceError::NotBuilt { device: *device, feature: "simt" }.into()),
            #[cfg(feature = "cuda")]
            Device::Cuda(ordinal) => Backend::Cuda(crate::cuda::Gpu::new(*ordinal)?),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => return Err(DeviceError::NotBuilt { device: *device, feature: "cuda" }.into()),
        };
        Ok(Self { device: *device, backend })
    }

    /// The runtime of candle's device: kernels run on candle's own stream, in the order of its operations, and are loaded
    /// into candle's cache of modules when they are first used. Costs three queries of the driver.
    ///
    /// # Errors
    /// A GPU that is too old; what the driver reports.
    #[cfg(feature = "candle-cuda")]
    pub fn on_candle(device: &candle_core::CudaDevice) -> Result<Self> {
        let gpu = crate::cuda::Gpu::on_candle(device)?;
        Ok(Self { device: Device::Cuda(gpu.stream().context().ordinal()), backend: Backend::Cuda(gpu) })
    }

    /// The CPU: nothing to open, so nothing to fail.
    pub const fn cpu() -> Self {
        Self { device: Device::Cpu, backend: Backend::Cpu }
    }

    /// Which device this is.
    pub const fn device(&self) -> Device {
        self.device
    }

    /// Everything that `doctor` says about this build, this machine and this runtime.
    pub fn describe(&self) -> crate::device::DeviceInfo {
        crate::device::describe(Some(self.device))
    }

    /// Waits for everything that was started.
    ///
    /// # Errors
    /// A kernel that failed.
    pub fn synchronize(&self) -> Result<()> {
        match &self.backend {
            #[cfg(feature = "cuda")]
            Backend::Cuda(gpu) => gpu.synchronize(),
            _ => Ok(()),
        }
    }

    /// The stream that everything runs on, in order: for kernels of your own, and for events. `None` off the GPU.
    #[cfg(feature = "cuda")]
    pub fn cuda_stream(&self) -> Option<&std::sync::Arc<cudarc::driver::CudaStream>> {
        match &self.backend {
            Backend::Cuda(gpu) => Some(gpu.stream()),
            Backend::Cpu => None,
            #[cfg(feature = "simt")]
            Backend::Simt(_) => None,
        }
    }

    /// The back end that runs kernels; `None` on the CPU, where the Rust twins do the work.
    pub fn launcher(&self) -> Option<&dyn Launch> {
        match &self.backend {
            Backend::Cpu => None,
            #[cfg(feature = "simt")]
            Backend::Simt(simt) => Some(simt),
            #[cfg(feature = "cuda")]
            Backend::Cuda(gpu) => Some(gpu),
        }
    }
}

/// The grid and block of a launch, and its dynamic shared memory.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub grid: [u32; 2],
    pub threads: u32,
    pub shared: u32,
}

impl Shape {
    /// Blocks of `threads` for `work` items of one thread each, at most `most` blocks.
    fn of(work: u64, threads: u32, most: u32) -> Self {
        let blocks = work.div_ceil(threads as u64).clamp(1, most as u64) as u32;
        Self { grid: [blocks, 1], threads, shared: 0 }
    }
}

/// Launches a kernel whose arguments have been checked against its parameter list.
///
/// # Safety
/// The buffers among `args` are of this runtime and large enough for what the kernel does.
pub(crate) unsafe fn start<const N: usize>(
    launcher: &dyn Launch,
    kernel: KernelId,
    shape: Shape,
    mut args: [Arg; N],
) -> Result<()> {
    let types = kernel.params();
    if types.len() != N || args.iter().zip(types).any(|(arg, param)| arg.param != *param) {
        return Err(DeviceError::Arguments { kernel: kernel.name() }.into());
    }
    let mut pointers = args.each_mut().map(|arg| arg.bytes.as_mut_ptr().cast::<c_void>());
    let [x, y] = shape.grid;
    // SAFETY: number and types were just checked, `args` outlives the call (both back ends copy the values before they
    // return), and the caller vouches for the buffers.
    unsafe { launcher.launch(kernel, [x, y, 1], [shape.threads, 1, 1], shape.shared, &mut pointers) }
}
