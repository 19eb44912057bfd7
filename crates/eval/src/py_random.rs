//! CPython's `random.Random`, bit for bit: few-shot draws and bootstraps of lm-evaluation-harness come out the same.
//!
//! MT19937 (Matsumoto and Nishimura, 1998) seeded by `init_by_array` with the seed's 32-bit words, least significant
//! first; `random()` takes 53 bits of two outputs; integers below n by rejection on `getrandbits(n.bit_length())`.
//! Sources: CPython's `Modules/_randommodule.c` and `Lib/random.py`; the methods here have not changed there since 3.2
//! (`sample` since 3.11: it no longer takes sets).
//!
//! Cost: a block of 624 outputs is made at once; one `random()` is 3 to 5 ns.

use std::collections::HashSet;

use crate::{Error, Result};

const N: usize = 624;
const M: usize = 397;

/// A generator in the state that `random.Random(seed)` begins with.
///
/// ```
/// let mut rng = ashlar_eval::PyRandom::new(1234);
/// assert_eq!(rng.sample(7473, 5)?, [6374, 3610, 957, 61, 742]);
/// # Ok::<(), ashlar_eval::Error>(())
/// ```
#[derive(Clone)]
pub struct PyRandom {
    state: [u32; N],
    // The current block's outputs, tempered.
    block: [u32; N],
    next: usize,
}

impl std::fmt::Debug for PyRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PyRandom").field("next", &self.next).finish_non_exhaustive()
    }
}

impl PyRandom {
    /// `random.Random(seed)`. CPython takes a seed's absolute value, so −s is s.
    pub fn new(seed: u64) -> Self {
        Self::from_words(&[seed as u32, (seed >> 32) as u32])
    }

    /// The seed given as 32-bit words, least significant first; zeros at the end don't count, none at all is 0.
    pub fn from_words(words: &[u32]) -> Self {
        let used = words.iter().rposition(|&word| word != 0).map_or(1, |last| last + 1);
        let mut rng = Self { state: [0; N], block: [0; N], next: N };
        rng.init_by_array(words.get(..used).unwrap_or(&[0]));
        rng
    }

