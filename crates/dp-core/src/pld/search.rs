//! From events to bounds: directions, step width, window, refinement until both bounds agree.

use ashlar_stats::fft::RealFft;

use super::{
    compose::{Composed, Side},
    grid::{Bins, Cut, Grid, Pmf},
    loss::Loss,
    saddle::{Query, Saddle, Sampled, saddle, spread},
};
use crate::{Event, Mechanism, Neighboring, Result};

/// Most points of a grid; beyond, it is coarsened.
const MAX_POINTS: usize = 1 << 22;
/// Share of δ that the masses cut off all steps may have.
const CUT_SHARE: f64 = 1e-9;
/// Mass at small losses that may be cut off all steps.
const CUT_BELOW: f64 = 1e-12;
/// Refinements of the grid.
const PASSES: usize = 4;

/// How close the bounds shall be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Aimed at, relative (ε, or ln δ).
    pub aim: f64,
    /// Refined until reached.
    pub accept: f64,
    /// Cap on the absolute error of ε.
    pub absolute: f64,
}

/// Bounds on ε or δ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub lower: f64,
    pub upper: f64,
}

/// The steps of one direction.
type Steps = Vec<(Loss, u64)>;

/// The directions that the relation asks for. Without sampling both are the same, and under replace-one the pair is
/// symmetric.
pub(super) fn directions(events: &[Event], neighboring: Neighboring) -> Vec<Steps> {
    let mut kinds: Vec<Event> = Vec::new();
    let mut mu_squared = 0.0;
    for event in events {
        if event.mechanism() == Mechanism::Gaussian && event.sample_rate() == 1.0 {
            mu_squared += gaussian_mu(event, neighboring).powi(2);
            continue;
        }
        let same = |known: &&mut Event| known.with_steps(event.steps()) == *event;
        match kinds.iter_mut().find(same) {
            Some(known) => *known = known.with_steps(known.steps().saturating_add(event.steps())),
            None => kinds.push(*event),
        }
    }
    let both = neighboring != Neighboring::ReplaceOne && kinds.iter().any(|event| event.sample_rate() < 1.0);
    let sides: &[bool] = if both { &[false, true] } else { &[false] };
    let steps = |add: &bool| {
        let mut steps: Steps = kinds.iter().map(|event| (Loss::new(event, neighboring, *add), event.steps())).collect();
        if mu_squared > 0.0 {
            steps.push((Loss::gaussian(f64::sqrt(mu_squared)), 1));
        }
        steps
    };
    sides.iter().map(steps).collect()
}

/// μ of all steps of an unsampled Gaussian event.
pub(super) fn gaussian_mu(event: &Event, neighboring: Neighboring) -> f64 {
    let distance = if neighboring == Neighboring::ReplaceOne { 2.0 } else { 1.0 };
    distance * (event.steps() as f64).sqrt() / event.noise_multiplier()
}

/// One direction, before any grid.
struct Prepared<'a> {
    steps: &'a [(Loss, u64)],
    cuts: Vec<Cut>,
    sampled: Vec<Sampled>,
    saddle: Saddle,
    query: Query,
}

impl<'a> Prepared<'a> {
    fn new(steps: &'a [(Loss, u64)], query: Query) -> Self {
        let count = steps.iter().map(|(_, t)| *t as f64).sum::<f64>();
        let cut = |delta: f64| -> (Vec<Cut>, Vec<Sampled>) {
            let tail = (delta * CUT_SHARE / count).max(1e-290);
            let cuts: Vec<Cut> = steps.iter().map(|(loss, _)| Cut::new(loss, tail, CUT_BELOW / count)).collect();
            let sample =
                |((loss, t), cut): (&(Loss, u64), &Cut)| Sampled { points: loss.sample(cut.points), steps: *t as f64 };
            let sampled = steps.iter().zip(&cuts).map(sample).collect();
            (cuts, sampled)
        };
        let delta = match query {
            Query::Epsilon { delta } => delta,
            Query::Delta { epsilon } => {
                let (_, sampled) = cut(1e-60);
                let guess = saddle(&sampled, query);
                (guess.cumulants.value - guess.tilt * epsilon).exp().clamp(1e-270, 1.0) * 1e-3
            }
        };
        let (cuts, sampled) = cut(delta);
        let saddle = saddle(&sampled, query);
        Self { steps, cuts, sampled, saddle, query }
    }

