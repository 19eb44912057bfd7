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

mod feedback;
mod lanes;
mod radix;
pub(crate) mod select;
pub(crate) mod source;
pub(crate) mod sweep;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{BitMask, Error, Result, SparseVec, simd};
use select::{Ask, Cut};

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
        let mut top = SparseVec::default();
        let stats = self.select_into(x, &mut top)?;
        Ok((top, stats))
    }

    /// As [`Self::select`], into a vector whose memory is used again: when much is selected, fresh memory costs more
    /// than the search.
    ///
    /// # Errors
    /// As [`Self::select`]; `top` is then unspecified.
    pub fn select_into(&self, x: &[f32], top: &mut SparseVec) -> Result<TopKStats> {
        let ask = self.ask(x.len())?;
        let (idx, val) = std::mem::take(top).into_parts();
        let mut pairs = sweep::Pairs { idx, val, nans: 0 };
        let cut = select::select(&x, &ask, self.hint, &mut pairs);
        self.check_nan(x, &cut)?;
        *top = SparseVec::from_sorted(x.len() as u64, pairs.idx, pairs.val);
        Ok(stats(x.len(), &ask, &cut))
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
        let ask = self.ask(e.len())?;
        let mut pairs = sweep::Pairs::default();
        let cut = feedback::select(e, g, lr, &ask, self.hint, &mut pairs);
        self.check_nan(e, &cut)?;
        for &index in &pairs.idx {
            e[index as usize] = 0.0;
        }
        Ok((SparseVec::from_sorted(e.len() as u64, pairs.idx, pairs.val), stats(e.len(), &ask, &cut)))
    }

    /// The selected positions as bits: cheaper than a [`SparseVec`] above some 3 % of the elements.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub fn mask(&self, x: &[f32]) -> Result<(BitMask, TopKStats)> {
        let ask = self.ask(x.len())?;
        let guess = select::guess(x.len(), &ask, |at, out| source::Source::values(&x, at, out));
        let (parts, cut) = select::cut(&x, &ask, &guess);
        self.check_nan(x, &cut)?;
        let mut words = vec![0; x.len().div_ceil(64)];
        let mut rest = &mut words[..];
        let mut jobs = Vec::with_capacity(parts.len());
        for (range, rule, _) in parts {
            let (here, after) = rest.split_at_mut(range.len().div_ceil(64));
            rest = after;
            jobs.push((range, rule, here));
        }
        jobs.into_par_iter().for_each(|(range, mut rule, words)| {
            sweep::mask(ask.level, &x[range], &mut rule, ask.nan_zero, words);
        });
        Ok((BitMask::from_words(x.len(), words)?, stats(x.len(), &ask, &cut)))
    }

    fn ask(&self, len: usize) -> Result<Ask> {
        if len as u64 >= 1 << 32 {
            return Err(Error::TooLong { len: len as u64, call: "topk::select_u64" });
        }
        let k = self.k.resolve(len as u64)?;
        Ok(Ask { k, nan_zero: self.nan == NanPolicy::AsZero, level: simd::level() })
    }

    fn check_nan(&self, x: &[f32], cut: &Cut) -> Result<()> {
        if self.nan == NanPolicy::Error
            && cut.nans > 0
            && let Some(index) = x.iter().position(|x| x.is_nan())
        {
            return Err(Error::Nan { index: index as u64 });
        }
        Ok(())
    }
}

/// As [`select`] for any length, with 64-bit indices (strictly increasing).
///
/// # Errors
/// A count that doesn't fit the input ([`Count::resolve`]).
pub fn select_u64(x: &[f32], k: Count) -> Result<(Vec<u64>, Vec<f32>, TopKStats)> {
    select_in_parts(x, k, 1 << 31)
}

/// The winners are among the winners of parts that 32-bit indices reach.
fn select_in_parts(x: &[f32], k: Count, part: usize) -> Result<(Vec<u64>, Vec<f32>, TopKStats)> {
    let k = k.resolve(x.len() as u64)?;
    let (mut idx, mut val, mut nan_count) = (Vec::new(), Vec::new(), 0);
    for (at, x) in x.chunks(part).enumerate() {
        let (top, stats) = select(x, Count::Exact(k.min(x.len() as u64)))?;
        idx.extend(top.idx().iter().map(|&index| (at * part) as u64 + index as u64));
        val.extend_from_slice(top.val());
        nan_count += stats.nan_count;
    }
    let mut keys: Vec<u32> = val.iter().map(|&value| key(value, false)).collect();
    let rank = (k - 1) as usize;
    let threshold = *keys.select_nth_unstable_by(rank, |a, b| b.cmp(a)).1;
    let mut ties = k - keys[..rank].iter().filter(|&&key| key > threshold).count() as u64;
    let keep: Vec<bool> = val
        .iter()
        .map(|&value| {
            let tie = key(value, false) == threshold && ties > 0;
            ties -= u64::from(tie);
            tie || key(value, false) > threshold
        })
        .collect();
    let mut kept = keep.iter();
    idx.retain(|_| kept.next() == Some(&true));
    let mut kept = keep.iter();
    val.retain(|_| kept.next() == Some(&true));
    let stats = TopKStats { n: x.len() as u64, k, threshold: f32::from_bits(threshold), nan_count };
    Ok((idx, val, stats))
}

fn stats(n: usize, ask: &Ask, cut: &Cut) -> TopKStats {
    TopKStats { n: n as u64, k: ask.k, threshold: f32::from_bits(cut.key), nan_count: cut.nans }
}

/// The order's key: the magnitude's bits; NaN above infinity, or 0 when it counts as zero.
#[inline(always)]
fn key(value: f32, nan_as_zero: bool) -> u32 {
    let key = value.to_bits() & 0x7fff_ffff;
    if nan_as_zero && key > INFINITY { 0 } else { key }
}

const INFINITY: u32 = 0x7f80_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_what_the_whole_gives() {
        let x: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 101) as f32 - 50.0).collect();
        for k in [1, 10, 300, 999, 1000] {
            let (whole, stats) = select(&x, Count::Exact(k)).unwrap();
            for part in [1, 7, 300, 5000] {
                let (idx, val, in_parts) = select_in_parts(&x, Count::Exact(k), part).unwrap();
                assert!(idx.iter().map(|&i| i as u32).eq(whole.idx().iter().copied()) && val == whole.val());
                assert_eq!(in_parts.threshold, stats.threshold);
            }
        }
    }
}
