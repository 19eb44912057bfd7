//! A checked set of indices: gather, scatter-add, axpy.

use rayon::prelude::*;

use super::{BitMask, SparseVec};
use crate::simd::{self, Level, vectorised};
use crate::{Error, Result};

/// Indices that a thread takes at once.
pub(super) const PART: usize = 1 << 15;

/// Which coordinates of a vector of `len` are kept: strictly increasing indices.
///
/// With a `width` above 1 in the calls below, a coordinate is a row of so many values.
///
/// ```
/// # use ashlar_kernels::sparse::Support;
/// let kept = Support::new(5, vec![1, 4])?;
/// let mut w = vec![10.0, 20.0, 30.0, 40.0, 50.0];
/// assert_eq!(kept.gather(&w, 1)?, [20.0, 50.0]);
/// kept.axpy(-2.0, &[1.0, 3.0], &mut w, 1)?;
/// assert_eq!(w, [10.0, 18.0, 30.0, 40.0, 44.0]);
/// # Ok::<(), ashlar_kernels::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    len: u64,
    idx: Vec<u32>,
}

/// The lengths must be equal.
pub(crate) fn same(left_name: &'static str, left: u64, right_name: &'static str, right: u64) -> Result<()> {
    if left == right { Ok(()) } else { Err(Error::LengthMismatch { left_name, left, right_name, right }) }
}

impl Support {
    /// From indices.
    ///
    /// # Errors
    /// Indices that don't strictly increase or aren't below `len`.
    pub fn new(len: u64, idx: Vec<u32>) -> Result<Self> {
        check_indices(len, &idx)?;
        Ok(Self { len, idx })
    }

    /// The bits that are 1.
    ///
    /// # Errors
    /// More than 2³² bits.
    pub fn from_mask(mask: &BitMask) -> Result<Self> {
        Self::check_mask(mask)?;
        Ok(Self { len: mask.len() as u64, idx: mask.to_sorted() })
    }

    pub(crate) fn check_mask(mask: &BitMask) -> Result<()> {
        let fits = mask.len() as u64 <= 1 << 32;
        let expected = "at most 2^32 bits for 32-bit indices";
        if fits { Ok(()) } else { Err(Error::parameter("mask length", mask.len(), expected)) }
    }

    pub(crate) fn addressable(&self) -> Result<usize> {
        let expected = "a length that this machine can address";
        usize::try_from(self.len).map_err(|_| Error::parameter("mask length", self.len, expected))
    }

    /// Without checks: for kernels that emit indices in order.
    pub(crate) fn from_sorted(len: u64, idx: Vec<u32>) -> Self {
        debug_assert!(check_indices(len, &idx).is_ok());
        Self { len, idx }
    }

    /// One bit a coordinate, 1 where it is kept.
    ///
    /// # Errors
    /// A length that this machine can't address.
    pub fn to_mask(&self) -> Result<BitMask> {
        Ok(BitMask::of_sorted(self.addressable()?, &self.idx))
    }

    /// Length of the whole vector.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the whole vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The indices, strictly increasing.
    pub fn idx(&self) -> &[u32] {
        &self.idx
    }

    /// The indices, without a copy.
    pub fn into_idx(self) -> Vec<u32> {
        self.idx
    }

    /// How many are kept.
    pub fn nnz(&self) -> usize {
        self.idx.len()
    }

    /// `[nnz, width]`: the kept rows of `x: [len, width]`.
    ///
    /// # Errors
    /// An `x` of another length; a width of 0.
    pub fn gather(&self, x: &[f32], width: usize) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.values(x.len(), width)?];
        self.gather_into(x, &mut out, width)?;
        Ok(out)
    }

    /// [`Self::gather`] into `out: [nnz, width]`, without an allocation.
    ///
    /// # Errors
    /// Slices of other lengths; a width of 0.
    pub fn gather_into(&self, x: &[f32], out: &mut [f32], width: usize) -> Result<()> {
        self.check(x.len(), out.len(), width)?;
        let level = simd::level();
        let parts = self.idx.par_chunks(PART).zip(out.par_chunks_mut(PART * width));
        parts.for_each(|(idx, out)| vectorised!(level, gather(idx: &[u32], x: &[f32], width: usize, out: &mut [f32])));
        Ok(())
    }

    /// `dst[idx[j]] += val[j]` by rows of `width`: `val: [nnz, width]`, `dst: [len, width]`.
    ///
    /// # Errors
    /// Slices of other lengths; a width of 0.
    pub fn scatter_add(&self, val: &[f32], dst: &mut [f32], width: usize) -> Result<()> {
        self.axpy(1.0, val, dst, width)
    }

    /// `dst[idx[j]] += scale · val[j]` by rows of `width`: `val: [nnz, width]`, `dst: [len, width]`.
    ///
    /// # Errors
    /// Slices of other lengths; a width of 0.
    pub fn axpy(&self, scale: f32, val: &[f32], dst: &mut [f32], width: usize) -> Result<()> {
        self.check(dst.len(), val.len(), width)?;
        axpy(&self.idx, scale, val, dst, width);
        Ok(())
    }

    /// The values at the kept coordinates as a sparse vector.
    ///
    /// # Errors
    /// Another number of values.
    pub fn with_values(self, val: Vec<f32>) -> Result<SparseVec> {
        same("idx", self.nnz() as u64, "val", val.len() as u64)?;
        Ok(SparseVec::of(self, val))
    }

    /// How many values the kept rows of a dense slice of this length hold.
    pub(crate) fn values(&self, dense: usize, width: usize) -> Result<usize> {
        if width == 0 {
            return Err(Error::parameter("width", width, "at least 1"));
        }
        same("the support times the width", self.len.saturating_mul(width as u64), "the dense slice", dense as u64)?;
        Ok(self.nnz() * width) // as addressable as the dense slice
    }

    /// Lengths of a dense and a kept slice.
    pub(crate) fn check(&self, dense: usize, kept: usize, width: usize) -> Result<()> {
        same("the indices times the width", self.values(dense, width)? as u64, "the values", kept as u64)
    }
}

