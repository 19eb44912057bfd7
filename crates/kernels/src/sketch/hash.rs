//! Hash families: which bucket and which sign a coordinate has in a row.

use serde::{Deserialize, Serialize};

use crate::rng::{Mt19937, SplitMix64, fmix64};

/// 2⁶¹ − 1.
const P: u64 = (1 << 61) - 1;

/// How coordinates are hashed. Only [`HashFamily::Fmix64`] exists on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashFamily {
    /// `h = fmix64(i ^ key_row)`, bucket from the high half, sign from bit 0; keys from SplitMix64(seed). No stored tables.
    #[default]
    Fmix64,
    /// Carter–Wegman polynomials over 2⁶¹ − 1: 2-wise independent buckets, 4-wise independent signs.
    Poly61,
    /// What the Python package csvec computes: the polynomials in wrapping 64-bit arithmetic, so without their
    /// independence; blocks of coordinates share one hash up to a block's offset and sign; even row counts are allowed.
    Csvec {
        /// csvec's `numBlocks`.
        blocks: u32,
        /// Where the polynomials' coefficients come from.
        coef: Coefficients,
    },
}

/// Source of the csvec family's coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coefficients {
    /// MT19937 seeded with 42 whatever the sketch's seed, as torch draws them on a CPU: csvec itself.
    #[default]
    Torch,
    /// SplitMix64 of the sketch's seed, as for [`HashFamily::Poly61`].
    SplitMix,
}

/// Everything a row needs to place a coordinate.
#[derive(Clone, Debug)]
pub(crate) enum Hasher {
    Fmix64 { keys: Vec<u64> },
    Poly61 { coef: Vec<[u64; 6]> },
    Csvec { coef: Vec<[u64; 6]>, tokens: u64, offsets: Vec<u64>, flips: Vec<bool> },
}

impl Hasher {
    pub fn new(family: HashFamily, d: u64, rows: u32, cols: u64, seed: u64) -> Self {
        match family {
            HashFamily::Fmix64 => {
                let mut mix = SplitMix64::new(seed);
                Self::Fmix64 { keys: (0..rows).map(|_| mix.next_u64()).collect() }
            }
            HashFamily::Poly61 => Self::Poly61 { coef: splitmix_coefficients(rows, seed) },
            HashFamily::Csvec { blocks, coef } => {
                let mut twister = Mt19937::new(42);
                let torch: Vec<[u64; 6]> = (0..rows).map(|_| std::array::from_fn(|_| twister.next_u64() % P)).collect();
                let blocks = blocks.max(1);
                // torch draws small ranges from single words, signs first; one block draws nothing.
                let (flips, offsets) = if blocks > 1 {
                    let flips = (0..blocks).map(|_| twister.next_u32().is_multiple_of(2)).collect();
                    let range = |twister: &mut Mt19937| {
                        if cols >= 1 << 32 { twister.next_u64() % cols } else { twister.next_u32() as u64 % cols }
                    };
                    (flips, (0..blocks).map(|_| range(&mut twister)).collect())
                } else {
                    (vec![false], vec![0])
                };
                let coef = match coef {
                    Coefficients::Torch => torch,
                    Coefficients::SplitMix => splitmix_coefficients(rows, seed),
                };
                Self::Csvec { coef, tokens: d.div_ceil(blocks as u64).max(1), offsets, flips }
            }
        }
    }

    /// Bucket of coordinate `i` in `row`, and whether its sign is −.
    #[inline]
    pub fn place(&self, row: usize, i: u64, cols: u64) -> (u64, bool) {
        match self {
            Self::Fmix64 { keys } => fmix_place(keys[row], i, cols),
            Self::Poly61 { coef } => {
                let [a, b, h1, h2, h3, h4] = coef[row];
                let i = i % P;
                let sign = poly61(poly61(poly61(h1, i, h2), i, h3), i, h4);
                (poly61(a, i, b) % cols, sign & 1 == 0)
            }
            Self::Csvec { coef, tokens, offsets, flips } => {
                let (block, token) = ((i / tokens) as usize, i % tokens);
                let (bucket, minus) = csvec_place(&coef[row], token, cols);
                ((bucket + offsets[block]) % cols, minus ^ flips[block])
            }
        }
    }

    /// Buckets and sign bits (bit 31 set for −) of many coordinates in `row`; all slices have one length.
    #[inline(always)]
    pub fn place_all(&self, row: usize, cols: u64, at: &[u64], buckets: &mut [u32], signs: &mut [u32]) {
        if let Self::Fmix64 { keys } = self {
            match u32::try_from(cols) {
                Ok(cols) => fmix_place_all(keys[row], cols as u64, at, buckets, signs),
                Err(_) => fmix_place_all(keys[row], 1 << 32, at, buckets, signs),
            }
            return;
        }
        for ((&i, bucket), sign) in at.iter().zip(buckets).zip(signs) {
            let (place, minus) = self.place(row, i, cols);
            (*bucket, *sign) = (place as u32, u32::from(minus) << 31);
        }
    }
}

#[inline(always)]
fn fmix_place_all(key: u64, cols: u64, at: &[u64], buckets: &mut [u32], signs: &mut [u32]) {
    for ((&i, bucket), sign) in at.iter().zip(buckets).zip(signs) {
        let h = fmix64(i ^ key);
        *bucket = (((h >> 32) * cols) >> 32) as u32;
        *sign = (h as u32) << 31;
    }
}

/// The default family's placement: a pure function of the row's key and the coordinate.
#[inline(always)]
pub const fn fmix_place(key: u64, i: u64, cols: u64) -> (u64, bool) {
    let h = fmix64(i ^ key);
    (((h >> 32) * cols) >> 32, h & 1 == 1)
}

/// `(a·x + b) mod 2⁶¹ − 1`.
#[inline]
fn poly61(a: u64, x: u64, b: u64) -> u64 {
    let sum = a as u128 * x as u128 + b as u128;
    let folded = (sum as u64 & P) + (sum >> 61) as u64;
    let folded = (folded & P) + (folded >> 61);
    if folded >= P { folded - P } else { folded }
}

#[inline]
fn csvec_place(coef: &[u64; 6], token: u64, cols: u64) -> (u64, bool) {
    let [a, b, h1, h2, h3, h4] = coef.map(|c| c as i64);
    let token = token as i64;
    let bucket = a.wrapping_mul(token).wrapping_add(b).rem_euclid(P as i64) as u64 % cols;
    let sign = h1.wrapping_mul(token).wrapping_add(h2).wrapping_mul(token).wrapping_add(h3);
    let sign = sign.wrapping_mul(token).wrapping_add(h4).rem_euclid(P as i64);
    (bucket, sign & 1 == 0)
}

fn splitmix_coefficients(rows: u32, seed: u64) -> Vec<[u64; 6]> {
    let mut mix = SplitMix64::new(seed);
    (0..rows).map(|_| std::array::from_fn(|_| mix.next_u64() % P)).collect()
}
