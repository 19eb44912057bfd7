//! A loss on a grid, once so that it can only grow (pessimistic), once so that it can only shrink (optimistic).
//!
//! What composition needs is E f(L) for f(l) = (1 − e^(ε − l))₊ under P, a convex falling function of Y = e^(−L). Moving
//! mass so that the mean of Y stays but Y spreads raises every such expectation, contracting Y lowers it; both survive
//! composition.
//!
//! * Pessimistic (connect the dots, Doroshenko et al. 2022): the mass of each bin goes to its two edges, keeping P- and
//!   Q-mass: b = B/(1 − e^(−h)) to the upper edge, m − b to the lower, B = m − w·e^(lower edge). Mass above the range
//!   goes to ∞, mass below to the lowest edge.
//! * Optimistic: each bin is divided between its two edges as well, a share α upwards, but now each edge takes from both
//!   sides only what *averages* to a loss no less than its own: at edge k, with A the deficit e^(upper edge)·w − m of the
//!   bin below and B the excess of the bin above, α_k·A_k ≤ (1 − α_{k+1})·B_{k+1}. So mass is merged (a post-processing)
//!   and, where that leaves an excess, rounded down. The error is of second order in h, as the pessimistic one; rounding
//!   alone would cost T·h/2. Mass outside the range is dropped.

use super::loss::{Bin, Loss};

/// Losses origin + k·step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub step: f64,
    pub origin: f64,
}

/// Masses on the points first, first + 1, … of a grid.
#[derive(Clone, Debug)]
pub(super) struct Pmf {
    pub grid: Grid,
    pub first: i64,
    pub mass: Vec<f64>,
    /// P-mass with an infinite loss.
    pub infinite: f64,
    /// How far a loss can lie from its point for want of digits.
    pub shift: f64,
}

/// Where a loss is cut: its points, and the masses beyond on the side of large and of small losses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub points: (f64, f64),
    pub losses: (f64, f64),
    pub above: f64,
    pub below: f64,
}

impl Pmf {
    /// E(1 − e^(−L)), 0 for the true loss, less for one that was rounded down.
    pub(super) fn excess(&self) -> f64 {
        let loss = |k: usize| self.grid.origin + (self.first + k as i64) as f64 * self.grid.step;
        self.mass.iter().enumerate().map(|(k, mass)| -mass * (-loss(k)).exp_m1()).sum()
    }

    /// The first of the largest losses with at most this mass together.
    pub(super) fn split(&self, mass: f64) -> usize {
        let mut above = 0.0;
        let keep = |m: &&f64| {
            above += **m;
            above <= mass
        };
        self.mass.len() - self.mass.iter().rev().take_while(keep).count().min(self.mass.len() - 1)
    }
}

impl Cut {
    /// Leaves out at most `tail` of the mass at large losses, `rest` at small ones.
    pub(super) fn new(loss: &Loss, tail: f64, rest: f64) -> Self {
        let points = loss.range(tail, rest);
        let (a, b) = (loss.at(points.0), loss.at(points.1));
        let (above, below) = loss.outside(points);
        Self { points, losses: (a.min(b), a.max(b)), above, below }
    }
}

/// Bins first, first + 1, …; bin k reaches from the point k − 1 to the point k.
#[derive(Debug)]
pub(super) struct Bins {
    grid: Grid,
    first: i64,
    inner: Vec<Bin>,
    /// Point masses that lie on the grid.
    atoms: Vec<(i64, f64)>,
    above: f64,
    below: f64,
    shift: f64,
}

impl Bins {
    /// The whole loss.
    pub(super) fn new(loss: &Loss, cut: &Cut, grid: Grid) -> Self {
        let Grid { step, origin } = grid;
        let mut first = ((cut.losses.0 - origin) / step).floor() as i64 + 1;
        let last = (((cut.losses.1 - origin) / step).ceil() as i64).max(first);
        let mut atoms = Vec::new();
        let mut inside = Vec::new();
        let mut shift: f64 = 0.0;
        for atom in loss.atoms() {
            let place = (atom.loss - origin) / step;
            let near = place.round();
            if (place - near).abs() < 1e-8 {
                shift = shift.max((place - near).abs() * step);
                atoms.push((near as i64, atom.mass));
                // So that an atom below the first bin finds its point.
                first = first.min(near as i64 + 1);
            } else {
                first = first.min(place.ceil() as i64);
                inside.push((place.ceil() as i64, atom));
            }
        }
        let count = (last - first + 1) as usize;
        let mut bins = Self::span(loss, cut, grid, first, count);
        for (k, atom) in inside {
            if let Some(bin) = bins.get_mut((k - first) as usize) {
                bin.add(atom.mass, atom.loss, origin + (k - 1) as f64 * step);
            }
        }
        Self { grid, first, inner: bins, atoms, above: cut.above, below: cut.below, shift }
    }

    /// `count` bins from `first` on, atoms left out.
    fn span(loss: &Loss, cut: &Cut, grid: Grid, first: i64, count: usize) -> Vec<Bin> {
        let at = |k: i64| {
            let edge = grid.origin + k as f64 * grid.step;
            (edge, loss.point(edge))
        };
        let (low, high) = cut.points;
        let mut below = at(first - 1);
        (0..count as i64)
            .map(|i| {
                let above = at(first + i);
                let (lower, anchor) = below;
                let (from, to) = if loss.is_increasing() { (anchor, above.1) } else { (above.1, anchor) };
                below = above;
                loss.bin(lower, anchor, from.max(low), to.min(high))
            })
            .collect()
    }