    /// The answer, roughly.
    fn guess(&self) -> f64 {
        let c = &self.saddle.cumulants;
        match self.query {
            Query::Epsilon { .. } => c.mean,
            Query::Delta { epsilon } => (c.value - self.saddle.tilt * epsilon).exp(),
        }
    }

    /// The error of ε that the budget allows.
    fn allowed(&self, budget: &Budget) -> f64 {
        let c = &self.saddle.cumulants;
        let sd = c.variance.sqrt();
        match self.query {
            Query::Epsilon { .. } if self.saddle.tilt > 0.0 => {
                (budget.aim * c.mean.max(0.05 * sd)).min(budget.absolute)
            }
            Query::Epsilon { .. } => (budget.aim * 0.1 * sd).min(budget.absolute),
            Query::Delta { .. } => budget.aim / (self.saddle.tilt + 1.0 / sd),
        }
    }

    /// The widest step whose spread costs no more than `allowed`: K(λ) grows by ½·λ(λ + 1) times the added variance.
    fn step(&self, allowed: f64) -> f64 {
        let tilt = self.saddle.tilt;
        let cost = |h: f64| 0.75 * (tilt + 1.0) * spread(&self.sampled, tilt, h);
        let sd = self.saddle.cumulants.variance.sqrt();
        let (mut low, mut high) = (1e-12 * sd, 0.1 * sd);
        if !(sd > 0.0) {
            return f64::MIN_POSITIVE;
        }
        if cost(high) <= allowed {
            return high;
        }
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if cost(middle) > allowed {
                high = middle
            } else {
                low = middle
            }
            if high < 1.01 * low {
                break;
            }
        }
        low
    }

    /// No more points than allowed, and for losses with atoms both ends on the grid as nearly as one step width for all
    /// can do that.
    fn settle(&self, step: f64) -> f64 {
        let widest = self.cuts.iter().map(|cut| cut.losses.1 - cut.losses.0).fold(0.0, f64::max);
        let window = self.saddle.window.1 - self.saddle.window.0;
        let step = step.max(widest.max(window) / (MAX_POINTS - 64) as f64);
        let spans: Vec<(f64, f64)> = self
            .steps
            .iter()
            .filter_map(|(loss, t)| {
                let atoms = loss.atoms();
                let (top, bottom) = (
                    atoms.iter().max_by(|a, b| a.loss.total_cmp(&b.loss))?,
                    atoms.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?,
                );
                Some((top.loss - bottom.loss, bottom.mass * *t as f64))
            })
            .collect();
        let Some(&(span, _)) = spans.first() else { return step };
        let fewest = (span / step).ceil().max(1.0);
        let tries = if spans.len() == 1 { 1 } else { ((0.4 * fewest) as usize).clamp(1, 400) };
        let misfit = |h: &f64| -> f64 {
            spans
                .iter()
                .skip(1)
                .map(|(span, weight)| {
                    let rest = span / h - (span / h + 1e-9).floor();
                    weight * rest.max(0.0) * h
                })
                .sum()
        };
        (0..tries)
            .map(|i| span / (fewest + i as f64))
            .filter(|h| *h >= step * 0.5 || tries == 1)
            .min_by(|a, b| misfit(a).total_cmp(&misfit(b)))
            .unwrap_or(step)
    }

    fn origin(&self, loss: &Loss, cut: &Cut, step: f64) -> f64 {
        if let Some(top) = loss.atoms().iter().map(|atom| atom.loss).max_by(f64::total_cmp) {
            return top;
        }
        let (low, middle, high) = loss.bulk();
        if loss.is_sampled() && (high - low).abs() < 30.0 * step { Bins::origin(loss, cut, step, middle) } else { 0.0 }
    }

    /// Bounds at one step width.
    fn solve(&self, step: f64, sides: &[Side]) -> Result<Interval> {
        let mut interval = Interval { lower: 0.0, upper: f64::INFINITY };
        let bins: Vec<(Bins, u64)> = self
            .steps
            .iter()
            .zip(&self.cuts)
            .map(|((loss, t), cut)| {
                let origin = self.origin(loss, cut, step);
                (Bins::new(loss, cut, Grid { step, origin }), *t)
            })
            .collect();
        let mut saddle = self.saddle;
        for &side in sides {
            let pmfs: Vec<(Pmf, u64)> = bins
                .iter()
                .map(|(bins, t)| (if side == Side::Upper { bins.pessimistic() } else { bins.optimistic() }, *t))
                .collect();
            for attempt in 0.. {
                let width = saddle.window.1 - saddle.window.0;
                let points = ((width / step) as usize + 4).min(2 * MAX_POINTS);
                let composed = Composed::new(&pmfs, &saddle, &RealFft::new(fast_length(points))?)?;
                let found = match self.query {
                    Query::Epsilon { delta } => composed.epsilon(delta, side),
                    Query::Delta { epsilon } => composed.delta(epsilon, side),
                };
                match (found, side) {
                    (Some(value), Side::Upper) => interval.upper = value,
                    (Some(value), Side::Lower) => interval.lower = value,
                    (None, _) if attempt < 3 && points <= MAX_POINTS / 2 => {
                        saddle.window = (saddle.window.0 - 0.5 * width, saddle.window.1 + 0.5 * width);
                        continue;
                    }
                    (None, Side::Upper) => {
                        interval.upper = match self.query {
                            Query::Epsilon { delta } => composed.epsilon_by_markov(delta),
                            Query::Delta { epsilon } => composed.delta_by_markov(epsilon),
                        }
                    }
                    (None, Side::Lower) => {}
                }
                break;
            }
        }
        interval.lower = interval.lower.min(interval.upper);
        Ok(interval)
    }

    /// Both bounds, refined until they agree as far as the budget asks.
    fn refine(&self, budget: &Budget, grid: Option<f64>) -> Result<Interval> {
        let both = [Side::Upper, Side::Lower];
        if let Some(step) = grid {
            return self.solve(self.settle(step), &both);
        }
        let mut step = self.settle(self.step(self.allowed(budget)));
        let mut interval = self.solve(step, &both)?;
        for _ in 1..PASSES {
            let accept = match self.query {
                Query::Epsilon { .. } => (budget.accept * interval.upper).min(budget.absolute),
                Query::Delta { .. } => budget.accept * interval.upper,
            };
            let gap = interval.upper - interval.lower;
            if !(gap > accept) || interval.upper == 0.0 {
                break;
            }
            let finer = self.settle(step * (0.7 * accept / gap).sqrt().clamp(0.02, 0.7));
            if finer > 0.95 * step {
                break;
            }
            step = finer;
            let next = self.solve(step, &both)?;
            interval = Interval { lower: next.lower.max(interval.lower), upper: next.upper.min(interval.upper) };
        }
        Ok(interval)
    }
}

