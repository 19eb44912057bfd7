//! [`Support`] and its operations on a runtime: the Rust twins on a CPU, `sparse.cu` elsewhere, with the same bits.

use super::{Arg, Buf, KernelId, Launch, Runtime, Shape, start};
use crate::Result;
use crate::device::DeviceError;
use crate::sparse::{AdamWStep, BitMask, SgdStep, Support, check_sddmm, check_step, same, sddmm};

const THREADS: u32 = 256;
/// Words of a mask that a block takes at once, as in `sparse.cu`.
const MASK_TILE: u64 = 256;
/// Side of a square that is transposed at once, as in `sparse.cu`.
const SIDE: u64 = 32;

/// A [`Support`] with its indices on a device: checked, and out of reach there.
#[derive(Debug)]
pub struct DeviceSupport {
    host: Support,
    idx: Buf<u32>,
}

impl DeviceSupport {
    /// Copies the indices to the device.
    ///
    /// # Errors
    /// No memory left; what the driver reports.
    pub fn new(rt: &Runtime, host: Support) -> Result<Self> {
        let idx = rt.upload(host.idx())?;
        Ok(Self { host, idx })
    }

    /// The bits of a mask that are 1, found on the device.
    ///
    /// # Errors
    /// More than 2³² bits; what the driver reports.
    pub fn from_mask(rt: &Runtime, mask: &BitMask) -> Result<Self> {
        let Some(launcher) = rt.launcher() else { return Self::new(rt, Support::from_mask(mask)?) };
        Support::check_mask(mask)?;
        let n = mask.words().len() as u64;
        let tiles = n.div_ceil(MASK_TILE);
        if tiles == 0 {
            return Self::new(rt, Support::default());
        }
        let words = rt.upload(mask.words())?;
        let mut counts = rt.zeros::<u64>(tiles as usize)?;
        let shape = Shape::of(tiles * THREADS as u64, THREADS, launcher.many_blocks());
        let args = [(&words).into(), n.into(), (&mut counts).into()];
        // SAFETY: the words and a count a tile, of `rt`.
        unsafe { start(launcher, KernelId::SparseMaskCount, shape, args)? };
        let mut nnz = 0;
        let mut offsets = counts.into_vec()?;
        for offset in &mut offsets {
            nnz += std::mem::replace(offset, nnz);
        }
        let offsets = rt.upload(&offsets)?;
        let mut idx = rt.zeros::<u32>(nnz as usize)?;
        let args = [(&words).into(), n.into(), (&offsets).into(), (&mut idx).into()];
        // SAFETY: `idx` has as many places as the words have bits; all are of `rt`.
        unsafe { start(launcher, KernelId::SparseMaskWrite, shape, args)? };
        let host = Support::from_sorted(mask.len() as u64, idx.to_vec()?);
        Ok(Self { host, idx })
    }

    /// The same on the host.
    pub fn host(&self) -> &Support {
        &self.host
    }

    /// One bit a coordinate, set on the device.
    ///
    /// # Errors
    /// A length that this machine can't address; what the driver reports.
    pub fn to_mask(&self, rt: &Runtime) -> Result<BitMask> {
        rt.check(&self.idx)?;
        let Some(launcher) = rt.launcher() else { return self.host.to_mask() };
        let len = self.host.addressable()?;
        let mut words = rt.zeros::<u64>(len.div_ceil(64))?;
        let args = [(&self.idx).into(), self.count().into(), (&mut words).into()];
        // SAFETY: every index is below `len`, whose words there are; both are of `rt`.
        unsafe { each(launcher, KernelId::SparseIndexMask, self.count(), args)? };
        BitMask::from_words(len, words.into_vec()?)
    }

    /// [`Support::gather`] on the device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn gather(&self, rt: &Runtime, x: &Buf<f32>, width: usize) -> Result<Buf<f32>> {
        rt.check(x)?;
        rt.check(&self.idx)?;
        if let (None, Some(x)) = (rt.launcher(), x.host()) {
            return rt.take(self.host.gather(x, width)?);
        }
        let values = self.host.values(x.len(), width)?;
        let launcher = launcher(rt)?;
        let mut out = rt.zeros(values)?;
        let args = [x.into(), (&self.idx).into(), (&mut out).into(), self.count().into(), (width as u64).into()];
        // SAFETY: the lengths and indices have been checked, the buffers are of `rt`.
        unsafe { each(launcher, KernelId::SparseGather, self.threads(width), args)? };
        Ok(out)
    }

    /// [`Support::scatter_add`] on the device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn scatter_add(&self, rt: &Runtime, val: &Buf<f32>, dst: &mut Buf<f32>, width: usize) -> Result<()> {
        self.axpy(rt, 1.0, val, dst, width)
    }

    /// [`Support::axpy`] on the device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn axpy(&self, rt: &Runtime, scale: f32, val: &Buf<f32>, dst: &mut Buf<f32>, width: usize) -> Result<()> {
        rt.check(val)?;
        rt.check(dst)?;
        rt.check(&self.idx)?;
        if let (None, Some(val), Some(dst)) = (rt.launcher(), val.host(), dst.host_mut()) {
            return self.host.axpy(scale, val, dst, width);
        }
        self.host.check(dst.len(), val.len(), width)?;
        let args =
            [dst.into(), (&self.idx).into(), val.into(), scale.into(), self.count().into(), (width as u64).into()];
        // SAFETY: as in `gather`.
        unsafe { each(launcher(rt)?, KernelId::SparseAxpy, self.threads(width), args) }
    }

    /// [`sddmm`] on the device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn sddmm(&self, rt: &Runtime, dy: &Buf<f32>, x: &Buf<f32>, sizes: [usize; 3]) -> Result<Buf<f32>> {
        rt.check(dy)?;
        rt.check(x)?;
        rt.check(&self.idx)?;
        let [positions, outputs, inputs] = sizes;
        if let (None, Some(dy), Some(x)) = (rt.launcher(), dy.host(), x.host()) {
            return rt.take(sddmm(&self.host, dy, x, positions, outputs, inputs)?);
        }
        check_sddmm(&self.host, dy.len(), x.len(), sizes)?;
        let launcher = launcher(rt)?;
        let (dy, x) = (transposed(rt, dy, positions, outputs)?, transposed(rt, x, positions, inputs)?);
        let mut out = rt.zeros(self.host.nnz())?;
        let args = [
            (&dy).into(),
            (&x).into(),
            (&self.idx).into(),
            self.count().into(),
            (positions as u64).into(),
            (inputs as u64).into(),
            (&mut out).into(),
        ];
        // SAFETY: every index is below outputs times inputs; the lengths have been checked, the buffers are of `rt`.
        unsafe { each(launcher, KernelId::SparseSddmm, 32 * self.count(), args)? };
        Ok(out)
    }

    /// Threads for all values: rows go to warps by 32 columns, single values to threads.
    fn threads(&self, width: usize) -> u64 {
        self.count() * if width == 1 { 1 } else { 32 * (width as u64).div_ceil(32) }
    }

    fn count(&self) -> u64 {
        self.host.nnz() as u64
    }
}

