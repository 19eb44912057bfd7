//! Randomness: integer mixers for kernels, and named ChaCha8 streams for everything else.
//!
//! [`stream`] is the workspace's only way to a random number. A stream is named by its purpose, so that adding a
//! consumer shifts no other: `stream(seed, &["client", "7", "order"])`.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The named stream `path` of `seed`: ChaCha8 with key
/// SHA-256("ashlar-rng-v1" ‖ seed as u64 LE ‖ for each name its byte length as u32 LE, then its UTF-8), stream 0.
///
/// Numbers enter the path in decimal.
pub fn stream(seed: u64, path: &[&str]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(stream_key(seed, path))
}

/// The key of [`stream`].
pub fn stream_key(seed: u64, path: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"ashlar-rng-v1");
    hash.update(seed.to_le_bytes());
    for name in path {
        hash.update((name.len() as u32).to_le_bytes());
        hash.update(name.as_bytes());
    }
    hash.finalize().into()
}

/// MurmurHash3's 32-bit finaliser: a bijection.
#[inline(always)]
pub const fn fmix32(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// MurmurHash3's 64-bit finaliser: a bijection.
#[inline(always)]
pub const fn fmix64(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// The SplitMix64 generator: the sketches' row keys.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next output.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The Mersenne twister MT19937 (`init_genrand`): csvec's coefficients, as torch draws them.
pub(crate) struct Mt19937 {
    words: [u32; Self::N],
    at: usize,
}

impl Mt19937 {
    const N: usize = 624;
    const M: usize = 397;

    pub(crate) fn new(seed: u32) -> Self {
        let mut words = [seed; Self::N];
        for i in 1..Self::N {
            let last = words[i - 1];
            words[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { words, at: Self::N }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.at == Self::N {
            for i in 0..Self::N {
                let joined = (self.words[i] & 0x8000_0000) | (self.words[(i + 1) % Self::N] & 0x7fff_ffff);
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.words[i] = self.words[(i + Self::M) % Self::N] ^ (joined >> 1) ^ twist;
            }
            self.at = 0;
        }
        let mut y = self.words[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Two words, the first one high: torch's `random64`.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let high = self.next_u32() as u64;
        (high << 32) | self.next_u32() as u64
    }
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;

    #[test]
    fn mixers_match_their_vectors() {
        let f32s = [(0, 0), (1, 0x514e_28b7), (2, 0x30f4_c306), (0xdead_beef, 0x0de5_c6a9)];
        assert!(f32s.iter().all(|&(x, y)| fmix32(x) == y));
        let f64s =
            [(0, 0), (1, 0xb456_bcfc_34c2_cb2c), (2, 0x3abf_2a20_6506_83e7), (0xdead_beef, 0xd24b_d59f_862a_1dac)];
        assert!(f64s.iter().all(|&(x, y)| fmix64(x) == y));
    }

    #[test]
    fn splitmix_matches_its_vectors() {
        let mut zero = SplitMix64::new(0);
        assert_eq!(
            [zero.next_u64(), zero.next_u64(), zero.next_u64()],
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]
        );
        let mut other = SplitMix64::new(1_234_567);
        assert_eq!(
            [other.next_u64(), other.next_u64(), other.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn twister_matches_torch() {
        let mut twister = Mt19937::new(42);
        let words: Vec<u32> = (0..4).map(|_| twister.next_u32()).collect();
        assert_eq!(words, [1_608_637_542, 3_421_126_067, 4_083_286_876, 787_846_414]);
    }

    fn hex(key: [u8; 32]) -> String {
        key.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn streams_match_their_vectors() {
        assert_eq!(hex(stream_key(42, &["order"])), "0a863811b8077529fb612c05703ed1ef8fffa17abfe668d8b29f9977790403a1");
        let mut order = stream(42, &["order"]);
        assert_eq!(
            [order.next_u32(), order.next_u32(), order.next_u32(), order.next_u32()],
            [0x4fa9_cae5, 0xccd0_f3bf, 0x28fd_4ddb, 0x94f5_89cb]
        );
        assert_eq!(stream(42, &["order"]).next_u64(), 0xccd0_f3bf_4fa9_cae5);
        let path = ["fl", "client", "7", "3"];
        assert_eq!(hex(stream_key(42, &path)), "7a2744d991ba6802f809ecd12b8a461786a0677ba0f080147ea53b0865122f0f");
        let mut client = stream(42, &path);
        assert_eq!(
            [client.next_u32(), client.next_u32(), client.next_u32(), client.next_u32()],
            [0x8299_c490, 0x4319_4846, 0x04d2_cd9f, 0xe691_6ec5]
        );
        let mut zero = ChaCha8Rng::from_seed([0; 32]);
        let mut first = [0; 16];
        zero.fill_bytes(&mut first);
        assert_eq!(first[..4], [0x3e, 0x00, 0xef, 0x2f]);
    }
}
