//! A GPU through the CUDA driver, loaded at run time: this compiles, and says no politely, without one.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute, CUfunction_attribute, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DriverError, result};
use cudarc::nvrtc::Ptx;

use crate::Result;
use crate::device::{DeviceError, GpuInfo};
use crate::launch::{Element, KernelId, Launch};

/// Names of the driver's library that are tried first.
#[cfg(not(feature = "candle-cuda"))]
const LIBRARY: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so, libcuda.so.1, libnvcuda.so" };

/// One GPU with a stream of its own and every kernel loaded.
pub struct Gpu {
    stream: Arc<CudaStream>,
    functions: Functions,
    multiprocessors: u32,
    shared_limit: u32,
}

enum Functions {
    /// All of them.
    Loaded(HashMap<KernelId, CudaFunction>),
    /// In candle's cache.
    #[cfg(feature = "candle-cuda")]
    Candle(candle_core::CudaDevice),
}

impl Functions {
    fn get(&self, kernel: KernelId) -> Result<CudaFunction> {
        let unknown = || DeviceError::Arguments { kernel: kernel.name() };
        match self {
            Self::Loaded(functions) => Ok(functions.get(&kernel).ok_or_else(unknown)?.clone()),
            #[cfg(feature = "candle-cuda")]
            Self::Candle(device) => {
                let file = crate::ptx::files().iter().find(|file| file.name == kernel.file()).ok_or_else(unknown)?;
                let module = format!("ashlar_{}", file.name);
                let function = device.get_or_load_custom_func(kernel.name(), &module, file.text);
                Ok(function.map_err(|error| candle_error(&error.to_string(), file, kernel))?.into_cuda_function())
            }
        }
    }
}

/// What candle says of a module that didn't load; its error carries the driver's as text.
#[cfg(feature = "candle-cuda")]
fn candle_error(error: &str, file: &crate::ptx::PtxFile, kernel: KernelId) -> DeviceError {
    if error.contains("UNSUPPORTED_PTX_VERSION") {
        let driver = driver_version().unwrap_or_else(|_| "of unknown version".to_owned());
        return DeviceError::PtxVersion { driver, floor: file.floor, file: file.name };
    }
    DeviceError::Driver { what: format!("loading {}", kernel.name()), error: error.to_owned() }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("ordinal", &self.stream.context().ordinal()).finish_non_exhaustive()
    }
}

/// Loads the driver and initialises it.
fn driver() -> Result<(), DeviceError> {
    // Where candle links the driver there is no run-time loading, and no function to ask.
    #[cfg(not(feature = "candle-cuda"))]
    // SAFETY: loads the library of that name and unloads it, as cudarc does before every use.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver { looked_for: LIBRARY.to_owned() });
    }
    result::init().map_err(|error| driver_error("initialising the driver", error))
}

/// `12.4`.
pub(crate) fn driver_version() -> Result<String, DeviceError> {
    driver()?;
    let mut version = 0;
    // SAFETY: the driver is initialised and writes one integer.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(|error| driver_error("asking for the driver's version", error))?;
    Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
}

pub(crate) fn gpus() -> Result<Vec<GpuInfo>, DeviceError> {
    driver()?;
    let what = "listing the GPUs";
    let count = CudaContext::device_count().map_err(|error| driver_error(what, error))?;
    (0..count as usize).map(|ordinal| gpu_info(ordinal).map_err(|error| driver_error(what, error))).collect()
}

fn gpu_info(ordinal: usize) -> Result<GpuInfo, DriverError> {
    let device = result::device::get(ordinal as i32)?;
    // SAFETY: `device` is a valid handle, from the line above.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let (major, minor) = (
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    Ok(GpuInfo {
        ordinal,
        name: result::device::get_name(device)?,
        compute_capability: format!("{major}.{minor}"),
        // SAFETY: as above.
        memory_bytes: unsafe { result::device::total_mem(device)? } as u64,
        multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
    })
}

fn driver_error(what: impl Into<String>, error: DriverError) -> DeviceError {
    let name = error.error_name().ok().map(|name| name.to_string_lossy().into_owned());
    DeviceError::Driver { what: what.into(), error: name.unwrap_or_else(|| format!("{error:?}")) }
}

fn failed(what: &'static str) -> impl Fn(DriverError) -> crate::Error {
    move |error| driver_error(what, error).into()
}

impl Gpu {
    pub fn new(ordinal: usize) -> Result<Self> {
        let gpus = gpus()?;
        let Some(info) = gpus.get(ordinal) else {
            let names: Vec<String> = gpus.iter().map(|gpu| format!("cuda:{} ({})", gpu.ordinal, gpu.name)).collect();
            let gpus = if names.is_empty() { "no GPU".to_owned() } else { names.join(", ") };
            return Err(DeviceError::NoSuchGpu { ordinal, gpus }.into());
        };
        if !info.is_supported() {
            let (name, found) = (info.name.clone(), info.compute_capability.clone());
            return Err(DeviceError::OldGpu { ordinal, name, found }.into());
        }
        let context = CudaContext::new(ordinal).map_err(failed("opening the GPU"))?;
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let shared_limit = context
            .attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
            .map_err(failed("asking for the shared memory"))? as u32;
        let functions = load(&context)?;
        let functions = Functions::Loaded(functions);
        Ok(Self { stream, functions, multiprocessors: info.multiprocessors.max(1), shared_limit })
    }

