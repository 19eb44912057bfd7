//! Exact selection from a sampled threshold.
//!
//! A sample gives a magnitude a little below the k-th largest (the floor) and one a little above it (the ceiling). One
//! sweep packs everything from the floor up; whatever is above the ceiling is in, and only the thin band between needs
//! a selection. Counting proves the result: if the sample misled, the exact histogram ([`super::radix`]) decides.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;

use super::{
    INFINITY, key, radix,
    source::{BLOCK, Source},
    sweep::{self, Pairs, Rule},
};
use crate::{rng::fmix64, simd::Level};

/// No key reaches it.
const NO_CEILING: u32 = 0x8000_0000;
/// Shorter inputs are searched on one thread.
const PARALLEL: usize = 1 << 17;

/// One selection's fixed facts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub k: u64,
    pub nan_zero: bool,
    pub level: Level,
}

/// Where a selection cuts, and what it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub key: u32,
    /// Of the elements equal to `key`, how many are kept.
    pub ties: u64,
    pub nans: u64,
}

/// Guesses around the k-th key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    pub floor: u32,
    ceil: u32,
    /// Candidates expected.
    expected: u64,
    /// Candidates at which the guess is given up.
    limit: u64,
}

impl Guess {
    /// Whether packing candidates is cheaper than reading twice.
    pub fn packs(&self, n: usize) -> bool {
        self.expected < n as u64 / 6
    }

    /// Whether so many candidates may still be right.
    pub fn holds(&self, candidates: usize) -> bool {
        candidates as u64 <= self.limit
    }
}

/// Guesses from a stratified sample of `n` values.
pub(crate) fn guess(n: usize, ask: &Ask, values: impl Fn(&[u64], &mut [f32])) -> Guess {
    let everything = Guess { floor: 0, ceil: NO_CEILING, expected: n as u64, limit: u64::MAX };
    if n < 2048 {
        return everything;
    }
    let m = (n / 64).clamp(1024, 1 << 15);
    let stride = n as f64 / m as f64;
    let places: Vec<u64> = (0..m)
        .map(|i| {
            let jitter = (fmix64(i as u64 + 1) >> 11) as f64 / (1_u64 << 53) as f64;
            (((i as f64 + jitter) * stride) as u64).min(n as u64 - 1)
        })
        .collect();
    let mut found = vec![0.0; m];
    values(&places, &mut found);
    let mut sample: Vec<u32> = found.into_iter().map(|value| key(value, ask.nan_zero)).collect();
    let share = ask.k as f64 / n as f64;
    let rank = share * m as f64;
    let spread = 3.5 * (rank * (1.0 - share)).sqrt() + 3.0;
    let (low, high) = ((rank + spread).ceil() as usize, rank - spread);
    if low >= m {
        // Nearly everything is asked for.
        let ceil = if high >= 1.0 { nth_largest(&mut sample, high as usize) } else { NO_CEILING };
        return Guess { ceil: ceil.max(1), ..everything };
    }
    let floor = nth_largest(&mut sample, low);
    let ceil = if high >= 1.0 { nth_largest(&mut sample[..low], high as usize).max(floor + 1) } else { NO_CEILING };
    let expected = ((low as f64 / m as f64) * n as f64) as u64 + 1024;
    Guess { floor, ceil, expected, limit: expected + expected / 2 + (1 << 14) }
}

/// The `rank`-th largest, counted from 0; smaller ones end up behind it.
fn nth_largest(keys: &mut [u32], rank: usize) -> u32 {
    *keys.select_nth_unstable_by(rank, |a, b| b.cmp(a)).1
}

/// A guess from a threshold that the caller expects.
pub(crate) fn guess_from_hint(hint: f32, ask: &Ask) -> Option<Guess> {
    let floor = key(hint.abs() * 0.97, false);
    let limit = 2 * ask.k + BLOCK as u64;
    (floor > 0 && floor <= INFINITY).then_some(Guess { floor, ceil: NO_CEILING, expected: ask.k + ask.k / 4, limit })
}

/// The parts that threads take.
pub(crate) fn parts(n: usize) -> Vec<Range<usize>> {
    let threads = if n < PARALLEL { 1 } else { rayon::current_num_threads() };
    let size = n.div_ceil(threads).next_multiple_of(BLOCK).max(BLOCK);
    (0..n.div_ceil(size)).map(|part| part * size..((part + 1) * size).min(n)).collect()
}

/// Runs `work` on every item, in parallel if there are several.
fn map<T: Send, R: Send>(mut items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    match items.len() {
        1 => items.pop().map(work).into_iter().collect(),
        _ => items.into_par_iter().map(work).collect(),
    }
}

