//! Bit masks, and the way to indices and back.

use rayon::prelude::*;

use super::support::same;
use crate::Result;
use crate::simd::{self, vectorised};

/// Words that a thread takes at once.
const PART: usize = 1 << 12;

/// One bit a coordinate: 1/32 of the bytes of an f32 mask.
///
/// ```
/// # use ashlar_kernels::BitMask;
/// let mut mask = BitMask::zeros(70);
/// mask.set(3, true);
/// mask.set(69, true);
/// assert_eq!((mask.count(), mask.ones().collect::<Vec<_>>()), (2, vec![3, 69]));
/// let mut gradient = vec![1.0; 70];
/// mask.apply(&mut gradient)?; // zero where the bit is 0
/// assert_eq!(gradient.iter().sum::<f32>(), 2.0);
/// # Ok::<(), ashlar_kernels::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitMask {
    len: usize,
    words: Vec<u64>, // bit i of the mask is bit i % 64 of words[i / 64]; bits past the end are 0
}

impl BitMask {
    /// `len` bits, all 0.
    pub fn zeros(len: usize) -> Self {
        Self { len, words: vec![0; len.div_ceil(64)] }
    }

    /// From 64-bit words, lowest bit first.
    ///
    /// # Errors
    /// A number of words that doesn't fit `len`. Bits past the end are cleared.
    pub fn from_words(len: usize, mut words: Vec<u64>) -> Result<Self> {
        same("words", words.len() as u64, "len / 64, rounded up,", len.div_ceil(64) as u64)?;
        if let Some(last) = words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last &= (1 << (len % 64)) - 1;
        }
        Ok(Self { len, words })
    }

    /// The bits at strictly increasing indices below `len`.
    pub(super) fn of_sorted(len: usize, idx: &[u32]) -> Self {
        let mut words = vec![0; len.div_ceil(64)];
        words.par_chunks_mut(PART).enumerate().for_each(|(part, words)| {
            let (first, end) = (part * PART, part * PART + words.len());
            let from = idx.partition_point(|&i| (i as usize / 64) < first);
            let to = from + idx[from..].partition_point(|&i| (i as usize / 64) < end);
            // The word is kept in a register: indices of one word would otherwise wait for each other's stores.
            let (mut word, mut last) = (0, usize::MAX);
            for &i in &idx[from..to] {
                let at = i as usize / 64 - first;
                word = if at == last { word } else { 0 } | 1 << (i % 64);
                words[at] = word;
                last = at;
            }
        });
        Self { len, words }
    }

    /// The indices of the bits that are 1; the mask has at most 2³² bits.
    pub(super) fn to_sorted(&self) -> Vec<u32> {
        let counts: Vec<usize> = self.words.par_chunks(PART).map(count).collect();
        let mut idx = vec![0; counts.iter().sum()];
        let mut rest = &mut idx[..];
        let mut parts = Vec::with_capacity(counts.len());
        for (words, count) in self.words.chunks(PART).zip(counts) {
            let (own, after) = rest.split_at_mut(count);
            parts.push((words, own));
            rest = after;
        }
        let level = simd::level();
        parts.into_par_iter().enumerate().for_each(|(part, (words, out))| {
            let first = part * PART;
            vectorised!(level, write_ones(words: &[u64], first: usize, out: &mut [u32]));
        });
        idx
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words, lowest bit first; bits past the end are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Bit `index`; false past the end.
    #[inline]
    pub fn get(&self, index: usize) -> bool {
        index < self.len && self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Sets bit `index`.
    ///
    /// # Panics
    /// Past the end.
    #[inline]
    pub fn set(&mut self, index: usize, on: bool) {
        assert!(index < self.len, "bit {index} of a mask of {}", self.len);
        let bit = 1 << (index % 64);
        if on {
            self.words[index / 64] |= bit;
        } else {
            self.words[index / 64] &= !bit;
        }
    }

    /// How many bits are 1.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| word.count_ones() as u64).sum()
    }

    /// Indices of the bits that are 1, increasing.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    at * 64 + bit as usize
                })
            })
        })
    }

    /// Every bit the other way.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut words: Vec<u64> = self.words.iter().map(|word| !word).collect();
        if let Some(last) = words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
        Self { len: self.len, words }
    }

    /// `x[i] = 0` where the bit is 0.
    ///
    /// # Errors
    /// An `x` of another length.
    pub fn apply(&self, x: &mut [f32]) -> Result<()> {
        same("the mask", self.len as u64, "x", x.len() as u64)?;
        for (chunk, &word) in x.chunks_mut(64).zip(&self.words) {
            for (bit, value) in chunk.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *value = 0.0;
                }
            }
        }
        Ok(())
    }
}

fn count(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// The indices of the ones, of which `out` holds as many; `words` begin at word `first` of the mask.
#[inline(always)]
fn write_ones(words: &[u64], first: usize, out: &mut [u32]) {
    let mut out = out;
    for (at, &word) in words.iter().enumerate() {
        let base = ((first + at) * 64) as u32;
        let mut rest = word;
        let mut next = || {
            let index = base.wrapping_add(rest.trailing_zeros());
            rest &= rest.wrapping_sub(1);
            index
        };
        let ones = word.count_ones() as usize;
        // Eight at a time, so that the number of ones is guessed wrongly less often. What is too much is overwritten.
        if let Some(room) = out.first_chunk_mut::<64>() {
            for eight in room.as_chunks_mut::<8>().0.iter_mut().take(ones.div_ceil(8)) {
                for to in eight {
                    *to = next();
                }
            }
        } else {
            out[..ones].iter_mut().for_each(|to| *to = next());
        }
        out = &mut out[ones..];
    }
}
