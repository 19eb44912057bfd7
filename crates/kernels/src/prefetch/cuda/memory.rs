//! Pinned host memory and device slots, freed with their owners.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::prefetch::PrefetchError;

pub(super) fn failed(what: &'static str) -> impl Fn(DriverError) -> PrefetchError {
    move |error| PrefetchError::System { what, reason: name(error) }
}

/// The driver's name of an error.
pub(super) fn name(error: DriverError) -> String {
    error.error_name().map_or_else(|_| format!("{error:?}"), |name| name.to_string_lossy().into_owned())
}

/// Page-locked host memory that the CPU reads at full speed (not write-combined, unlike cudarc's `alloc_pinned`), so that
/// a CPU can compute with the same records.
#[derive(Debug)]
pub struct Pinned {
    at: *mut u8,
    len: usize,
    context: Arc<CudaContext>,
}

// SAFETY: it owns its memory, which any thread may use.
unsafe impl Send for Pinned {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `len` zeros.
    ///
    /// # Errors
    /// The driver has no such memory left (a limit on locked memory counts too).
    pub fn zeros(context: &Arc<CudaContext>, len: usize) -> Result<Self, PrefetchError> {
        let failed = failed("pinning host memory");
        context.bind_to_thread().map_err(&failed)?;
        // SAFETY: the context is current; flags 0 are plain pinned memory.
        let at = unsafe { result::malloc_host(len.max(1), 0) }.map_err(&failed)?.cast::<u8>();
        // SAFETY: `len` bytes were just allocated; zeros are bytes.
        unsafe { at.write_bytes(0, len) };
        Ok(Self { at, len, context: Arc::clone(context) })
    }
}

impl Deref for Pinned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes at `at` are ours and were written.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

impl DerefMut for Pinned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated by `malloc_host`, freed once. What goes wrong now has nobody to hear it.
            let _ = unsafe { result::free_host(self.at.cast()) };
        }
    }
}

/// The device's slots, in one allocation.
#[derive(Debug)]
pub(super) struct DeviceSlots {
    base: u64,
    slot_bytes: u64,
    context: Arc<CudaContext>,
}

impl DeviceSlots {
    pub fn new(context: &Arc<CudaContext>, slots: u32, slot_bytes: u64) -> Result<Self, PrefetchError> {
        let failed = failed("allocating expert slots on the GPU");
        context.bind_to_thread().map_err(&failed)?;
        let bytes = usize::try_from(slots as u64 * slot_bytes).unwrap_or(usize::MAX);
        // SAFETY: the context is current. The memory is written before it is read: a lease is of a copied record.
        let base = unsafe { result::malloc_sync(bytes) }.map_err(&failed)?;
        Ok(Self { base, slot_bytes, context: Arc::clone(context) })
    }

    /// A slot's device address, a multiple of 256.
    pub fn address(&self, slot: u32) -> u64 {
        self.base + slot as u64 * self.slot_bytes
    }
}

impl Drop for DeviceSlots {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated above, freed once; the driver waits for the work that uses it.
            let _ = unsafe { result::free_sync(self.base) };
        }
    }
}

/// An event that a thread sleeps on: blocking and without timing, which cudarc's flags can't say together.
#[derive(Debug)]
pub(super) struct Signal {
    event: sys::CUevent,
    context: Arc<CudaContext>,
}

// SAFETY: an event may be used by any thread of its context.
unsafe impl Send for Signal {}

impl Signal {
    /// After what the stream has been given until now.
    pub fn record(stream: &CudaStream) -> Result<Self, DriverError> {
        const BLOCKING: u32 = sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        const QUIET: u32 = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        let context = Arc::clone(stream.context());
        context.bind_to_thread()?;
        let mut event = std::ptr::null_mut();
        // SAFETY: the context is current; one handle is written.
        unsafe { sys::cuEventCreate(&raw mut event, BLOCKING | QUIET) }.result()?;
        let signal = Self { event, context };
        // SAFETY: event and stream are alive and of one context.
        unsafe { result::event::record(signal.event, stream.cu_stream()) }?;
        Ok(signal)
    }

    /// Sleeps until then.
    pub fn wait(&self) -> Result<(), DriverError> {
        self.context.bind_to_thread()?;
        // SAFETY: the event is alive.
        unsafe { result::event::synchronize(self.event) }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: created above, destroyed once; the driver keeps it until it has been reached.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}
