//! Noise tile by tile: which tiles a span has, by which instructions each is made, and the plain loops that say what the
//! vector ones in `wide` must give.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::wide;
use super::{Generator, Law, Noise, NoiseKey, chacha, math, philox};
use crate::simd::{self, Level, vectorised};

/// Elements made at once, from element 256·t on.
pub(crate) const TILE: usize = 256;
/// Elements below which one thread does it all, and a thread's share above.
const PIECE: usize = 1 << 16;

/// What is done with a tile of noise.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Fill,
    Add { divisor: f32 },
}

/// One tile to make.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub key: NoiseKey,
    /// Its first element, a multiple of 256.
    pub first: u64,
    /// Which of up to four draws: the top bits of the counter's second word, which no element reaches.
    pub high: u32,
    pub param: u32,
    pub step: u32,
    pub laplace: bool,
    /// What each element is multiplied by.
    pub scale: f32,
}

impl Noise {
    pub(super) fn spread(&self, offset: u64, scale: f32, x: &mut [f32], how: Use) {
        let level = simd::level();
        if x.len() <= PIECE || rayon::current_num_threads() == 1 {
            return self.apply(level, offset, scale, x, how);
        }
        x.par_chunks_mut(PIECE).enumerate().for_each(|(piece, x)| {
            self.apply(level, offset + (piece * PIECE) as u64, scale, x, how);
        });
    }

    /// One thread's share, tile by tile; a tile starts at a multiple of its size.
    fn apply(&self, level: Level, offset: u64, scale: f32, x: &mut [f32], how: Use) {
        let mut z = [0.0; TILE];
        let mut done = 0;
        while done < x.len() {
            let first = offset + done as u64;
            let skip = (first % TILE as u64) as usize;
            let count = (TILE - skip).min(x.len() - done);
            let x = &mut x[done..done + count];
            done += count;
            if let (Use::Fill, false, Ok(whole)) = (how, self.sum4, <&mut [f32; TILE]>::try_from(&mut *x)) {
                self.draw(level, first, 0, scale, whole);
                continue;
            }
            self.tile(level, first - skip as u64, &mut z);
            let z = &z[skip..skip + count];
            match how {
                Use::Fill => vectorised!(level, scaled(z: &[f32], scale: f32, x: &mut [f32])),
                Use::Add { divisor } => added_tile(level, z, scale, divisor, x),
            }
        }
    }

    /// Noise of elements `first..first + 256`; `first` is a multiple of 256.
    pub(crate) fn tile(&self, level: Level, first: u64, z: &mut [f32; TILE]) {
        self.draw(level, first, 0, 1.0, z);
        if self.sum4 {
            let mut more = [[0.0; TILE]; 3];
            for (part, more) in (1..).zip(&mut more) {
                self.draw(level, first, part, 1.0, more);
            }
            let more = &more;
            vectorised!(level, half_sum(more: &[[f32; TILE]; 3], z: &mut [f32; TILE]));
        }
    }

    fn draw(&self, level: Level, first: u64, part: u32, scale: f32, z: &mut [f32; TILE]) {
        let laplace = self.law == Law::Laplace;
        let tile = Tile { key: self.key, first, high: part << 30, param: self.param, step: self.step, laplace, scale };
        match level {
            // SAFETY: a level is never above what was detected on this machine.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { wide::avx512(&tile, z) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { wide::avx2(&tile, z) },
            _ => plain(&tile, z),
        }
    }
}

/// The tile by plain loops.
pub(super) fn plain(tile: &Tile, z: &mut [f32; TILE]) {
    let Tile { first, high, param, step, .. } = *tile;
    let mut words = [0; TILE];
    match &tile.key.generator {
        Generator::Philox(key) => {
            philox::fill(*key, first / philox::WORDS as u64, high, param, step, &mut words);
            shape::<{ philox::WORDS }>(tile.laplace, &words, z);
        }
        Generator::ChaCha(key) => {
            chacha::fill(key, first / chacha::WORDS as u64, high, param, step, &mut words);
            shape::<{ chacha::WORDS }>(tile.laplace, &words, z);
        }
    }
    for z in z {
        *z *= tile.scale;
    }
}

