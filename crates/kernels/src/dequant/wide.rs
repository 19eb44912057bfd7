//! int4 by AVX-512: a group has sixteen values, so each code is looked up in a register that holds them all, in the
//! output's type. The table's entries are computed as `int4::group` computes an element, so the bits are the same.

use std::arch::x86_64::*;

use super::Float;
use super::int4::{Parts, group};

/// The first `out.len()` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
pub(super) fn avx512<T: Float>(parts: &Parts<'_>, out: &mut [T]) {
    for (at, (codes, out)) in parts.codes.chunks(parts.group / 2).zip(out.chunks_mut(parts.group)).enumerate() {
        let (zero, scale) = parts.of_group(at);
        let mut table = [T::default(); 16];
        for (code, value) in table.iter_mut().enumerate() {
            *value = T::round((code as f32 - zero) * scale);
        }
        if out.len() < parts.group {
            group(codes, zero, scale, out);
        } else if size_of::<T>() == 4 {
            wide4(codes, &table, out);
        } else {
            wide2(codes, &table, out);
        }
    }
}

/// 16 elements of 4 bytes a step.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn wide4<T: Float>(codes: &[u8], table: &[T; 16], out: &mut [T]) {
    debug_assert!(size_of::<T>() == 4);
    // SAFETY: 16 elements of 4 bytes are the 64 bytes that are loaded.
    let table = unsafe { _mm512_loadu_si512(table.as_ptr().cast()) };
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
fn wide2<T: Float>(codes: &[u8], table: &[T; 16], out: &mut [T]) {
    debug_assert!(size_of::<T>() == 2);
    // SAFETY: 16 elements of 2 bytes are the 32 bytes that are loaded. Twice, since 5 bits of an index are looked at.
    let table = unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(table.as_ptr().cast())) };
    for (codes, out) in codes.as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes are loaded, 64 stored, as many as the chunks have.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            let index = _mm512_or_si512(bytes, _mm512_slli_epi32::<12>(bytes));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutexvar_epi16(index, table));
        }
    }
}