    /// A seed of any size in decimal, as Python prints it; the sign doesn't count.
    ///
    /// # Errors
    /// [`Error::Undefined`] for what is no integer, or one of more than 10,000 digits.
    pub fn from_decimal(seed: &str) -> Result<Self> {
        let digits = seed.strip_prefix('-').unwrap_or(seed);
        if digits.is_empty() || digits.len() > 10_000 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Undefined(format!("seed `{seed:.40}`: it must be an integer of at most 10,000 digits")));
        }
        let mut words: Vec<u32> = Vec::new();
        for digit in digits.bytes() {
            let mut carry = u64::from(digit - b'0');
            for word in &mut words {
                let value = u64::from(*word) * 10 + carry;
                *word = value as u32;
                carry = value >> 32;
            }
            if carry > 0 {
                words.push(carry as u32);
            }
        }
        Ok(Self::from_words(&words))
    }

    fn init_genrand(&mut self, seed: u32) {
        self.state[0] = seed;
        for i in 1..N {
            let before = self.state[i - 1];
            self.state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        self.next = N;
    }

    fn init_by_array(&mut self, key: &[u32]) {
        self.init_genrand(19_650_218);
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let before = self.state[i - 1];
            let mixed = self.state[i] ^ (before ^ (before >> 30)).wrapping_mul(1_664_525);
            self.state[i] = mixed.wrapping_add(key[j]).wrapping_add(j as u32);
            (i, j) = (i + 1, (j + 1) % key.len());
            if i == N {
                self.state[0] = self.state[N - 1];
                i = 1;
            }
        }
        for _ in 1..N {
            let before = self.state[i - 1];
            let mixed = self.state[i] ^ (before ^ (before >> 30)).wrapping_mul(1_566_083_941);
            self.state[i] = mixed.wrapping_sub(i as u32);
            i += 1;
            if i == N {
                self.state[0] = self.state[N - 1];
                i = 1;
            }
        }
        self.state[0] = 0x8000_0000;
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        let twist = |upper: u32, lower: u32, far: u32| {
            let y = (upper & 0x8000_0000) | (lower & 0x7fff_ffff);
            far ^ (y >> 1) ^ ((y & 1).wrapping_neg() & 0x9908_b0df)
        };
        let state = &mut self.state;
        for i in 0..N - M {
            state[i] = twist(state[i], state[i + 1], state[i + M]);
        }
        for i in N - M..N - 1 {
            state[i] = twist(state[i], state[i + 1], state[i + M - N]);
        }
        state[N - 1] = twist(state[N - 1], state[0], state[M - 1]);
        for (out, &word) in self.block.iter_mut().zip(state.iter()) {
            let mut y = word;
            y ^= y >> 11;
            y ^= (y << 7) & 0x9d2c_5680;
            y ^= (y << 15) & 0xefc6_0000;
            *out = y ^ (y >> 18);
        }
        self.next = 0;
    }

    /// The next 32 bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.next >= N {
            self.refill();
        }
        let word = self.block[self.next];
        self.next += 1;
        word
    }

    /// `random()`: a multiple of 2⁻⁵³ in [0, 1).
    #[inline]
    pub fn random(&mut self) -> f64 {
        let high = self.next_u32() >> 5;
        let low = self.next_u32() >> 6;
        (f64::from(high) * 67_108_864.0 + f64::from(low)) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `getrandbits(bits)` for up to 64 bits; no bits are 0, drawn from nothing.
    ///
    /// # Errors
    /// [`Error::Range`] above 64.
    pub fn getrandbits(&mut self, bits: u32) -> Result<u64> {
        match bits {
            0..=64 => Ok(self.bits(bits)),
            _ => Err(Error::Range { name: "bits", value: f64::from(bits), expected: "at most 64" }),
        }
    }

    // `bits` is at most 64.
    fn bits(&mut self, bits: u32) -> u64 {
        match bits {
            0 => 0,
            1..=32 => u64::from(self.next_u32() >> (32 - bits)),
            // The low word first; the last one gives its upper bits.
            _ => {
                let low = u64::from(self.next_u32());
                low | (u64::from(self.next_u32() >> (64 - bits)) << 32)
            }
        }
    }

    /// `_randbelow(n)`, an integer in [0, n): what `randrange(n)` draws. Below 0 there is none: 0, drawn from nothing.
    pub fn rand_below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let drawn = self.bits(bits);
            if drawn < n {
                return drawn;
            }
        }
    }

    /// The indices of `sample(population, k)` from n elements: without replacement, in the order drawn.
    ///
    /// # Errors
    /// [`Error::Range`] if k > n.
    pub fn sample(&mut self, n: usize, k: usize) -> Result<Vec<usize>> {
        if k > n {
            return Err(Error::Range {
                name: "the sample's size",
                value: k as f64,
                expected: "at most the population's",
            });
        }
        // CPython's bound: a list of n is smaller than a set of k up to here.
        let mut set_size: u128 = 21;
        if k > 5 {
            let mut power: u128 = 1;
            while power < 3 * k as u128 {
                power *= 4;
            }
            set_size += power;
        }
        let mut drawn = Vec::with_capacity(k);
        if n as u128 <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            for i in 0..k {
                let j = self.rand_below((n - i) as u64) as usize;
                drawn.push(pool[j]);
                pool[j] = pool[n - i - 1];
            }
        } else {
            let mut seen = HashSet::with_capacity(k);
            for _ in 0..k {
                let mut j = self.rand_below(n as u64) as usize;
                while !seen.insert(j) {
                    j = self.rand_below(n as u64) as usize;
                }
                drawn.push(j);
            }
        }
        Ok(drawn)
    }

    /// The indices of `choices(population, k=k)` from n elements: with replacement.
    ///
    /// # Errors
    /// [`Error::Range`] if n is 0 and k is not.
    pub fn choices(&mut self, n: usize, k: usize) -> Result<Vec<usize>> {
        if n == 0 && k > 0 {
            return Err(Error::Range { name: "the population's size", value: 0.0, expected: "above 0" });
        }
        Ok((0..k).map(|_| self.choice_of(n)).collect())
    }

    /// One index of `choices`: ⌊random()·n⌋.
    #[inline]
    pub(crate) fn choice_of(&mut self, n: usize) -> usize {
        (self.random() * n as f64) as usize
    }

    /// `shuffle(x)`, in place.
    pub fn shuffle<T>(&mut self, x: &mut [T]) {
        for i in (1..x.len()).rev() {
            let j = self.rand_below(i as u64 + 1) as usize;
            x.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_draws_of_cpython() {
        let mut rng = PyRandom::new(0);
        assert_eq!(
            [rng.random(), rng.random(), rng.random()],
            [0.8444218515250481, 0.7579544029403025, 0.420571580830845]
        );
        let mut rng = PyRandom::new(1234);
        assert_eq!(rng.sample(7473, 5).unwrap(), [6374, 3610, 957, 61, 742]);
        assert_eq!(rng.sample(7473, 5).unwrap(), [7462, 6610, 4769, 286, 5501]);
    }

    #[test]
    fn a_seed_reads_the_same_in_every_spelling() {
        let first = |mut rng: PyRandom| rng.next_u32();
        let seed = 0x1234_5678_9abc_def0_u64;
        let expected = first(PyRandom::new(seed));
        assert_eq!(first(PyRandom::from_decimal(&seed.to_string()).unwrap()), expected);
        assert_eq!(first(PyRandom::from_decimal(&format!("-{seed}")).unwrap()), expected);
        assert_eq!(first(PyRandom::from_words(&[0x9abc_def0, 0x1234_5678, 0, 0])), expected);
        assert_eq!(first(PyRandom::from_words(&[])), first(PyRandom::new(0)));
        for wrong in ["", "-", "1.5", "+3", "0x10"] {
            assert!(PyRandom::from_decimal(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn borders() {
        let mut rng = PyRandom::new(1);
        assert_eq!(rng.rand_below(0), 0);
        assert_eq!(rng.rand_below(1), 0);
        assert!(rng.sample(3, 4).is_err());
        assert!(rng.choices(0, 1).is_err());
        assert_eq!(rng.choices(0, 0).unwrap(), [0_usize; 0]);
        assert_eq!(rng.sample(0, 0).unwrap(), [0_usize; 0]);
        assert!(rng.getrandbits(65).is_err());
    }
}
