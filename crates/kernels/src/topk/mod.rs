//! The k largest magnitudes of a vector, exactly and deterministically.
//!
//! The order is that of `bits(x) & 0x7fff_ffff`: NaN > ∞ > finite, −0 = +0; ties at the threshold keep the lowest
//! indices; the output is sorted by index. Neither the instruction set nor the number of threads changes a bit of it.
//!
//! ```
//! use ashlar_kernels::topk::{self, Count, TopK};
//!
//! let x = [5.0, -3.0, 0.5, 8.0, 3.0, -1.0];
//! let (top, stats) = topk::select(&x, Count::Exact(3))?;
//! assert_eq!((top.idx(), top.val()), (&[0, 1, 3][..], &[5.0, -3.0, 8.0][..])); // the tie of 3s keeps index 1
//! assert_eq!(stats.threshold, 3.0);
//!
//! // Error feedback: e ← e + lr·g, take the top, and zero what was taken.
//! let (mut e, g) = (vec![0.0; 6], x);
//! let (sent, _) = TopK::new(Count::Fraction(0.5)).error_feedback(&mut e, &g, 0.1)?;
//! assert_eq!((sent.idx(), e[3]), (&[0, 1, 3][..], 0.0));
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```

mod radix;

use serde::{Deserialize, Serialize};

use crate::{BitMask, Error, Result, SparseVec};

/// How many elements to keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// This many.
    Exact(u64),
    /// This share of the elements, in (0, 1]; the nearest whole number, at least 1.
    Fraction(f64),
}

impl Count {
    /// The number it means for `n` elements.
    ///
    /// # Errors
    /// Zero, more than `n`, or a fraction outside (0, 1].
    pub fn resolve(self, n: u64) -> Result<u64> {
        let k = match self {
            Self::Exact(k) => k,
            Self::Fraction(value) if value > 0.0 && value <= 1.0 => ((value * n as f64).round() as u64).max(1),
            Self::Fraction(value) => return Err(Error::Fraction { value }),
        };
        match k {
            0 => Err(Error::ZeroK),
            k if k > n => Err(Error::KTooLarge { k, len: n, of: "the input".to_owned() }),
            k => Ok(k),
        }
    }
}

/// What a NaN counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NanPolicy {
    /// Larger than infinity: it is selected, and seen.
    #[default]
    Largest,
    /// An error.
    Error,
    /// Zero, in the order and in the output.
    AsZero,
}

/// What a selection found out on its way.
#[derive(Clone, Copy, Debug)]
pub struct TopKStats {
    /// Elements searched.
    pub n: u64,
    /// Elements selected.
    pub k: u64,
    /// Magnitude of the smallest one selected.
    pub threshold: f32,
    /// NaNs among all elements.
    pub nan_count: u64,
}

/// [`TopK::select`] with the defaults.
///
/// # Errors
/// As [`TopK::select`].
pub fn select(x: &[f32], k: Count) -> Result<(SparseVec, TopKStats)> {
    TopK::new(k).select(x)
}

/// A selection with its options.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    pub(crate) k: Count,
    pub(crate) nan: NanPolicy,
    pub(crate) hint: Option<f32>,
}

impl TopK {
    /// The `k` largest magnitudes; NaN ranks largest.
    pub const fn new(k: Count) -> Self {
        Self { k, nan: NanPolicy::Largest, hint: None }
    }

    /// What a NaN counts as.
    #[must_use]
    pub const fn nan(mut self, policy: NanPolicy) -> Self {
        self.nan = policy;
        self
    }

    /// The threshold expected, for instance that of the step before. It changes the time, never the result.
    #[must_use]
    pub const fn hint(mut self, threshold: f32) -> Self {
        self.hint = Some(threshold);
        self
    }

    /// The selected elements.
    ///
    /// # Errors
    /// A count that doesn't fit the input ([`Count::resolve`]), 2³² elements or more, a NaN under [`NanPolicy::Error`].
    pub fn select(&self, x: &[f32]) -> Result<(SparseVec, TopKStats)> {
        let (k, cut) = self.cut(x)?;
        let as_zero = self.nan == NanPolicy::AsZero;
        let (mut idx, mut val) = (Vec::with_capacity(k as usize), Vec::with_capacity(k as usize));
        let mut ties = cut.ties;
        for (index, &value) in x.iter().enumerate() {
            if keep(value, as_zero, &cut, &mut ties) {
                idx.push(index as u32);
                val.push(if as_zero && value.is_nan() { 0.0 } else { value });
            }
        }
        Ok((SparseVec::from_sorted(x.len() as u64, idx, val), self.stats(x.len(), k, &cut)))
    }

    /// The selected elements, zeroed in `x`.
    ///
    /// # Errors
    /// As [`Self::select`]; `x` is then unchanged.
    pub fn select_and_zero(&self, x: &mut [f32]) -> Result<(SparseVec, TopKStats)> {
        let (top, stats) = self.select(x)?;
        for &index in top.idx() {
            x[index as usize] = 0.0;
        }
        Ok((top, stats))
    }

    /// Error feedback in one sweep: `e ← e + lr·g` (product and sum each rounded), select, zero the selected in `e`.
    ///
    /// # Errors
    /// As [`Self::select`], and different lengths. A NaN under [`NanPolicy::Error`] leaves the sum in `e`.
    pub fn error_feedback(&self, e: &mut [f32], g: &[f32], lr: f32) -> Result<(SparseVec, TopKStats)> {
        if e.len() != g.len() {
            return Err(Error::LengthMismatch {
                left_name: "e",
                left: e.len() as u64,
                right_name: "g",
                right: g.len() as u64,
            });
        }
        check_len(e.len())?;
        self.k.resolve(e.len() as u64)?;
        for (e, g) in e.iter_mut().zip(g) {
            *e += lr * g;
        }
        self.select_and_zero(e)
    }

    /// The selected positions as bits: cheaper than a [`SparseVec`] above some 3 % of the elements.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub fn mask(&self, x: &[f32]) -> Result<(BitMask, TopKStats)> {
        let (k, cut) = self.cut(x)?;
        let mut mask = BitMask::zeros(x.len());
        let mut ties = cut.ties;
        for (index, &value) in x.iter().enumerate() {
            if keep(value, self.nan == NanPolicy::AsZero, &cut, &mut ties) {
                mask.set(index, true);
            }
        }
        Ok((mask, self.stats(x.len(), k, &cut)))
    }

    fn cut(&self, x: &[f32]) -> Result<(u64, radix::Cut)> {
        check_len(x.len())?;
        let k = self.k.resolve(x.len() as u64)?;
        let cut = radix::cut(x, k, self.nan == NanPolicy::AsZero);
        if self.nan == NanPolicy::Error
            && cut.nans > 0
            && let Some(index) = x.iter().position(|x| x.is_nan())
        {
            return Err(Error::Nan { index: index as u64 });
        }
        Ok((k, cut))
    }

    fn stats(&self, n: usize, k: u64, cut: &radix::Cut) -> TopKStats {
        TopKStats { n: n as u64, k, threshold: f32::from_bits(cut.key), nan_count: cut.nans }
    }
}

fn check_len(len: usize) -> Result<()> {
    if len as u64 >= 1 << 32 {
        return Err(Error::TooLong { len: len as u64, call: "topk::select_u64" });
    }
    Ok(())
}

/// The order's key: the magnitude's bits; NaN above infinity, or 0 when it counts as zero.
#[inline(always)]
fn key(value: f32, nan_as_zero: bool) -> u32 {
    let key = value.to_bits() & 0x7fff_ffff;
    if nan_as_zero && key > INFINITY { 0 } else { key }
}

const INFINITY: u32 = 0x7f80_0000;

#[inline(always)]
fn keep(value: f32, as_zero: bool, cut: &radix::Cut, ties: &mut u64) -> bool {
    let key = key(value, as_zero);
    if key == cut.key && *ties > 0 {
        *ties -= 1;
        return true;
    }
    key > cut.key
}
