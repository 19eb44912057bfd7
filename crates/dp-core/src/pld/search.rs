//! From events to bounds: directions, step width, window, refinement until both bounds agree.

use ashlar_stats::fft::RealFft;

use super::{
    compose::{self, Curve, Part, Side, View},
    grid::{Bins, Cut, Grid},
    loss::{Atom, Loss},
    saddle::{self, Cumulants, LN_OUTSIDE, Query, Sampled, quantile_above, spread, window},
};
use crate::{Error, Event, Mechanism, Neighboring, Result};

/// Most points of a grid; beyond, it is coarsened.
const MAX_POINTS: usize = 1 << 22;
/// Points of a grid that are not worth a gap already near its aim.
const COSTLY_POINTS: f64 = 1e6;
/// Share of δ that the masses cut off all steps may have.
const CUT_SHARE: f64 = 1e-8;
/// Mass at small losses that may be cut off all steps.
const CUT_BELOW: f64 = 1e-12;
/// Mass of rare large losses over all steps, in units of what exceeds ε at once, and its cap.
const RARE_SHARE: f64 = 100.0;
const RARE_MOST: f64 = 0.02;
/// How many times its aim a first, coarse grid may err, and the gap up to which its way of looking is kept.
const COARSER: f64 = 30.0;
const COARSE_GAP: f64 = 0.02;
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
struct Direction<'a> {
    steps: &'a [(Loss, u64)],
    cuts: Vec<Cut>,
    sampled: Vec<Sampled>,
    query: Query,
    /// About the δ in question.
    delta: f64,
}

/// Where to look for the answer.
#[derive(Debug)]
struct Plan {
    body: View,
    rare: Option<Rare>,
    /// The losses of the body.
    rest: Option<Vec<Sampled>>,
    /// How fast ln δ falls with ε, the tilt at which a grid's spread counts, and the size of what is looked for.
    slope: f64,
    tilt: f64,
    size: f64,
    sd: f64,
}

/// Rare large losses that are composed on their own.
#[derive(Debug)]
struct Rare {
    /// Mass of them over all steps.
    mass: f64,
    view: View,
}

/// The ways to look, in the order in which they are tried.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tilted,
    SetAside,
    Plain,
}

impl<'a> Direction<'a> {
    fn new(steps: &'a [(Loss, u64)], query: Query) -> Self {
        match query {
            Query::Epsilon { delta } => Self::at(steps, query, delta),
            Query::Delta { epsilon } => {
                let first = Self::at(steps, query, 1e-60);
                let (tilt, c) = saddle::tilt(&first.sampled, query);
                Self::at(steps, query, (c.value - tilt * epsilon).exp().clamp(1e-270, 1.0))
            }
        }
    }

    /// For a δ of about this size.
    fn at(steps: &'a [(Loss, u64)], query: Query, delta: f64) -> Self {
        let count = steps.iter().map(|(_, t)| *t as f64).sum::<f64>();
        let tail = (delta * CUT_SHARE / count).max(1e-290);
        let cuts: Vec<Cut> = steps.iter().map(|(loss, _)| Cut::new(loss, tail, CUT_BELOW / count)).collect();
        let sample =
            |((loss, t), cut): (&(Loss, u64), &Cut)| Sampled { points: loss.sample(cut.points), steps: *t as f64 };
        let sampled = steps.iter().zip(&cuts).map(sample).collect();
        Self { steps, cuts, sampled, query, delta }
    }

    fn plan(&self, way: Way) -> Option<Plan> {
        match way {
            Way::Tilted => Some(self.tilted()),
            Way::SetAside => self.set_aside(),
            Way::Plain => Some(self.plain()),
        }
    }

