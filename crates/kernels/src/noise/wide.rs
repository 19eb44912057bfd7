//! A tile of noise in registers: words, their law and the order of the elements in one sweep, for 8 or 16 lanes.
//!
//! Lane 4q + i of a vector of L lanes works on block (L/4)·i + q: then transposing 4 × 4 lanes, which no lane crosses, puts
//! Philox' elements in order. Same operations in the same order as the plain loops beside it, so the same bits.
//!
//! Per 16 Gaussian elements Philox takes some 30 instructions of 512 bits for the words, of which 10 multiply, and 40 for
//! the logarithm, root, sine and cosine.

use super::Generator;
use super::chacha::{self, CONSTANTS, DOUBLE_ROUNDS, QUARTERS};
use super::draw::{TILE, Tile};
use super::lanes::{Avx2, Avx512, Lanes};
use super::math::{COS, LN, LN2, SIN, SQRT_HALF};
use super::philox::{self, MULTIPLIERS, ROUNDS, WEYL};

/// The tile by AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
pub(super) fn avx512(tile: &Tile, z: &mut [f32; TILE]) {
    // SAFETY: this function is called where the instruction set is.
    unsafe { any::<Avx512>(tile, z) }
}

/// The tile by AVX2.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn avx2(tile: &Tile, z: &mut [f32; TILE]) {
    // SAFETY: as above.
    unsafe { any::<Avx2>(tile, z) }
}

#[inline(always)]
unsafe fn any<I: Lanes>(tile: &Tile, z: &mut [f32; TILE]) {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        match (&tile.key.generator, tile.laplace) {
            (Generator::Philox(key), false) => philox_tile::<I, false>(tile, *key, z),
            (Generator::Philox(key), true) => philox_tile::<I, true>(tile, *key, z),
            (Generator::ChaCha(key), false) => chacha_tile::<I, false>(tile, key, z),
            (Generator::ChaCha(key), true) => chacha_tile::<I, true>(tile, key, z),
        }
    }
}

/// `first` and on, in the lanes' order; the lower word, which doesn't overflow within a tile.
#[inline(always)]
unsafe fn blocks<I: Lanes>(first: u32) -> I::U {
    let mut of_lane = [0; 16];
    for (lane, block) in of_lane.iter_mut().enumerate() {
        *block = (I::LANES / 4 * (lane % 4) + lane / 4) as u32;
    }
    // SAFETY: the caller has checked for the instruction set.
    unsafe { I::add(I::splat(first), I::load(&of_lane)) }
}

#[inline(always)]
unsafe fn philox_tile<I: Lanes, const LAPLACE: bool>(tile: &Tile, key: [u32; 2], z: &mut [f32; TILE]) {
    // SAFETY: the caller has checked for the instruction set; LANES blocks of 4 elements from 4 · group on are in the tile.
    unsafe {
        let first = tile.first / philox::WORDS as u64;
        let (upper, scale) = ((first >> 32) as u32 | tile.high, I::splat_f(tile.scale));
        for group in (0..TILE / philox::WORDS).step_by(2 * I::LANES) {
            let low = (first as u32).wrapping_add(group as u32);
            let low = [blocks::<I>(low), blocks::<I>(low.wrapping_add(I::LANES as u32))];
            // Through memory: else the compiler puts the chains of `law` one after another, to save registers.
            let words = std::hint::black_box(philox_words::<I>(key, low, upper, tile.param, tile.step));
            for (half, fours) in law::<I, LAPLACE>(words).as_chunks::<4>().0.iter().enumerate() {
                for (i, row) in I::transpose(*fours).into_iter().enumerate() {
                    let to = philox::WORDS * (group + half * I::LANES) + i * I::LANES;
                    I::store(I::fmul(scale, row), z.as_mut_ptr().add(to));
                }
            }
        }
    }
}

