//! Exact discrete Gaussian and discrete Laplace noise, after Canonne, Kamath and Steinke ("The discrete Gaussian for
//! differential privacy", NeurIPS 2020, algorithms 1 to 3): rejection from Bernoulli(e^−x), integers only.
//!
//! No floating-point number is involved, so what comes out has the stated law up to the generator, and the attacks on the
//! floating-point grid have nothing to work on. Gradients are clipped on an integer grid first (say 10⁹ steps a unit).

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::NoiseKey;
use crate::{Error, Result};

/// Integers k with probability proportional to e^(−k²/2σ²), σ² rational.
///
/// Cost: some 50 to 100 random words an integer, whatever σ.
///
/// ```
/// use ashlar_kernels::noise::{DiscreteGaussian, NoiseKey};
///
/// let noise = DiscreteGaussian::new(9, 1)?; // sigma = 3
/// let mut out = vec![0; 1000];
/// noise.fill(&NoiseKey::chacha([7; 32]), 0, 0, 0, &mut out)?;
/// assert!(out.iter().all(|k| k.abs() < 40));
/// # Ok::<(), ashlar_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteGaussian {
    numerator: u128,
    denominator: u128,
    /// ⌊σ⌋ + 1: scale of the Laplace proposals.
    proposal: u128,
}

/// Integers k with probability proportional to e^(−|k|·s/t): two-sided geometric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteLaplace {
    t: u128,
    s: u128,
}

/// Elements that share a generator.
const CHUNK: u64 = 1024;

impl DiscreteGaussian {
    /// σ² = `numerator` / `denominator`.
    ///
    /// # Errors
    /// A zero; a numerator of 2⁶² and more; a denominator of 2³² and more.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self> {
        if numerator == 0 || numerator >= 1 << 62 {
            return Err(Error::parameter("the numerator of sigma^2", numerator, "it must be in 1..2^62"));
        }
        if denominator == 0 || denominator >= 1 << 32 {
            return Err(Error::parameter("the denominator of sigma^2", denominator, "it must be in 1..2^32"));
        }
        let proposal = (numerator / denominator).isqrt() as u128 + 1;
        Ok(Self { numerator: numerator as u128, denominator: denominator as u128, proposal })
    }

    /// One integer.
    pub fn sample(&self, random: &mut impl RngCore) -> i64 {
        let (n, d, t) = (self.numerator, self.denominator, self.proposal);
        loop {
            let Some(k) = laplace(t, 1, random) else { continue };
            // Accept with e^−γ, γ = (|k|·d·t − n)² / (2·n·d·t²). With |…| = x·t + y it is a product of three, none of which
            // overflows but where γ > 2⁴⁰, which is as good as never.
            let distance = (k.unsigned_abs() as u128 * d * t).abs_diff(n);
            let (x, y) = (distance / t, distance % t);
            let Some(square) = x.checked_mul(x) else { continue };
            if bernoulli_exp(square, 2 * n * d, random)
                && bernoulli_exp(x * y, n * d * t, random)
                && bernoulli_exp(y * y, 2 * n * d * t * t, random)
            {
                return k;
            }
        }
    }

    /// `out[i]` = noise of element `offset` + i of a parameter at a step, whatever the split or the number of threads.
    /// Elements come in chunks of 1024 with a generator each, ChaCha20 under SHA-256("ashlar-discrete-v1" ‖ key ‖ parameter
    /// ‖ step): no stream of [`Noise`](super::Noise) shares it.
    ///
    /// # Errors
    /// Elements past 2⁶⁴; a Philox key, which is not fit for this.
    pub fn fill(&self, key: &NoiseKey, param: u32, step: u32, offset: u64, out: &mut [i64]) -> Result<()> {
        spread(key, param, step, offset, out, |random| self.sample(random))
    }
}

impl DiscreteLaplace {
    /// Scale `t` / `s` (the ratio of the probabilities of k and k + 1 is e^(s/t), k ≥ 0).
    ///
    /// # Errors
    /// A zero; 2⁶² and more.
    pub fn new(t: u64, s: u64) -> Result<Self> {
        for value in [t, s] {
            if value == 0 || value >= 1 << 62 {
                return Err(Error::parameter("the discrete Laplace scale", value, "both parts must be in 1..2^62"));
            }
        }
        Ok(Self { t: t as u128, s: s as u128 })
    }

