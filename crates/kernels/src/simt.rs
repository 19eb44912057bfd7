//! The CUDA sources on the CPU: the same kernels, the same arguments, one fiber a GPU thread (`kernels/simt/`).

use std::ffi::c_void;

use crate::Result;
use crate::launch::{KernelId, Launch};

/// The shim. A kernel that misuses barriers or warp operations ends the process with a message.
#[derive(Debug, Default)]
pub struct Simt {
    _private: (),
}

unsafe extern "C" {
    fn simt_set_order(seed: u64);
}

impl Simt {
    /// Nothing to open.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

/// Shuffles the order of blocks and threads in this thread's launches from now on; 0 is ascending again. No result may
/// depend on it.
pub fn set_order(seed: u64) {
    // SAFETY: it only stores the number in a thread-local.
    unsafe { simt_set_order(seed) }
}

impl Launch for Simt {
    unsafe fn launch(
        &self,
        kernel: KernelId,
        [gx, gy, gz]: [u32; 3],
        [bx, by, bz]: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()> {
        let entry = kernel.host();
        // SAFETY: the entry point reads as many arguments as the kernel has, of its types, which the caller vouches for.
        unsafe { entry(gx, gy, gz, bx, by, bz, shared, args.as_mut_ptr()) };
        Ok(())
    }

    /// Few: each block is simulated, but more than one so that they meet.
    fn many_blocks(&self) -> u32 {
        5
    }

    fn shared_limit(&self) -> u32 {
        48 << 10
    }
}