/// The selected pairs, in index order.
///
/// `reuse` is memory that the result may take over; fresh pages cost more than the search when much is selected.
pub(crate) fn select(source: &impl Source, ask: &Ask, hint: Option<f32>, reuse: &mut Pairs) -> Cut {
    let n = source.len();
    if let Some(guess) = hint.and_then(|hint| guess_from_hint(hint, ask)).filter(|guess| guess.packs(n))
        && let Some(found) = one_read(source, ask, &guess, reuse)
    {
        return found;
    }
    let guess = guess(n, ask, |at, out| source.values(at, out));
    if guess.packs(n)
        && let Some(found) = one_read(source, ask, &guess, reuse)
    {
        return found;
    }
    let (cuts, cut) = cut(source, ask, &guess);
    let jobs = lend(reuse, cuts, |&(.., keep)| keep as usize + BLOCK + 16);
    let pairs = map(jobs, |((range, mut rule, _), mut pairs)| {
        source.blocks(range, &mut |base, x| {
            pairs.emit(ask.level, x, base as u32, &mut rule, ask.nan_zero);
            true
        });
        pairs
    });
    join(pairs, reuse);
    cut
}

/// Each part with memory for its pairs: the first gets the memory that is there.
fn lend<T>(reuse: &mut Pairs, parts: Vec<T>, capacity: impl Fn(&T) -> usize) -> Vec<(T, Pairs)> {
    let lend = |part: T| {
        let mut pairs = std::mem::take(reuse);
        pairs.clear();
        let capacity = capacity(&part);
        pairs.idx.reserve(capacity);
        pairs.val.reserve(capacity);
        (part, pairs)
    };
    parts.into_iter().map(lend).collect()
}

fn one_read(source: &impl Source, ask: &Ask, guess: &Guess, reuse: &mut Pairs) -> Option<Cut> {
    let seen = AtomicU64::new(0);
    let parts = parts(source.len());
    let share = guess.expected as usize / parts.len() + BLOCK + 16;
    let pairs = map(lend(reuse, parts, |_| share), |(range, mut pairs)| {
        let mut rule = Rule::at_least(guess.floor);
        let mut go_on = |new: usize| seen.fetch_add(new as u64, Ordering::Relaxed) + new as u64 <= guess.limit;
        if !source.gather(range.clone(), guess.floor, &mut pairs, &mut go_on) {
            source.blocks(range, &mut |base, x| {
                let before = pairs.idx.len();
                pairs.emit(ask.level, x, base as u32, &mut rule, ask.nan_zero);
                go_on(pairs.idx.len() - before)
            });
        }
        pairs
    });
    let mut cut = among(pairs, ask, guess, reuse)?;
    if !ask.nan_zero && cut.key > INFINITY {
        cut.nans = count_nans(source, ask.level); // some may be below the floor
    }
    Some(cut)
}

/// The cut among candidates that hold everything from the floor up; `None` if they are too few or too many.
pub(crate) fn among(mut pairs: Vec<Pairs>, ask: &Ask, guess: &Guess, found: &mut Pairs) -> Option<Cut> {
    let total: u64 = pairs.iter().map(|pairs| pairs.idx.len() as u64).sum();
    if total < ask.k || total > guess.limit {
        *found = pairs.swap_remove(0); // its memory may serve yet
        return None;
    }
    let ceil = if guess.ceil == NO_CEILING { ceiling(&pairs, total, ask.k) } else { guess.ceil };
    for ceil in [ceil, NO_CEILING] {
        let bands: Vec<_> = map(pairs.iter().collect(), |pairs: &Pairs| {
            let mut keys = Vec::new();
            let band = sweep::band(ask.level, &pairs.val, 0, ceil, false, &mut keys);
            (keys, band)
        });
        let Some((key, rules)) = divide(&bands, ask.k) else { continue };
        let nans = pairs.iter().zip(&bands).map(|(pairs, (_, band))| pairs.nans + band.nans).sum();
        let ties = rules.iter().map(|rule| rule.ties).sum();
        let jobs = pairs.into_iter().zip(rules).collect();
        pairs = map(jobs, |(mut pairs, mut rule): (Pairs, Rule)| {
            pairs.compact(ask.level, &mut rule);
            pairs
        });
        join(pairs, found);
        return Some(Cut { key, ties, nans });
    }
    None
}

/// A ceiling from a sample of many candidates, so that most of them need no selection.
fn ceiling(pairs: &[Pairs], total: u64, k: u64) -> u32 {
    const SAMPLE: u64 = 1 << 13;
    if total < 8 * SAMPLE {
        return NO_CEILING;
    }
    let step = (total / SAMPLE) as usize;
    let mut sample: Vec<u32> =
        pairs.iter().flat_map(|pairs| pairs.val.iter().step_by(step)).map(|&value| key(value, false)).collect();
    let share = k as f64 / total as f64;
    let rank = share * sample.len() as f64;
    let high = rank - 3.5 * (rank * (1.0 - share)).sqrt() - 3.0;
    if high < 1.0 { NO_CEILING } else { nth_largest(&mut sample, high as usize).max(1) }
}

