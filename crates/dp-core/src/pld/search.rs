//! From events to bounds: directions, step width, window, refinement until both bounds agree.

use ashlar_stats::fft::RealFft;

use super::{
    compose::{self, Part, Side, View},
    curve::Curve,
    grid::{Bins, Grid},
    loss::Loss,
    plan::{Direction, MAX_POINTS, Plan, Way},
    saddle::Query,
};
use crate::{Error, Event, Mechanism, Neighboring, Result};

/// A δ that needs no lower bound.
const NOTHING: f64 = 1e-40;
/// Points of a grid that are not worth a gap already near its aim.
const COSTLY_POINTS: f64 = 1e6;
/// How many times its aim a first, coarse grid may err, and the gap up to which its way of looking is kept.
const COARSER: f64 = 30.0;
const COARSE_GAP: f64 = 0.02;
/// How many times its aim a gap may stay before losses are summed by pairs.
const LOOSE: f64 = 4.0;
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

impl Interval {
    /// What both allow.
    pub(super) fn meet(self, other: Self) -> Self {
        Self { lower: self.lower.max(other.lower), upper: self.upper.min(other.upper) }
    }

    pub(super) fn relative_gap(&self) -> f64 {
        if self.upper > self.lower { (self.upper - self.lower) / self.upper } else { 0.0 }
    }
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

impl Direction<'_> {
    /// Bounds at one step width.
    fn solve(&self, plan: &Plan, mut step: f64, sides: &[Side]) -> Result<Interval> {
        let mut interval = Interval { lower: 0.0, upper: f64::INFINITY };
        if let [(loss, _)] = self.steps
            && let Some([top, _]) = loss.ends()
        {
            // The largest loss a little above a point, whatever the origin.
            let reach = top.loss - Self::origin(loss, &self.cuts[0], step);
            if reach > step {
                step = reach / (reach / step).ceil() * (1.0 - 1e-9);
            }
        }
        let bins: Vec<(Bins, u64)> = self
            .steps
            .iter()
            .zip(&self.cuts)
            .map(|((loss, t), cut)| {
                let origin = Self::origin(loss, cut, step);
                (Bins::new(loss, cut, Grid { step, origin }), *t)
            })
            .collect();
        let mut fft = None;
        for &side in sides {
            let part = |(bins, t): &(Bins, u64)| {
                let pmf = if side == Side::Upper { bins.pessimistic() } else { bins.optimistic() };
                let rare = plan.rare.as_ref().map_or(0.0, |rare| rare.mass / (*t as f64 * self.steps.len() as f64));
                Part { split: pmf.split(rare), pmf, steps: *t }
            };
            let parts: Vec<Part> = bins.iter().map(part).collect();
            let value = self.read(plan, &parts, step, side, &mut fft)?;
            match side {
                Side::Upper => interval.upper = value,
                Side::Lower => interval.lower = value,
            }
        }
        interval.lower = interval.lower.min(interval.upper);
        Ok(interval)
    }