    /// At the saddle point: right where many steps bring the sum to ε, or one without a heavy tail.
    fn tilted(&self) -> Plan {
        let (tilt, c) = saddle::tilt(&self.sampled, self.query);
        let sd = c.variance.sqrt();
        let body = window(&self.sampled, tilt, &c, LN_OUTSIDE);
        if tilt > 0.0 {
            Plan { body, rare: None, rest: None, slope: tilt, tilt, size: c.mean.max(0.05 * sd), sd }
        } else {
            Plan { body, rare: None, rest: None, slope: 1.0 / sd, tilt, size: 0.1 * sd, sd }
        }
    }

    /// Without a tilt: where δ is large enough for round-off to be no matter.
    fn plain(&self) -> Plan {
        let c = saddle::cumulants(&self.sampled, 0.0);
        let sd = c.variance.sqrt();
        let body = window(&self.sampled, 0.0, &c, (self.delta * 1e-9).ln());
        let size = self.near(&c);
        Plan { body, rare: None, rest: None, slope: 4.0 / size, tilt: 0.0, size, sd }
    }

    /// With rare large losses set aside.
    fn set_aside(&self) -> Option<Plan> {
        let untilted = saddle::cumulants(&self.sampled, 0.0);
        let near = self.near(&untilted);
        let mass = RARE_SHARE * self.mass_above(near);
        if mass > RARE_MOST {
            return None;
        }
        let without = |s: &Sampled| {
            let bound = quantile_above(&s.points, mass / (s.steps * self.sampled.len() as f64));
            Sampled { points: s.points.iter().filter(|p| p.loss < bound).copied().collect(), steps: s.steps }
        };
        let rest: Vec<Sampled> = self.sampled.iter().map(without).collect();
        let (tilt, c) = saddle::tilt(&rest, Query::Epsilon { delta: self.delta });
        let view = window(&self.sampled, 0.0, &untilted, (self.delta * 1e-9).ln());
        Some(Plan {
            body: window(&rest, tilt, &c, LN_OUTSIDE),
            rare: Some(Rare { mass, view }),
            rest: Some(rest),
            slope: 4.0 / near,
            tilt: 0.0,
            size: near,
            sd: c.variance.sqrt(),
        })
    }

    /// About the answer, as far as single steps decide it.
    fn near(&self, untilted: &Cumulants) -> f64 {
        match self.query {
            Query::Epsilon { delta } => (untilted.mean.max(0.0) + self.jump(delta)).max(0.1 * untilted.variance.sqrt()),
            Query::Delta { epsilon } => epsilon.max(0.1 * untilted.variance.sqrt()),
        }
    }

    /// δ at ε if single steps were all: Σ Tⱼ·E(1 − e^(ε − L))₊.
    fn one_above(&self, epsilon: f64) -> f64 {
        let one = |p: &&Atom| p.loss > epsilon;
        let all = |s: &Sampled| {
            s.steps * s.points.iter().filter(one).map(|p| -p.mass * (epsilon - p.loss).exp_m1()).sum::<f64>()
        };
        self.sampled.iter().map(all).sum()
    }

    /// Expected number of steps with a larger loss.
    fn mass_above(&self, loss: f64) -> f64 {
        let above = |s: &Sampled| s.steps * s.points.iter().filter(|p| p.loss > loss).map(|p| p.mass).sum::<f64>();
        self.sampled.iter().map(above).sum()
    }

