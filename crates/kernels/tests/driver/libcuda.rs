//! As much of a CUDA driver as it takes to say no: compiled by the test to `libcuda.so.1`, never linked.
//!
//! `FAKE_GPUS` names its GPUs (`name:major.minor`, separated by commas), `FAKE_DRIVER` its version (12040 is 12.4); any
//! PTX is refused with the error `FAKE_LOAD`.
#![allow(non_snake_case)]

use std::ffi::{c_char, c_int, c_uint, c_void};

const SUCCESS: c_int = 0;

fn number(name: &str) -> c_int {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn gpus() -> Vec<(String, [c_int; 2])> {
    let text = std::env::var("FAKE_GPUS").unwrap_or_default();
    let gpu = |gpu: &str| {
        let (name, capability) = gpu.split_once(':')?;
        let (major, minor) = capability.split_once('.')?;
        Some((name.to_owned(), [major.parse().ok()?, minor.parse().ok()?]))
    };
    text.split(',').filter_map(gpu).collect()
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(_flags: c_uint) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    unsafe { *version = number("FAKE_DRIVER") };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    unsafe { *count = gpus().len() as c_int };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    unsafe { *device = ordinal };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int) -> c_int {
    let gpus = gpus();
    let bytes = gpus[device as usize].0.bytes().take(len as usize - 1).chain([0]);
    for (i, byte) in bytes.enumerate() {
        unsafe { *name.add(i) = byte as c_char };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    unsafe { *bytes = 80 << 30 };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) -> c_int {
    let [major, minor] = gpus()[device as usize].1;
    unsafe {
        *value = match attribute {
            75 => major,
            76 => minor,
            16 => 132,       // multiprocessors
            97 => 227 << 10, // shared memory of a block
            _ => 0,
        };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _device: c_int) -> c_int {
    unsafe { *context = 8 as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(_context: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(context: *mut *mut c_void) -> c_int {
    unsafe { *context = 8 as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreate(stream: *mut *mut c_void, _flags: c_uint) -> c_int {
    unsafe { *stream = 16 as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(_stream: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(_stream: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleLoadData(_module: *mut *mut c_void, _image: *const c_void) -> c_int {
    number("FAKE_LOAD")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(error: c_int, name: *mut *const c_char) -> c_int {
    let text = match error {
        222 => c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        209 => c"CUDA_ERROR_NO_BINARY_FOR_GPU",
        _ => c"CUDA_ERROR_UNKNOWN",
    };
    unsafe { *name = text.as_ptr() };
    SUCCESS
}
