//! f16 and bf16 by integer operations that vectorise, with the bits of `kernels/half.cuh`.

use half::{bf16, f16};

use super::{Format, unpack};
use crate::Result;
use crate::launch::Element;

/// Which kernel writes a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    F32,
    Bf16,
    F16,
}

/// What can be written: f32, bf16 or f16. A value is rounded to the nearest, ties to even.
pub trait Float: Element {
    #[doc(hidden)]
    fn round(value: f32) -> Self;
    /// Not generic, so that the loops are compiled in this crate, without checks for overflow, and not in the caller's.
    #[doc(hidden)]
    fn unpack(format: Format, packed: &[u8], out: &mut [Self]) -> Result<()>;
    #[doc(hidden)]
    const OUTPUT: Sealed;
}

/// Keeps [`Float`] to the types that have kernels.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Sealed(pub(crate) Output);

impl Float for f32 {
    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }
    fn unpack(format: Format, packed: &[u8], out: &mut [Self]) -> Result<()> {
        unpack(format, packed, out)
    }
    const OUTPUT: Sealed = Sealed(Output::F32);
}

impl Float for bf16 {
    #[inline(always)]
    fn round(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1)) >> 16;
        let nan = bits >> 16 | 0x40;
        Self::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded } as u16)
    }
    fn unpack(format: Format, packed: &[u8], out: &mut [Self]) -> Result<()> {
        unpack(format, packed, out)
    }
    const OUTPUT: Sealed = Sealed(Output::Bf16);
}

impl Float for f16 {
    #[inline(always)]
    fn round(value: f32) -> Self {
        let (sign, magnitude) = (value.to_bits() >> 16 & 0x8000, value.to_bits() & 0x7fff_ffff);
        // Below 2⁻¹⁴, adding a half rounds to multiples of 2⁻²⁴.
        let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
        let normal = magnitude.wrapping_sub(0x3800_0000).wrapping_add(0xfff).wrapping_add(magnitude >> 13 & 1) >> 13;
        let finite = if magnitude < 0x3880_0000 { denormal } else { normal };
        let special = if magnitude > 0x7f80_0000 { 0x7e00 | magnitude >> 13 & 0x3ff } else { 0x7c00 };
        Self::from_bits((sign | if magnitude >= 0x4780_0000 { special } else { finite }) as u16)
    }
    fn unpack(format: Format, packed: &[u8], out: &mut [Self]) -> Result<()> {
        unpack(format, packed, out)
    }
    const OUTPUT: Sealed = Sealed(Output::F16);
}

/// Exact.
#[inline(always)]
pub(super) fn f16_to_f32(half: u16) -> f32 {
    let (sign, magnitude) = ((half as u32 & 0x8000) << 16, (half as u32 & 0x7fff) << 13);
    // A denormal's mantissa under the exponent of 2⁻¹⁴, less that power.
    let denormal = (f32::from_bits(magnitude.wrapping_add(0x3880_0000)) - 1.0 / 16384.0).to_bits();
    let other = magnitude + if magnitude < 0x0f80_0000 { 0x3800_0000 } else { 0x7000_0000 };
    f32::from_bits(sign | if magnitude < 0x0080_0000 { denormal } else { other })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the crate `half`: every f16, and f32s around every half and every boundary between two.
    #[test]
    fn conversions_are_those_of_ieee() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:04x}");
            let wide = [theirs.to_bits(), (bits as u32) << 16];
            for base in wide {
                for near in [0_u32, 1, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff] {
                    let value = f32::from_bits(base.wrapping_add(near));
                    let (ours, theirs) = (f16::round(value), f16::from_f32(value));
                    assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{value:e} to f16");
                    let (ours, theirs) = (bf16::round(value), bf16::from_f32(value));
                    assert!(
                        ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                        "{value:e} to bf16"
                    );
                }
            }
        }
    }
}