/// From words in planes (word w of block l at w·(256/W) + l) to noise in order (element W·l + w).
fn shape<const W: usize>(laplace: bool, words: &[u32; TILE], z: &mut [f32; TILE]) {
    let mut planes = [0.0_f32; TILE];
    if laplace {
        for (plane, &word) in planes.iter_mut().zip(words) {
            let magnitude = -math::ln_uniform(math::numerator(word));
            *plane = f32::from_bits(magnitude.to_bits() ^ word << 31);
        }
    } else {
        let lanes = TILE / W;
        for (planes, words) in planes.chunks_exact_mut(2 * lanes).zip(words.chunks_exact(2 * lanes)) {
            let ((cosines, sines), (radii, turns)) = (planes.split_at_mut(lanes), words.split_at(lanes));
            for (((cosine, sine), &radius), &turn) in cosines.iter_mut().zip(sines).zip(radii).zip(turns) {
                let radius = (-2.0 * math::ln_uniform(math::numerator(radius))).sqrt();
                let (cos, sin) = math::cos_sin_turns(math::numerator(turn));
                (*cosine, *sine) = (radius * cos, radius * sin);
            }
        }
    }
    for (l, z) in z.chunks_exact_mut(W).enumerate() {
        for (w, z) in z.iter_mut().enumerate() {
            *z = planes[w * (TILE / W) + l];
        }
    }
}

#[inline(always)]
fn half_sum(more: &[[f32; TILE]; 3], z: &mut [f32; TILE]) {
    for (at, z) in z.iter_mut().enumerate() {
        *z = (*z + more[0][at] + more[1][at] + more[2][at]) * 0.5;
    }
}

#[inline(always)]
fn scaled(z: &[f32], scale: f32, x: &mut [f32]) {
    for (x, &z) in x.iter_mut().zip(z) {
        *x = scale * z;
    }
}

/// x ← (x + scale·z) / divisor
pub(crate) fn added_tile(level: Level, z: &[f32], scale: f32, divisor: f32, x: &mut [f32]) {
    vectorised!(level, added(z: &[f32], scale: f32, divisor: f32, x: &mut [f32]));
}

#[inline(always)]
fn added(z: &[f32], scale: f32, divisor: f32, x: &mut [f32]) {
    if divisor == 1.0 {
        for (x, &z) in x.iter_mut().zip(z) {
            *x += scale * z;
        }
    } else {
        for (x, &z) in x.iter_mut().zip(z) {
            *x = (*x + scale * z) / divisor;
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn every_path_makes_the_bits_of_the_plain_loops() {
        let keys = [NoiseKey::philox(0x0123_4567_89ab_cdef), NoiseKey::chacha([0xa7; 32])];
        let mut vectors = 0;
        for level in Level::available().filter(|&level| level != Level::Scalar) {
            for (key, laplace) in keys.into_iter().flat_map(|key| [(key, false), (key, true)]) {
                for (param, step, high) in [(0, 0, 0), (7, u32::MAX, 1 << 30), (u32::MAX, 3, 3 << 30)] {
                    // Also the last tile there is, and tiles around a carry into the counter's second word.
                    for first in [0, 256, (1 << 34) - 256, 1 << 34, (1 << 36) - 256, 1 << 36, u64::MAX - 255] {
                        let tile = Tile { key, first, high, param, step, laplace, scale: 0.37 };
                        let (mut expected, mut got) = ([0.0; TILE], [0.0; TILE]);
                        plain(&tile, &mut expected);
                        match level {
                            // SAFETY: the level is there.
                            Level::Avx512 => unsafe { wide::avx512(&tile, &mut got) },
                            // SAFETY: the level is there.
                            _ => unsafe { wide::avx2(&tile, &mut got) },
                        }
                        assert_eq!(got.map(f32::to_bits), expected.map(f32::to_bits), "{level:?} from {first}");
                        vectors += 1;
                    }
                }
            }
        }
        assert_eq!(vectors, 84 * (Level::available().count() - 1));
    }
}
