//! One vector of keys at a time: the few operations that selection needs, for each instruction set.
//!
//! Keys are at most 0x7fff_ffff, so that signed comparisons order them.

/// A vector of u32 lanes. Every method needs the instruction set to be there.
pub(super) trait Lanes {
    /// Lanes of a vector.
    const LANES: usize;
    /// A vector.
    type V: Copy;
    /// Reads `LANES` words.
    unsafe fn load(from: *const u32) -> Self::V;
    /// All lanes equal to `x`.
    unsafe fn splat(x: u32) -> Self::V;
    /// `base, base + 1, …`
    unsafe fn count_from(base: u32) -> Self::V;
    /// Lanewise wrapping sum.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise and.
    unsafe fn and(a: Self::V, b: Self::V) -> Self::V;
    /// Bit of each lane in which a > b, signed.
    unsafe fn gt(a: Self::V, b: Self::V) -> u32;
    /// Bit of each lane in which a = b.
    unsafe fn eq(a: Self::V, b: Self::V) -> u32;
    /// 0 in the lanes whose bit is set.
    unsafe fn zero_where(a: Self::V, bits: u32) -> Self::V;
    /// Writes the lanes whose bit is set, one after the other; may write up to `LANES` words.
    unsafe fn pack(a: Self::V, bits: u32, to: *mut u32);
}

/// Plain Rust, one lane.
pub(super) struct Scalar;

