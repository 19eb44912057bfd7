//! One vector of words and floats at a time: what noise needs of an instruction set. Floats are added and multiplied one
//! by one, never fused, so that every set has the bits of plain Rust.

use std::arch::x86_64::*;

/// Vectors of u32 and f32. Every method needs the instruction set to be there.
pub(super) trait Lanes {
    /// Lanes of a vector: a multiple of 4.
    const LANES: usize;
    /// Words.
    type U: Copy;
    /// Floats.
    type F: Copy;
    /// All lanes equal to `x`.
    unsafe fn splat(x: u32) -> Self::U;
    /// Lane l holds `from[l]`, of 16 words.
    unsafe fn load(from: &[u32; 16]) -> Self::U;
    /// Wrapping sum.
    unsafe fn add(a: Self::U, b: Self::U) -> Self::U;
    /// Wrapping difference.
    unsafe fn sub(a: Self::U, b: Self::U) -> Self::U;
    /// a and b
    unsafe fn and(a: Self::U, b: Self::U) -> Self::U;
    /// a or b
    unsafe fn or(a: Self::U, b: Self::U) -> Self::U;
    /// a xor b
    unsafe fn xor(a: Self::U, b: Self::U) -> Self::U;
    /// Bits to the left.
    unsafe fn shl<const BITS: u32>(a: Self::U) -> Self::U;
    /// Bits to the right, zeros in.
    unsafe fn shr<const BITS: u32>(a: Self::U) -> Self::U;
    /// Bits to the right, the sign in.
    unsafe fn sar<const BITS: u32>(a: Self::U) -> Self::U;
    /// Rotation to the left; `REST` is 32 − `BITS`.
    unsafe fn rotate<const BITS: i32, const REST: i32>(a: Self::U) -> Self::U;
    /// Products of the even lanes, 64 bits each.
    unsafe fn mul_even(a: Self::U, b: Self::U) -> Self::U;
    /// Upper halves of 64-bit lanes to the lower ones.
    unsafe fn high(a: Self::U) -> Self::U;
    /// Even lanes of `even`; in the odd lanes what is left of them in `odd`.
    unsafe fn interleave(even: Self::U, odd: Self::U) -> Self::U;
    /// `b` where bit `BIT` of `x` is set, else `a`.
    unsafe fn pick<const BIT: u32>(x: Self::U, a: Self::F, b: Self::F) -> Self::F;
    /// The same bits.
    unsafe fn floats(a: Self::U) -> Self::F;
    /// The same bits.
    unsafe fn words(a: Self::F) -> Self::U;
    /// The nearest float of a signed number.
    unsafe fn convert(a: Self::U) -> Self::F;
    /// All lanes equal to `x`.
    unsafe fn splat_f(x: f32) -> Self::F;
    /// a + b
    unsafe fn fadd(a: Self::F, b: Self::F) -> Self::F;
    /// a − b
    unsafe fn fsub(a: Self::F, b: Self::F) -> Self::F;
    /// a · b
    unsafe fn fmul(a: Self::F, b: Self::F) -> Self::F;
    /// √a, correctly rounded.
    unsafe fn sqrt(a: Self::F) -> Self::F;
    /// Transposes 4 × 4 blocks: lane 4q + w of result i is lane 4q + i of `x[w]`.
    unsafe fn transpose(x: [Self::F; 4]) -> [Self::F; 4];
    /// Writes all lanes from `to` on.
    unsafe fn store(a: Self::F, to: *mut f32);
    /// Writes lanes 4q to 4q + 3 from `to` + q · `stride` on.
    unsafe fn store_fours(a: Self::F, to: *mut f32, stride: usize);
}

/// 16 lanes.
pub(super) struct Avx512;
/// 8 lanes.
pub(super) struct Avx2;

