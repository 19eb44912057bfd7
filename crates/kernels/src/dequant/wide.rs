//! Unpacking by vector instructions, with the bits of the plain loops.
//!
//! A group of 4-bit codes has sixteen values, so they are computed once, in the output's type, and each code looks its own
//! up: by AVX-512 in one register, by AVX2 (for 2-byte outputs) in two registers of bytes, the low and the high ones.

use std::arch::x86_64::*;

use super::float::{Float, Output, f16_to_f32};
use super::int4::{Parts, group};
use super::q8;

/// The first `out.len()` elements of int4 groups.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
pub(super) fn int4_avx512<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    match parts.group {
        32 => groups_avx512::<T, 16, 32>(parts, out),
        64 => groups_avx512::<T, 32, 64>(parts, out),
        _ => groups_avx512::<T, 64, 128>(parts, out),
    }
}

/// The last group, where it is short.
fn rest<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    let whole = out.len() / parts.group;
    let (codes, out) = (&parts.codes[whole * parts.group / 2..], &mut out[whole * parts.group..]);
    if !out.is_empty() {
        let (zero, scale) = parts.of_group(whole);
        group(codes, zero, scale, out);
    }
}

/// Of `BYTES` bytes and `VALUES` elements each, so that the loops in a group are unrolled.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn groups_avx512<T: Float, const BYTES: usize, const VALUES: usize>(parts: &Parts<'_>, out: &mut [T]) {
    let codes = _mm512_setr_ps(0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.);
    let (bytes, whole) = (parts.codes.as_chunks::<BYTES>().0, out.as_chunks_mut::<VALUES>().0);
    for (at, (bytes, out)) in bytes.iter().zip(whole).enumerate() {
        let (zero, scale) = parts.of_group(at);
        let values = _mm512_mul_ps(_mm512_sub_ps(codes, _mm512_set1_ps(zero)), _mm512_set1_ps(scale));
        match T::OUTPUT.0 {
            Output::F32 => look_up_4(bytes, _mm512_castps_si512(values), out),
            // Twice, since 5 bits of an index are looked at.
            Output::Bf16 => look_up_2(bytes, _mm512_broadcast_i64x4(to_bf16(values)), out),
            Output::F16 => look_up_2(bytes, _mm512_broadcast_i64x4(to_f16(values)), out),
        }
    }
    rest(parts, out);
}

/// 16 elements of 4 bytes a step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn look_up_4<T: Float>(codes: &[u8], table: __m512i, out: &mut [T]) {
    assert!(size_of::<T>() == 4);
    for (codes, out) in codes.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        // SAFETY: 8 bytes are loaded, 64 stored, as many as the chunks have.
        unsafe {
            // A byte to each 64 bits, then its high half to the low bits of the upper 32. Only 4 bits of 32 are looked at.
            let bytes = _mm512_cvtepu8_epi64(_mm_loadl_epi64(codes.as_ptr().cast()));
            let index = _mm512_or_si512(bytes, _mm512_slli_epi64::<28>(bytes));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutexvar_epi32(index, table));
        }
    }
}

/// 32 elements of 2 bytes a step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn look_up_2<T: Float>(codes: &[u8], table: __m512i, out: &mut [T]) {
    assert!(size_of::<T>() == 2);
    for (codes, out) in codes.as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes are loaded, 64 stored, as many as the chunks have.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            let index = _mm512_or_si512(bytes, _mm512_slli_epi32::<12>(bytes));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutexvar_epi16(index, table));
        }
    }
}

/// To nearest, ties to even, as [`Float::round`] has it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn to_bf16(values: __m512) -> __m256i {
    let bits = _mm512_castps_si512(values);
    let upper = _mm512_srli_epi32::<16>(bits);
    let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, _mm512_srli_epi32::<16>(rounded), quiet))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn to_f16(values: __m512) -> __m256i {
    _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(values)
}

/// The first `out.len()` elements of int4 groups, 2 bytes each.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn int4_avx2<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    match parts.group {
        32 => groups_avx2::<T, 16, 32>(parts, out),
        64 => groups_avx2::<T, 32, 64>(parts, out),
        _ => groups_avx2::<T, 64, 128>(parts, out),
    }
}

#[target_feature(enable = "avx2,popcnt")]
fn groups_avx2<T: Float, const BYTES: usize, const VALUES: usize>(parts: &Parts<'_>, out: &mut [T]) {
    assert!(size_of::<T>() == 2);
    let nibble = _mm_set1_epi8(15);
    let (bytes, whole) = (parts.codes.as_chunks::<BYTES>().0, out.as_chunks_mut::<VALUES>().0);
    for (at, (bytes, out)) in bytes.iter().zip(whole).enumerate() {
        let (zero, scale) = parts.of_group(at);
        let mut table = [T::default(); 16];
        for (code, value) in table.iter_mut().enumerate() {
            *value = T::round((code as f32 - zero) * scale);
        }
        // SAFETY: 32 bytes are loaded, as many as the table has.
        let (first, second) = unsafe {
            let table = table.as_ptr().cast::<__m128i>();
            (_mm_loadu_si128(table), _mm_loadu_si128(table.add(1)))
        };
        let byte = _mm_set1_epi16(0xff);
        let low = _mm_packus_epi16(_mm_and_si128(first, byte), _mm_and_si128(second, byte));
        let high = _mm_packus_epi16(_mm_srli_epi16::<8>(first), _mm_srli_epi16::<8>(second));
        for (codes, out) in bytes.as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<32>().0) {
            // SAFETY: 16 bytes are loaded, 64 stored, as many as the chunks have.
            unsafe {
                let codes = _mm_loadu_si128(codes.as_ptr().cast());
                let (even, odd) = (_mm_and_si128(codes, nibble), _mm_and_si128(_mm_srli_epi16::<4>(codes), nibble));
                let to = out.as_mut_ptr().cast::<__m128i>();
                for (half, index) in
                    [_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd)].into_iter().enumerate()
                {
                    let (low, high) = (_mm_shuffle_epi8(low, index), _mm_shuffle_epi8(high, index));
                    _mm_storeu_si128(to.add(2 * half), _mm_unpacklo_epi8(low, high));
                    _mm_storeu_si128(to.add(2 * half + 1), _mm_unpackhi_epi8(low, high));
                }
            }
        }
    }
    rest(parts, out);
}

/// The first `out.len()` elements of Q8_0 blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
pub(super) fn q8_avx512<T: Float>(packed: &[u8], out: &mut [T]) {
    for (block, out) in packed.as_chunks::<{ q8::BYTES }>().0.iter().zip(out.as_chunks_mut::<{ q8::VALUES }>().0) {
        let scale = _mm512_set1_ps(f16_to_f32(u16::from_le_bytes([block[0], block[1]])));
        for half in 0..2 {
            // SAFETY: 16 of the block's 32 codes are loaded, 16 of 32 elements are stored.
            unsafe {
                let codes = _mm_loadu_si128(block.as_ptr().add(2 + 16 * half).cast());
                let values = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), scale);
                let to = out.as_mut_ptr().add(16 * half);
                match T::OUTPUT.0 {
                    Output::F32 => _mm512_storeu_ps(to.cast(), values),
                    Output::Bf16 => _mm256_storeu_si256(to.cast(), to_bf16(values)),
                    Output::F16 => _mm256_storeu_si256(to.cast(), to_f16(values)),
                }
            }
        }
    }
}