impl Lanes for Scalar {
    const LANES: usize = 1;
    type V = u32;
    #[inline(always)]
    unsafe fn load(from: *const u32) -> u32 {
        // SAFETY: the caller gives one readable word.
        unsafe { from.read() }
    }
    #[inline(always)]
    unsafe fn splat(x: u32) -> u32 {
        x
    }
    #[inline(always)]
    unsafe fn count_from(base: u32) -> u32 {
        base
    }
    #[inline(always)]
    unsafe fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    unsafe fn and(a: u32, b: u32) -> u32 {
        a & b
    }
    #[inline(always)]
    unsafe fn gt(a: u32, b: u32) -> u32 {
        u32::from(a as i32 > b as i32)
    }
    #[inline(always)]
    unsafe fn eq(a: u32, b: u32) -> u32 {
        u32::from(a == b)
    }
    #[inline(always)]
    unsafe fn zero_where(a: u32, bits: u32) -> u32 {
        if bits & 1 == 1 { 0 } else { a }
    }
    #[inline(always)]
    unsafe fn pack(a: u32, _bits: u32, to: *mut u32) {
        // SAFETY: the caller gives room for one word.
        unsafe { to.write(a) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// 16 lanes.
    pub struct Avx512;

    // SAFETY (all of them): the caller has checked for AVX-512 F and BW and gives valid pointers.
    impl Lanes for Avx512 {
        const LANES: usize = 16;
        type V = __m512i;
        #[inline(always)]
        unsafe fn load(from: *const u32) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn splat(x: u32) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_set1_epi32(x as i32) }
        }
        #[inline(always)]
        unsafe fn count_from(base: u32) -> __m512i {
            // SAFETY: see the impl.
            unsafe {
                let iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                _mm512_add_epi32(iota, _mm512_set1_epi32(base as i32))
            }
        }
        #[inline(always)]
        unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_add_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_and_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn gt(a: __m512i, b: __m512i) -> u32 {
            // SAFETY: see the impl.
            unsafe { _mm512_cmpgt_epi32_mask(a, b) as u32 }
        }
        #[inline(always)]
        unsafe fn eq(a: __m512i, b: __m512i) -> u32 {
            // SAFETY: see the impl.
            unsafe { _mm512_cmpeq_epi32_mask(a, b) as u32 }
        }
        #[inline(always)]
        unsafe fn zero_where(a: __m512i, bits: u32) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_maskz_mov_epi32(!bits as u16, a) }
        }
        #[inline(always)]
        unsafe fn pack(a: __m512i, bits: u32, to: *mut u32) {
            // Compressing in a register and storing all of it: `vpcompressd` to memory is microcoded on Zen 4.
            // SAFETY: see the impl.
            unsafe { _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(bits as u16, a)) }
        }
    }

    /// 8 lanes.
    pub struct Avx2;

    /// For each byte of bits, the lanes whose bit is set, one after the other.
    static PACK: [[u32; 8]; 256] = {
        let mut table = [[0; 8]; 256];
        let mut bits = 0;
        while bits < 256 {
            let (mut lane, mut to) = (0, 0);
            while lane < 8 {
                if bits >> lane & 1 == 1 {
                    table[bits][to] = lane;
                    to += 1;
                }
                lane += 1;
            }
            bits += 1;
        }
        table
    };

    // SAFETY (all of them): the caller has checked for AVX2 and gives valid pointers.
    impl Lanes for Avx2 {
        const LANES: usize = 8;
        type V = __m256i;
        #[inline(always)]
        unsafe fn load(from: *const u32) -> __m256i {
            // SAFETY: see the impl.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }
        #[inline(always)]
        unsafe fn splat(x: u32) -> __m256i {
            // SAFETY: see the impl.
            unsafe { _mm256_set1_epi32(x as i32) }
        }
        #[inline(always)]
        unsafe fn count_from(base: u32) -> __m256i {
            // SAFETY: see the impl.
            unsafe { _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(base as i32)) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: see the impl.
            unsafe { _mm256_add_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: see the impl.
            unsafe { _mm256_and_si256(a, b) }
        }
        #[inline(always)]
        unsafe fn gt(a: __m256i, b: __m256i) -> u32 {
            // SAFETY: see the impl.
            unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))) as u32 }
        }
        #[inline(always)]
        unsafe fn eq(a: __m256i, b: __m256i) -> u32 {
            // SAFETY: see the impl.
            unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b))) as u32 }
        }
        #[inline(always)]
        unsafe fn zero_where(a: __m256i, bits: u32) -> __m256i {
            // SAFETY: see the impl.
            unsafe {
                let lane_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let hit = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lane_bits);
                _mm256_andnot_si256(_mm256_cmpeq_epi32(hit, lane_bits), a)
            }
        }
        #[inline(always)]
        unsafe fn pack(a: __m256i, bits: u32, to: *mut u32) {
            // SAFETY: see the impl; `bits` is a byte.
            unsafe {
                let order = _mm256_loadu_si256(PACK[bits as usize & 255].as_ptr().cast());
                _mm256_storeu_si256(to.cast(), _mm256_permutevar8x32_epi32(a, order));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// Calls `$function::<Lanes>` compiled for `$level`, which must not exceed what the machine has.
macro_rules! at_level {
    ($level:expr, $function:ident :: <$($flag:literal),*> ($($name:ident : $type:ty),* $(,)?) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
            unsafe fn avx512($($name: $type),*) $(-> $result)? {
                // SAFETY: this function's caller has checked for the instruction set and the arguments.
                unsafe { $function::<$crate::topk::lanes::Avx512, $($flag),*>($($name),*) }
            }
            #[target_feature(enable = "avx2,popcnt")]
            unsafe fn avx2($($name: $type),*) $(-> $result)? {
                // SAFETY: as above.
                unsafe { $function::<$crate::topk::lanes::Avx2, $($flag),*>($($name),*) }
            }
            match $level {
                // SAFETY: a level is never above what was detected; the arguments are the caller's promise.
                $crate::simd::Level::Avx512 => unsafe { avx512($($name),*) },
                // SAFETY: as above.
                $crate::simd::Level::Avx2 => unsafe { avx2($($name),*) },
                // SAFETY: as above.
                $crate::simd::Level::Scalar => unsafe { $function::<$crate::topk::lanes::Scalar, $($flag),*>($($name),*) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = $level;
            // SAFETY: the arguments are the caller's promise.
            unsafe { $function::<$crate::topk::lanes::Scalar, $($flag),*>($($name),*) }
        }
    }};
}
pub(super) use at_level;
