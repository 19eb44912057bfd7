//! Composition on bins of uneven width, by sums of all pairs.
//!
//! One grid step for all losses cannot hold steps whose usual loss is millions of times smaller than the rare one that ε
//! is made of, nor atoms at ends that have no common step. Here the laws of 2ᵏ steps are formed one after the other, k
//! from the top bit of the numbers of steps down (square, then add what has that bit), each on some thousand bins that are
//! narrow where they matter. Every term is positive, so nothing is tilted, folded or lost beside larger numbers, and the
//! round-off has a bound without assumptions. It costs (number of bins)² a sum.

mod edges;
mod points;
mod weight;

use super::{
    compose::Side,
    grid::Cut,
    loss::{Loss, QUADRATURE_ERROR},
    plan::Direction,
    saddle::{Query, Sampled},
    search::{Interval, epsilon_at},
};
use edges::{Edges, place};
use points::{Point, Points, Sum};
use weight::Weight;

/// Bins of a first look, and of the second; most of them.
const FIRST: usize = 300;
const SECOND: usize = 700;
const MOST: usize = 4000;
/// Share of δ that may be cut off either end of a law.
const TAIL: f64 = 1e-10;
/// Losses that e^(−L) can hold.
const LARGEST: f64 = 500.0;

impl Direction<'_> {
    /// Bounds by pairs, at most `aim` apart if that takes no more bins than allowed.
    pub(super) fn by_pairs(&self, slope: f64, known: Interval, aim: f64) -> Interval {
        let largest = match self.query {
            Query::Epsilon { .. } => known.upper,
            Query::Delta { epsilon } => epsilon,
        };
        if largest.is_nan() || largest > LARGEST {
            return known;
        }
        let mut best = known;
        let ceiling = -self.delta.max(1e-290).ln();
        let (mut found, mut law) = self.interval(FIRST, &Weight::tilted(slope, ceiling));
        best = best.meet(found);
        let mut count = SECOND;
        loop {
            // A loss counts as much as δ would change by it.
            let epsilon = match self.query {
                Query::Epsilon { .. } => found.lower,
                Query::Delta { epsilon } => epsilon,
            };
            (found, law) = self.interval(count, &Weight::of_rest(&law, epsilon));
            best = best.meet(found);
            let gap = best.relative_gap();
            if gap <= aim || count >= MOST || gap.is_nan() {
                return best;
            }
            let factor = (1.3 * gap / aim).sqrt().clamp(1.3, 3.0);
            count = ((count as f64 * factor) as usize).min(MOST);
        }
    }

    /// Bounds, and the law that the lower one was read from.
    fn interval(&self, count: usize, weight: &Weight) -> (Interval, Points) {
        let upper = self.read_points(&self.law(count, weight, Side::Upper), Side::Upper);
        let law = self.law(count, weight, Side::Lower);
        let lower = self.read_points(&law, Side::Lower);
        (Interval { lower, upper }, law)
    }

    fn read_points(&self, law: &Points, side: Side) -> f64 {
        let error = if side == Side::Upper { law.error } else { -law.error };
        let shift = if side == Side::Upper { 1.0 - 1e-13 } else { 1.0 + 1e-13 };
        let delta = |epsilon: f64| law.delta(epsilon * shift) * error.exp();
        match self.query {
            Query::Delta { epsilon } => delta(epsilon),
            Query::Epsilon { delta: goal } => {
                let last = law.list.last().map_or(0.0, |p| p.loss).max(0.0) * (1.0 + 1e-12);
                epsilon_at(delta, goal, last, side).unwrap_or(f64::INFINITY)
            }
        }
    }

    /// The law of all steps.
    fn law(&self, count: usize, weight: &Weight, side: Side) -> Points {
        let singles: Vec<(Points, u64)> = self
            .steps
            .iter()
            .zip(&self.cuts)
            .zip(&self.sampled)
            .map(|(((loss, t), cut), sampled)| (single(loss, cut, sampled, count / 2, weight, side), *t))
            .collect();
        let most = singles.iter().map(|(_, t)| *t).max().unwrap_or(0);
        let mut total: Option<Points> = None;
        for bit in (0..u64::BITS - most.leading_zeros()).rev() {
            // So often does this law occur in the whole.
            let tail = TAIL * self.delta / 2f64.powi(bit as i32);
            let sum = |a: &Points, b: &Points| {
                let mut sum = a.sum(b, &Edges::of_sums(a, b, count, weight), side);
                sum.trim(tail, side);
                sum
            };
            total = total.map(|law| sum(&law, &law));
            for (law, _) in singles.iter().filter(|(_, t)| t >> bit & 1 == 1) {
                total = Some(total.map_or_else(|| law.clone(), |known| sum(&known, law)));
            }
        }
        total.unwrap_or_default()
    }
}

/// One step.
fn single(loss: &Loss, cut: &Cut, sampled: &Sampled, count: usize, weight: &Weight, side: Side) -> Points {
    let mut losses: Vec<(f64, f64)> = sampled.points.iter().map(|p| (p.loss, p.mass)).collect();
    let mut ends = place(&mut losses, cut.losses, count, weight);
    let atoms = loss.atoms();
    ends.extend(atoms.iter().map(|atom| atom.loss));
    let edges = Edges::new(ends);
    let (low, high) = cut.points;
    let at = |k: usize| loss.point(edges.losses()[k]);
    let mut sums = vec![Sum::default(); edges.len()];
    let mut below = at(0);
    for k in 1..edges.len() {
        let above = at(k);
        let (from, to) = if loss.is_increasing() { (below, above) } else { (above, below) };
        let bin = loss.bin(edges.losses()[k - 1], below, from.max(low), to.min(high));
        sums[k] = Sum::new(bin.mass, bin.excess * edges.y[k - 1]);
        below = above;
    }
    sums[0] = Sum::new(cut.below, 0.0);
    let mut points = edges.points(&sums, side);
    points.list.extend(atoms.iter().map(|atom| Point::new(atom.loss, atom.mass)));
    points.list.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    if side == Side::Upper {
        points.infinite = cut.above;
    }
    points.error = QUADRATURE_ERROR;
    points
}
