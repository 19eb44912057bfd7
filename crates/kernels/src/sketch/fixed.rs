//! Fixed point: integers that add up to the same bits in any order.

use crate::{
    Error, Result,
    simd::{self, vectorised},
};

/// The finest scale at which `parts` vectors, each with Σ|x| ≤ `l1_upper`, add up without overflow:
/// 62 − ⌈log₂ l1⌉ − ⌈log₂ parts⌉, held to −126…126.
///
/// ```
/// # use ashlar_kernels::sketch::scale_for;
/// assert_eq!(scale_for(18.875, 1), 57);
/// assert_eq!(scale_for(18.875, 100), 50);
/// ```
pub fn scale_for(l1_upper: f64, parts: u64) -> i32 {
    if l1_upper.is_nan() { MIN_SCALE } else { scale_for_log2(ceil_log2(l1_upper), parts) }
}

/// As [`scale_for`], with ⌈log₂ l1⌉ taken already: what processes agree on before they sum.
pub fn scale_for_log2(l1_log2: i32, parts: u64) -> i32 {
    let parts_log2 = parts.max(1).next_power_of_two().trailing_zeros() as i32;
    (62 - l1_log2.clamp(-1000, 1200) - parts_log2).clamp(MIN_SCALE, MAX_SCALE)
}

pub(super) const MIN_SCALE: i32 = -126;
pub(super) const MAX_SCALE: i32 = 126;

/// ⌈log₂ x⌉, exact, unlike `log2().ceil()`; −1000 for 0 and below, 1200 for infinity.
///
/// ```
/// # use ashlar_kernels::sketch::ceil_log2;
/// assert_eq!((ceil_log2(8.0), ceil_log2(8.0_f64.next_up()), ceil_log2(0.3)), (3, 4, -1));
/// ```
pub fn ceil_log2(x: f64) -> i32 {
    if x <= 0.0 {
        return -1000;
    }
    if x.is_infinite() {
        return 1200;
    }
    let exponent = ((x.to_bits() >> 52) as i32) - 1023;
    exponent + i32::from(x.to_bits() & ((1 << 52) - 1) != 0)
}

/// `2^exponent`, exact; the exponent is held to −1022…1023.
pub fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// `out[i] = round-half-even(x[i] · 2^scale_log2)`.
///
/// # Errors
/// NaN or infinity; a result of magnitude 2⁶² or more; lengths that differ; a scale outside −126…126. `out` is then
/// unchanged.
pub fn quantise(x: &[f32], scale_log2: i32, out: &mut [i64]) -> Result<()> {
    if x.len() != out.len() {
        return Err(Error::LengthMismatch {
            left_name: "x",
            left: x.len() as u64,
            right_name: "out",
            right: out.len() as u64,
        });
    }
    if !(MIN_SCALE..=MAX_SCALE).contains(&scale_log2) {
        return Err(Error::SketchConfig {
            field: "table.scale_log2",
            value: scale_log2.to_string(),
            expected: "-126 to 126",
        });
    }
    check(x, scale_log2, |at| at as u64)?;
    let scale = power_of_two(scale_log2);
    vectorised!(simd::level(), quantise_all(x: &[f32], scale: f64, out: &mut [i64]));
    Ok(())
}

#[inline(always)]
pub(super) fn quantise_all(x: &[f32], scale: f64, out: &mut [i64]) {
    for (&x, out) in x.iter().zip(out) {
        *out = quantise_one(x, scale);
    }
}

/// f64 holds x·2^s exactly, so there is one rounding.
#[inline(always)]
fn quantise_one(x: f32, scale: f64) -> i64 {
    (x as f64 * scale).round_ties_even() as i64
}

/// Refuses what [`quantise_one`] can't represent; else an upper bound of Σ|q|, saturating.
pub(super) fn check(x: &[f32], scale_log2: i32, index: impl Fn(usize) -> u64) -> Result<u64> {
    // |x|·2^s < 2^62 − ½; a float below 2^62 is at most 2^62 − 2^38, so the half doesn't matter.
    let limit = f64::powi(2.0, 62 - scale_log2);
    let level = simd::level();
    let (mut largest, mut l1) = (0_u32, 0.0);
    for x in x.chunks(1 << 14) {
        let (block_largest, block_l1) = vectorised!(level, survey(x: &[f32]) -> (u32, f64));
        largest = largest.max(block_largest);
        l1 += block_l1;
    }
    if largest < 0x7f80_0000 && (f32::from_bits(largest) as f64) < limit {
        // The sum's own rounding is far below a millionth; rounding to integers adds at most one half each.
        return Ok(((l1 * 1.000_001 * f64::powi(2.0, scale_log2)) as u64).saturating_add(x.len() as u64));
    }
    for (at, &value) in x.iter().enumerate() {
        let index = index(at);
        if !value.is_finite() {
            return Err(Error::NonFinite { what: "the input", index, value });
        }
        if value.abs() as f64 >= limit {
            return Err(Error::Overflow { what: "the input", index, scale_log2 });
        }
    }
    Ok(u64::MAX)
}

/// Largest magnitude's bits and Σ|x|, in lanes so that it vectorises.
#[inline(always)]
fn survey(x: &[f32]) -> (u32, f64) {
    let (mut largest, mut sums) = ([0_u32; 16], [0.0_f64; 16]);
    let chunks = x.chunks_exact(16);
    for (lane, x) in chunks.remainder().iter().enumerate() {
        largest[lane] = x.abs().to_bits();
        sums[lane] = x.abs() as f64;
    }
    for chunk in chunks {
        for lane in 0..16 {
            largest[lane] = largest[lane].max(chunk[lane].abs().to_bits());
            sums[lane] += chunk[lane].abs() as f64;
        }
    }
    (largest.into_iter().max().unwrap_or(0), sums.into_iter().sum())
}

/// `round-half-even(cell · factor)`, exact for every pair; `None` past 63 bits or for a factor that isn't finite.
pub(super) fn scale_cell(cell: i64, factor: f32) -> Option<i64> {
    if !factor.is_finite() {
        return None;
    }
    let bits = factor.to_bits();
    let biased = (bits >> 23 & 0xff) as i32;
    let fraction = (bits & 0x7f_ffff) as i128;
    // factor = ±mantissa · 2^exponent
    let (mantissa, exponent) = if biased == 0 { (fraction, -149) } else { (fraction | 0x80_0000, biased - 150) };
    let product = cell as i128 * if factor.is_sign_negative() { -mantissa } else { mantissa };
    let scaled = if exponent >= 0 {
        // 64 bits or more would only leave zero in range.
        if product == 0 {
            0
        } else {
            product.checked_shl(exponent as u32).filter(|x| x >> exponent == product && exponent < 64)?
        }
    } else if exponent <= -90 {
        0 // |product| < 2^88, so less than half
    } else {
        let shift = -exponent as u32;
        let floor = product >> shift;
        let rest = product - (floor << shift);
        let half = 1_i128 << (shift - 1);
        floor + i128::from(rest > half || (rest == half && floor & 1 == 1))
    };
    i64::try_from(scaled).ok()
}