    /// Composes, and looks again in a wider window where the answer lies at the window's edge. `fft` is the last one used.
    fn read(&self, plan: &Plan, parts: &[Part], step: f64, side: Side, fft: &mut Option<RealFft>) -> Result<f64> {
        let infinite: f64 = parts.iter().map(|part| part.steps as f64 * part.pmf.infinite).sum();
        let mut best = if side == Side::Upper { f64::INFINITY } else { 0.0 };
        let mut body = plan.body;
        for _ in 0..3 {
            let points = |view: &View| ((view.window.1 - view.window.0) / step) as usize + 4;
            let rare = plan.rare.as_ref().map(|rare| &rare.view);
            let curves = if let [part @ Part { steps: 1, .. }] = parts {
                vec![Curve::single(part, side)]
            } else {
                let n = fast_length(rare.map_or(0, points).max(points(&body)));
                let fft = match fft {
                    Some(known) if known.len() == n => known,
                    _ => fft.insert(RealFft::new(n)?),
                };
                let mut curves = vec![compose::body(parts, &body, fft, side)?];
                if let Some(view) = rare {
                    curves.push(compose::jumps(parts, view, fft, side)?);
                }
                curves
            };
            let delta = |epsilon: f64| infinite + curves.iter().map(|curve| curve.delta(epsilon)).sum::<f64>();
            let last = curves.iter().map(Curve::last).fold(0.0, f64::max);
            let (value, epsilon) = match self.query {
                Query::Epsilon { delta: goal } => {
                    let found = epsilon_at(delta, goal, last, side);
                    (found, found)
                }
                Query::Delta { epsilon } => (Some(delta(epsilon)), Some(epsilon)),
            };
            if let Some(value) = value {
                best = if side == Side::Upper { best.min(value) } else { best.max(value) };
            }
            let width = body.window.1 - body.window.0;
            let inside = epsilon.is_some_and(|epsilon| epsilon > body.window.0 + step || body.window.0 <= 0.0);
            if inside || 2.0 * width / step > MAX_POINTS as f64 {
                break;
            }
            body.window = (body.window.0 - 0.5 * width, body.window.1 + 0.5 * width);
        }
        Ok(best)
    }

    /// The gap of an interval, relative for an ε or a δ, and in units of the budget's absolute error.
    fn gap(&self, interval: &Interval, budget: &Budget) -> f64 {
        let gap = interval.upper - interval.lower;
        if gap <= 0.0 || interval.upper == 0.0 {
            return 0.0;
        }
        let relative = gap / interval.upper;
        match self.query {
            Query::Epsilon { .. } => relative.max(gap / budget.absolute * budget.accept),
            Query::Delta { .. } => relative,
        }
    }

    /// Whether this is a δ too small to be worth refining.
    fn is_nothing(&self, interval: &Interval) -> bool {
        matches!(self.query, Query::Delta { .. }) && interval.upper < NOTHING
    }

    /// Bounds on a coarse grid.
    fn coarse(&self, way: Way, budget: &Budget, sides: &[Side]) -> Result<Option<(Plan, f64, Interval)>> {
        let coarse = Budget { aim: (COARSER * budget.aim).max(1e-4), ..*budget };
        let Some(plan) = self.plan(way) else { return Ok(None) };
        let step = self.settle(&plan, self.step(&plan, &coarse));
        let interval = self.solve(&plan, step, sides)?;
        Ok(Some((plan, step, interval)))
    }

    /// Both bounds, refined until they agree as far as the budget asks, or until the upper one is no larger than `floor`.
    fn refine(&self, budget: &Budget, grid: Option<f64>, floor: f64) -> Result<Interval> {
        let both = [Side::Upper, Side::Lower];
        let mut best: Option<(Plan, f64, Interval)> = None;
        for way in [Way::Tilted, Way::SetAside, Way::Plain] {
            let Some(mut found) = self.coarse(way, budget, &both)? else { continue };
            if let Some(plan) = self.centred(&found.0, &found.2) {
                let again = self.solve(&plan, found.1, &both)?;
                if self.gap(&again, budget) < self.gap(&found.2, budget) {
                    found = (plan, found.1, again);
                }
            }
            if best.as_ref().is_none_or(|(.., known)| self.gap(&found.2, budget) < self.gap(known, budget)) {
                best = Some(found);
            }
            let settled = |known: &Interval| self.gap(known, budget) < COARSE_GAP || self.is_nothing(known);
            if best.as_ref().is_some_and(|(.., known)| settled(known)) {
                break;
            }
        }
        let Some((plan, mut step, mut interval)) = best else {
            return Err(Error::Numeric { what: "the composition", why: "no step is left to compose".to_owned() });
        };
        if let Some(step) = grid {
            return self.solve(&plan, self.settle(&plan, step), &both);
        }
        let mut had_costly = false;
        for pass in 0..PASSES {
            let gap = self.gap(&interval, budget);
            if gap <= budget.accept || gap.is_nan() || interval.upper <= floor || self.is_nothing(&interval) {
                break;
            }
            let mut finer = step * (0.5 * budget.accept / gap).sqrt().clamp(0.01, 0.7);
            if pass == 0 {
                // A coarse gap can promise too much work.
                finer = finer.max(self.step(&plan, &Budget { aim: 1.8 * budget.aim, ..*budget })).min(0.7 * step);
            }
            let finer = self.settle(&plan, finer);
            let costly = self.width(&plan) / finer > COSTLY_POINTS;
            if finer > 0.95 * step || costly && (gap < 5.0 * budget.accept || had_costly) {
                break;
            }
            had_costly = costly;
            step = finer;
            let next = self.solve(&plan, step, &both)?;
            interval = interval.meet(next);
        }
        let gap = self.gap(&interval, budget);
        if gap > LOOSE * budget.accept && interval.upper > floor && !self.is_nothing(&interval) {
            interval = self.by_pairs(plan.slope, interval, LOOSE * budget.accept);
        }
        Ok(interval)
    }
}

