//! Lazy matching as stock zlib does it at level 6, window and hash table of the default sizes.
//!
//! The encoder keeps a 64 kB buffer that moves on by 32 kB whenever fewer than 262 bytes are left to look at. Two things
//! depend on where the buffer stands: the position at its very start can never be matched, and a block can be stored
//! without compression only while it is still all in the buffer. `base` is that start; everything else is absolute.

use super::trees::Block;

const WINDOW: usize = 1 << 15;
const HASH_SIZE: usize = 1 << 15;
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE: usize = WINDOW - MIN_LOOKAHEAD;
/// A match of three bytes further back than this costs more than three literals.
const TOO_FAR: usize = 4096;

// Level 6.
const GOOD_MATCH: usize = 8;
const MAX_LAZY: usize = 16;
const NICE_MATCH: usize = 128;
const MAX_CHAIN: u32 = 128;

/// No position.
const NONE: usize = usize::MAX;

pub(super) struct Encoder<'a> {
    text: &'a [u8],
    base: usize,
    // Newest position of each hash, and of each position the one before it with the same hash.
    head: Vec<usize>,
    previous: Vec<usize>,
    block: Block,
    block_start: usize,
    bits: u64,
}

impl<'a> Encoder<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            base: 0,
            head: vec![NONE; HASH_SIZE],
            previous: vec![NONE; WINDOW],
            block: Block::default(),
            block_start: 0,
            bits: 0,
        }
    }

    /// Bits of all blocks together.
    pub fn bits(mut self) -> u64 {
        let end = self.text.len();
        let mut at = 0;
        // What was found one byte earlier: a match waits to see whether the next position has a longer one.
        let (mut length, mut start) = (MIN_MATCH - 1, 0);
        let mut literal_waits = false;
        loop {
            self.slide(at);
            if at == end {
                break;
            }
            let candidate = self.insert(at);
            let (earlier_length, earlier_start) = (length, start);
            length = MIN_MATCH - 1;
            if let Some(candidate) = candidate
                && earlier_length < MAX_LAZY
                && at - candidate <= MAX_DISTANCE
            {
                (length, start) = self.longest_match(at, candidate, earlier_length, earlier_start);
                if length == MIN_MATCH && at - start > TOO_FAR {
                    length = MIN_MATCH - 1;
                }
            }
            if earlier_length >= MIN_MATCH && length <= earlier_length {
                let full = self.block.push_match(at - 1 - earlier_start, earlier_length);
                let next = at - 1 + earlier_length;
                for inside in at + 1..next {
                    self.insert(inside);
                }
                at = next;
                literal_waits = false;
                length = MIN_MATCH - 1;
                if full {
                    self.flush(at, false);
                }
            } else {
                if literal_waits && self.block.push_literal(self.text[at - 1]) {
                    self.flush(at, false);
                }
                literal_waits = true;
                at += 1;
            }
        }
        if literal_waits {
            self.block.push_literal(self.text[end - 1]);
        }
        self.flush(end, true);
        self.bits
    }

    /// Moves the buffer on when fewer than [`MIN_LOOKAHEAD`] bytes of it are ahead.
    fn slide(&mut self, at: usize) {
        let filled = self.text.len().min(self.base + 2 * WINDOW);
        if filled - at < MIN_LOOKAHEAD && at - self.base >= WINDOW + MAX_DISTANCE {
            self.base += WINDOW;
        }
    }

    /// Whether the encoder can still refer to a position.
    fn reachable(&self, position: usize) -> bool {
        position != NONE && position > self.base
    }

    /// Enters a position, and returns the newest one with the same hash.
    fn insert(&mut self, at: usize) -> Option<usize> {
        let &[a, b, c] = self.text.get(at..at + MIN_MATCH)? else { return None };
        let hash = ((usize::from(a) << 10) ^ (usize::from(b) << 5) ^ usize::from(c)) & (HASH_SIZE - 1);
        let newest = std::mem::replace(&mut self.head[hash], at);
        self.previous[at % WINDOW] = newest;
        self.reachable(newest).then_some(newest)
    }

    /// The longest match longer than `best`, the nearest of equals; (`best`, `best_start`) if there is none.
    fn longest_match(&self, at: usize, candidate: usize, best: usize, best_start: usize) -> (usize, usize) {
        let here = &self.text[at..self.text.len().min(at + MAX_MATCH)];
        let nice = NICE_MATCH.min(here.len());
        let mut chain = if best >= GOOD_MATCH { MAX_CHAIN >> 2 } else { MAX_CHAIN };
        let (mut best, mut start, mut candidate) = (best, best_start, candidate);
        while best < here.len() {
            let there = &self.text[candidate..];
            // The last byte of a longer match first: it fails most often.
            if there[best] == here[best] {
                let length = here.iter().zip(there).take_while(|(a, b)| a == b).count();
                if length > best {
                    (best, start) = (length, candidate);
                    if length >= nice {
                        break;
                    }
                }
            }
            candidate = self.previous[candidate % WINDOW];
            chain -= 1;
            // A successor must be nearer than the farthest distance, only the first may be exactly there.
            if chain == 0 || !self.reachable(candidate) || at - candidate >= MAX_DISTANCE {
                break;
            }
        }
        (best.min(here.len()), start)
    }

    /// Ends a block before position `at`.
    fn flush(&mut self, at: usize, last: bool) {
        let stored = (self.block_start >= self.base).then_some((at - self.block_start) as u64);
        self.bits = self.block.end(self.bits, stored, last);
        self.block_start = at;
    }
}
