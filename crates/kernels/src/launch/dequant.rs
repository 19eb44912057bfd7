//! [`Format`] on a runtime: the Rust twin on a CPU, `dequant.cu` elsewhere, with the same bits.

use super::{Arg, Buf, KernelId, Runtime, Shape, start};
use crate::dequant::{Float, Format, Output};
use crate::{Error, Result};

const THREADS: u32 = 256;
/// Elements a thread, as in `dequant.cu`.
const UNIT: u64 = 8;

impl Format {
    /// [`Self::dequantise`] on the runtime's device: `packed[from..]` to all of `out`. With a record of several tensors, one
    /// call a tensor; `from` is a multiple of 16.
    ///
    /// # Errors
    /// As there; a `from` that isn't a multiple of 16 or is past the end; a buffer of another device; what the driver reports.
    pub fn run_dequantise<T: Float>(self, rt: &Runtime, packed: &Buf<u8>, from: usize, out: &mut Buf<T>) -> Result<()> {
        rt.check(packed)?;
        rt.check(out)?;
        let bytes = self.place(packed.len(), from, out.len())?;
        if let (None, Some(packed), Some(out)) = (rt.launcher(), packed.host(), out.host_mut()) {
            return self.dequantise(&packed[from..from + bytes], out);
        }
        self.unpack(rt, packed.address() + from as u64, out)
    }

    /// As [`Self::run_dequantise`], of `len` bytes at a device address.
    #[cfg(feature = "cuda")]
    pub(crate) fn dequantise_at<T: Float>(
        self,
        rt: &Runtime,
        address: u64,
        len: usize,
        from: usize,
        out: &mut Buf<T>,
    ) -> Result<()> {
        rt.check(out)?;
        self.place(len, from, out.len())?;
        self.unpack(rt, address + from as u64, out)
    }

    /// Bytes of a tensor of n elements that begins at `from` of `len` bytes.
    fn place(self, len: usize, from: usize, n: usize) -> Result<usize> {
        if !from.is_multiple_of(16) || from > len {
            return Err(Error::parameter("the packed tensor's place", from, "a multiple of 16 within the buffer"));
        }
        let bytes = self.packed_bytes(n)?;
        self.check(bytes.min(len - from), n)?;
        Ok(bytes)
    }

    fn unpack<T: Float>(self, rt: &Runtime, source: u64, out: &mut Buf<T>) -> Result<()> {
        let (n, target) = (out.len(), out.address_mut());
        let Some(launcher) = rt.launcher().filter(|_| n > 0) else { return Ok(()) };
        if !(source | target).is_multiple_of(16) {
            return Err(Error::parameter("a buffer's address", format!("{:#x}", source | target), "a multiple of 16"));
        }
        let (source, target, count) = (Arg::address(source), Arg::address(target), Arg::from(n as u64));
        let shape = Shape::of((n as u64).div_ceil(UNIT), THREADS, launcher.many_blocks());
        match self {
            Self::Int4(int4) => {
                let kernel = match T::OUTPUT.0 {
                    Output::F32 => KernelId::DequantInt4F32,
                    Output::Bf16 => KernelId::DequantInt4Bf16,
                    Output::F16 => KernelId::DequantInt4F16,
                };
                let sections = int4.sections(n)?;
                let group_log2 = int4.group.elements().trailing_zeros().into();
                let (scales, zeros) = ((sections.scales as u64).into(), (sections.zeros as u64).into());
                let args = [source, count, group_log2, int4.flags().into(), scales, zeros, target];
                // SAFETY: the packed tensor has its format's length for n elements, `out` has n.
                unsafe { start(launcher, kernel, shape, args) }
            }
            Self::Q8_0 => {
                let kernel = match T::OUTPUT.0 {
                    Output::F32 => KernelId::DequantQ80F32,
                    Output::Bf16 => KernelId::DequantQ80Bf16,
                    Output::F16 => KernelId::DequantQ80F16,
                };
                // SAFETY: as above.
                unsafe { start(launcher, kernel, shape, [source, count, target]) }
            }
        }
    }
}
