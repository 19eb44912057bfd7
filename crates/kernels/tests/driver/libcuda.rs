//! As much of a CUDA driver as it takes to say no, and to copy: compiled by the test to `libcuda.so.1`, never linked.
//!
//! `FAKE_GPUS` names its GPUs (`name:major.minor`, separated by commas), `FAKE_DRIVER` its version (12040 is 12.4); any
//! PTX is refused with the error `FAKE_LOAD`. Device memory is the host's, a copy happens when it is ordered, and with
//! `FAKE_TRACE` what is ordered on streams is printed. `FAKE_FULL` bytes is the most that can be allocated at once; the copy with
//! number `FAKE_BROKEN` fails. With `FAKE_RUNS=1` it takes kernels, and does nothing for them, and events with a clock,
//! between any two of which lies a millisecond (`scripts/gpu/check.sh dry`).
#![allow(non_snake_case)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    unsafe { *stream = COMPUTE as *mut c_void };
    SUCCESS
}

const COMPUTE: usize = 16;

fn trace(line: &str) {
    if std::env::var_os("FAKE_TRACE").is_some() {
        println!("\n> {line}");
    }
}

fn stream(stream: *const c_void) -> &'static str {
    if stream as usize == COMPUTE { "compute" } else { "copy" }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> c_int {
    unsafe { (*least, *greatest) = (0, -5) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreateWithPriority(stream: *mut *mut c_void, _flags: c_uint, priority: c_int) -> c_int {
    trace(&format!("a stream of priority {priority}"));
    unsafe { *stream = 32 as *mut c_void };
    SUCCESS
}

/// What is allocated, by address.
static ALLOCATED: Mutex<BTreeMap<u64, Layout>> = Mutex::new(BTreeMap::new());

fn allocate(bytes: usize) -> Option<*mut u8> {
    if std::env::var("FAKE_FULL").ok().and_then(|most| most.parse().ok()).is_some_and(|most: usize| bytes > most) {
        return None;
    }
    let layout = Layout::from_size_align(bytes.max(1), 256).ok()?;
    let memory = unsafe { alloc_zeroed(layout) };
    ALLOCATED.lock().ok()?.insert(memory as u64, layout);
    Some(memory)
}

fn free(address: u64) -> c_int {
    let Some(layout) = ALLOCATED.lock().ok().and_then(|mut allocated| allocated.remove(&address)) else { return 1 };
    unsafe { dealloc(address as *mut u8, layout) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    let Some(memory) = allocate(bytes) else { return 2 };
    unsafe { *address = memory as u64 };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    free(address)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) -> c_int {
    let Some(memory) = allocate(bytes) else { return 2 };
    trace(&format!("{bytes} bytes pinned with flags {flags}"));
    unsafe { *address = memory.cast() };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: *mut c_void) -> c_int {
    free(address as u64)
}

static EVENTS: AtomicUsize = AtomicUsize::new(1);
static COPIES: AtomicUsize = AtomicUsize::new(0);

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(event: *mut *mut c_void, flags: c_uint) -> c_int {
    assert!(flags & 2 == 2 || number("FAKE_RUNS") == 1, "an event with timing: {flags}");
    unsafe { *event = EVENTS.fetch_add(1, Ordering::SeqCst) as *mut c_void };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(_event: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: *mut c_void, on: *const c_void) -> c_int {
    trace(&format!("{} records {}", stream(on), event as usize));
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(_event: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(on: *const c_void, event: *mut c_void, _flags: c_uint) -> c_int {
    trace(&format!("{} waits for {}", stream(on), event as usize));
    SUCCESS
}

unsafe fn copy(to: u64, from: *const u8, bytes: usize) -> c_int {
    if COPIES.fetch_add(1, Ordering::SeqCst) + 1 == number("FAKE_BROKEN") as usize {
        return 700;
    }
    unsafe { std::ptr::copy_nonoverlapping(from, to as *mut u8, bytes) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, on: *const c_void) -> c_int {
    trace(&format!("{} copies {bytes}", stream(on)));
    unsafe { copy(to, from, bytes) }
}

unsafe fn batch(to: *const u64, from: *const u64, bytes: *const usize, count: usize, attributes: *const c_uint) -> c_int {
    assert_eq!(unsafe { std::slice::from_raw_parts(attributes, 6) }, [1, 0, 0, 0, 0, 0]);
    for at in 0..count {
        let result = unsafe { copy(*to.add(at), *from.add(at) as *const u8, *bytes.add(at)) };
        if result != SUCCESS {
            return result;
        }
    }
    SUCCESS
}

unsafe extern "C" fn batch_1(
    to: *const u64,
    from: *const u64,
    bytes: *const usize,
    count: usize,
    attributes: *const c_uint,
    first: *const usize,
    kinds: usize,
    _failed: *mut usize,
    on: *const c_void,
) -> c_int {
    assert!(unsafe { *first } == 0 && kinds == 1);
    trace(&format!("{} copies {count} at once, as in 12.8", stream(on)));
    unsafe { batch(to, from, bytes, count, attributes) }
}

unsafe extern "C" fn batch_2(
    to: *const u64,
    from: *const u64,
    bytes: *const usize,
    count: usize,
    attributes: *const c_uint,
    first: *const usize,
    kinds: usize,
    on: *const c_void,
) -> c_int {
    assert!(unsafe { *first } == 0 && kinds == 1);
    trace(&format!("{} copies {count} at once, as in 13.0", stream(on)));
    unsafe { batch(to, from, bytes, count, attributes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetProcAddress_v2(
    name: *const c_char,
    address: *mut *const c_void,
    version: c_int,
    _flags: u64,
    _status: *mut c_int,
) -> c_int {
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"cuMemcpyBatchAsync");
    unsafe { *address = if version >= 13_000 { batch_2 as *const c_void } else { batch_1 as *const c_void } };
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
    unsafe { *module = 24 as *mut c_void };
    number("FAKE_LOAD")
}

#[unsafe(no_mangle)]
extern "C" fn cuModuleUnload(_module: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(function: *mut *mut c_void, _module: *mut c_void, _name: *const c_char) -> c_int {
    unsafe { *function = 40 as *mut c_void };
    if number("FAKE_RUNS") == 1 { SUCCESS } else { 500 }
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

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, _on: *const c_void) -> c_int {
    unsafe { copy(to as u64, from as *const u8, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _on: *const c_void) -> c_int {
    unsafe { copy(to, from as *const u8, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemsetD8Async(to: u64, value: u8, bytes: usize, _on: *const c_void) -> c_int {
    unsafe { std::ptr::write_bytes(to as *mut u8, value, bytes) };
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
unsafe extern "C" fn cuGetErrorName(error: c_int, name: *mut *const c_char) -> c_int {
    let text = match error {
        222 => c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        209 => c"CUDA_ERROR_NO_BINARY_FOR_GPU",
        2 => c"CUDA_ERROR_OUT_OF_MEMORY",
        700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        _ => c"CUDA_ERROR_UNKNOWN",
    };
    unsafe { *name = text.as_ptr() };
    SUCCESS
}
