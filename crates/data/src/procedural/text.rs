//! `procedural-text`: users who speak a made-up language whose entropy is known.
//!
//! A lexicon of 64 words; each word has four possible successors, the same for everybody, taken with probabilities
//! 1/2, 1/4, 1/8, 1/8. Which successor gets which probability is the user's habit. So a text carries exactly 1.75 bits
//! a word for who knows the user, and up to 2 for who does not: [`Source`] gives both in bits a character, the numbers
//! a character-level model's loss can be held against. Words are separated by single spaces and all different, so
//! characters carry nothing beyond the words.

use std::collections::BTreeSet;

use ashlar_kernels::rng;
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result, TextSet, TextSplit};

/// Words in the lexicon.
pub const WORDS: usize = 64;
/// Successors of a word.
const NEXT: usize = 4;
/// Probabilities of the successors, in eighths.
const EIGHTHS: [u32; NEXT] = [4, 2, 1, 1];
/// Words a text.
pub const WORDS_A_TEXT: usize = 24;

/// How many texts to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Training texts.
    pub train: usize,
    /// Test texts, by the same users.
    pub test: usize,
    /// Users, 1 or more.
    pub users: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { train: 4_000, test: 1_000, users: 100, seed: 0 }
    }
}

/// Makes the set; the groups are the users.
pub fn generate(config: &Config) -> Result<TextSplit> {
    let source = Source::new(config.users, config.seed)?;
    Ok(TextSplit { train: source.part("train", config.train)?, test: source.part("test", config.test)? })
}

/// The language and its users.
#[derive(Clone, Debug)]
pub struct Source {
    words: Vec<String>,
    /// Successors of each word.
    next: Vec<[usize; NEXT]>,
    /// For each user and word: where in `next` the likeliest successor stands.
    habits: Vec<[u8; WORDS]>,
    seed: u64,
}

impl Source {
    /// The language of `seed` and this many users.
    pub fn new(users: usize, seed: u64) -> Result<Self> {
        if !(1..=1 << 20).contains(&users) {
            return Err(Error::value("groups", format!("{users} users; say 1 to {}", 1 << 20)));
        }
        let mut rng = rng::stream(seed, &["data", "procedural-text", "language"]);
        let words = lexicon(&mut rng);
        // One successor follows a cycle through all words, so that every word can be reached from every other.
        let mut cycle: Vec<usize> = (0..WORDS).collect();
        cycle.shuffle(&mut rng);
        let mut next = vec![[0; NEXT]; WORDS];
        for (place, &word) in cycle.iter().enumerate() {
            let mut chosen = vec![cycle[(place + 1) % WORDS]];
            while chosen.len() < NEXT {
                let other = rng.random_range(0..WORDS as u32) as usize;
                if !chosen.contains(&other) {
                    chosen.push(other);
                }
            }
            next[word].copy_from_slice(&chosen);
        }
        let mut rng = rng::stream(seed, &["data", "procedural-text", "users"]);
        let habits = (0..users).map(|_| std::array::from_fn(|_| rng.random_range(0..NEXT as u32) as u8)).collect();
        Ok(Self { words, next, habits, seed })
    }

    /// Bits a character of this user's texts, known the user (panics beyond the last user).
    pub fn bits_per_char(&self, user: usize) -> f64 {
        let chain: Vec<[f64; NEXT]> = (0..WORDS).map(|word| self.probabilities(user, word)).collect();
        self.entropy(&chain)
    }

    /// Bits a character for a model of single words' successors that does not know who speaks: the chain with every
    /// user's habits averaged.
    pub fn pooled_bits_per_char(&self) -> f64 {
        let users = self.habits.len();
        let mean = |word| {
            let mut mean = [0.0; NEXT];
            for user in 0..users {
                for (mean, p) in mean.iter_mut().zip(self.probabilities(user, word)) {
                    *mean += p / users as f64;
                }
            }
            mean
        };
        let chain: Vec<[f64; NEXT]> = (0..WORDS).map(mean).collect();
        self.entropy(&chain)
    }

    /// Probability of each of a word's successors, for a user.
    fn probabilities(&self, user: usize, word: usize) -> [f64; NEXT] {
        let turn = usize::from(self.habits[user][word]);
        std::array::from_fn(|place| f64::from(EIGHTHS[(place + NEXT - turn) % NEXT]) / 8.0)
    }

