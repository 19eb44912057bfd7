//! Per-sample clipping: norms of each example's gradient, factors from the norms, sums of the scaled gradients.
//!
//! A private step needs Σᵢ cᵢ·gᵢ where cᵢ = c(‖gᵢ‖) bounds what one example contributes. Two ways to it:
//!
//! * gradients are there, `[N, D]`: [`Clipper::accumulate`], and [`Clipper::finish`] to add noise and divide in the same
//!   sweep;
//! * only layer inputs A `[N, S, d]` and output gradients B `[N, S, p]` are (gᵢ = BᵢᵀAᵢ, never formed): the functions of
//!   [`ghost`] give squared norms `[N]`, which are added over the layers, [`Clipper::factors`] turns them into factors, and
//!   [`ghost::linear_weighted_sum`] and its like give the sums (the book-keeping method of Bu et al. 2023).
//!
//! ```
//! use ashlar_kernels::clip::{ClipRule, Clipper};
//!
//! let clipper = Clipper::new(ClipRule::Flat, 1.0, 3)?;
//! let gradients = [3.0, 4.0, 0.0, 0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0]; // [4, 3]
//! let mut sum = [0.0; 3];
//! let factors = clipper.accumulate(&gradients, &mut sum)?;
//! assert_eq!(factors.values(), [0.19999999, 1.0, 1.0, 0.3333333]); // rounded down
//! assert!((sum[1] - 1.8666667).abs() < 1e-6);
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # Order, bits and bytes
//!
//! Squares are summed in f32 over chunks of 2048 columns (64 interleaved lanes, then a tree) and in f64 over the chunks;
//! factors are f64 rounded down to f32; sums are f32 in the examples' order, products and sums rounded one by one. So the
//! bits depend neither on the device, nor on the number of threads, nor on how a batch is cut into microbatches that
//! accumulate into the same sum. Cost: G is read twice, 8 bytes an element, of which the second 4 come from a cache where
//! a few rows fit; 4 bytes a column to write.
//!
//! Speed, as a share of one thread's read sweep over the same bytes (Zen 4, one core, `cargo bench -p ashlar-benches --bench
//! clip`): 0.81 and 0.87 for rows of 4 and 64 KiB, 0.72 for rows of 256 KiB. Rows of 4 MiB leave the caches before their
//! factor is known and are read from memory twice: 0.52, where half is the limit but for what the third-level cache keeps.
//!
//! # What is not finite
//!
//! An example whose norm is NaN or infinite (squares overflow from 1.8·10¹⁹ on) has factor 0 in all layers, is counted as
//! dropped, and contributes exactly 0: its gradient isn't multiplied, since 0·NaN = NaN. The counts are private: they depend
//! on single examples and must not be published.

pub mod ghost;
mod groups;
pub(crate) mod sums;
pub(crate) mod tile;

pub use groups::TokenGroups;

use crate::noise::Noise;
use crate::{Error, Result};

/// How an example's factor follows from its norm n and the bound C.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClipRule {
    /// min(1, C/n) (Abadi et al. 2016).
    Flat,
    /// C/(n + γ) (Bu et al. 2023, AUTO-S); γ = 0.01 is usual.
    Automatic {
        /// What keeps small gradients small; 10⁻⁶ or more.
        gamma: f64,
    },
    /// C/n, and 0 for n < 10⁻¹⁵, where the squares are no longer exact (AUTO-V).
    Normalize,
    /// C/Z up to n = Z, else 0 (Bu et al. 2021).
    Global {
        /// Z, at least C.
        cutoff: f64,
    },
}

impl ClipRule {
    /// Number and constant, as the kernels take them.
    pub(crate) const fn code(self) -> (u32, f64) {
        match self {
            Self::Flat => (0, 0.0),
            Self::Automatic { gamma } => (1, gamma),
            Self::Normalize => (2, 0.0),
            Self::Global { cutoff } => (3, cutoff),
        }
    }