/// Bounds over all directions.
pub(super) fn bounds(directions: &[Steps], query: Query, budget: &Budget, grid: Option<f64>) -> Result<Interval> {
    let mut prepared: Vec<Prepared> = directions.iter().map(|steps| Prepared::new(steps, query)).collect();
    prepared.sort_by(|a, b| b.guess().total_cmp(&a.guess()));
    let mut result = Interval { lower: 0.0, upper: 0.0 };
    for (index, direction) in prepared.iter().enumerate() {
        if index > 0 && grid.is_none() {
            // Usually far below the first: an upper bound on a coarse grid shows it.
            let step =
                direction.settle(direction.step(direction.allowed(&Budget { aim: 30.0 * budget.aim, ..*budget })));
            let coarse = direction.solve(step, &[Side::Upper])?;
            if coarse.upper <= result.lower {
                continue;
            }
        }
        let own = direction.refine(budget, grid)?;
        result = Interval { lower: result.lower.max(own.lower), upper: result.upper.max(own.upper) };
    }
    Ok(result)
}

/// The least product of 2, 3 and 5 with at most one 3 or 5 … that is no less than n.
fn fast_length(n: usize) -> usize {
    let power = n.next_power_of_two();
    [(9, 16), (5, 8), (3, 4), (15, 16)]
        .into_iter()
        .map(|(a, b)| power / b * a)
        .filter(|m| *m >= n && m % 2 == 0)
        .min()
        .unwrap_or(power)
        .min(power)
        .max(64)
}
