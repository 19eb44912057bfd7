//! [`TopK`] on a runtime: the Rust twin on a CPU, the kernels of `topk.cu` elsewhere, with the same bits.

use super::select::{Selection, Sweep};
use super::{Arg, Buf, Element, KernelId, Launch, Runtime};
use crate::topk::{NanPolicy, TopK, TopKStats, select_u64};
use crate::{BitMask, Error, Result, SparseVec};

/// What a selection reads.
enum Source<'a> {
    /// Only read.
    Values(&'a Buf<f32>),
    /// Read, and zeroed at the winners.
    Zeroed(&'a mut Buf<f32>),
    /// e ← e + lr·g first, then as `Zeroed`.
    Feedback { e: &'a mut Buf<f32>, g: &'a Buf<f32>, lr: f32 },
}

impl Source<'_> {
    fn buffer(&self) -> &Buf<f32> {
        match self {
            Self::Values(x) => x,
            Self::Zeroed(x) | Self::Feedback { e: x, .. } => x,
        }
    }

    /// The buffer to zero at the winners.
    fn zero(&mut self) -> Arg {
        match self {
            Self::Values(_) => Arg::NULL,
            Self::Zeroed(x) | Self::Feedback { e: x, .. } => (&mut **x).into(),
        }
    }
}

/// Kernels by the width of their indices.
trait Index: Element {
    const GATHER: KernelId;
    const EF_GATHER: KernelId;
    const WRITE: KernelId;
}
impl Index for u32 {
    const GATHER: KernelId = KernelId::TopkGather;
    const EF_GATHER: KernelId = KernelId::TopkEfGather;
    const WRITE: KernelId = KernelId::TopkWrite;
}
impl Index for u64 {
    const GATHER: KernelId = KernelId::TopkGatherU64;
    const EF_GATHER: KernelId = KernelId::TopkEfGatherU64;
    const WRITE: KernelId = KernelId::TopkWriteU64;
}

/// Where the winners go.
struct Winners<I: Element> {
    index: Option<Buf<I>>,
    value: Option<Buf<f32>>,
    mask: Option<Buf<u32>>,
}

impl TopK {
    /// The selected elements: [`Self::select`] on the runtime's device.
    ///
    /// # Errors
    /// As [`Self::select`]; a buffer of another device; what the driver reports.
    pub fn run(&self, rt: &Runtime, x: &Buf<f32>) -> Result<(SparseVec, TopKStats)> {
        rt.check(x)?;
        match (rt.launcher(), x.host()) {
            (Some(launcher), _) => self.sparse(rt, launcher, Source::Values(x)),
            (None, Some(x)) => self.select(x),
            (None, None) => Err(elsewhere(rt)),
        }
    }

