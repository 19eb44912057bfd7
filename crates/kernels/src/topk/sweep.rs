//! Sweeps over a block: emit what a rule keeps, as pairs, as bits, or count it.

use super::{
    INFINITY,
    lanes::{Lanes, Scalar, at_level},
};
use crate::simd::Level;

const MAGNITUDE: u32 = 0x7fff_ffff;

/// What is kept: every key above `above`, and the next `ties` that equal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub above: u32,
    pub ties: u64,
}

impl Rule {
    /// Keys of at least `floor`.
    pub const fn at_least(floor: u32) -> Self {
        // Below 0 as the lanes compare, so that everything is above it.
        Self { above: floor.wrapping_sub(1), ties: 0 }
    }

    #[inline(always)]
    unsafe fn bits<I: Lanes>(&mut self, key: I::V, above: I::V) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            let mut bits = I::gt(key, above);
            if self.ties > 0 {
                let mut equal = I::eq(key, above);
                let found = equal.count_ones() as u64;
                if found <= self.ties {
                    bits |= equal;
                    self.ties -= found;
                } else {
                    while self.ties > 0 {
                        bits |= equal & equal.wrapping_neg();
                        equal &= equal - 1;
                        self.ties -= 1;
                    }
                }
            }
            bits
        }
    }
}

/// Key and value of a vector, NaN counted and zeroed if asked.
#[inline(always)]
unsafe fn read<I: Lanes, const NAN_ZERO: bool>(x: *const f32, nans: &mut u64) -> (I::V, I::V) {
    // SAFETY: the caller's.
    unsafe {
        let value = I::load(x.cast());
        let key = I::and(value, I::splat(MAGNITUDE));
        if !NAN_ZERO {
            return (key, value);
        }
        let nan = I::gt(key, I::splat(INFINITY));
        *nans += nan.count_ones() as u64;
        (I::zero_where(key, nan), I::zero_where(value, nan))
    }
}

/// Candidates: indices and value bits, in index order.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    pub idx: Vec<u32>,
    pub val: Vec<f32>,
    /// NaNs met and zeroed (only where NaN counts as zero).
    pub nans: u64,
}

/// Words that a packing store may write past its end.
const SLACK: usize = 16;

impl Pairs {
    /// Keeps the memory.
    pub fn clear(&mut self) {
        self.idx.clear();
        self.val.clear();
        self.nans = 0;
    }

    /// Appends what `rule` keeps of `x`, whose first element has index `base`.
    pub fn emit(&mut self, level: Level, x: &[f32], base: u32, rule: &mut Rule, nan_zero: bool) {
        self.idx.reserve(x.len() + SLACK);
        self.val.reserve(x.len() + SLACK);
        let (from, n) = (x.as_ptr(), x.len());
        // SAFETY: both vectors have room for x.len() + SLACK words past their length.
        let (idx, val) = unsafe {
            (self.idx.as_mut_ptr().add(self.idx.len()), self.val.as_mut_ptr().add(self.val.len()).cast::<u32>())
        };
        let (count, nans) = if nan_zero {
            at_level!(level, emit::<true>(from: *const f32, n: usize, base: u32, rule: &mut Rule, idx: *mut u32, val: *mut u32) -> (usize, u64))
        } else {
            at_level!(level, emit::<false>(from: *const f32, n: usize, base: u32, rule: &mut Rule, idx: *mut u32, val: *mut u32) -> (usize, u64))
        };
        self.nans += nans;
        // SAFETY: emit has written `count` ≤ x.len() words to each.
        unsafe {
            self.idx.set_len(self.idx.len() + count);
            self.val.set_len(self.val.len() + count);
        }
    }

    /// Drops what `rule` doesn't keep.
    pub fn compact(&mut self, level: Level, rule: &mut Rule) {
        let n = self.idx.len();
        // Packing may write past what is kept, but never past what was read.
        let (idx, val) = (self.idx.as_mut_ptr(), self.val.as_mut_ptr().cast::<u32>());
        let count = at_level!(level, compact::<>(idx: *mut u32, val: *mut u32, n: usize, rule: &mut Rule) -> usize);
        self.idx.truncate(count);
        self.val.truncate(count);
    }
}