/// The ε at which a falling `delta` passes `goal`, on the side where the bound holds; None where it doesn't up to `last`.
pub(super) fn epsilon_at(delta: impl Fn(f64) -> f64, goal: f64, last: f64, side: Side) -> Option<f64> {
    if delta(0.0) <= goal {
        return Some(0.0);
    }
    let (mut low, mut high) = (0.0, last);
    if delta(high) > goal {
        return if side == Side::Upper { None } else { Some(high) };
    }
    while high - low > 1e-14 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if delta(middle) > goal {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(if side == Side::Upper { high } else { low })
}

/// A direction whose cuts suit the answer. A δ is known only once it has been bounded, and what was cut off for a larger
/// one could hide it.
fn located<'a>(steps: &'a [(Loss, u64)], query: Query, budget: &Budget) -> Result<Direction<'a>> {
    let mut direction = Direction::new(steps, query);
    if let Query::Delta { .. } = query {
        for _ in 0..40 {
            let Some((.., found)) = direction.coarse(Way::Tilted, budget, &[Side::Upper])? else { break };
            if found.upper > 1e-3 * direction.delta || found.upper < 1e-250 {
                break;
            }
            direction = Direction::at(steps, query, found.upper);
        }
    }
    Ok(direction)
}

/// Bounds over all directions.
pub(super) fn bounds(directions: &[Steps], query: Query, budget: &Budget, grid: Option<f64>) -> Result<Interval> {
    let mut result = Interval { lower: 0.0, upper: 0.0 };
    for (index, steps) in directions.iter().enumerate() {
        let direction = located(steps, query, budget)?;
        if index > 0 && grid.is_none() {
            // Usually below the first: an upper bound on a coarse grid shows it.
            let coarse = direction.coarse(Way::Tilted, budget, &[Side::Upper])?;
            if coarse.is_some_and(|(.., interval)| interval.upper <= result.upper) {
                continue;
            }
        }
        let own = direction.refine(budget, grid, result.upper)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    #[test]
    fn sampled_steps_are_composed_in_both_directions() -> Result<()> {
        let sampled = [Event::gaussian(1.0, 0.1, 10)?, Event::laplace(2.0, 1.0, 3)?];
        assert_eq!(directions(&sampled, Neighboring::AddRemove).len(), 2);
        assert_eq!(directions(&sampled, Neighboring::ReplaceSpecial).len(), 2);
        // Symmetric pairs need one.
        assert_eq!(directions(&sampled, Neighboring::ReplaceOne).len(), 1);
        assert_eq!(directions(&sampled[1..], Neighboring::AddRemove).len(), 1);
        Ok(())
    }

    #[test]
    fn transforms_are_no_shorter_than_asked() {
        for n in [1, 63, 65, 1000, 4097, 150_000, 4_194_304] {
            assert!((n..=2 * n.max(64)).contains(&fast_length(n)), "{n}");
        }
    }
}
