//! Gaussian and Laplace noise that is a pure function of its coordinates.
//!
//! Noise z(key, parameter, step, element) is computed, not drawn: element e of parameter p at step t comes from block
//! ⌊e/W⌋ of a counter-based generator, word e mod W. So its bytes do not depend on the device, on how a tensor is split
//! between threads or machines, on the order of the calls, or on a restart; a state file stores counters only.
//!
//! | generator | key | words a block, W | counter words | for |
//! |---|---|---|---|---|
//! | Philox4x32-10 | [`NoiseKey::philox`] (64 bits) | 4 | ⌊e/4⌋ low, high, p, t | repeatable experiments |
//! | ChaCha20 | [`NoiseKey::secure`], [`NoiseKey::chacha`] (256 bits) | 16 | ⌊e/16⌋ low, high, p, t | private runs |
//!
//! A word x gives the uniform u = (2·⌊x/512⌋ + 1)·2⁻²⁴, exact in f32. Gaussian: Box and Muller (1958) on the pairs of words
//! (0, 1), (2, 3), …: √(−2 ln u₀)·cos 2πu₁ and the same with sin, |z| ≤ 5.77. Laplace: −ln u with the sign of the word's
//! lowest bit (not used by u), |z| ≤ 16.64. Logarithm, sine and cosine are our own polynomials of at most 2 ulp, so that
//! every device computes the same bits.
//!
//! Two streams never overlap: the counters of different (part, parameter, step, block) differ, and both generators are
//! bijections of the counter under one key (Philox) or keyed by it (ChaCha20). The two laws read the same words, so
//! a (parameter, step) is for one of them.
//!
//! Cost: no bytes but the output's, 4 an element to write, 8 to add; the noise is made in registers and never stored.
//!
//! Speed on one core (Zen 4 at 3.7 GHz, AVX-512, `cargo bench -p ashlar-benches --bench clip`): Gaussian 1.2·10⁹ elements a
//! second from Philox and 0.8·10⁹ from ChaCha20,
//! 0.16 to 0.21 and 0.11 to 0.14 of what filling memory with a constant by plain stores takes. The goal for Philox was 0.25.
//! Arithmetic is what bounds it, not memory, since a buffer in the first cache takes as long: 48 cycles for 16 elements, of
//! which the count of instructions (about 70 of 512 bits, two started a cycle) explains 36; steps of Horner's rule whose
//! product and sum may not be fused, so that the bits are the same everywhere, are half of them.
//!
//! ```
//! use ashlar_kernels::noise::NoiseKey;
//!
//! let noise = NoiseKey::philox(42).gaussian(7, 0); // parameter 7, step 0
//! let mut whole = vec![0.0; 1000];
//! noise.fill(0, 1.0, &mut whole)?;
//! let mut part = vec![0.0; 300];
//! noise.fill(500, 1.0, &mut part)?; // elements 500..800
//! assert_eq!(whole[500..800], part);
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # What secure means
//!
//! A Philox stream, or any stream from a seed, can be recomputed by whoever knows or guesses the seed: results made with it
//! are not private against them. [`NoiseKey::secure`] takes 256 bits from the operating system, which `Debug` does not
//! show and nothing writes out. Against attacks on the floating-point grid itself (Mironov 2012) there are
//! [`Noise::sum4`], the sum of four draws that Opacus' secure mode uses, and exact [`DiscreteGaussian`] noise on integers.

mod chacha;
mod discrete;
mod draw;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod math;
mod philox;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::fmt;

pub use discrete::{DiscreteGaussian, DiscreteLaplace};
pub use philox::philox4x32;

use draw::Use;
pub(crate) use draw::{TILE, added_tile};

use crate::{Error, Result};

/// A generator and its key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey {
    generator: Generator,
    /// From the operating system, known to nobody.
    secret: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generator {
    Philox([u32; 2]),
    ChaCha([u32; 8]),
}

impl fmt::Debug for NoiseKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if matches!(self.generator, Generator::Philox(_)) { "philox" } else { "chacha20" };
        write!(f, "NoiseKey({name}, {})", if self.secret { "secure" } else { "seeded" })
    }
}

impl NoiseKey {
    /// Philox4x32-10 under a seed: fast and repeatable, not private.
    pub const fn philox(seed: u64) -> Self {
        Self { generator: Generator::Philox([seed as u32, (seed >> 32) as u32]), secret: false }
    }

    /// ChaCha20 under a key that the caller knows, such as [`rng::stream_key`](crate::rng::stream_key) gives: repeatable,
    /// and as private as the key.
    pub fn chacha(key: [u8; 32]) -> Self {
        Self { generator: Generator::ChaCha(words(key)), secret: false }
    }

