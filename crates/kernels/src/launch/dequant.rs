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
    pub fn run_dequantise<T: Float>(
        &self,
        rt: &Runtime,
        packed: &Buf<u8>,
        from: usize,
        out: &mut Buf<T>,
    ) -> Result<()> {
        rt.check(packed)?;
        rt.check(out)?;
        if !from.is_multiple_of(16) || from > packed.len() {
            return Err(Error::parameter("the packed tensor's place", from, "a multiple of 16 within the buffer"));
        }
        let n = out.len();
        let bytes = self.packed_bytes(n)?;
        self.check(bytes.min(packed.len() - from), n)?;
        if let (None, Some(packed), Some(out)) = (rt.launcher(), packed.host(), out.host_mut()) {
            return self.dequantise(&packed[from..from + bytes], out);
        }
        let Some(launcher) = rt.launcher() else { return Ok(()) };
        if n == 0 {
            return Ok(());
        }
        let (source, target) = (packed.address() + from as u64, out.address_mut());
        if source % 16 != 0 || target % 16 != 0 {
            return Err(Error::parameter("a buffer's address", format!("{source:#x}"), "a multiple of 16"));
        }
        let (source, target) = (Arg::address(source), Arg::address(target));
        let shape = Shape::of((n as u64).div_ceil(UNIT), THREADS, launcher.many_blocks());
        match self {
            Self::Int4(int4) => {
                let kernel = match T::OUTPUT.0 {
                    Output::F32 => KernelId::DequantInt4F32,
                    Output::Bf16 => KernelId::DequantInt4Bf16,
                    Output::F16 => KernelId::DequantInt4F16,
                };
                let sections = int4.sections(n)?;
                let group_log2 = int4.group.elements().trailing_zeros();
                let (scales, zeros) = (sections.scales as u64, sections.zeros as u64);
                let args = [
                    source,
                    (n as u64).into(),
                    group_log2.into(),
                    int4.flags().into(),
                    scales.into(),
                    zeros.into(),
                    target,
                ];
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
                unsafe { start(launcher, kernel, shape, [source, (n as u64).into(), target]) }
            }
        }
    }
}