    /// The ε at which single steps alone have this δ.
    fn jump(&self, delta: f64) -> f64 {
        let (mut low, mut high) = (0.0, self.cuts.iter().map(|cut| cut.losses.1).fold(0.0, f64::max));
        if self.one_above(0.0) <= delta {
            return 0.0;
        }
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.one_above(middle) > delta {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The widest step whose spread costs no more than the budget: K(λ) grows by ½·λ(λ + 1) times the added variance.
    fn step(&self, plan: &Plan, budget: &Budget) -> f64 {
        let Plan { slope, tilt, size, sd, .. } = *plan;
        if sd <= 0.0 || sd.is_nan() {
            return f64::MIN_POSITIVE;
        }
        let allowed = match self.query {
            Query::Epsilon { .. } => (budget.aim * size).min(budget.absolute),
            Query::Delta { .. } => budget.aim / (slope + 1.0 / sd),
        };
        let jump = if plan.rare.is_some() { 1.0 / 6.0 } else { 0.0 };
        let cost = |h: f64| 0.75 * (slope + 1.0) * (spread(&self.sampled, tilt, h) + jump * h * h);
        let (mut low, mut high) = (1e-12 * size.max(sd), 0.1 * size.max(sd));
        if cost(high) <= allowed {
            return high;
        }
        while high > 1.01 * low {
            let middle = (low * high).sqrt();
            if cost(middle) > allowed {
                high = middle;
            } else {
                low = middle;
            }
        }
        low
    }

    /// The widest range that a grid must hold.
    fn width(&self, plan: &Plan) -> f64 {
        let widest = self.cuts.iter().map(|cut| cut.losses.1 - cut.losses.0).fold(0.0, f64::max);
        let windows = [Some(plan.body.window), plan.rare.as_ref().map(|rare| rare.view.window)];
        windows.into_iter().flatten().map(|(low, high)| high - low).fold(widest, f64::max)
    }

    /// No more points than allowed, and for losses with atoms both ends on the grid as nearly as one step width for all
    /// can do that.
    fn settle(&self, plan: &Plan, step: f64) -> f64 {
        let step = step.max(self.width(plan) / (MAX_POINTS - 64) as f64);
        let spans: Vec<(f64, f64)> = self
            .steps
            .iter()
            .filter_map(|(loss, t)| {
                let [top, bottom] = loss.ends()?;
                let span = top.loss - bottom.loss;
                (span > step).then_some((span, bottom.mass * *t as f64))
            })
            .collect();
        let Some(&(span, _)) = spans.first() else { return step };
        let fewest = (span / step).ceil().max(1.0);
        let tries = if spans.len() == 1 { 1 } else { ((0.4 * fewest) as usize).clamp(1, 400) };
        let misfit = |h: &f64| -> f64 {
            let rest = |(span, weight): &(f64, f64)| weight * h * (span / h - (span / h + 1e-9).floor()).max(0.0);
            spans.iter().skip(1).map(rest).sum()
        };
        (0..tries).map(|i| span / (fewest + i as f64)).min_by(|a, b| misfit(a).total_cmp(&misfit(b))).unwrap_or(step)
    }

    fn origin(loss: &Loss, cut: &Cut, step: f64) -> f64 {
        let (low, middle, high) = loss.bulk();
        match loss.ends() {
            Some([top, bottom]) if !loss.is_sampled() && top.loss - bottom.loss > step => top.loss,
            Some([top, _]) if (high - low).abs() > 30.0 * step => top.loss,
            None if !loss.is_sampled() || (high - low).abs() > 30.0 * step => 0.0,
            _ => Bins::origin(loss, cut, step, middle),
        }
    }

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
        for &side in sides {
            let part = |(bins, t): &(Bins, u64)| {
                let pmf = if side == Side::Upper { bins.pessimistic() } else { bins.optimistic() };
                let rare = plan.rare.as_ref().map_or(0.0, |rare| rare.mass / (*t as f64 * self.steps.len() as f64));
                Part { split: pmf.split(rare), pmf, steps: *t }
            };
            let parts: Vec<Part> = bins.iter().map(part).collect();
            let value = self.read(plan, &parts, step, side)?;
            match side {
                Side::Upper => interval.upper = value,
                Side::Lower => interval.lower = value,
            }
        }
        interval.lower = interval.lower.min(interval.upper);
        Ok(interval)
    }

    /// Composes, and looks again in a wider window where the answer lies at the window's edge.
    fn read(&self, plan: &Plan, parts: &[Part], step: f64, side: Side) -> Result<f64> {
        let infinite: f64 = parts.iter().map(|part| part.steps as f64 * part.pmf.infinite).sum();
        let mut best = if side == Side::Upper { f64::INFINITY } else { 0.0 };
        let mut body = plan.body;
        for _ in 0..3 {
            let points = |view: &View| ((view.window.1 - view.window.0) / step) as usize + 4;
            let rare = plan.rare.as_ref().map(|rare| &rare.view);
            let curves = if let [part @ Part { steps: 1, .. }] = parts {
                vec![Curve::single(part, side)]
            } else {
                let fft = RealFft::new(fast_length(rare.map_or(0, points).max(points(&body))))?;
                let mut curves = vec![compose::body(parts, &body, &fft, side)?];
                if let Some(view) = rare {
                    curves.push(compose::jumps(parts, view, &fft, side)?);
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

    /// Bounds on a coarse grid.
    fn coarse(&self, way: Way, budget: &Budget, sides: &[Side]) -> Result<Option<(Plan, f64, Interval)>> {
        let coarse = Budget { aim: (COARSER * budget.aim).max(1e-4), ..*budget };
        let Some(plan) = self.plan(way) else { return Ok(None) };
        let step = self.settle(&plan, self.step(&plan, &coarse));
        let interval = self.solve(&plan, step, sides)?;
        Ok(Some((plan, step, interval)))
    }

    /// The same plan centred on an ε that is known by now, where its own centre lies so far beyond that what the
    /// transform folds in could hide δ.
    fn centred(&self, plan: &Plan, found: &Interval) -> Option<Plan> {
        let View { tilt, centre, .. } = plan.body;
        let Query::Epsilon { .. } = self.query else { return None };
        let ahead = tilt * (centre - found.upper);
        if ahead <= 0.5 || ahead.is_nan() {
            return None;
        }
        let losses = plan.rest.as_ref().unwrap_or(&self.sampled);
        let (tilt, c) = saddle::tilt(losses, Query::Delta { epsilon: found.upper });
        let body = window(losses, tilt, &c, LN_OUTSIDE);
        let rare = plan.rare.as_ref().map(|rare| Rare { ..*rare });
        Some(Plan { body, rare, rest: plan.rest.clone(), ..*plan })
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
            if best.as_ref().is_some_and(|(.., known)| self.gap(known, budget) < COARSE_GAP) {
                break;
            }
        }
        let Some((plan, mut step, mut interval)) = best else {
            return Err(Error::Numeric { what: "the composition", why: "no step is left to compose".to_owned() });
        };
        if let Some(step) = grid {
            return self.solve(&plan, self.settle(&plan, step), &both);
        }
        for pass in 0..PASSES {
            let gap = self.gap(&interval, budget);
            if gap <= budget.accept || gap.is_nan() || interval.upper <= floor {
                break;
            }
            let mut finer = step * (0.5 * budget.accept / gap).sqrt().clamp(0.01, 0.7);
            if pass == 0 {
                // A coarse gap can promise too much work.
                finer = finer.max(self.step(&plan, &Budget { aim: 1.8 * budget.aim, ..*budget })).min(0.7 * step);
            }
            let finer = self.settle(&plan, finer);
            let costly = self.width(&plan) / finer > COSTLY_POINTS && gap < 5.0 * budget.accept;
            if finer > 0.95 * step || costly {
                break;
            }
            step = finer;
            let next = self.solve(&plan, step, &both)?;
            interval = Interval { lower: next.lower.max(interval.lower), upper: next.upper.min(interval.upper) };
        }
        Ok(interval)
    }
}

/// The ε at which a falling `delta` passes `goal`, on the side where the bound holds; None where it doesn't up to `last`.
fn epsilon_at(delta: impl Fn(f64) -> f64, goal: f64, last: f64, side: Side) -> Option<f64> {
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

/// Bounds over all directions.
pub(super) fn bounds(directions: &[Steps], query: Query, budget: &Budget, grid: Option<f64>) -> Result<Interval> {
    let mut result = Interval { lower: 0.0, upper: 0.0 };
    for (index, steps) in directions.iter().enumerate() {
        let direction = Direction::new(steps, query);
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
