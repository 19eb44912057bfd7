//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a bijection of a 128-bit
//! counter under a 64-bit key. Fast and well tested, but not cryptographic.

use super::TILE;

pub(super) const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
pub(super) const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
pub(super) const ROUNDS: usize = 10;
/// Words a block.
pub(super) const WORDS: usize = 4;
/// Blocks a tile.
const BLOCKS: usize = TILE / WORDS;

/// The four words of a counter.
///
/// ```
/// use ashlar_kernels::noise::philox4x32;
/// assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
/// ```
pub const fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    let mut round = 0;
    while round < ROUNDS {
        let p0 = MULTIPLIERS[0] as u64 * a as u64;
        let p1 = MULTIPLIERS[1] as u64 * c as u64;
        (a, b, c, d) = ((p1 >> 32) as u32 ^ b ^ k0, p1 as u32, (p0 >> 32) as u32 ^ d ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
        round += 1;
    }
    [a, b, c, d]
}

/// Lanes worked on at once: two registers of the widest kind a word.
const LANES: usize = 16;

/// Word `w` of block `first + l` to `words[w · 64 + l]`, `l` in `0..64`.
#[inline(always)]
pub(super) fn fill(key: [u32; 2], first: u64, high: u32, param: u32, step: u32, words: &mut [u32; TILE]) {
    const LOW: u64 = 0xffff_ffff;
    for group in (0..BLOCKS).step_by(LANES) {
        // 64-bit lanes, of which the lower half counts: what multiplications leave above is never read.
        let (mut a, mut b) = ([0_u64; LANES], [0_u64; LANES]);
        let (mut c, mut d) = ([param as u64; LANES], [step as u64; LANES]);
        for lane in 0..LANES {
            let block = first.wrapping_add((group + lane) as u64);
            a[lane] = block & LOW;
            b[lane] = block >> 32 | high as u64;
        }
        let [mut k0, mut k1] = key;
        for _ in 0..ROUNDS {
            for lane in 0..LANES {
                let p0 = MULTIPLIERS[0] as u64 * (a[lane] & LOW);
                let p1 = MULTIPLIERS[1] as u64 * (c[lane] & LOW);
                a[lane] = (p1 >> 32) ^ b[lane] ^ k0 as u64;
                b[lane] = p1;
                c[lane] = (p0 >> 32) ^ d[lane] ^ k1 as u64;
                d[lane] = p0;
            }
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        for (plane, values) in [a, b, c, d].iter().enumerate() {
            let to = &mut words[plane * BLOCKS + group..][..LANES];
            for (word, &value) in to.iter_mut().zip(values) {
                *word = value as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
            ([0; 4], [42, 0], [0x9cea_f053, 0x77f5_493b, 0x12bf_50ad, 0x5742_b3d7]),
            ([1, 0, 7, 0], [42, 0], [0xe5dd_e940, 0x600f_6196, 0x8fcd_f8f1, 0x2c8e_d839]),
        ] {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn a_tile_is_its_blocks() {
        let mut words = [0; TILE];
        let first = (1_u64 << 32) - 20; // the carry into the second word
        fill([7, 9], first, 2 << 30, 11, 13, &mut words);
        for l in 0..BLOCKS {
            let block = first + l as u64;
            let counter = [block as u32, (block >> 32) as u32 | 2 << 30, 11, 13];
            let got = [0, 1, 2, 3].map(|w| words[w * BLOCKS + l]);
            assert_eq!(got, philox4x32(counter, [7, 9]), "block {block}");
        }
    }
}
