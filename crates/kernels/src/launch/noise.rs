//! [`Noise`] on a runtime: the Rust twin on a CPU, `noise.cu` elsewhere, with the same bits.

use super::{Arg, Buf, KernelId, Runtime, Shape, start};
use crate::Result;
use crate::device::DeviceError;
use crate::noise::{Noise, check};

const THREADS: u32 = 256;
/// Elements a block makes at once, as in `noise.cu`.
const TILE: u64 = 4096;

impl Noise {
    /// [`Self::fill`] on the runtime's device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn run_fill(&self, rt: &Runtime, offset: u64, scale: f32, out: &mut Buf<f32>) -> Result<()> {
        rt.check(out)?;
        if let (None, Some(out)) = (rt.launcher(), out.host_mut()) {
            return self.fill(offset, scale, out);
        }
        self.write(rt, offset, scale, 1.0, out, Arg::NULL)
    }

    /// [`Self::add_and_divide`] on the runtime's device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn run_add_and_divide(
        &self,
        rt: &Runtime,
        offset: u64,
        scale: f32,
        divisor: f32,
        x: &mut Buf<f32>,
    ) -> Result<()> {
        rt.check(x)?;
        if let (None, Some(x)) = (rt.launcher(), x.host_mut()) {
            return self.add_and_divide(offset, scale, divisor, x);
        }
        let sum = (&*x).into();
        self.write(rt, offset, scale, divisor, x, sum)
    }

    /// The same into a buffer of its own: (x + `scale` · z)/`divisor`.
    ///
    /// # Errors
    /// As [`Self::run_add_and_divide`].
    pub fn run_sum(&self, rt: &Runtime, offset: u64, scale: f32, divisor: f32, x: &Buf<f32>) -> Result<Buf<f32>> {
        rt.check(x)?;
        if let (None, Some(x)) = (rt.launcher(), x.host()) {
            let mut out = x.to_vec();
            self.add_and_divide(offset, scale, divisor, &mut out)?;
            return rt.take(out);
        }
        let mut out = rt.zeros(x.len())?;
        self.write(rt, offset, scale, divisor, &mut out, x.into())?;
        Ok(out)
    }

    fn write(&self, rt: &Runtime, offset: u64, scale: f32, divisor: f32, out: &mut Buf<f32>, sum: Arg) -> Result<()> {
        check(offset, scale, divisor, out.len())?;
        let Some(launcher) = rt.launcher() else { return Err(DeviceError::Elsewhere { device: rt.device() }.into()) };
        let n = out.len() as u64;
        if n == 0 {
            return Ok(());
        }
        let key = rt.upload(&self.key().device_words())?;
        let (param, step) = self.coordinates();
        let tiles = (offset % TILE + n).div_ceil(TILE);
        let shape = Shape::of(tiles * THREADS as u64, THREADS, launcher.many_blocks());
        let args = [
            sum,
            out.into(),
            n.into(),
            offset.into(),
            (&key).into(),
            param.into(),
            step.into(),
            self.flags().into(),
            scale.into(),
            divisor.into(),
        ];
        // SAFETY: `sum` and `out` hold n elements of `rt`, the key its eight words, which live until the kernel has run
        // (memory of a stream is given back in the stream's order).
        unsafe { start(launcher, KernelId::NoiseWrite, shape, args) }
    }
}
