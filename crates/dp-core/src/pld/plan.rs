//! Where the answer of one direction lies: the ways to look for it, the window, the grid.

use super::{
    compose::View,
    grid::{Bins, Cut, Grid},
    loss::{Atom, Loss},
    saddle::{self, Cumulants, LN_OUTSIDE, Query, Sampled, quantile_above, spread, window},
    search::{Budget, Interval},
};

/// Most points of a grid; beyond, it is coarsened.
pub(super) const MAX_POINTS: usize = 1 << 22;
/// Share of δ that the masses cut off all steps may have.
const CUT_SHARE: f64 = 1e-8;
/// Mass at small losses that may be cut off all steps.
const CUT_BELOW: f64 = 1e-12;
/// Mass of rare large losses over all steps, in units of what exceeds ε at once, and its cap.
const RARE_SHARE: f64 = 100.0;
const RARE_MOST: f64 = 0.02;

/// One direction, before any grid.
pub(super) struct Direction<'a> {
    pub steps: &'a [(Loss, u64)],
    pub cuts: Vec<Cut>,
    pub sampled: Vec<Sampled>,
    pub query: Query,
    /// About the δ in question.
    pub delta: f64,
}

/// Where to look for the answer.
#[derive(Debug)]
pub(super) struct Plan {
    pub body: View,
    pub rare: Option<Rare>,
    /// The losses of the body.
    pub rest: Option<Vec<Sampled>>,
    /// How fast ln δ falls with ε, the tilt at which a grid's spread counts, and the size of what is looked for.
    pub slope: f64,
    tilt: f64,
    size: f64,
    sd: f64,
}

/// Rare large losses that are composed on their own.
#[derive(Debug)]
pub(super) struct Rare {
    /// Mass of them over all steps.
    pub mass: f64,
    pub view: View,
}

/// The ways to look, in the order in which they are tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Tilted,
    SetAside,
    Plain,
}

impl<'a> Direction<'a> {
    pub(super) fn new(steps: &'a [(Loss, u64)], query: Query) -> Self {
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
    pub(super) fn at(steps: &'a [(Loss, u64)], query: Query, delta: f64) -> Self {
        let count = steps.iter().map(|(_, t)| *t as f64).sum::<f64>();
        let tail = (delta * CUT_SHARE / count).max(1e-290);
        let cuts: Vec<Cut> = steps.iter().map(|(loss, _)| Cut::new(loss, tail, CUT_BELOW / count)).collect();
        let sample =
            |((loss, t), cut): (&(Loss, u64), &Cut)| Sampled { points: loss.sample(cut.points), steps: *t as f64 };
        let sampled = steps.iter().zip(&cuts).map(sample).collect();
        Self { steps, cuts, sampled, query, delta }
    }

    pub(super) fn plan(&self, way: Way) -> Option<Plan> {
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
    pub(super) fn step(&self, plan: &Plan, budget: &Budget) -> f64 {
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
    pub(super) fn width(&self, plan: &Plan) -> f64 {
        let widest = self.cuts.iter().map(|cut| cut.losses.1 - cut.losses.0).fold(0.0, f64::max);
        let windows = [Some(plan.body.window), plan.rare.as_ref().map(|rare| rare.view.window)];
        windows.into_iter().flatten().map(|(low, high)| high - low).fold(widest, f64::max)
    }

    /// No more points than allowed, and for losses with atoms both ends on the grid as nearly as one step width for all
    /// can do that.
    pub(super) fn settle(&self, plan: &Plan, step: f64) -> f64 {
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
        // Exactly for one kind of step, as nearly as can be for the rest.
        let misfit = |h: f64| -> f64 {
            let rest = |(span, weight): &(f64, f64)| weight * h * (span / h - (span / h + 1e-9).floor()).max(0.0);
            spans.iter().map(rest).sum()
        };
        let several = spans.len() > 1;
        let candidates = spans.iter().flat_map(|(span, _)| {
            let fewest = (span / step).ceil().max(1.0);
            let tries = if several { ((0.6 * fewest) as usize).clamp(1, 20_000) } else { 1 };
            (0..tries).map(move |i| span / (fewest + i as f64))
        });
        candidates.min_by(|a, b| misfit(*a).total_cmp(&misfit(*b))).unwrap_or(step)
    }

    pub(super) fn origin(loss: &Loss, cut: &Cut, step: f64) -> f64 {
        let (low, middle, high) = loss.bulk();
        let wide = (high - low).abs() > 30.0 * step;
        match loss.ends() {
            Some([top, bottom]) if top.loss - bottom.loss > step => {
                if !loss.is_sampled() || wide {
                    return top.loss;
                }
                // Few steps wide: the point of one of its ends, or one in between, whichever rounds least.
                let worth = |origin: &f64| Bins::new(loss, cut, Grid { step, origin: *origin }).optimistic().excess();
                let between = Bins::origin(loss, cut, step, middle);
                let origins = [between, top.loss, bottom.loss];
                origins.into_iter().max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(between)
            }
            None if !loss.is_sampled() || wide => 0.0,
            _ => Bins::origin(loss, cut, step, middle),
        }
    }

    /// The same plan centred on an ε that is known by now, where its own centre lies so far beyond that what the
    /// transform folds in could hide δ.
    pub(super) fn centred(&self, plan: &Plan, found: &Interval) -> Option<Plan> {
        let View { tilt, centre, .. } = plan.body;
        let Query::Epsilon { .. } = self.query else { return None };
        if tilt * (centre - found.upper) <= 0.5 || found.upper.is_nan() {
            return None;
        }
        let losses = plan.rest.as_ref().unwrap_or(&self.sampled);
        let (tilt, c) = saddle::tilt(losses, Query::Delta { epsilon: found.upper });
        let body = window(losses, tilt, &c, LN_OUTSIDE);
        let rare = plan.rare.as_ref().map(|rare| Rare { ..*rare });
        Some(Plan { body, rare, rest: plan.rest.clone(), ..*plan })
    }
}