#[inline(always)]
unsafe fn emit<I: Lanes, const NAN_ZERO: bool>(
    x: *const f32,
    n: usize,
    base: u32,
    rule: &mut Rule,
    idx: *mut u32,
    val: *mut u32,
) -> (usize, u64) {
    // SAFETY: x has n elements; idx and val have room for n + SLACK; never more is written than read plus a vector.
    unsafe {
        let (mut at, mut kept, mut nans) = (0, 0, 0);
        let above = I::splat(rule.above);
        let (mut index, step) = (I::count_from(base), I::splat(I::LANES as u32));
        if rule.ties == 0 {
            // Few are kept as a rule: four vectors are left behind at once.
            let step4 = I::splat(4 * I::LANES as u32);
            while at + 4 * I::LANES <= n {
                // Written out: a closure would not be compiled for the instruction set.
                let a = read::<I, NAN_ZERO>(x.add(at), &mut nans);
                let b = read::<I, NAN_ZERO>(x.add(at + I::LANES), &mut nans);
                let c = read::<I, NAN_ZERO>(x.add(at + 2 * I::LANES), &mut nans);
                let d = read::<I, NAN_ZERO>(x.add(at + 3 * I::LANES), &mut nans);
                let bits = [I::gt(a.0, above), I::gt(b.0, above), I::gt(c.0, above), I::gt(d.0, above)];
                if bits[0] | bits[1] | bits[2] | bits[3] != 0 {
                    let mut index = index;
                    for (value, bits) in [(a.1, bits[0]), (b.1, bits[1]), (c.1, bits[2]), (d.1, bits[3])] {
                        I::pack(index, bits, idx.add(kept));
                        I::pack(value, bits, val.add(kept));
                        kept += bits.count_ones() as usize;
                        index = I::add(index, step);
                    }
                }
                at += 4 * I::LANES;
                index = I::add(index, step4);
            }
        }
        while at + I::LANES <= n {
            let (key, value) = read::<I, NAN_ZERO>(x.add(at), &mut nans);
            let bits = rule.bits::<I>(key, above);
            I::pack(index, bits, idx.add(kept));
            I::pack(value, bits, val.add(kept));
            kept += bits.count_ones() as usize;
            at += I::LANES;
            index = I::add(index, step);
        }
        while at < n {
            let (key, value) = read::<Scalar, NAN_ZERO>(x.add(at), &mut nans);
            let bits = rule.bits::<Scalar>(key, rule.above);
            idx.add(kept).write(base.wrapping_add(at as u32));
            val.add(kept).write(value);
            kept += bits as usize;
            at += 1;
        }
        (kept, nans)
    }
}

#[inline(always)]
unsafe fn compact<I: Lanes>(idx: *mut u32, val: *mut u32, n: usize, rule: &mut Rule) -> usize {
    // SAFETY: idx and val have n words; `kept` never exceeds `at`, and both vectors are read before they are written.
    unsafe {
        let (mut at, mut kept) = (0, 0);
        let (above, mask) = (I::splat(rule.above), I::splat(MAGNITUDE));
        while at + I::LANES <= n {
            let (index, value) = (I::load(idx.add(at)), I::load(val.add(at)));
            let bits = rule.bits::<I>(I::and(value, mask), above);
            I::pack(index, bits, idx.add(kept));
            I::pack(value, bits, val.add(kept));
            kept += bits.count_ones() as usize;
            at += I::LANES;
        }
        while at < n {
            let (index, value) = (idx.add(at).read(), val.add(at).read());
            let bits = rule.bits::<Scalar>(value & MAGNITUDE, rule.above);
            idx.add(kept).write(index);
            val.add(kept).write(value);
            kept += bits as usize;
            at += 1;
        }
        kept
    }
}

/// What lies around a band of keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Band {
    /// Keys of at least the band's upper end.
    pub above: u64,
    pub nans: u64,
}

/// Counts keys ≥ `ceil` and appends those in `floor..ceil` to `keys`.
pub(crate) fn band(level: Level, x: &[f32], floor: u32, ceil: u32, nan_zero: bool, keys: &mut Vec<u32>) -> Band {
    let mut sum = Band::default();
    for x in x.chunks(1 << 12) {
        keys.reserve(x.len() + SLACK);
        let (from, n) = (x.as_ptr(), x.len());
        // SAFETY: there is room for x.len() + SLACK words past the length.
        let to = unsafe { keys.as_mut_ptr().add(keys.len()) };
        let (inside, above, nans) = if nan_zero {
            at_level!(level, band_block::<true>(from: *const f32, n: usize, floor: u32, ceil: u32, to: *mut u32) -> (usize, u64, u64))
        } else {
            at_level!(level, band_block::<false>(from: *const f32, n: usize, floor: u32, ceil: u32, to: *mut u32) -> (usize, u64, u64))
        };
        // SAFETY: `inside` ≤ x.len() words were written.
        unsafe { keys.set_len(keys.len() + inside) };
        sum.above += above;
        sum.nans += nans;
    }
    sum
}

