//! The sweeps of `kernels/select.cuh`, started in one go: nothing comes back to the host before the end.

use super::{Arg, Buf, Element, KernelId, Launch, Runtime, Shape, start};
use crate::topk::{NanPolicy, TopKStats};
use crate::{Error, Result};

/// As in `select.cuh`.
const TILE: u64 = 4096;
const TILE_THREADS: u32 = 256;
const HIST_THREADS: u32 = 512;
const TOP_BINS: usize = 2048;

/// `SelectState`: eight u64, then eight u32.
const STATE_WORDS: usize = 12;

/// Working memory of one selection of `k` among `n`. `I` holds indices.
pub(super) struct Selection<'a, I: Element> {
    launcher: &'a dyn Launch,
    pub n: u64,
    k: u64,
    policy: NanPolicy,
    pub state: Buf<u64>,
    pub bins: Buf<u64>,
    /// Look-back words of the hinted gather, the gather, and the write (two counts).
    words: [Buf<u64>; 3],
    pub list_index: Buf<I>,
    pub list_value: Buf<f32>,
}

/// What a selection found, before the winners are read.
pub(super) struct Found {
    pub stats: TopKStats,
}

impl<'a, I: Element> Selection<'a, I> {
    /// `hint`: the threshold expected.
    pub fn new(
        rt: &Runtime,
        launcher: &'a dyn Launch,
        n: u64,
        k: u64,
        policy: NanPolicy,
        hint: Option<f32>,
    ) -> Result<Self> {
        // Above a third, the list costs more traffic than reading the source again.
        let capacity = if k > n / 3 { 0 } else { (k + n / 32 + 1024).min(n) };
        let tiles = n.div_ceil(TILE) as usize;
        let hint = hint.map_or(0, |hint| (0.9 * hint.abs()).to_bits());
        let policy_code = match policy {
            NanPolicy::Largest => 0,
            NanPolicy::Error => 1,
            NanPolicy::AsZero => 2_u32,
        };
        let mut state = vec![k, capacity, 0, 0, 0, 0, 0, u64::MAX];
        state.extend(pairs([0, hint, 0, policy_code, 0, 0, 0, 0]));
        state.resize(STATE_WORDS, 0);
        Ok(Self {
            launcher,
            n,
            k,
            policy,
            state: rt.take(state)?,
            bins: rt.zeros(TOP_BINS)?,
            words: [rt.zeros(tiles)?, rt.zeros(tiles)?, rt.zeros(2 * tiles)?],
            list_index: rt.zeros(capacity as usize)?,
            list_value: rt.zeros(capacity as usize)?,
        })
    }

    /// Blocks for a sweep in any order: each thread takes several elements.
    pub fn histogram_shape(&self) -> Shape {
        Shape::of(self.n.div_ceil(8), HIST_THREADS, self.launcher.many_blocks())
    }

    /// Blocks for a sweep in index order: they take tiles until none is left.
    pub fn tile_shape(&self) -> Shape {
        Shape::of(self.n.div_ceil(TILE) * TILE_THREADS as u64, TILE_THREADS, self.launcher.many_blocks())
    }

    pub fn words(&mut self, sweep: Sweep) -> Arg {
        (&mut self.words[sweep as usize]).into()
    }

    /// Starts a kernel of this selection.
    ///
    /// # Safety
    /// As [`start`].
    pub unsafe fn start<const N: usize>(&self, kernel: KernelId, shape: Shape, args: [Arg; N]) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { start(self.launcher, kernel, shape, args) }
    }

    /// Waits for the sweeps.
    pub fn finish(&self) -> Result<Found> {
        let state = self.state.to_vec()?;
        let nan_count = state[5].max(state[6]);
        if self.policy == NanPolicy::Error && nan_count > 0 {
            return Err(Error::Nan { index: state[7] });
        }
        let [threshold, _] = split(state[8]);
        Ok(Found { stats: TopKStats { n: self.n, k: self.k, threshold: f32::from_bits(threshold), nan_count } })
    }
}

/// Which sweep in index order.
#[derive(Clone, Copy)]
pub(super) enum Sweep {
    Hinted,
    Gather,
    Write,
}

fn pairs(values: [u32; 8]) -> impl Iterator<Item = u64> {
    let mut bytes = [0; 32];
    for (at, value) in values.iter().enumerate() {
        bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    let words: [u64; 4] = std::array::from_fn(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[8 * at..8 * at + 8]);
        u64::from_ne_bytes(word)
    });
    words.into_iter()
}

fn split(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}
