//! Weights in 4 or 8 bits: packing, and unpacking to f32, bf16 or f16 at the speed of memory.
//!
//! | format | value | codes | beside them, a group | bytes an element |
//! |---|---|---|---|---|
//! | [`Format::Int4`], zero-point 8 | (q − 8)·s | 4 bits, two a byte, **low nibble first** | scale s in f16 or f32 | 0.5 + 2/G or 4/G |
//! | [`Format::Int4`], stored zero-points | (q − z)·s | the same | the scale, a byte z | 0.5 + 3/G or 5/G |
//! | [`Format::Q8_0`] | q·s | signed 8 bits | scale s in f16 | 34/32 = 1.0625 |
//!
//! G is 32, 64 or 128 elements that are neighbours in memory. A matrix `[rows, columns]` whose columns are a multiple of G
//! has whole groups in each row. The value is computed in f32, (q − z) exactly and one product rounded to nearest even,
//! then rounded once more to bf16 or f16; so CPU, every vector level, the CUDA kernel and any split give the same bits
//! (only which NaN a NaN or infinite scale gives is the processor's).
//!
//! # Layout
//!
//! One contiguous piece, so that one copy moves it. [`Format::Int4`] of n elements: ⌈n/2⌉ bytes of codes (element 2i in the
//! low half of byte i) and zeros up to a multiple of 16; ⌈n/G⌉ scales, little endian; ⌈n/G⌉ zero-points if they are stored.
//! A last group may be short. [`Format::Q8_0`]: n/32 blocks of a 2-byte scale and 32 codes, which is GGUF's type 8 (`block_q8_0`
//! of ggml), so a GGUF tensor's bytes can be unpacked as they are; n is a multiple of 32.
//!
//! # Rounding to codes
//!
//! Codes are rounded to nearest even. With inv = 1/s in f32 (0 where s is 0 or 1/s overflows, so that such a group is all
//! zero):
//!
//! * int4, zero-point 8: s = max|x|/7.5, q = clamp(round(x·inv) + 8, 0, 15), as PyTorch's symmetric observers have it;
//! * int4, stored: s = (max(x, 0) − min(x, 0))/15, z = clamp(round(−min(x, 0)·inv), 0, 15), q = clamp(round(x·inv) + z, 0, 15),
//!   as its affine ones do; 0 stays exactly 0;
//! * Q8_0: s = max|x|/127, q = round(x·inv), as ggml does, which rounds ties away from zero.
//!
//! inv is of the scale as stored for int4, and of the scale before its rounding to f16 for Q8_0, as in ggml. An int4 value is
//! off by at most s/2 (0.51·s with f16 scales of normal size).
//!
//! ```
//! use ashlar_kernels::dequant::{Format, Group, Int4, Scale, ZeroPoint};
//!
//! let weights: Vec<f32> = (0..256).map(|i| (i % 31) as f32 / 31.0 - 0.3).collect();
//! let format = Format::Int4(Int4 { group: Group::G128, scale: Scale::F32, zero_point: ZeroPoint::Stored });
//! let packed = format.quantise(&weights)?;
//! assert_eq!(packed.len(), 128 + 2 * (4 + 1));
//!
//! let mut back = vec![0.0_f32; 256];
//! format.dequantise(&packed, &mut back)?;
//! assert!(weights.iter().zip(&back).all(|(x, y)| (x - y).abs() < 0.034)); // half a step of 1/15
//! # Ok::<(), ashlar_kernels::Error>(())
//! ```
//!
//! # How it is done
//!
//! By AVX-512, and by AVX2 for 2-byte outputs, a group's sixteen possible values are computed once, in the output's type, and
//! every code looks its own up in registers; elsewhere each is computed. On a GPU a thread takes 8 codes with one load. Threads
//! take tiles of 2¹⁶ elements.
//!
//! Speed of one thread as a share of a `memcpy` that writes the same bytes in the same run (Zen 4, AVX-512, 2²⁴ elements,
//! `cargo bench -p ashlar-benches --bench prefetch`), to f32 and to bf16: groups of 128 1.3 and 1.3, groups of 32 with stored
//! zero-points 1.2 and 0.84, Q8_0 1.3 and 0.79. A `memcpy` reads as much as it writes, unpacking an eighth to half of that,
//! hence shares above 1. Not yet measured on a GPU.

