//! Q8_0: blocks of an f16 scale and 32 signed bytes.

use super::Float;
use super::float::f16_to_f32;
use super::int4::inverse;
use crate::simd::Level;
use crate::{Error, Result};

pub(super) const VALUES: usize = 32;
pub(super) const BYTES: usize = 2 + VALUES;

pub(super) fn bytes(elements: usize) -> Result<usize> {
    if !elements.is_multiple_of(VALUES) {
        return Err(Error::parameter("the number of elements", elements, "a multiple of 32 for Q8_0"));
    }
    let bytes = (elements / VALUES).checked_mul(BYTES);
    bytes.ok_or_else(|| Error::parameter("the number of elements", elements, "fewer: their bytes exceed all addresses"))
}

/// Where the block of an element begins.
pub(super) const fn offset(element: usize) -> usize {
    element / VALUES * BYTES
}

pub(super) fn quantise(x: &[f32], packed: &mut [u8]) -> Result<()> {
    for (x, block) in x.as_chunks::<VALUES>().0.iter().zip(packed.as_chunks_mut::<BYTES>().0) {
        let scale = x.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 127.0;
        let half = half::f16::round(scale);
        if half.is_infinite() {
            return Err(Error::parameter("the scale of a block", scale, "it must be below 65504: scale the weights"));
        }
        block[..2].copy_from_slice(&half.to_le_bytes());
        let inverse = inverse(scale);
        for (code, &x) in block[2..].iter_mut().zip(x) {
            *code = (x * inverse).round_ties_even() as i8 as u8;
        }
    }
    Ok(())
}

/// Unpacks the first `out.len()` elements, whole blocks.
pub(super) fn dequantise<T: Float>(level: Level, packed: &[u8], out: &mut [T]) {
    match level {
        // SAFETY: a level is never above what was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { super::wide::q8_avx512(packed, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(packed, out) },
        _ => plain(packed, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2<T: Float>(packed: &[u8], out: &mut [T]) {
    plain(packed, out);
}

#[inline(always)]
fn plain<T: Float>(packed: &[u8], out: &mut [T]) {
    for (block, out) in packed.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<VALUES>().0) {
        let scale = f16_to_f32(u16::from_le_bytes([block[0], block[1]]));
        for (out, &code) in out.iter_mut().zip(&block[2..]) {
            *out = T::round(code as i8 as f32 * scale);
        }
    }
}
