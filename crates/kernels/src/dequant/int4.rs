//! Groups of 4-bit codes.

use super::float::f16_to_f32;
use super::{Float, Int4, Scale, ZeroPoint};
use crate::simd::Level;
use crate::{Error, Result};

/// Where the parts of a packed tensor begin, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sections {
    pub scales: usize,
    pub zeros: usize,
    pub end: usize,
}

impl Int4 {
    pub(crate) fn sections(self, elements: usize) -> Result<Sections> {
        let groups = elements.div_ceil(self.group.elements());
        let scales = elements.div_ceil(2).checked_next_multiple_of(16);
        let zeros = scales.and_then(|scales| scales.checked_add(groups.checked_mul(self.scale_bytes())?));
        let end = zeros.and_then(|zeros| zeros.checked_add(if self.stores_zeros() { groups } else { 0 }));
        match (scales, zeros, end) {
            (Some(scales), Some(zeros), Some(end)) => Ok(Sections { scales, zeros, end }),
            _ => Err(Error::parameter("the number of elements", elements, "fewer: their bytes exceed all addresses")),
        }
    }

    const fn scale_bytes(self) -> usize {
        match self.scale {
            Scale::F16 => 2,
            Scale::F32 => 4,
        }
    }

    const fn stores_zeros(self) -> bool {
        matches!(self.zero_point, ZeroPoint::Stored)
    }

    /// How the kernel is told: 1 f16 scales, 2 stored zero-points.
    pub(crate) const fn flags(self) -> u32 {
        matches!(self.scale, Scale::F16) as u32 | (self.stores_zeros() as u32) << 1
    }

    pub(super) fn quantise(self, x: &[f32], packed: &mut [u8]) -> Result<()> {
        let sections = self.sections(x.len())?;
        let (codes, rest) = packed.split_at_mut(sections.scales);
        let (scales, zeros) = rest.split_at_mut(sections.zeros - sections.scales);
        let group = self.group.elements();
        for (at, x) in x.chunks(group).enumerate() {
            let low = x.iter().fold(0.0_f32, |low, &x| low.min(x));
            let high = x.iter().fold(0.0_f32, |high, &x| high.max(x));
            let scale = if self.stores_zeros() { (high - low) / 15.0 } else { high.max(-low) / 7.5 };
            let scale = self.store_scale(scale, &mut scales[self.scale_bytes() * at..])?;
            let inverse = inverse(scale);
            let mut zero = 8.0;
            if self.stores_zeros() {
                zero = (-low * inverse).round_ties_even().clamp(0.0, 15.0);
                zeros[at] = zero as u8;
            }
            let code = |x: f32| ((x * inverse).round_ties_even() + zero).clamp(0.0, 15.0) as u8;
            for (byte, pair) in codes[at * group / 2..].iter_mut().zip(x.chunks(2)) {
                *byte = code(pair[0]) | pair.get(1).map_or(0, |&x| code(x) << 4);
            }
        }
        Ok(())
    }

    /// The scale as it can be read back.
    fn store_scale(self, scale: f32, to: &mut [u8]) -> Result<f32> {
        let expected = match self.scale {
            Scale::F16 => "it must be below 65504: scale the weights, or store scales as f32",
            Scale::F32 => "it must be finite: scale the weights",
        };
        let stored = match self.scale {
            Scale::F16 => {
                let half = half::f16::round(scale);
                to[..2].copy_from_slice(&half.to_le_bytes());
                f16_to_f32(half.to_bits())
            }
            Scale::F32 => {
                to[..4].copy_from_slice(&scale.to_le_bytes());
                scale
            }
        };
        if stored.is_finite() { Ok(stored) } else { Err(Error::parameter("the scale of a group", scale, expected)) }
    }

    /// The parts of a packed tensor of so many elements, of which it has the length.
    pub(super) fn parts(self, packed: &[u8], elements: usize) -> Result<Parts<'_>> {
        let sections = self.sections(elements)?;
        let zeros = self.stores_zeros().then(|| &packed[sections.zeros..]);
        let half = matches!(self.scale, Scale::F16);
        let scales = &packed[sections.scales..sections.zeros];
        Ok(Parts { codes: &packed[..elements.div_ceil(2)], scales, zeros, half, group: self.group.elements() })
    }
}

/// 1/s, or 0 where that overflows: then every code is the zero-point.
pub(super) fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// A packed tensor, or its groups from one on.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub codes: &'a [u8],
    scales: &'a [u8],
    zeros: Option<&'a [u8]>,
    half: bool,
    pub group: usize,
}

impl Parts<'_> {
    /// From element `first` on, a multiple of the group.
    pub fn from(self, first: usize) -> Self {
        let group = first / self.group;
        let scale_bytes = if self.half { 2 } else { 4 };
        Self {
            codes: &self.codes[first / 2..],
            scales: &self.scales[group * scale_bytes..],
            zeros: self.zeros.map(|zeros| &zeros[group..]),
            ..self
        }
    }

    /// Zero-point and scale of a group.
    #[inline(always)]
    pub fn of_group(self, at: usize) -> (f32, f32) {
        let zero = self.zeros.map_or(8.0, |zeros| zeros[at] as f32);
        let scale = if self.half {
            f16_to_f32(u16::from_le_bytes([self.scales[2 * at], self.scales[2 * at + 1]]))
        } else {
            let bytes = &self.scales[4 * at..4 * at + 4];
            f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        };
        (zero, scale)
    }
}

/// Unpacks the first `out.len()` elements.
pub(super) fn dequantise<T: Float>(level: Level, parts: &Parts<'_>, out: &mut [T]) {
    match level {
        // SAFETY: a level is never above what was detected on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { super::wide::int4_avx512(parts, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 if size_of::<T>() == 2 => unsafe { super::wide::int4_avx2(parts, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(parts, out) },
        _ => plain(parts, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    plain(parts, out);
}

#[inline(always)]
fn plain<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    for (at, (codes, out)) in parts.codes.chunks(parts.group / 2).zip(out.chunks_mut(parts.group)).enumerate() {
        let (zero, scale) = parts.of_group(at);
        group(codes, zero, scale, out);
    }
}

/// A group, whole or not, element by element.
#[inline(always)]
pub(super) fn group<T: Float>(codes: &[u8], zero: f32, scale: f32, out: &mut [T]) {
    let value = |code: u8| T::round((code as f32 - zero) * scale);
    let (pairs, last) = out.as_chunks_mut::<2>();
    for (&byte, pair) in codes.iter().zip(pairs) {
        *pair = [value(byte & 15), value(byte >> 4)];
    }
    if let ([last], Some(&byte)) = (last, codes.last()) {
        *last = value(byte & 15);
    }
}