macro_rules! methods {
    ($($(#[$meta:meta])* fn $name:ident $(<$(const $flag:ident: $kind:ty),+>)? ($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(
            #[inline(always)]
            unsafe fn $name $(<$(const $flag: $kind),+>)? ($($arg: $type),*) $(-> $result)? {
                // SAFETY: the caller has checked for the instruction set and gives valid pointers.
                unsafe { $body }
            }
        )*
    };
}

impl Lanes for Avx512 {
    const LANES: usize = 16;
    type U = __m512i;
    type F = __m512;
    methods! {
        fn splat(x: u32) -> __m512i { _mm512_set1_epi32(x as i32) }
        fn load(from: &[u32; 16]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        fn add(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn xor(a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn shl<const BITS: u32>(a: __m512i) -> __m512i { _mm512_slli_epi32::<BITS>(a) }
        fn shr<const BITS: u32>(a: __m512i) -> __m512i { _mm512_srli_epi32::<BITS>(a) }
        fn sar<const BITS: u32>(a: __m512i) -> __m512i { _mm512_srai_epi32::<BITS>(a) }
        fn rotate<const BITS: i32, const REST: i32>(a: __m512i) -> __m512i { _mm512_rol_epi32::<BITS>(a) }
        fn mul_even(a: __m512i, b: __m512i) -> __m512i { _mm512_mul_epu32(a, b) }
        fn high(a: __m512i) -> __m512i { _mm512_srli_epi64::<32>(a) }
        fn interleave(even: __m512i, odd: __m512i) -> __m512i {
            _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xaaaa, odd)
        }
        fn pick<const BIT: u32>(x: __m512i, a: __m512, b: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_test_epi32_mask(x, _mm512_set1_epi32(1 << BIT)), a, b)
        }
        fn floats(a: __m512i) -> __m512 { _mm512_castsi512_ps(a) }
        fn words(a: __m512) -> __m512i { _mm512_castps_si512(a) }
        fn convert(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn splat_f(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn fadd(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn fsub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn fmul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        fn transpose(x: [__m512; 4]) -> [__m512; 4] {
            let [a, b, c, d] = x;
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ab2, cd2) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            [
                _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
                _mm512_shuffle_ps::<0b01_00_01_00>(ab2, cd2),
                _mm512_shuffle_ps::<0b11_10_11_10>(ab2, cd2),
            ]
        }
        fn store(a: __m512, to: *mut f32) { _mm512_storeu_ps(to, a) }
        fn store_fours(a: __m512, to: *mut f32, stride: usize) {
            _mm_storeu_ps(to, _mm512_castps512_ps128(a));
            _mm_storeu_ps(to.add(stride), _mm512_extractf32x4_ps::<1>(a));
            _mm_storeu_ps(to.add(2 * stride), _mm512_extractf32x4_ps::<2>(a));
            _mm_storeu_ps(to.add(3 * stride), _mm512_extractf32x4_ps::<3>(a));
        }
    }
}

impl Lanes for Avx2 {
    const LANES: usize = 8;
    type U = __m256i;
    type F = __m256;
    methods! {
        fn splat(x: u32) -> __m256i { _mm256_set1_epi32(x as i32) }
        fn load(from: &[u32; 16]) -> __m256i { _mm256_loadu_si256(from.as_ptr().cast()) }
        fn add(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn and(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn or(a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn xor(a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn shl<const BITS: u32>(a: __m256i) -> __m256i { _mm256_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
        fn shr<const BITS: u32>(a: __m256i) -> __m256i { _mm256_srl_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
        fn sar<const BITS: u32>(a: __m256i) -> __m256i { _mm256_sra_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
        fn rotate<const BITS: i32, const REST: i32>(a: __m256i) -> __m256i {
            // By whole bytes in one step.
            const BY_16: [u8; 16] = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
            const BY_8: [u8; 16] = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14];
            match BITS {
                16 => _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_loadu_si128(BY_16.as_ptr().cast()))),
                8 => _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_loadu_si128(BY_8.as_ptr().cast()))),
                _ => _mm256_or_si256(_mm256_slli_epi32::<BITS>(a), _mm256_srli_epi32::<REST>(a)),
            }
        }
        fn mul_even(a: __m256i, b: __m256i) -> __m256i { _mm256_mul_epu32(a, b) }
        fn high(a: __m256i) -> __m256i { _mm256_srli_epi64::<32>(a) }
        fn interleave(even: __m256i, odd: __m256i) -> __m256i {
            _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
        }
        fn pick<const BIT: u32>(x: __m256i, a: __m256, b: __m256) -> __m256 {
            // By the sign bit.
            let sign = _mm256_sll_epi32(x, _mm_cvtsi32_si128(31 - BIT as i32));
            _mm256_blendv_ps(a, b, _mm256_castsi256_ps(sign))
        }
        fn floats(a: __m256i) -> __m256 { _mm256_castsi256_ps(a) }
        fn words(a: __m256) -> __m256i { _mm256_castps_si256(a) }
        fn convert(a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
        fn splat_f(x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn fadd(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn fsub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn fmul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn sqrt(a: __m256) -> __m256 { _mm256_sqrt_ps(a) }
        fn transpose(x: [__m256; 4]) -> [__m256; 4] {
            let [a, b, c, d] = x;
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab2, cd2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
                _mm256_shuffle_ps::<0b01_00_01_00>(ab2, cd2),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab2, cd2),
            ]
        }
        fn store(a: __m256, to: *mut f32) { _mm256_storeu_ps(to, a) }
        fn store_fours(a: __m256, to: *mut f32, stride: usize) {
            _mm_storeu_ps(to, _mm256_castps256_ps128(a));
            _mm_storeu_ps(to.add(stride), _mm256_extractf128_ps::<1>(a));
        }
    }
}