/// The four words of each lane's block. The even and the odd lanes go through the rounds apart, in 64-bit lanes of which
/// the upper half means nothing.
#[inline(always)]
unsafe fn philox_words<I: Lanes>(key: [u32; 2], low: [I::U; 2], upper: u32, param: u32, step: u32) -> [I::U; 8] {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let multipliers = [I::splat(MULTIPLIERS[0]), I::splat(MULTIPLIERS[1])];
        let [mut k0, mut k1] = key;
        // Only the counter's lowest word differs between lanes, so half of the first two rounds is the same in all.
        let product = MULTIPLIERS[1] as u64 * param as u64;
        let a1 = (product >> 32) as u32 ^ upper ^ k0;
        let mix1 = step ^ k1;
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
        let product2 = MULTIPLIERS[0] as u64 * a1 as u64;
        let (mix2, mix3) = (I::splat(product as u32 ^ k0), I::splat((product2 >> 32) as u32 ^ k1));
        let d2 = I::splat(product2 as u32);
        // (a, b, c, d) of the even and the odd lanes of both.
        let mut states = [(low[0], d2, d2, d2); 4];
        (states[1].0, states[2].0, states[3].0) = (I::high(low[0]), low[1], I::high(low[1]));
        for state in &mut states {
            let p0 = I::mul_even(state.0, multipliers[0]);
            let p1 = I::mul_even(I::xor(I::high(p0), I::splat(mix1)), multipliers[1]);
            *state = (I::xor(I::high(p1), mix2), p1, I::xor(p0, mix3), d2);
        }
        // Two at a time, so that no state has to change its register.
        for _ in 0..(ROUNDS - 2) / 2 {
            for _ in 0..2 {
                (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
                let keys = [I::splat(k0), I::splat(k1)];
                for state in &mut states {
                    let (a, b, c, d) = *state;
                    let (p0, p1) = (I::mul_even(a, multipliers[0]), I::mul_even(c, multipliers[1]));
                    *state = (I::xor(I::xor(I::high(p1), b), keys[0]), p1, I::xor(I::xor(I::high(p0), d), keys[1]), p0);
                }
            }
        }
        let [even, odd, even2, odd2] = states;
        [
            I::interleave(even.0, odd.0),
            I::interleave(even.1, odd.1),
            I::interleave(even.2, odd.2),
            I::interleave(even.3, odd.3),
            I::interleave(even2.0, odd2.0),
            I::interleave(even2.1, odd2.1),
            I::interleave(even2.2, odd2.2),
            I::interleave(even2.3, odd2.3),
        ]
    }
}

#[inline(always)]
unsafe fn chacha_tile<I: Lanes, const LAPLACE: bool>(tile: &Tile, key: &[u32; 8], z: &mut [f32; TILE]) {
    // SAFETY: the caller has checked for the instruction set; LANES blocks of 16 elements from 16 · group on are in the tile.
    unsafe {
        let first = tile.first / chacha::WORDS as u64;
        let (upper, scale) = ((first >> 32) as u32 | tile.high, I::splat_f(tile.scale));
        for group in (0..TILE / chacha::WORDS).step_by(I::LANES) {
            let mut start = [I::splat(0); chacha::WORDS];
            for (start, &word) in start.iter_mut().zip(CONSTANTS.iter().chain(key)) {
                *start = I::splat(word);
            }
            start[12] = blocks::<I>(first as u32 + group as u32);
            (start[13], start[14], start[15]) = (I::splat(upper), I::splat(tile.param), I::splat(tile.step));
            let mut state = start;
            for _ in 0..DOUBLE_ROUNDS {
                for four in QUARTERS.as_chunks::<4>().0 {
                    // Four quarter rounds side by side.
                    for &[a, b, _, d] in four {
                        state[a] = I::add(state[a], state[b]);
                        state[d] = I::rotate::<16, 16>(I::xor(state[d], state[a]));
                    }
                    for &[_, b, c, d] in four {
                        state[c] = I::add(state[c], state[d]);
                        state[b] = I::rotate::<12, 20>(I::xor(state[b], state[c]));
                    }
                    for &[a, b, _, d] in four {
                        state[a] = I::add(state[a], state[b]);
                        state[d] = I::rotate::<8, 24>(I::xor(state[d], state[a]));
                    }
                    for &[_, b, c, d] in four {
                        state[c] = I::add(state[c], state[d]);
                        state[b] = I::rotate::<7, 25>(I::xor(state[b], state[c]));
                    }
                }
            }
            for word in (0..chacha::WORDS).step_by(8) {
                let mut words = [start[0]; 8];
                for (at, sum) in words.iter_mut().enumerate() {
                    *sum = I::add(state[word + at], start[word + at]);
                }
                for (half, fours) in law::<I, LAPLACE>(words).as_chunks::<4>().0.iter().enumerate() {
                    for (i, row) in I::transpose(*fours).into_iter().enumerate() {
                        let to = chacha::WORDS * (group + I::LANES / 4 * i) + word + 4 * half;
                        I::store_fours(I::fmul(scale, row), z.as_mut_ptr().add(to), chacha::WORDS);
                    }
                }
            }
        }
    }
}

/// Eight vectors of words to their noise. Eight dependent chains go side by side: a core looks some 64 instructions ahead,
/// and with fewer chains among them it waits for results.
#[inline(always)]
unsafe fn law<I: Lanes, const LAPLACE: bool>(words: [I::U; 8]) -> [I::F; 8] {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        if LAPLACE {
            return laplace::<I>(words);
        }
        let [a, b, c, d, e, f, g, h] = words;
        let ([a, c, e, g], [b, d, f, h]) = box_muller::<I>([a, c, e, g], [b, d, f, h]);
        [a, b, c, d, e, f, g, h]
    }
}

#[inline(always)]
unsafe fn laplace<I: Lanes>(words: [I::U; 8]) -> [I::F; 8] {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let (f, e) = split::<I, 8>(words);
        let mut sums = [I::floats(I::splat(LN[8])); 8];
        for at in (0..8).rev() {
            step::<I, 8>(&mut sums, &f, LN[at]);
        }
        let mut z = ln::<I, 8>(&f, &e, &sums);
        for (z, word) in z.iter_mut().zip(words) {
            let negative = I::xor(I::words(*z), I::splat(0x8000_0000));
            *z = I::floats(I::xor(negative, I::shl::<31>(word)));
        }
        z
    }
}