/// The key that the k-th largest has, and each part's rule, from each part's band.
fn divide(bands: &[(Vec<u32>, sweep::Band)], k: u64) -> Option<(u32, Vec<Rule>)> {
    let above: u64 = bands.iter().map(|(_, band)| band.above).sum();
    let inside: u64 = bands.iter().map(|(keys, _)| keys.len() as u64).sum();
    if above >= k || above + inside < k {
        return None;
    }
    let mut keys: Vec<u32> = Vec::with_capacity(inside as usize);
    for (part, _) in bands {
        keys.extend_from_slice(part);
    }
    let rank = (k - above - 1) as usize;
    let key = nth_largest(&mut keys, rank);
    let mut ties = k - above - keys[..rank].iter().filter(|&&other| other > key).count() as u64;
    let rules = bands.iter().map(|(part, _)| {
        let here = (part.iter().filter(|&&other| other == key).count() as u64).min(ties);
        ties -= here;
        Rule { above: key, ties: here }
    });
    Some((key, rules.collect()))
}

/// The cut by two reads or more, with each part's rule and what it keeps.
pub(crate) fn cut(source: &impl Source, ask: &Ask, guess: &Guess) -> (Vec<(Range<usize>, Rule, u64)>, Cut) {
    let bands = map(parts(source.len()), |range| {
        let (mut keys, mut sum) = (Vec::new(), sweep::Band::default());
        source.blocks(range, &mut |_, x| {
            let band = sweep::band(ask.level, x, guess.floor, guess.ceil, ask.nan_zero, &mut keys);
            sum.above += band.above;
            sum.nans += band.nans;
            sum.above <= ask.k && keys.len() as u64 <= guess.limit
        });
        (keys, sum)
    });
    // Counts of parts that stopped early can't pass: they are above k or the limit.
    if bands.iter().all(|(keys, _)| keys.len() as u64 <= guess.limit)
        && let Some((key, rules)) = divide(&bands, ask.k)
    {
        let ties = rules.iter().map(|rule| rule.ties).sum();
        let nans = bands.iter().map(|(_, band)| band.nans).sum();
        let keeps = bands.iter().zip(&rules).map(|((keys, band), rule)| {
            band.above + keys.iter().filter(|&&other| other > key).count() as u64 + rule.ties
        });
        let parts = parts(source.len()).into_iter().zip(rules.iter().copied()).zip(keeps);
        return (parts.map(|((range, rule), keep)| (range, rule, keep)).collect(), Cut { key, ties, nans });
    }
    by_histogram(source, ask, guess.floor)
}

/// The cut without a guess; `floor` is tried as the key itself, since ties without end are what defeats a sample.
fn by_histogram(source: &impl Source, ask: &Ask, floor: u32) -> (Vec<(Range<usize>, Rule, u64)>, Cut) {
    let counts = |key: u32| {
        map(parts(source.len()), |range| {
            let mut sum = (0, 0);
            source.blocks(range, &mut |_, x| {
                let (above, equal) = sweep::count(ask.level, x, key, ask.nan_zero);
                sum = (sum.0 + above, sum.1 + equal);
                true
            });
            sum
        })
    };
    let mut key = floor;
    let mut found = counts(key);
    let total = |found: &[(u64, u64)]| found.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    let (above, equal) = total(&found);
    if above >= ask.k || above + equal < ask.k {
        key = radix::kth_key(source, ask.k, ask.nan_zero);
        found = counts(key);
    }
    let mut left = ask.k - total(&found).0;
    let ties = left;
    let jobs = parts(source.len()).into_iter().zip(found).map(|(range, (above, equal))| {
        let here = equal.min(left);
        left -= here;
        (range, Rule { above: key, ties: here }, above + here)
    });
    (jobs.collect(), Cut { key, ties, nans: count_nans(source, ask.level) })
}

fn count_nans(source: &impl Source, level: Level) -> u64 {
    let counts = map(parts(source.len()), |range| {
        let mut sum = 0;
        source.blocks(range, &mut |_, x| {
            sum += sweep::count(level, x, INFINITY, false).0;
            true
        });
        sum
    });
    counts.iter().sum()
}

/// All parts' pairs, in order.
fn join(pairs: Vec<Pairs>, all: &mut Pairs) {
    let total: usize = pairs.iter().map(|pairs| pairs.idx.len()).sum();
    let mut parts = pairs.into_iter();
    *all = parts.next().unwrap_or_default();
    all.idx.reserve(total - all.idx.len());
    all.val.reserve(total - all.val.len());
    for part in parts {
        all.idx.extend_from_slice(&part.idx);
        all.val.extend_from_slice(&part.val);
        all.nans += part.nans;
    }
}