    /// One integer.
    pub fn sample(&self, random: &mut impl RngCore) -> i64 {
        loop {
            if let Some(k) = laplace(self.t, self.s, random) {
                return k;
            }
        }
    }

    /// As [`DiscreteGaussian::fill`].
    ///
    /// # Errors
    /// As there.
    pub fn fill(&self, key: &NoiseKey, param: u32, step: u32, offset: u64, out: &mut [i64]) -> Result<()> {
        spread(key, param, step, offset, out, |random| self.sample(random))
    }
}

fn spread(
    key: &NoiseKey,
    param: u32,
    step: u32,
    offset: u64,
    out: &mut [i64],
    sample: impl Fn(&mut ChaCha20Rng) -> i64 + Sync,
) -> Result<()> {
    if offset.checked_add(out.len() as u64).is_none() {
        return Err(Error::parameter("the noise offset", offset, "offset + length must stay below 2^64"));
    }
    if !key.is_chacha() {
        return Err(Error::parameter("the key", "philox", "discrete noise needs a ChaCha20 key"));
    }
    let mut hash = Sha256::new();
    hash.update(b"ashlar-discrete-v1");
    key.device_words().iter().for_each(|word| hash.update(word.to_le_bytes()));
    hash.update(param.to_le_bytes());
    hash.update(step.to_le_bytes());
    let base = ChaCha20Rng::from_seed(hash.finalize().into());

    let chunk = |first: u64, out: &mut [i64]| {
        let mut random = base.clone();
        random.set_stream(first / CHUNK);
        for _ in 0..first % CHUNK {
            sample(&mut random);
        }
        for out in out {
            *out = sample(&mut random);
        }
    };
    let head = ((CHUNK - offset % CHUNK) % CHUNK).min(out.len() as u64);
    let (first, rest) = out.split_at_mut(head as usize);
    if !first.is_empty() {
        chunk(offset, first);
    }
    rest.par_chunks_mut(CHUNK as usize).enumerate().for_each(|(at, out)| chunk(offset + head + at as u64 * CHUNK, out));
    Ok(())
}

/// One try at a discrete Laplace variable of scale t/s; `None` is a rejection.
fn laplace(t: u128, s: u128, random: &mut impl RngCore) -> Option<i64> {
    let u = uniform_below(t, random);
    if !bernoulli_exp(u, t, random) {
        return None;
    }
    let mut v = 0;
    while bernoulli_exp(1, 1, random) {
        v += 1;
    }
    let magnitude = (u + t * v) / s;
    let minus = random.next_u32() & 1 == 1;
    if minus && magnitude == 0 {
        return None; // else 0 would come twice as often
    }
    let magnitude = i64::try_from(magnitude).ok()?;
    Some(if minus { -magnitude } else { magnitude })
}

/// True with probability e^(−a/b).
fn bernoulli_exp(a: u128, b: u128, random: &mut impl RngCore) -> bool {
    let (whole, rest) = (a / b, a % b);
    for _ in 0..whole {
        if !bernoulli_exp_below_1(1, 1, random) {
            return false;
        }
    }
    bernoulli_exp_below_1(rest, b, random)
}

/// True with probability e^(−a/b), a ≤ b: the first k at which Bernoulli(a/(b·k)) fails is odd.
fn bernoulli_exp_below_1(a: u128, b: u128, random: &mut impl RngCore) -> bool {
    let mut k = 1;
    while uniform_below(k, random) == 0 && uniform_below(b, random) < a {
        k += 1;
    }
    k % 2 == 1
}

/// Uniform in 0..bound, by rejection.
fn uniform_below(bound: u128, random: &mut impl RngCore) -> u128 {
    let bits = 128 - (bound - 1).leading_zeros();
    if bits == 0 {
        return 0;
    }
    loop {
        let word = match bits {
            1..=32 => random.next_u32() as u128,
            33..=64 => random.next_u64() as u128,
            _ => random.next_u64() as u128 | (random.next_u64() as u128) << 64,
        };
        let word = word & (u128::MAX >> (128 - bits));
        if word < bound {
            return word;
        }
    }
}