#[inline(always)]
unsafe fn band_block<I: Lanes, const NAN_ZERO: bool>(
    x: *const f32,
    n: usize,
    floor: u32,
    ceil: u32,
    to: *mut u32,
) -> (usize, u64, u64) {
    // SAFETY: x has n elements and `to` room for n + SLACK.
    unsafe {
        let (mut at, mut kept, mut above, mut nans) = (0, 0, 0, 0);
        // ceil − 1 ≥ 0 here; floor − 1 may be −1.
        let (low, high) = (floor.wrapping_sub(1), ceil - 1);
        let (low_v, high_v) = (I::splat(low), I::splat(high));
        let infinity = I::splat(INFINITY);
        while at + I::LANES <= n {
            let (key, _) = read::<I, NAN_ZERO>(x.add(at), &mut nans);
            let over = I::gt(key, high_v);
            let inside = I::gt(key, low_v) & !over;
            I::pack(key, inside, to.add(kept));
            kept += inside.count_ones() as usize;
            above += over.count_ones() as u64;
            nans += I::gt(key, infinity).count_ones() as u64;
            at += I::LANES;
        }
        while at < n {
            let (key, _) = read::<Scalar, NAN_ZERO>(x.add(at), &mut nans);
            let over = Scalar::gt(key, high);
            to.add(kept).write(key);
            kept += (Scalar::gt(key, low) & !over) as usize;
            above += over as u64;
            nans += Scalar::gt(key, INFINITY) as u64;
            at += 1;
        }
        (kept, above, nans)
    }
}

/// Writes the bits of what `rule` keeps; `words` has one word for each 64 elements, the last for the rest.
pub(crate) fn mask(level: Level, x: &[f32], rule: &mut Rule, nan_zero: bool, words: &mut [u64]) {
    assert_eq!(words.len(), x.len().div_ceil(64));
    let (from, n, to) = (x.as_ptr(), x.len(), words.as_mut_ptr());
    if nan_zero {
        at_level!(level, mask_words::<true>(from: *const f32, n: usize, rule: &mut Rule, to: *mut u64));
    } else {
        at_level!(level, mask_words::<false>(from: *const f32, n: usize, rule: &mut Rule, to: *mut u64));
    }
}

#[inline(always)]
unsafe fn mask_words<I: Lanes, const NAN_ZERO: bool>(x: *const f32, n: usize, rule: &mut Rule, to: *mut u64) {
    // SAFETY: x has n elements, `to` n/64 words, rounded up.
    unsafe {
        let (mut at, mut nans) = (0, 0);
        let above = I::splat(rule.above);
        while at + 64 <= n {
            let mut word = 0_u64;
            for part in (0..64).step_by(I::LANES) {
                let (key, _) = read::<I, NAN_ZERO>(x.add(at + part), &mut nans);
                word |= (rule.bits::<I>(key, above) as u64) << part;
            }
            to.add(at / 64).write(word);
            at += 64;
        }
        if at < n {
            let mut word = 0_u64;
            for part in 0..n - at {
                let (key, _) = read::<Scalar, NAN_ZERO>(x.add(at + part), &mut nans);
                word |= (rule.bits::<Scalar>(key, rule.above) as u64) << part;
            }
            to.add(at / 64).write(word);
        }
    }
}

/// How many keys are above `key`, and how many equal it.
pub(crate) fn count(level: Level, x: &[f32], key: u32, nan_zero: bool) -> (u64, u64) {
    let (from, n) = (x.as_ptr(), x.len());
    if nan_zero {
        at_level!(level, count_block::<true>(from: *const f32, n: usize, key: u32) -> (u64, u64))
    } else {
        at_level!(level, count_block::<false>(from: *const f32, n: usize, key: u32) -> (u64, u64))
    }
}

#[inline(always)]
unsafe fn count_block<I: Lanes, const NAN_ZERO: bool>(x: *const f32, n: usize, key: u32) -> (u64, u64) {
    // SAFETY: x has n elements.
    unsafe {
        let (mut at, mut above, mut equal, mut nans) = (0, 0, 0, 0);
        let key_v = I::splat(key);
        while at + I::LANES <= n {
            let (found, _) = read::<I, NAN_ZERO>(x.add(at), &mut nans);
            above += I::gt(found, key_v).count_ones() as u64;
            equal += I::eq(found, key_v).count_ones() as u64;
            at += I::LANES;
        }
        while at < n {
            let (found, _) = read::<Scalar, NAN_ZERO>(x.add(at), &mut nans);
            above += Scalar::gt(found, key) as u64;
            equal += Scalar::eq(found, key) as u64;
            at += 1;
        }
        (above, equal)
    }
}
