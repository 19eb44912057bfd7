//! Many copies in one call, where the driver has it: `cuMemcpyBatchAsync`, since CUDA 12.8, with other arguments since 13.0. It
//! is looked up at run time, so that one binary runs on any driver.

use std::ffi::{c_int, c_uint, c_void};

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{DriverError, result};

/// A copy from host memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub to: u64,
    pub from: *const u8,
    pub bytes: usize,
}

/// `CUmemcpyAttributes`: the order of reads is the stream's; locations of hints are left out (type 0).
#[repr(C)]
pub(super) struct Attributes {
    access_order: c_uint,
    source: [c_int; 2],
    target: [c_int; 2],
    flags: c_uint,
}

const STREAM_ORDER: c_uint = 1;

type V1 = unsafe extern "C" fn(
    *mut u64,
    *mut u64,
    *mut usize,
    usize,
    *mut Attributes,
    *mut usize,
    usize,
    *mut usize,
    sys::CUstream,
) -> CUresult;
type V2 = unsafe extern "C" fn(
    *mut u64,
    *mut u64,
    *mut usize,
    usize,
    *mut Attributes,
    *mut usize,
    usize,
    sys::CUstream,
) -> CUresult;

/// How this driver copies many pieces.
#[derive(Clone, Copy)]
pub(super) enum Batch {
    /// One call each.
    Single,
    V1(V1),
    V2(V2),
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Single => "Single",
            Self::V1(_) => "V1",
            Self::V2(_) => "V2",
        })
    }
}

impl Batch {
    /// The best that the driver has. The driver is initialised.
    pub fn find() -> Self {
        let mut driver = 0;
        // SAFETY: it writes one integer.
        if unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result().is_err() {
            return Self::Single;
        }
        // A driver that lacks a function at all would end the process when it is looked up, hence the version first.
        if driver >= 13_000
            && let Some(address) = address(13_000)
        {
            // SAFETY: the function of that version has these arguments.
            return Self::V2(unsafe { std::mem::transmute::<*mut c_void, V2>(address) });
        }
        if driver >= 12_080
            && let Some(address) = address(12_080)
        {
            // SAFETY: as above.
            return Self::V1(unsafe { std::mem::transmute::<*mut c_void, V1>(address) });
        }
        Self::Single
    }

    /// Copies all pieces in stream order.
    ///
    /// # Safety
    /// The context is current; targets are device memory and sources pinned host memory of those sizes, which stay until the
    /// stream has done this.
    pub unsafe fn copy(self, pieces: &[Piece], stream: sys::CUstream) -> Result<(), DriverError> {
        if pieces.len() < 2 || matches!(self, Self::Single) {
            for piece in pieces {
                // SAFETY: the caller vouches for the piece.
                unsafe {
                    let from = std::slice::from_raw_parts(piece.from, piece.bytes);
                    result::memcpy_htod_async(piece.to, from, stream)?;
                }
            }
            return Ok(());
        }
        let mut to: Vec<u64> = pieces.iter().map(|piece| piece.to).collect();
        let mut from: Vec<u64> = pieces.iter().map(|piece| piece.from as u64).collect();
        let mut sizes: Vec<usize> = pieces.iter().map(|piece| piece.bytes).collect();
        let mut attributes = Attributes { access_order: STREAM_ORDER, source: [0; 2], target: [0; 2], flags: 0 };
        let (mut first, mut failed) = (0_usize, usize::MAX);
        let (count, attributes, first) = (pieces.len(), &raw mut attributes, &raw mut first);
        let (to, from, sizes) = (to.as_mut_ptr(), from.as_mut_ptr(), sizes.as_mut_ptr());
        // SAFETY: arrays of `count`, one attribute for all from piece 0 on; the driver copies them before it returns.
        unsafe {
            match self {
                Self::V1(call) => call(to, from, sizes, count, attributes, first, 1, &raw mut failed, stream).result(),
                Self::V2(call) => call(to, from, sizes, count, attributes, first, 1, stream).result(),
                Self::Single => Ok(()),
            }
        }
    }
}

/// Where the driver has the function as of a version.
fn address(version: c_int) -> Option<*mut c_void> {
    let mut address = std::ptr::null_mut();
    let mut status = sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    // SAFETY: the name ends in a zero; an address and a status are written.
    let found = unsafe {
        sys::cuGetProcAddress_v2(c"cuMemcpyBatchAsync".as_ptr(), &raw mut address, version, 0, &raw mut status)
    };
    (found.result().is_ok() && !address.is_null()).then_some(address)
}
