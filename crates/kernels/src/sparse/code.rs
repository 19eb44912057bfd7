//! Index lists as bytes: LEB128 gaps. The first index, then for each next one index − previous − 1, 7 bits a byte, low
//! bits first, the top bit set while more follow.
//!
//! Each list has one encoding: padded numbers are refused, so equal lists have equal bytes. Random lists of density k/n
//! take, against the log₂(n/k) + 1.5 bits of a bit-wise code (the entropy is 0.06 below that):
//!
//! | k/n | bits an index | log₂(n/k) + 1.5 | bit mask | 32-bit index |
//! |---|---|---|---|---|
//! | 10 % | 8.0 | 4.8 | 10 | 32 |
//! | 1 % | 10.2 | 8.1 | 100 | 32 |
//! | 0.1 % | 15.1 | 11.5 | 1000 | 32 |
//! | 0.01 % | 17.6 | 14.8 | 10,000 | 32 |
//!
//! Above 12.5 % a [`BitMask`](super::BitMask) is shorter. The 2 to 4 bits that whole bytes cost are a tenth of an index
//! with its f32 value.
//!
//! ```
//! use ashlar_kernels::sparse::code::{push_gaps, read_gaps};
//!
//! let mut bytes = Vec::new();
//! push_gaps(&mut bytes, &[5, 6, 300])?;
//! assert_eq!(bytes, [5, 0, 0xa5, 2]); // 5, then gaps of 0 and 293 = 2·128 + 37
//! let mut at = 0;
//! assert_eq!(read_gaps(&bytes, &mut at, 3, 1000)?, [5, 6, 300]);
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```

use super::support::check_indices;
use crate::{Error, Result};

/// Bytes of a LEB128 number: 1 to 10.
pub const fn varint_len(x: u64) -> u64 {
    // 0 takes a byte like 1.
    (64 - (x | 1).leading_zeros() as u64).div_ceil(7)
}

/// Appends a LEB128 number.
pub fn push_varint(bytes: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        bytes.push(x as u8 | 0x80);
        x >>= 7;
    }
    bytes.push(x as u8);
}

/// Reads a LEB128 number at `*at` and moves on.
///
/// # Errors
/// Bytes that end too early; a number above 64 bits, or longer than it need be.
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let start = *at;
    let bad = |reason| Error::IndexCode { offset: start, reason };
    let mut x = 0_u64;
    for shift in (0..64).step_by(7) {
        let Some(&byte) = bytes.get(*at) else { return Err(bad("the bytes end inside a number")) };
        *at += 1;
        if shift == 63 && byte > 1 {
            return Err(bad("a number exceeds 64 bits"));
        }
        x |= ((byte & 0x7f) as u64) << shift;
        if byte < 0x80 {
            return if byte == 0 && shift > 0 { Err(bad("a number is longer than it need be")) } else { Ok(x) };
        }
    }
    Err(bad("a number exceeds 64 bits"))
}

/// Bytes of the gaps between strictly increasing indices.
pub fn gaps_len(indices: impl Iterator<Item = u32>) -> u64 {
    let mut next = 0;
    let mut bytes = 0;
    for i in indices {
        bytes += varint_len((i as u64).saturating_sub(next));
        next = i as u64 + 1;
    }
    bytes
}

/// Appends the gaps of strictly increasing indices below 2³².
///
/// # Errors
/// Indices that don't strictly increase; nothing is written then.
pub fn push_gaps(bytes: &mut Vec<u8>, idx: &[u32]) -> Result<()> {
    check_indices(1 << 32, idx)?;
    let mut next = 0;
    for &i in idx {
        push_varint(bytes, i as u64 - next);
        next = i as u64 + 1;
    }
    Ok(())
}

/// Reads `count` indices below `len` at `*at` and moves on. Memory stays in proportion to the bytes, whatever `count` is.
///
/// # Errors
/// As [`read_varint`]; an index that isn't below `len` and 2³².
pub fn read_gaps(bytes: &[u8], at: &mut usize, count: u64, len: u64) -> Result<Vec<u32>> {
    let left = bytes.len().saturating_sub(*at);
    if count > left as u64 {
        return Err(Error::IndexCode { offset: *at, reason: "there are fewer bytes than indices" });
    }
    let mut idx = Vec::with_capacity(count as usize);
    let mut next = 0_u64;
    for position in 0..count as usize {
        let i = next.saturating_add(read_varint(bytes, at)?);
        match u32::try_from(i) {
            Ok(index) if i < len => idx.push(index),
            _ => return Err(Error::SparseIndex { position, index: i, len: len.min(1 << 32) }),
        }
        next = i + 1;
    }
    Ok(idx)
}