    /// Bins on the grid whose point 0 is the loss that the optimistic scheme should keep exactly, for a loss that lies
    /// mostly within a few bins: there, without its own point, each step would be rounded down by up to one step.
    pub(super) fn origin(loss: &Loss, cut: &Cut, step: f64, centre: f64) -> f64 {
        const NEAR: i64 = 40;
        let unbalance = |origin: f64| {
            let mut bins = Self::span(loss, cut, Grid { step, origin }, 1 - NEAR, 2 * NEAR as usize);
            for atom in loss.atoms() {
                let k = ((atom.loss - origin) / step).ceil() as i64;
                if let Some(bin) = usize::try_from(k + NEAR - 1).ok().and_then(|i| bins.get_mut(i)) {
                    bin.add(atom.mass, atom.loss, origin + (k - 1) as f64 * step);
                }
            }
            let middle = NEAR as usize;
            let mut shares = vec![0.0; bins.len()];
            upper_shares(&bins, &mut shares, middle, step);
            lower_shares(&bins, &mut shares, middle - 1, step);
            shares[middle - 1] * deficit(&bins[middle - 1], step) - (1.0 - shares[middle]) * bins[middle].excess
        };
        let (mut low, mut high) = (centre - step, centre + step);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if unbalance(middle) < 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// Losses no smaller than the true ones.
    pub(super) fn pessimistic(&self) -> Pmf {
        let mut mass = vec![0.0; self.inner.len() + 1];
        let whole = -(-self.grid.step).exp_m1();
        for (k, bin) in self.inner.iter().enumerate() {
            let up = (bin.excess / whole).clamp(0.0, bin.mass);
            mass[k] += bin.mass - up;
            mass[k + 1] += up;
        }
        mass[0] += self.below;
        self.with_atoms(mass, self.above)
    }

    /// Losses no larger than the true ones.
    pub(super) fn optimistic(&self) -> Pmf {
        let step = self.grid.step;
        let bins = &self.inner;
        let mut shares = vec![0.0; bins.len()];
        // The two sweeps meet at the point with most to exchange.
        let exchange = |k: &usize| deficit(&bins[*k], step).min(bins[k + 1].excess);
        let meeting = (0..bins.len().saturating_sub(1)).max_by(|a, b| exchange(a).total_cmp(&exchange(b))).unwrap_or(0);
        upper_shares(bins, &mut shares, (meeting + 1).min(bins.len()), step);
        lower_shares(bins, &mut shares, meeting, step);
        if meeting + 1 < bins.len() {
            let available = (1.0 - shares[meeting + 1]) * bins[meeting + 1].excess;
            let wanted = deficit(&bins[meeting], step);
            shares[meeting] = if wanted > 0.0 { shares[meeting].min(available / wanted) } else { shares[meeting] };
        } else if let Some(last) = shares.last_mut() {
            *last = 0.0;
        }
        let mut mass = vec![0.0; bins.len() + 1];
        for (k, (bin, share)) in bins.iter().zip(&shares).enumerate() {
            mass[k] += (1.0 - share) * bin.mass;
            mass[k + 1] += share * bin.mass;
        }
        self.with_atoms(mass, 0.0)
    }

    fn with_atoms(&self, mut mass: Vec<f64>, infinite: f64) -> Pmf {
        let first = self.first - 1;
        for &(k, atom) in &self.atoms {
            let index = (k - first) as usize;
            if index >= mass.len() {
                mass.resize(index + 1, 0.0);
            }
            mass[index] += atom;
        }
        Pmf { grid: self.grid, first, mass, infinite, shift: self.shift }
    }
}

/// A = e^(upper edge)·w − m of a bin: how far its losses lie below the upper edge.
fn deficit(bin: &Bin, step: f64) -> f64 {
    (bin.mass * step.exp_m1() - bin.excess * step.exp()).max(0.0)
}

/// Shares of the bins from `from` to the last, from the right: as large as what lies above allows.
fn upper_shares(bins: &[Bin], shares: &mut [f64], from: usize, step: f64) {
    let mut available = 0.0;
    for k in (from..bins.len()).rev() {
        let wanted = deficit(&bins[k], step);
        shares[k] = if wanted > available { available / wanted } else { 1.0 };
        if wanted == 0.0 && available == 0.0 {
            shares[k] = 0.0;
        }
        available = (1.0 - shares[k]) * bins[k].excess;
    }
}

/// Shares of the bins from the first to `to`, from the left: everything moves up as far as the bin above can pay for it.
fn lower_shares(bins: &[Bin], shares: &mut [f64], to: usize, step: f64) {
    if bins.is_empty() {
        return;
    }
    shares[0] = 1.0;
    for k in 0..to {
        let wanted = shares[k] * deficit(&bins[k], step);
        let payer = bins[k + 1].excess;
        if wanted > payer {
            shares[k] *= if wanted > 0.0 { payer / wanted } else { 0.0 };
            shares[k + 1] = 0.0;
        } else {
            shares[k + 1] = if payer > 0.0 { 1.0 - wanted / payer } else { 1.0 };
        }
    }
}
