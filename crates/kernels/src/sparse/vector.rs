//! Sparse vectors and bit masks: what selections return.

use super::support::{axpy, check_indices, same};
use crate::{Error, Result};

/// A vector of `len` values of which only some are stored, by strictly increasing index.
///
/// ```
/// # use ashlar_kernels::SparseVec;
/// let update = SparseVec::new(5, vec![1, 4], vec![0.5, -2.0])?;
/// let mut weights = vec![1.0; 5];
/// update.add_to(&mut weights, -1.0)?;
/// assert_eq!(weights, [1.0, 0.5, 1.0, 1.0, 3.0]);
/// # Ok::<(), ashlar_kernels::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseVec {
    len: u64,
    idx: Vec<u32>,
    val: Vec<f32>,
}

impl SparseVec {
    /// From indices and values.
    ///
    /// # Errors
    /// Lists of different lengths; indices that don't strictly increase or aren't below `len`.
    pub fn new(len: u64, idx: Vec<u32>, val: Vec<f32>) -> Result<Self> {
        same("idx", idx.len() as u64, "val", val.len() as u64)?;
        check_indices(len, &idx)?;
        Ok(Self { len, idx, val })
    }

    /// Without checks: for kernels that emit indices in order.
    pub(crate) fn from_sorted(len: u64, idx: Vec<u32>, val: Vec<f32>) -> Self {
        debug_assert!(idx.len() == val.len() && idx.is_sorted_by(|a, b| a < b));
        debug_assert!(idx.last().is_none_or(|&last| (last as u64) < len));
        Self { len, idx, val }
    }

    /// Length of the dense vector.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the dense vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stored indices, strictly increasing.
    pub fn idx(&self) -> &[u32] {
        &self.idx
    }

    /// Stored values, in the order of [`Self::idx`].
    pub fn val(&self) -> &[f32] {
        &self.val
    }

    /// Stored values, to be changed in place.
    pub fn val_mut(&mut self) -> &mut [f32] {
        &mut self.val
    }

    /// Number of stored values (zeros among them count).
    pub fn nnz(&self) -> usize {
        self.idx.len()
    }

    /// Pairs of index and value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.idx.iter().copied().zip(self.val.iter().copied())
    }

    /// Indices and values, without a copy.
    pub fn into_parts(self) -> (Vec<u32>, Vec<f32>) {
        (self.idx, self.val)
    }

    /// The dense vector.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.len as usize];
        for (index, value) in self.iter() {
            dense[index as usize] = value;
        }
        dense
    }

    /// `dst[i] += scale · self[i]`, product and sum each rounded.
    ///
    /// # Errors
    /// A `dst` of another length.
    pub fn add_to(&self, dst: &mut [f32], scale: f32) -> Result<()> {
        self.same_len(dst.len())?;
        axpy(&self.idx, scale, &self.val, dst, 1);
        Ok(())
    }

    /// `dst[i] = 0` at the stored indices.
    ///
    /// # Errors
    /// A `dst` of another length.
    pub fn zero_in(&self, dst: &mut [f32]) -> Result<()> {
        self.same_len(dst.len())?;
        for &index in &self.idx {
            dst[index as usize] = 0.0;
        }
        Ok(())
    }

    /// The stored positions as bits.
    pub fn mask(&self) -> BitMask {
        let mut mask = BitMask::zeros(self.len as usize);
        for &index in &self.idx {
            mask.words[index as usize / 64] |= 1 << (index % 64);
        }
        mask
    }

    fn same_len(&self, len: usize) -> Result<()> {
        if self.len == len as u64 {
            return Ok(());
        }
        Err(Error::LengthMismatch {
            left_name: "the sparse vector",
            left: self.len,
            right_name: "dst",
            right: len as u64,
        })
    }
}

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
        if words.len() != len.div_ceil(64) {
            return Err(Error::LengthMismatch {
                left_name: "words",
                left: words.len() as u64,
                right_name: "len / 64, rounded up,",
                right: len.div_ceil(64) as u64,
            });
        }
        if let Some(last) = words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last &= (1 << (len % 64)) - 1;
        }
        Ok(Self { len, words })
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
        if x.len() != self.len {
            return Err(Error::LengthMismatch {
                left_name: "the mask",
                left: self.len as u64,
                right_name: "x",
                right: x.len() as u64,
            });
        }
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