    /// The factor, rounded down so that rounding adds nothing to the bound; `clip.cu` has the same.
    fn factor(self, squared: f64, bound: f64) -> f32 {
        let norm = squared.sqrt();
        let factor = match self {
            Self::Flat if norm <= bound => 1.0,
            Self::Automatic { gamma } => bound / (norm + gamma),
            Self::Normalize if squared < 1e-30 => 0.0,
            Self::Flat | Self::Normalize => bound / norm,
            Self::Global { cutoff } if norm <= cutoff => bound / cutoff,
            Self::Global { .. } => 0.0,
        };
        let near = factor as f32;
        if near as f64 > factor { f32::from_bits(near.to_bits() - 1) } else { near }
    }
}

/// A rule, its bounds, and the layers that they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Clipper {
    rule: ClipRule,
    /// Columns of each layer, in order.
    layers: Vec<usize>,
    bounds: Vec<f64>,
}

/// Factors and what they came from. Private: every number here depends on single examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    layers: usize,
    squared: Vec<f64>,
    values: Vec<f32>,
    clipped: u64,
    dropped: u64,
}

impl Factors {
    /// `[N, layers]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Squared norms, `[N, layers]`.
    pub fn squared_norms(&self) -> &[f64] {
        &self.squared
    }

    /// Examples of which a norm is above its bound.
    pub const fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Examples left out because a norm is not finite.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Layers a row.
    pub const fn layers(&self) -> usize {
        self.layers
    }

    /// The factors of one layer, `[N]`.
    pub fn of_layer(&self, layer: usize) -> Vec<f32> {
        self.values.iter().skip(layer).step_by(self.layers).copied().collect()
    }
}

/// What turns a clipped sum into a private mean: (sum + scale·z) / divisor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// The noise of the first layer; layer l takes parameter number `noise`'s + l. Element numbers count from the layer's
    /// first column.
    pub noise: Noise,
    /// Noise multiplier times [`Clipper::sensitivity`].
    pub scale: f32,
    /// The expected batch size (not the one that was drawn, which is private).
    pub divisor: f32,
}

impl Clipper {
    /// One norm over all `columns`.
    ///
    /// # Errors
    /// A bound outside `[1e-10, 1e15]`; γ below 10⁻⁶; a cutoff below the bound; no columns.
    pub fn new(rule: ClipRule, bound: f64, columns: usize) -> Result<Self> {
        Self::per_layer(rule, &[(columns, bound)])
    }

    /// A norm and a bound for each layer of so many columns.
    ///
    /// # Errors
    /// As [`Self::new`], for any layer; no layer.
    pub fn per_layer(rule: ClipRule, layers: &[(usize, f64)]) -> Result<Self> {
        if layers.is_empty() || layers.iter().any(|&(columns, _)| columns == 0) {
            return Err(Error::parameter("the number of columns", 0, "every layer needs at least one"));
        }
        if layers.iter().try_fold(0_usize, |sum, &(columns, _)| sum.checked_add(columns)).is_none() {
            return Err(Error::parameter("the number of columns", "more than 2^64", "fewer"));
        }
        for &(_, bound) in layers {
            if !(1e-10..=1e15).contains(&bound) {
                return Err(Error::parameter("the clipping bound", bound, "it must be in 1e-10..=1e15"));
            }
            match rule {
                ClipRule::Automatic { gamma } if !(gamma >= 1e-6 && gamma.is_finite()) => {
                    return Err(Error::parameter("gamma", gamma, "it must be finite and at least 1e-6"));
                }
                ClipRule::Global { cutoff } if !(cutoff >= bound && cutoff.is_finite()) => {
                    return Err(Error::parameter("the cutoff", cutoff, "it must be finite and at least the bound"));
                }
                _ => {}
            }
        }
        let (layers, bounds) = layers.iter().copied().unzip();
        Ok(Self { rule, layers, bounds })
    }

    /// Layers that share `bound` evenly: C/√layers each, so that [`Self::sensitivity`] is `bound`.
    ///
    /// # Errors
    /// As [`Self::per_layer`].
    pub fn uniform(rule: ClipRule, bound: f64, columns: &[usize]) -> Result<Self> {
        let share = bound / (columns.len() as f64).sqrt();
        Self::per_layer(rule, &columns.iter().map(|&columns| (columns, share)).collect::<Vec<_>>())
    }

    /// The most that one example can contribute, √ΣCₗ²: what the noise is scaled by.
    pub fn sensitivity(&self) -> f64 {
        match self.bounds[..] {
            [bound] => bound,
            _ => self.bounds.iter().map(|bound| bound * bound).sum::<f64>().sqrt(),
        }
    }