/// Starts a kernel with a thread an item of `work`, if any.
///
/// # Safety
/// As [`start`].
unsafe fn each<const N: usize>(to: &dyn Launch, kernel: KernelId, work: u64, args: [Arg; N]) -> Result<()> {
    if work == 0 {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { start(to, kernel, Shape::of(work, THREADS, to.many_blocks()), args) }
}

fn launcher(rt: &Runtime) -> Result<&dyn Launch> {
    rt.launcher().ok_or_else(|| DeviceError::Elsewhere { device: rt.device() }.into())
}

fn transposed(rt: &Runtime, x: &Buf<f32>, rows: usize, columns: usize) -> Result<Buf<f32>> {
    let mut out = rt.zeros(x.len())?;
    let (rows, columns) = (rows as u64, columns as u64);
    let squares = rows.div_ceil(SIDE) * columns.div_ceil(SIDE);
    if squares > 0 {
        let launcher = launcher(rt)?;
        let shape = Shape::of(squares * THREADS as u64, THREADS, launcher.many_blocks());
        let args = [x.into(), rows.into(), columns.into(), (&mut out).into()];
        // SAFETY: both hold rows times columns values (the caller has checked `x`) and are of `rt`.
        unsafe { start(launcher, KernelId::SparseTranspose, shape, args)? };
    }
    Ok(out)
}

impl AdamWStep {
    /// [`Self::apply`] on the runtime's device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn run(
        &self,
        rt: &Runtime,
        at: &DeviceSupport,
        w: &mut Buf<f32>,
        g: &Buf<f32>,
        [m, v]: [&mut Buf<f32>; 2],
    ) -> Result<()> {
        rt.check(&at.idx)?;
        for buffer in [&*w, g, &*m, &*v] {
            rt.check(buffer)?;
        }
        if let (None, Some(w), Some(g), Some(m), Some(v)) =
            (rt.launcher(), w.host_mut(), g.host(), m.host_mut(), v.host_mut())
        {
            return self.apply(&at.host, w, g, m, v);
        }
        let dense = check_step(&at.host, w.len(), g.len(), m.len())?;
        same("m", m.len() as u64, "v", v.len() as u64)?;
        let args = [
            w.into(),
            g.into(),
            (&at.idx).into(),
            m.into(),
            v.into(),
            at.count().into(),
            (dense as u32).into(),
            self.scale.into(),
            self.keep.into(),
            self.rate.into(),
            self.root.into(),
            self.beta1.into(),
            self.beta2.into(),
            self.eps.into(),
        ];
        // SAFETY: the lengths and indices have been checked, the buffers are of `rt`.
        unsafe { each(launcher(rt)?, KernelId::SparseAdamw, at.count(), args) }
    }
}

impl SgdStep {
    /// [`Self::apply`] on the runtime's device.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn run(
        &self,
        rt: &Runtime,
        at: &DeviceSupport,
        w: &mut Buf<f32>,
        g: &Buf<f32>,
        b: &mut Buf<f32>,
    ) -> Result<()> {
        rt.check(&at.idx)?;
        for buffer in [&*w, g, &*b] {
            rt.check(buffer)?;
        }
        if let (None, Some(w), Some(g), Some(b)) = (rt.launcher(), w.host_mut(), g.host(), b.host_mut()) {
            return self.apply(&at.host, w, g, b);
        }
        let dense = check_step(&at.host, w.len(), g.len(), b.len())?;
        let args = [
            w.into(),
            g.into(),
            (&at.idx).into(),
            b.into(),
            at.count().into(),
            (dense as u32).into(),
            self.lr.into(),
            self.momentum.into(),
            self.weight_decay.into(),
            (self.nesterov as u32).into(),
        ];
        // SAFETY: as in `AdamWStep::run`.
        unsafe { each(launcher(rt)?, KernelId::SparseSgd, at.count(), args) }
    }
}