    /// As [`Self::run`], with the winners' places and values left on the device.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_on_device(&self, rt: &Runtime, x: &Buf<f32>) -> Result<(Buf<u32>, Buf<f32>, TopKStats)> {
        rt.check(x)?;
        let Some(launcher) = rt.launcher() else {
            let (top, stats) = self.run(rt, x)?;
            let (index, value) = top.into_parts();
            return Ok((rt.take(index)?, rt.take(value)?, stats));
        };
        let n = check_len(x.len())?;
        let k = self.k.resolve(n)? as usize;
        let winners = Winners::<u32> { index: Some(rt.zeros(k)?), value: Some(rt.zeros(k)?), mask: None };
        match self.sweep(rt, launcher, Source::Values(x), n, winners)? {
            (Winners { index: Some(index), value: Some(value), .. }, stats) => Ok((index, value, stats)),
            _ => Err(elsewhere(rt)),
        }
    }

    /// The selected elements, zeroed in `x`: [`Self::select_and_zero`] on the runtime's device.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_and_zero(&self, rt: &Runtime, x: &mut Buf<f32>) -> Result<(SparseVec, TopKStats)> {
        rt.check(x)?;
        match rt.launcher() {
            Some(launcher) => self.sparse(rt, launcher, Source::Zeroed(x)),
            None => self.select_and_zero(x.host_mut().ok_or_else(|| elsewhere(rt))?),
        }
    }

    /// Error feedback in one sweep: [`Self::error_feedback`] on the runtime's device.
    ///
    /// # Errors
    /// As [`Self::run`], and different lengths.
    pub fn run_error_feedback(
        &self,
        rt: &Runtime,
        e: &mut Buf<f32>,
        g: &Buf<f32>,
        lr: f32,
    ) -> Result<(SparseVec, TopKStats)> {
        rt.check(e)?;
        rt.check(g)?;
        if e.len() != g.len() {
            let (left, right) = (e.len() as u64, g.len() as u64);
            return Err(Error::LengthMismatch { left_name: "e", left, right_name: "g", right });
        }
        match (rt.launcher(), g.host()) {
            (Some(launcher), _) => self.sparse(rt, launcher, Source::Feedback { e, g, lr }),
            (None, Some(g)) => self.error_feedback(e.host_mut().ok_or_else(|| elsewhere(rt))?, g, lr),
            (None, None) => Err(elsewhere(rt)),
        }
    }

    /// The selected positions as bits: [`Self::mask`] on the runtime's device.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_mask(&self, rt: &Runtime, x: &Buf<f32>) -> Result<(BitMask, TopKStats)> {
        rt.check(x)?;
        let launcher = match (rt.launcher(), x.host()) {
            (Some(launcher), _) => launcher,
            (None, Some(x)) => return self.mask(x),
            (None, None) => return Err(elsewhere(rt)),
        };
        let n = check_len(x.len())?;
        let mask = rt.zeros(x.len().div_ceil(64) * 2)?;
        let winners = Winners::<u32> { index: None, value: None, mask: Some(mask) };
        let (winners, stats) = self.sweep(rt, launcher, Source::Values(x), n, winners)?;
        let halves = winners.mask.map(Buf::into_vec).transpose()?.unwrap_or_default();
        let words = halves.chunks(2).map(|half| half[0] as u64 | (half[1] as u64) << 32).collect();
        Ok((BitMask::from_words(x.len(), words)?, stats))
    }

    /// [`Self::run`] for 2³² elements and more: indices as u64, and the values.
    ///
    /// # Errors
    /// As [`Self::run`]. The CPU takes 2³² elements and more under [`NanPolicy::Largest`] only.
    pub fn run_u64(&self, rt: &Runtime, x: &Buf<f32>) -> Result<(Vec<u64>, Vec<f32>, TopKStats)> {
        rt.check(x)?;
        let Some(launcher) = rt.launcher() else {
            if x.len() as u64 >= 1 << 32 && self.nan == NanPolicy::Largest {
                return select_u64(x.host().ok_or_else(|| elsewhere(rt))?, self.k);
            }
            let (top, stats) = self.run(rt, x)?;
            let (index, value) = top.into_parts();
            return Ok((index.into_iter().map(u64::from).collect(), value, stats));
        };
        let n = x.len() as u64;
        self.lists::<u64>(rt, launcher, Source::Values(x), n)
    }

    fn sparse(&self, rt: &Runtime, launcher: &dyn Launch, source: Source) -> Result<(SparseVec, TopKStats)> {
        let n = check_len(source.buffer().len())?;
        let (index, value, stats) = self.lists(rt, launcher, source, n)?;
        Ok((SparseVec::from_sorted(n, index, value), stats))
    }

    fn lists<I: Index>(
        &self,
        rt: &Runtime,
        launcher: &dyn Launch,
        source: Source,
        n: u64,
    ) -> Result<(Vec<I>, Vec<f32>, TopKStats)> {
        let k = self.k.resolve(n)? as usize;
        let winners = Winners::<I> { index: Some(rt.zeros(k)?), value: Some(rt.zeros(k)?), mask: None };
        let (winners, stats) = self.sweep(rt, launcher, source, n, winners)?;
        let index = winners.index.map(Buf::into_vec).transpose()?.unwrap_or_default();
        let value = winners.value.map(Buf::into_vec).transpose()?.unwrap_or_default();
        Ok((index, value, stats))
    }

    fn sweep<I: Index>(
        &self,
        rt: &Runtime,
        launcher: &dyn Launch,
        mut source: Source,
        n: u64,
        mut winners: Winners<I>,
    ) -> Result<(Winners<I>, TopKStats)> {
        let k = self.k.resolve(n)?;
        let hint = self.hint.filter(|hint| hint.is_finite());
        let mut s = Selection::<I>::new(rt, launcher, n, k, self.nan, hint)?;
        let (any, tiles) = (s.histogram_shape(), s.tile_shape());
        let mut level = 0; // of the next histogram

        // The first sweep is the one that applies error feedback.
        if hint.is_some() {
            let words = s.words(Sweep::Hinted);
            let (state, index) = ((&mut s.state).into(), (&mut s.list_index).into());
            let value = (&mut s.list_value).into();
            // SAFETY: e, g and x hold n elements, the lists `capacity`, the words a word a tile; all of `rt`.
            unsafe {
                match &mut source {
                    Source::Feedback { e, g, lr } => {
                        let (e, g) = ((&mut **e).into(), (&**g).into());
                        s.start(I::EF_GATHER, tiles, [e, g, (*lr).into(), n.into(), state, words, index, value])?;
                    }
                    other => {
                        let x = other.buffer().into();
                        s.start(I::GATHER, tiles, [x, n.into(), state, words, 1_u32.into(), index, value])?;
                    }
                }
            }
        } else if let Source::Feedback { e, g, lr } = &mut source {
            let (e, g) = ((&mut **e).into(), (&**g).into());
            let (state, bins) = ((&mut s.state).into(), (&mut s.bins).into());
            // SAFETY: e and g hold n elements of `rt`.
            unsafe { s.start(KernelId::TopkEfHistogram, any, [e, g, (*lr).into(), n.into(), state, bins])? };
            level = 1;
        }

        for level in level..3_u32 {
            if level == 1 {
                gather(&mut s, &source)?;
            }
            let (x, list) = (source.buffer().into(), (&s.list_value).into());
            let (state, bins) = ((&mut s.state).into(), (&mut s.bins).into());
            // SAFETY: x holds n elements of `rt`, the list its capacity, `bins` 2048 zeros (each histogram leaves zeros).
            unsafe { s.start(KernelId::TopkHistogram, any, [x, n.into(), state, bins, level.into(), list])? };
        }

        let words = s.words(Sweep::Write);
        let x: Arg = source.buffer().into();
        let (state, list_index) = ((&mut s.state).into(), (&s.list_index).into());
        let list_value = (&s.list_value).into();
        let index = winners.index.as_mut().map_or(Arg::NULL, Arg::from);
        let value = winners.value.as_mut().map_or(Arg::NULL, Arg::from);
        let mask = winners.mask.as_mut().map_or(Arg::NULL, Arg::from);
        let zero = source.zero();
        // SAFETY: as above; the outputs hold k indices and values, or a bit an element.
        unsafe {
            let args = [x, n.into(), state, words, list_index, list_value, index, value, mask, zero];
            s.start(I::WRITE, tiles, args)?;
        }
        Ok((winners, s.finish()?.stats))
    }
}

/// The gather that a histogram prepared; it does nothing if a hinted one has filled the list.
fn gather<I: Index>(s: &mut Selection<I>, source: &Source) -> Result<()> {
    let (n, tiles) = (s.n, s.tile_shape());
    let words = s.words(Sweep::Gather);
    let (x, state) = (source.buffer().into(), (&mut s.state).into());
    let (index, value) = ((&mut s.list_index).into(), (&mut s.list_value).into());
    // SAFETY: x holds n elements, the lists their capacity, the words a word a tile; all of one runtime.
    unsafe { s.start(I::GATHER, tiles, [x, n.into(), state, words, 0_u32.into(), index, value]) }
}

fn check_len(len: usize) -> Result<u64> {
    if len as u64 >= 1 << 32 {
        return Err(Error::TooLong { len: len as u64, call: "TopK::run_u64" });
    }
    Ok(len as u64)
}

fn elsewhere(rt: &Runtime) -> Error {
    crate::device::DeviceError::Elsewhere { device: rt.device() }.into()
}
