//! Error feedback: the update `e ← e + lr·g` and the search for candidates in one sweep.

use rayon::prelude::*;

use super::{
    INFINITY,
    select::{self, Ask, Cut, among, guess, guess_from_hint},
    source::BLOCK,
    sweep::{Pairs, Rule},
};

/// Updates `e` and selects from it.
pub(super) fn select(e: &mut [f32], g: &[f32], lr: f32, ask: &Ask, hint: Option<f32>, reuse: &mut Pairs) -> Cut {
    let n = e.len();
    let guess = hint.and_then(|hint| guess_from_hint(hint, ask)).unwrap_or_else(|| {
        guess(n, ask, |at, out| {
            for (&at, out) in at.iter().zip(out) {
                *out = e[at as usize] + lr * g[at as usize];
            }
        })
    });
    let size = select::parts(n).first().map_or(BLOCK, |part| part.len().max(1));
    let work = |(part, (e, g)): (usize, (&mut [f32], &[f32]))| {
        let mut pairs = Pairs::default();
        let mut rule = Rule::at_least(guess.floor);
        // Candidates are packed while the block is in the first cache, unless they turn out to be too many.
        let mut packing = guess.packs(n);
        for (block, (e, g)) in e.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).enumerate() {
            for (e, g) in e.iter_mut().zip(g) {
                *e += lr * g;
            }
            if packing {
                pairs.emit(ask.level, e, (part * size + block * BLOCK) as u32, &mut rule, ask.nan_zero);
                packing = guess.holds(pairs.idx.len());
            }
        }
        pairs
    };
    let parts = e.par_chunks_mut(size).zip(g.par_chunks(size)).enumerate();
    let pairs: Vec<Pairs> = parts.map(work).collect();
    let e: &[f32] = e;
    if guess.packs(n)
        && let Some(mut cut) = among(pairs, ask, &guess, reuse)
    {
        if !ask.nan_zero && cut.key > INFINITY {
            cut.nans = e.iter().filter(|x| x.is_nan()).count() as u64;
        }
        return cut;
    }
    select::select(&e, ask, None, reuse)
}