    /// On candle's stream, with kernels loaded into candle's cache when they are used.
    #[cfg(feature = "candle-cuda")]
    pub fn on_candle(device: &candle_core::CudaDevice) -> Result<Self> {
        use CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        };
        let stream = device.cuda_stream();
        let context = stream.context();
        let ask = |which| context.attribute(which).map_err(failed("asking for the GPU's properties"));
        if ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? < 8 {
            let ordinal = context.ordinal();
            let info = gpu_info(ordinal).map_err(failed("listing the GPUs"))?;
            return Err(DeviceError::OldGpu { ordinal, name: info.name, found: info.compute_capability }.into());
        }
        let multiprocessors = ask(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1) as u32;
        let shared_limit = ask(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.max(0) as u32;
        Ok(Self { functions: Functions::Candle(device.clone()), stream, multiprocessors, shared_limit })
    }

    /// The stream that everything runs on, in order.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    pub(crate) fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("waiting for the GPU"))
    }

    pub(crate) fn upload<T: Element>(&self, data: &[T]) -> Result<CudaSlice<T>> {
        if data.is_empty() {
            return self.stream.null().map_err(failed("allocating on the GPU"));
        }
        self.stream.clone_htod(data).map_err(failed("copying to the GPU"))
    }

    pub(crate) fn zeros<T: Element>(&self, len: usize) -> Result<CudaSlice<T>> {
        if len == 0 {
            return self.stream.null().map_err(failed("allocating on the GPU"));
        }
        self.stream.alloc_zeros(len).map_err(failed("allocating on the GPU"))
    }

    /// Whether the slice is in this GPU's memory. A slice of another stream of the GPU is waited for.
    pub(crate) fn owns<T>(&self, slice: &CudaSlice<T>) -> bool {
        let theirs = slice.stream();
        theirs.context().cu_ctx() == self.stream.context().cu_ctx()
            && (theirs.cu_stream() == self.stream.cu_stream() || self.stream.join(theirs).is_ok())
    }
}

fn load(context: &Arc<CudaContext>) -> Result<HashMap<KernelId, CudaFunction>> {
    let mut functions = HashMap::new();
    for file in crate::ptx::files() {
        let module = context.load_module(Ptx::from_src(file.text)).map_err(|error| {
            if error.0 == CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION {
                let driver = driver_version().unwrap_or_else(|_| "of unknown version".to_owned());
                return DeviceError::PtxVersion { driver, floor: file.floor, file: file.name };
            }
            driver_error(format!("loading {}.ptx", file.name), error)
        })?;
        for kernel in file.kernels() {
            let function = module
                .load_function(kernel.name())
                .map_err(|error| driver_error(format!("loading {}", kernel.name()), error))?;
            functions.insert(kernel, function);
        }
    }
    Ok(functions)
}

impl Launch for Gpu {
    unsafe fn launch(
        &self,
        kernel: KernelId,
        [gx, gy, gz]: [u32; 3],
        [bx, by, bz]: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()> {
        let error = |error| driver_error(format!("launching {}", kernel.name()), error);
        let function = self.functions.get(kernel)?;
        self.stream.context().bind_to_thread().map_err(error)?;
        if shared > DEFAULT_SHARED {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, shared as i32).map_err(error)?;
        }
        let (grid, block) = ((gx, gy, gz), (bx, by, bz));
        // SAFETY: the caller vouches for the arguments; the function belongs to this context, which is current.
        unsafe { result::launch_kernel(function.cu_function(), grid, block, shared, self.stream.cu_stream(), args) }
            .map_err(error)?;
        Ok(())
    }

    fn many_blocks(&self) -> u32 {
        4 * self.multiprocessors
    }

    fn shared_limit(&self) -> u32 {
        self.shared_limit
    }
}

/// What a block gets without asking.
const DEFAULT_SHARED: u32 = 48 << 10;

pub(crate) fn download<T: Element>(slice: &CudaSlice<T>) -> Result<Vec<T>> {
    if slice.is_empty() {
        return Ok(Vec::new());
    }
    let stream = slice.stream();
    let data = stream.clone_dtoh(slice).map_err(failed("copying from the GPU"))?;
    stream.synchronize().map_err(failed("copying from the GPU"))?;
    Ok(data)
}

#[cfg(feature = "candle")]
pub(crate) fn duplicate<T: Element>(slice: &CudaSlice<T>) -> Result<CudaSlice<T>> {
    if slice.is_empty() {
        return slice.stream().null().map_err(failed("allocating on the GPU"));
    }
    slice.stream().clone_dtod(slice).map_err(failed("copying on the GPU"))
}

pub(crate) fn overwrite<T: Element>(slice: &mut CudaSlice<T>, data: &[T]) -> Result<()> {
    if data.is_empty() {
        return Ok(());
    }
    let stream = slice.stream().clone();
    stream.memcpy_htod(data, slice).map_err(failed("copying to the GPU"))
}

/// The device address. All our work on a slice is on its own stream, or on one that waited for it.
pub(crate) fn address<T>(slice: &CudaSlice<T>) -> u64 {
    let (address, _synchronised) = slice.device_ptr(slice.stream());
    address
}