pub(super) fn check_indices(len: u64, idx: &[u32]) -> Result<()> {
    // Counting, unlike stopping at the first, is a loop that the compiler vectorises.
    let wrong = idx.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    if wrong == 0 && idx.last().is_none_or(|&last| (last as u64) < len) {
        return Ok(());
    }
    let mut next = 0_u64;
    for (position, &index) in idx.iter().enumerate() {
        let index = index as u64;
        if index < next || index >= len {
            return Err(Error::SparseIndex { position, index, len });
        }
        next = index + 1;
    }
    Ok(())
}

/// `dst[idx[j]] += scale · val[j]`; the lengths and indices have been checked.
pub(super) fn axpy(idx: &[u32], scale: f32, val: &[f32], dst: &mut [f32], width: usize) {
    let level = simd::level();
    let parts = split(idx, dst, width);
    parts.into_par_iter().zip(val.par_chunks(PART * width)).for_each(|(part, val)| part.axpy(level, scale, val, width));
}

/// Some indices, and the part of the destination that they alone touch.
pub(super) struct Part<'a> {
    pub idx: &'a [u32],
    pub base: u32,
    pub dst: &'a mut [f32],
}

/// Parts of [`PART`] indices: as the indices increase, the parts of `dst` don't overlap.
pub(super) fn split<'a>(idx: &'a [u32], dst: &'a mut [f32], width: usize) -> Vec<Part<'a>> {
    let mut rest = dst;
    let mut start = 0_usize;
    let mut parts = Vec::with_capacity(idx.len().div_ceil(PART));
    for idx in idx.chunks(PART) {
        let (first, end) = (idx[0] as usize, idx[idx.len() - 1] as usize + 1);
        let (_, from) = rest.split_at_mut((first - start) * width);
        let (own, after) = from.split_at_mut((end - first) * width);
        parts.push(Part { idx, base: first as u32, dst: own });
        (rest, start) = (after, end);
    }
    parts
}

impl Part<'_> {
    fn axpy(self, level: Level, scale: f32, val: &[f32], width: usize) {
        let Part { idx, base, dst } = self;
        vectorised!(level, add(idx: &[u32], base: u32, scale: f32, val: &[f32], dst: &mut [f32], width: usize));
    }
}

/// Indices whose values are looked at together: where they are neighbours, the work is dense work.
const TILE: usize = 256;

/// The places of increasing indices, if nothing lies between them.
#[inline(always)]
pub(super) fn run(idx: &[u32], base: u32) -> Option<std::ops::Range<usize>> {
    let (first, last) = (*idx.first()?, *idx.last()?);
    ((last - first) as usize + 1 == idx.len()).then(|| (first - base) as usize..(last - base) as usize + 1)
}

#[inline(always)]
fn gather(idx: &[u32], x: &[f32], width: usize, out: &mut [f32]) {
    if width == 1 {
        for (out, idx) in out.chunks_mut(TILE).zip(idx.chunks(TILE)) {
            match run(idx, 0) {
                Some(run) => out.copy_from_slice(&x[run]),
                None => out.iter_mut().zip(idx).for_each(|(out, &i)| *out = x[i as usize]),
            }
        }
        return;
    }
    for (out, &i) in out.chunks_exact_mut(width).zip(idx) {
        let at = i as usize * width;
        out.copy_from_slice(&x[at..at + width]);
    }
}

#[inline(always)]
fn add(idx: &[u32], base: u32, scale: f32, val: &[f32], dst: &mut [f32], width: usize) {
    if width == 1 {
        for (val, idx) in val.chunks(TILE).zip(idx.chunks(TILE)) {
            match run(idx, base) {
                Some(run) => dst[run].iter_mut().zip(val).for_each(|(dst, &val)| *dst += scale * val),
                None => val.iter().zip(idx).for_each(|(&val, &i)| dst[(i - base) as usize] += scale * val),
            }
        }
        return;
    }
    for (val, &i) in val.chunks_exact(width).zip(idx) {
        let at = (i - base) as usize * width;
        for (dst, &val) in dst[at..at + width].iter_mut().zip(val) {
            *dst += scale * val;
        }
    }
}
