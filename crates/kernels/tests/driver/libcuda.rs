//! As much of a CUDA driver as it takes to say no: compiled by the test to `libcuda.so.1`, never linked.
//!
//! `FAKE_GPUS` names its GPUs (`name:major.minor`, separated by commas), `FAKE_DRIVER` its version (12040 is 12.4); any
//! PTX is refused with the error `FAKE_LOAD`. With `FAKE_RUNS=1` it takes kernels instead, and does nothing for them: its
//! memory is ordinary memory, and between any two events lies a millisecond (`scripts/gpu/check.sh dry`).
#![allow(non_snake_case)]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Mutex;

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
unsafe extern "C" fn cuModuleLoadData(module: *mut *mut c_void, _image: *const c_void) -> c_int {
    if number("FAKE_RUNS") == 1 {
        unsafe { *module = 24 as *mut c_void };
        return SUCCESS;
    }
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

// What follows answers only a driver that runs.

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    _module: *mut c_void,
    _name: *const c_char,
) -> c_int {
    unsafe { *function = 32 as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(_module: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(_function: *mut c_void, _attribute: c_int, _value: c_int) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    _function: *mut c_void,
    _grid_x: c_uint,
    _grid_y: c_uint,
    _grid_z: c_uint,
    _block_x: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _shared: c_uint,
    _stream: *mut c_void,
    _arguments: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    SUCCESS
}

/// Sizes of what was allocated, by address.
static SIZES: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    let memory = Box::leak(vec![0_u64; bytes.div_ceil(8)].into_boxed_slice());
    let at = memory.as_mut_ptr() as u64;
    SIZES.lock().expect("no panics").insert(at, memory.len());
    unsafe { *address = at };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    if let Some(words) = SIZES.lock().expect("no panics").remove(&address) {
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(address as *mut u64, words)) });
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) -> c_int {
    let mut address = 0;
    unsafe { cuMemAlloc_v2(&raw mut address, bytes) };
    unsafe { *pointer = address as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFreeHost(pointer: *mut c_void) -> c_int {
    unsafe { cuMemFree_v2(pointer as u64) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, _stream: *mut c_void) -> c_int {
    unsafe { std::ptr::copy(from, to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, _stream: *mut c_void) -> c_int {
    unsafe { std::ptr::copy(from as *const u8, to, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: *mut c_void) -> c_int {
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD8Async(to: u64, value: u8, bytes: usize, _stream: *mut c_void) -> c_int {
    unsafe { std::ptr::write_bytes(to as *mut u8, value, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(event: *mut *mut c_void, _flags: c_uint) -> c_int {
    unsafe { *event = 40 as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(_event: *mut c_void, _stream: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(_event: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(_stream: *mut c_void, _event: *mut c_void, _flags: c_uint) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut f32, _start: *mut c_void, _end: *mut c_void) -> c_int {
    unsafe { *milliseconds = 1.0 };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) -> c_int {
    unsafe { cuEventElapsedTime(milliseconds, start, end) }
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(_event: *mut c_void) -> c_int {
    SUCCESS
}