/// Cosines and sines of the turns, times the radii.
#[inline(always)]
unsafe fn box_muller<I: Lanes>(radii: [I::U; 4], turns: [I::U; 4]) -> ([I::F; 4], [I::F; 4]) {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let (f, e) = split::<I, 4>(radii);
        // Bits 22 and up: the nearest quarter turn; below: the remainder and an eighth.
        let mut shifted = turns;
        let (mut r, mut z) = (f, f);
        for at in 0..4 {
            shifted[at] = I::add(numerator::<I>(turns[at]), I::splat(1 << 21));
            let rest = I::sub(I::and(shifted[at], I::splat((1 << 22) - 1)), I::splat(1 << 21));
            // Odd, so not 0: 2⁻²⁴ is taken off the exponent.
            r[at] = I::floats(I::sub(I::words(I::convert(rest)), I::splat(24 << 23)));
            z[at] = I::fmul(r[at], r[at]);
        }
        let mut logs = [I::floats(I::splat(LN[8])); 4];
        let (mut sines, mut cosines) = ([I::floats(I::splat(SIN[4])); 4], [I::floats(I::splat(COS[4])); 4]);
        for at in (0..4).rev() {
            step::<I, 4>(&mut logs, &f, LN[at + 4]);
            step::<I, 4>(&mut sines, &z, SIN[at]);
        }
        for at in (0..4).rev() {
            step::<I, 4>(&mut logs, &f, LN[at]);
            step::<I, 4>(&mut cosines, &z, COS[at]);
        }
        let logs = ln::<I, 4>(&f, &e, &logs);
        let sign = I::splat(0x8000_0000);
        for at in 0..4 {
            let radius = I::sqrt(I::fmul(I::splat_f(-2.0), logs[at]));
            let sin = I::fmul(r[at], sines[at]);
            let cos = I::fadd(I::fmul(z[at], cosines[at]), I::splat_f(1.0));
            let cos_sign = I::and(I::shl::<8>(I::add(shifted[at], I::splat(1 << 22))), sign);
            let sin_sign = I::and(I::shl::<8>(shifted[at]), sign);
            let signed_cos = I::floats(I::xor(I::words(I::pick::<22>(shifted[at], cos, sin)), cos_sign));
            let signed_sin = I::floats(I::xor(I::words(I::pick::<22>(shifted[at], sin, cos)), sin_sign));
            (cosines[at], sines[at]) = (I::fmul(radius, signed_cos), I::fmul(radius, signed_sin));
        }
        (cosines, sines)
    }
}

/// As in `math`: ⌊x/512⌋ · 2 + 1 is ⌊x/256⌋ with its lowest bit set.
#[inline(always)]
unsafe fn numerator<I: Lanes>(word: I::U) -> I::U {
    // SAFETY: the caller has checked for the instruction set.
    unsafe { I::or(I::shr::<8>(word), I::splat(1)) }
}

/// One step of Horner's rule for each.
#[inline(always)]
unsafe fn step<I: Lanes, const K: usize>(sums: &mut [I::F; K], x: &[I::F; K], coefficient: u32) {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let coefficient = I::floats(I::splat(coefficient));
        for at in 0..K {
            sums[at] = I::fadd(I::fmul(sums[at], x[at]), coefficient);
        }
    }
}

/// The uniforms as (1 + f)·2ᵉ, as in `math`; 2⁻²⁴ is taken off the exponent, and the mantissa put together from what the
/// shift leaves.
#[inline(always)]
unsafe fn split<I: Lanes, const K: usize>(words: [I::U; K]) -> ([I::F; K], [I::F; K]) {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let mut f = [I::splat_f(0.0); K];
        let mut e = f;
        for at in 0..K {
            let n = I::convert(numerator::<I>(words[at]));
            let above = I::sub(I::words(n), I::splat(SQRT_HALF + (24 << 23)));
            e[at] = I::convert(I::sar::<23>(above));
            let mantissa = I::add(I::and(above, I::splat(0x7f_ffff)), I::splat(SQRT_HALF));
            f[at] = I::fsub(I::floats(mantissa), I::splat_f(1.0));
        }
        (f, e)
    }
}

/// ln((1 + f)·2ᵉ) from the polynomial's value, as in `math`.
#[inline(always)]
unsafe fn ln<I: Lanes, const K: usize>(f: &[I::F; K], e: &[I::F; K], sums: &[I::F; K]) -> [I::F; K] {
    // SAFETY: the caller has checked for the instruction set.
    unsafe {
        let mut y = *f;
        for at in 0..K {
            let z = I::fmul(f[at], f[at]);
            let mut sum = I::fmul(I::fmul(f[at], z), sums[at]);
            sum = I::fadd(sum, I::fmul(e[at], I::floats(I::splat(LN2[1]))));
            sum = I::fsub(sum, I::fmul(I::splat_f(0.5), z));
            y[at] = I::fadd(I::fadd(f[at], sum), I::fmul(e[at], I::floats(I::splat(LN2[0]))));
        }
        y
    }
}