    /// Columns of all layers together, D.
    pub fn columns(&self) -> usize {
        self.layers.iter().sum()
    }

    pub(crate) fn layers(&self) -> &[usize] {
        &self.layers
    }
    pub(crate) fn bounds(&self) -> &[f64] {
        &self.bounds
    }
    pub(crate) const fn rule(&self) -> ClipRule {
        self.rule
    }

    /// Rows of `[N, D]`.
    pub(crate) fn rows(&self, elements: usize, sum: usize) -> Result<usize> {
        let columns = self.columns();
        if sum != columns {
            return Err(mismatch("the sum", sum, "a gradient", columns));
        }
        if !elements.is_multiple_of(columns) {
            return Err(mismatch("the gradients", elements, "whole rows", elements / columns * columns));
        }
        Ok(elements / columns)
    }

    /// Factors from squared norms `[N, layers]`, such as [`ghost`] gives.
    ///
    /// # Errors
    /// A length that isn't a multiple of the number of layers.
    pub fn factors(&self, squared: Vec<f64>) -> Result<Factors> {
        let layers = self.layers.len();
        if !squared.len().is_multiple_of(layers) {
            return Err(mismatch("the squared norms", squared.len(), "whole rows", squared.len() / layers * layers));
        }
        let values = self.values(&squared);
        Ok(self.counted(squared, values))
    }

    /// The factors of whole rows of squared norms.
    pub(crate) fn values(&self, squared: &[f64]) -> Vec<f32> {
        let layers = self.layers.len();
        let mut values = vec![0.0; squared.len()];
        for (values, squared) in values.chunks_mut(layers).zip(squared.chunks(layers)) {
            // Rounding can leave a Gram sum a little below 0.
            if squared.iter().all(|squared| squared.is_finite()) {
                for ((value, &squared), &bound) in values.iter_mut().zip(squared).zip(&self.bounds) {
                    *value = self.rule.factor(squared.max(0.0), bound);
                }
            }
        }
        values
    }

    pub(crate) fn counted(&self, squared: Vec<f64>, values: Vec<f32>) -> Factors {
        let layers = self.layers.len();
        let (mut clipped, mut dropped) = (0, 0);
        for squared in squared.chunks(layers) {
            if squared.iter().any(|squared| !squared.is_finite()) {
                dropped += 1;
            } else if squared.iter().zip(&self.bounds).any(|(squared, bound)| squared.sqrt() > *bound) {
                clipped += 1;
            }
        }
        Factors { layers, squared, values, clipped, dropped }
    }

    /// Adds the clipped gradients `[N, D]` to `sum` `[D]`.
    ///
    /// # Errors
    /// Shapes that don't fit.
    pub fn accumulate(&self, gradients: &[f32], sum: &mut [f32]) -> Result<Factors> {
        self.rows(gradients.len(), sum.len())?;
        Ok(sums::accumulate(self, gradients, sum, None))
    }

    /// As [`Self::accumulate`], and turns the sum into (sum + scale·z)/divisor as it is written: the last microbatch of a
    /// step. `gradients` may be empty.
    ///
    /// # Errors
    /// Shapes that don't fit; a scale or divisor as in [`Noise::add_and_divide`].
    pub fn finish(&self, gradients: &[f32], sum: &mut [f32], finish: &Finish) -> Result<Factors> {
        self.rows(gradients.len(), sum.len())?;
        self.check_finish(finish)?;
        Ok(sums::accumulate(self, gradients, sum, Some(finish)))
    }

    pub(crate) fn check_finish(&self, finish: &Finish) -> Result<()> {
        crate::noise::check(0, finish.scale, finish.divisor, self.columns())?;
        let (first, _) = finish.noise.coordinates();
        if (first as u64 + self.layers.len() as u64) > 1 << 32 {
            return Err(Error::parameter(
                "the first parameter number",
                first,
                "the layers' numbers must stay below 2^32",
            ));
        }
        Ok(())
    }
}

pub(crate) fn mismatch(left_name: &'static str, left: usize, right_name: &'static str, right: usize) -> Error {
    Error::LengthMismatch { left_name, left: left as u64, right_name, right: right as u64 }
}
