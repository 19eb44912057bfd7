//! ChaCha20 (Bernstein 2008): a cryptographic block function of a 256-bit key, a 64-bit counter and 64 bits more, here the
//! parameter and the step.

use super::TILE;

/// Words a block.
pub(super) const WORDS: usize = 16;
/// Blocks a tile, one a lane.
const BLOCKS: usize = TILE / WORDS;
/// "expand 32-byte k"
pub(super) const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
pub(super) const DOUBLE_ROUNDS: usize = 10;
/// Columns, then diagonals.
pub(super) const QUARTERS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

type Lanes = [u32; BLOCKS];

#[inline(always)]
fn add_xor_rotate(state: &mut [Lanes; WORDS], [to, from, with]: [usize; 3], bits: u32) {
    for lane in 0..BLOCKS {
        state[to][lane] = state[to][lane].wrapping_add(state[from][lane]);
        state[with][lane] = (state[with][lane] ^ state[to][lane]).rotate_left(bits);
    }
}

/// Word `w` of block `first + l` to `words[w · 16 + l]`, `l` in `0..16`.
#[inline(always)]
pub(super) fn fill(key: &[u32; 8], first: u64, high: u32, param: u32, step: u32, words: &mut [u32; TILE]) {
    let mut start = [[0; BLOCKS]; WORDS];
    for word in 0..4 {
        start[word] = [CONSTANTS[word]; BLOCKS];
    }
    for word in 0..8 {
        start[4 + word] = [key[word]; BLOCKS];
    }
    for lane in 0..BLOCKS {
        let block = first.wrapping_add(lane as u64);
        start[12][lane] = block as u32;
        start[13][lane] = (block >> 32) as u32 | high;
    }
    start[14] = [param; BLOCKS];
    start[15] = [step; BLOCKS];

    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        for [a, b, c, d] in QUARTERS {
            add_xor_rotate(&mut state, [a, b, d], 16);
            add_xor_rotate(&mut state, [c, d, b], 12);
            add_xor_rotate(&mut state, [a, b, d], 8);
            add_xor_rotate(&mut state, [c, d, b], 7);
        }
    }
    for word in 0..WORDS {
        for lane in 0..BLOCKS {
            words[word * BLOCKS + lane] = state[word][lane].wrapping_add(start[word][lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};

    use super::*;

    fn key() -> [u32; 8] {
        std::array::from_fn(|word| u32::from_le_bytes(std::array::from_fn(|byte| (4 * word + byte) as u8)))
    }

    #[test]
    fn known_answer_of_rfc_8439() {
        // Section 2.3.2: counter 1, nonce 000000090000004a00000000.
        let mut words = [0; TILE];
        fill(&key(), 0x0900_0000_0000_0001, 0, 0x4a00_0000, 0, &mut words);
        let first: Vec<u32> = (0..WORDS).map(|w| words[w * BLOCKS]).collect();
        assert_eq!(
            first[..8],
            [0xe4e7_f110, 0x1559_3bd1, 0x1fdd_0f50, 0xc471_20a3, 0xc7f4_d1c7, 0x0368_c033, 0x9aaa_2204, 0x4e6c_d4c3]
        );
        assert_eq!(
            first[8..],
            [0x4664_82d2, 0x09aa_9f07, 0x05d7_c214, 0xa202_8bd9, 0xd19c_12b5, 0xb94e_16de, 0xe883_d0cb, 0x4e3c_50a2]
        );
    }

    #[test]
    fn the_words_of_another_implementation() {
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = at as u8;
        }
        let mut other = rand_chacha::ChaCha20Rng::from_seed(bytes);
        other.set_stream(5 | 77 << 32);
        let mut words = [0; TILE];
        fill(&key(), 0, 0, 5, 77, &mut words);
        for l in 0..BLOCKS {
            for w in 0..WORDS {
                assert_eq!(words[w * BLOCKS + l], other.next_u32(), "word {w} of block {l}");
            }
        }
    }
}