    /// ChaCha20 under 256 bits of the operating system's entropy.
    ///
    /// # Errors
    /// The system gives none.
    pub fn secure() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| Error::Entropy { reason: error.to_string() })?;
        Ok(Self { secret: true, ..Self::chacha(key) })
    }

    /// Whether nobody knows the key; what a result's `"secure"` says.
    pub const fn is_secure(&self) -> bool {
        self.secret
    }

    pub(crate) const fn is_chacha(&self) -> bool {
        matches!(self.generator, Generator::ChaCha(_))
    }

    /// Standard normal noise of a parameter at a step.
    pub const fn gaussian(self, param: u32, step: u32) -> Noise {
        Noise { key: self, param, step, law: Law::Gaussian, sum4: false }
    }

    /// Laplace noise of scale 1 (variance 2) of a parameter at a step.
    pub const fn laplace(self, param: u32, step: u32) -> Noise {
        Noise { law: Law::Laplace, ..self.gaussian(param, step) }
    }

    /// The key's words, as the kernels take them.
    pub(crate) fn device_words(&self) -> [u32; 8] {
        match self.generator {
            Generator::Philox([low, high]) => [low, high, 0, 0, 0, 0, 0, 0],
            Generator::ChaCha(key) => key,
        }
    }
}

fn words(key: [u8; 32]) -> [u32; 8] {
    std::array::from_fn(|at| u32::from_le_bytes(std::array::from_fn(|byte| key[4 * at + byte])))
}

/// Which distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Law {
    Gaussian,
    Laplace,
}

/// The noise of one parameter at one step: an endless vector, of which [`Self::fill`] and [`Self::add`] compute any part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    key: NoiseKey,
    param: u32,
    step: u32,
    law: Law,
    sum4: bool,
}

impl Noise {
    /// Gaussian hardening: each element is half the sum of four independent draws, z = (z₀+z₁+z₂+z₃)/2, as in Opacus' secure
    /// mode (after Holohan and Braghin 2021). Four times the work; no effect on Laplace noise.
    pub const fn sum4(self) -> Self {
        Self { sum4: matches!(self.law, Law::Gaussian), ..self }
    }

    /// The same key and law for another parameter.
    pub const fn param(self, param: u32) -> Self {
        Self { param, ..self }
    }

    /// The key.
    pub const fn key(&self) -> &NoiseKey {
        &self.key
    }

    /// Parameter and step.
    pub const fn coordinates(&self) -> (u32, u32) {
        (self.param, self.step)
    }

    /// How the kernels are told: 1 ChaCha20, 2 Laplace, 4 sum of four.
    pub(crate) const fn flags(&self) -> u32 {
        self.key.is_chacha() as u32 | (matches!(self.law, Law::Laplace) as u32) << 1 | (self.sum4 as u32) << 2
    }

    /// `out[i]` = `scale` · z(`offset` + i): noise elements `offset..offset + out.len()`.
    ///
    /// # Errors
    /// A scale that is negative, NaN or infinite; elements past 2⁶⁴.
    pub fn fill(&self, offset: u64, scale: f32, out: &mut [f32]) -> Result<()> {
        check(offset, scale, 1.0, out.len())?;
        self.spread(offset, scale, out, Use::Fill);
        Ok(())
    }

    /// `x[i]` += `scale` · z(`offset` + i).
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn add(&self, offset: u64, scale: f32, x: &mut [f32]) -> Result<()> {
        self.add_and_divide(offset, scale, 1.0, x)
    }

    /// `x[i]` = (`x[i]` + `scale` · z(`offset` + i)) / `divisor`: a clipped sum becomes a private mean in one sweep, with
    /// `divisor` the expected batch size.
    ///
    /// # Errors
    /// As [`Self::fill`], and a divisor that isn't positive and finite.
    pub fn add_and_divide(&self, offset: u64, scale: f32, divisor: f32, x: &mut [f32]) -> Result<()> {
        check(offset, scale, divisor, x.len())?;
        self.spread(offset, scale, x, Use::Add { divisor });
        Ok(())
    }
}

/// What every call of these needs.
pub(crate) fn check(offset: u64, scale: f32, divisor: f32, len: usize) -> Result<()> {
    if !(scale >= 0.0 && scale.is_finite()) {
        return Err(Error::parameter("the noise scale", scale, "it must be finite and at least 0"));
    }
    if !(divisor > 0.0 && divisor.is_finite()) {
        return Err(Error::parameter("the divisor", divisor, "it must be finite and above 0"));
    }
    if offset.checked_add(len as u64).is_none() {
        return Err(Error::parameter("the noise offset", offset, "offset + length must stay below 2^64"));
    }
    Ok(())
}