    /// Entropy rate of a chain on the words over the mean length of a word and its space.
    fn entropy(&self, chain: &[[f64; NEXT]]) -> f64 {
        // The lazy chain (stay with probability 1/2) has the same stationary distribution and no period.
        let mut at = vec![1.0 / WORDS as f64; WORDS];
        for _ in 0..2_000 {
            let mut then: Vec<f64> = at.iter().map(|p| p / 2.0).collect();
            for word in 0..WORDS {
                for (&to, p) in self.next[word].iter().zip(chain[word]) {
                    then[to] += at[word] * p / 2.0;
                }
            }
            at = then;
        }
        let bits = |row: &[f64; NEXT]| -> f64 { row.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum() };
        let rate: f64 = at.iter().zip(chain).map(|(p, row)| p * bits(row)).sum();
        let length: f64 = at.iter().zip(&self.words).map(|(p, word)| p * (word.len() + 1) as f64).sum();
        rate / length
    }

    fn part(&self, name: &str, count: usize) -> Result<TextSet> {
        if count > 1 << 24 {
            return Err(Error::value("train", format!("{count} texts are too many; say at most {}", 1 << 24)));
        }
        let mut rng = rng::stream(self.seed, &["data", "procedural-text", name]);
        let (mut texts, mut groups) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let user = rng.random_range(0..self.habits.len() as u32);
            texts.push(self.speak(user as usize, &mut rng));
            groups.push(user);
        }
        let names = (0..self.habits.len()).map(|user| format!("user-{user}")).collect();
        TextSet::new(texts).with_groups(groups, names)
    }

    fn speak(&self, user: usize, rng: &mut ChaCha8Rng) -> String {
        let mut word = rng.random_range(0..WORDS as u32) as usize;
        // Some steps without a word said, to begin near the stationary distribution.
        let mut step = |word: usize| {
            let mut at = rng.random_range(0..8u32);
            let place = EIGHTHS.iter().position(|&share| {
                let here = at < share;
                at = at.saturating_sub(share);
                here
            });
            self.next[word][(place.unwrap_or(0) + usize::from(self.habits[user][word])) % NEXT]
        };
        for _ in 0..32 {
            word = step(word);
        }
        let mut text = String::new();
        for place in 0..WORDS_A_TEXT {
            if place > 0 {
                text.push(' ');
            }
            text.push_str(&self.words[word]);
            word = step(word);
        }
        text
    }
}

/// Different words of one to three syllables.
fn lexicon(rng: &mut ChaCha8Rng) -> Vec<String> {
    const CONSONANTS: [char; 12] = ['b', 'd', 'f', 'g', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't'];
    const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];
    let mut seen = BTreeSet::new();
    let mut words = Vec::with_capacity(WORDS);
    while words.len() < WORDS {
        let mut word = String::new();
        for _ in 0..rng.random_range(1..=3u32) {
            word.push(CONSONANTS[rng.random_range(0..CONSONANTS.len() as u32) as usize]);
            word.push(VOWELS[rng.random_range(0..VOWELS.len() as u32) as usize]);
        }
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_user_costs_seven_quarters_of_a_bit_a_word_and_an_unknown_one_more() {
        let source = Source::new(40, 3).unwrap();
        // A word and its space have 3 to 7 characters.
        let known: Vec<f64> = (0..40).map(|user| source.bits_per_char(user)).collect();
        assert!(known.iter().all(|bits| (1.75 / 7.0..1.75 / 3.0).contains(bits)), "{known:?}");
        assert!(source.pooled_bits_per_char() * 7.0 > 1.75);
        let one = Source::new(1, 3).unwrap();
        assert!((one.bits_per_char(0) - one.pooled_bits_per_char()).abs() < 1e-12);
    }

    /// The entropy that the closed form gives is the one that counting a long text gives.
    #[test]
    fn counted_entropy_matches() {
        let source = Source::new(1, 7).unwrap();
        let set = source.part("train", 20_000).unwrap();
        let mut counts = std::collections::BTreeMap::<(&str, &str), f64>::new();
        let mut totals = std::collections::BTreeMap::<&str, f64>::new();
        let (mut characters, mut pairs) = (0.0, 0.0);
        for text in set.texts() {
            let words: Vec<&str> = text.split(' ').collect();
            for pair in words.windows(2) {
                *counts.entry((pair[0], pair[1])).or_default() += 1.0;
                *totals.entry(pair[0]).or_default() += 1.0;
                characters += (pair[1].len() + 1) as f64;
                pairs += 1.0;
            }
        }
        let bits: f64 = counts.iter().map(|((from, _), count)| -count * (count / totals[from]).log2()).sum();
        assert!((bits / pairs - 1.75).abs() < 0.01, "{}", bits / pairs);
        assert!((bits / characters - source.bits_per_char(0)).abs() < 0.005);
    }
}