mod float;
mod int4;
mod q8;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use float::Float;
pub(crate) use float::Output;
#[doc(hidden)]
pub use float::Sealed;

use rayon::prelude::*;

use crate::{Error, Result};

/// How weights are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// 4-bit codes in groups with a scale each.
    Int4(Int4),
    /// GGUF's blocks of 32 signed bytes under an f16 scale.
    Q8_0,
}

/// 4-bit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Int4 {
    /// Elements that share a scale.
    pub group: Group,
    /// How scales are stored.
    pub scale: Scale,
    /// What code stands for 0.
    pub zero_point: ZeroPoint,
}

/// Elements that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// 32.
    G32 = 32,
    /// 64.
    G64 = 64,
    /// 128.
    G128 = 128,
}

/// How scales are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// 2 bytes; scales above 65504 don't fit.
    F16,
    /// 4 bytes.
    F32,
}

/// What code stands for 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroPoint {
    /// 8, for values on both sides of 0.
    Eight,
    /// A byte a group; [`Format::quantise`] gives 0..=15, reading takes any.
    Stored,
}

impl Group {
    /// How many elements.
    pub const fn elements(self) -> usize {
        self as usize
    }
}

/// Elements that a thread takes at once: whole groups and blocks.
const TILE: usize = 1 << 16;

impl Format {
    /// Bytes of `elements` packed elements.
    ///
    /// # Errors
    /// [`Format::Q8_0`] and a number that isn't a multiple of 32; more bytes than there are addresses.
    pub fn packed_bytes(self, elements: usize) -> Result<usize> {
        match self {
            Self::Int4(int4) => int4.sections(elements).map(|sections| sections.end),
            Self::Q8_0 => q8::bytes(elements),
        }
    }

    /// Packs `x`.
    ///
    /// # Errors
    /// A value that isn't finite; a scale that its type can't hold; a length that [`Self::packed_bytes`] refuses.
    pub fn quantise(self, x: &[f32]) -> Result<Vec<u8>> {
        let bytes = self.packed_bytes(x.len())?;
        if let Some(index) = x.iter().position(|x| !x.is_finite()) {
            return Err(Error::NonFinite { what: "the input", index: index as u64, value: x[index] });
        }
        let mut packed = vec![0; bytes];
        match self {
            Self::Int4(int4) => int4.quantise(x, &mut packed)?,
            Self::Q8_0 => q8::quantise(x, &mut packed)?,
        }
        Ok(packed)
    }

    /// Unpacks `out.len()` elements.
    ///
    /// # Errors
    /// A length of `packed` that isn't [`Self::packed_bytes`] of `out`'s.
    pub fn dequantise<T: Float>(self, packed: &[u8], out: &mut [T]) -> Result<()> {
        T::unpack(self, packed, out)
    }

    /// Whether so many packed bytes are so many elements.
    pub(crate) fn check(self, packed: usize, elements: usize) -> Result<()> {
        let expected = self.packed_bytes(elements)?;
        if packed == expected {
            return Ok(());
        }
        Err(Error::LengthMismatch {
            left_name: "the packed tensor",
            left: packed as u64,
            right_name: "its format (bytes)",
            right: expected as u64,
        })
    }
}

fn unpack<T: Float>(format: Format, packed: &[u8], out: &mut [T]) -> Result<()> {
    format.check(packed.len(), out.len())?;
    let level = crate::simd::level();
    match format {
        Format::Int4(int4) => {
            let parts = int4.parts(packed, out.len())?;
            tiles(out, |first, out| int4::dequantise(level, &parts.from(first), out));
        }
        Format::Q8_0 => tiles(out, |first, out| q8::dequantise(level, &packed[q8::offset(first)..], out)),
    }
    Ok(())
}

/// Calls `work` with each tile's first element and the tile.
fn tiles<T: Float>(out: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= TILE {
        work(0, out);
    } else {
        out.par_chunks_mut(TILE).enumerate().for_each(|(tile, out)| work(tile * TILE, out));
    }
}
