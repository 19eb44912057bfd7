//! Sparse vectors: what selections return.

use super::support::same;
use super::{BitMask, Support};
use crate::Result;

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
    at: Support,
    val: Vec<f32>,
}

impl SparseVec {
    /// From indices and values.
    ///
    /// # Errors
    /// Lists of different lengths; indices that don't strictly increase or aren't below `len`.
    pub fn new(len: u64, idx: Vec<u32>, val: Vec<f32>) -> Result<Self> {
        same("idx", idx.len() as u64, "val", val.len() as u64)?;
        Ok(Self { at: Support::new(len, idx)?, val })
    }

    /// Without checks: for kernels that emit indices in order.
    pub(crate) fn from_sorted(len: u64, idx: Vec<u32>, val: Vec<f32>) -> Self {
        Self::of(Support::from_sorted(len, idx), val)
    }

    /// Without checks: one value a kept coordinate.
    pub(super) fn of(at: Support, val: Vec<f32>) -> Self {
        debug_assert_eq!(at.nnz(), val.len());
        Self { at, val }
    }

    /// Which coordinates are stored.
    pub fn support(&self) -> &Support {
        &self.at
    }

    /// Length of the dense vector.
    pub fn len(&self) -> u64 {
        self.at.len()
    }

    /// Whether the dense vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Stored indices, strictly increasing.
    pub fn idx(&self) -> &[u32] {
        self.at.idx()
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
        self.at.nnz()
    }

    /// Pairs of index and value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.at.idx().iter().copied().zip(self.val.iter().copied())
    }

    /// Indices and values, without a copy.
    pub fn into_parts(self) -> (Vec<u32>, Vec<f32>) {
        (self.at.into_idx(), self.val)
    }

    /// The dense vector.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.len() as usize];
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
        self.at.axpy(scale, &self.val, dst, 1)
    }

    /// `dst[i] = 0` at the stored indices.
    ///
    /// # Errors
    /// A `dst` of another length.
    pub fn zero_in(&self, dst: &mut [f32]) -> Result<()> {
        self.same_len(dst.len())?;
        for &index in self.at.idx() {
            dst[index as usize] = 0.0;
        }
        Ok(())
    }

    /// The stored positions as bits.
    pub fn mask(&self) -> BitMask {
        BitMask::of_sorted(self.len() as usize, self.at.idx())
    }

    fn same_len(&self, len: usize) -> Result<()> {
        same("the sparse vector", self.len(), "dst", len as u64)
    }
}
