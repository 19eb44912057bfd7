//! Bins of uneven width, narrow where losses matter.
//!
//! A bin of width h moves losses by up to h and widens or narrows their law by m·h²/6. With a mass m that counts w times,
//! the sum of w·m·h² over all bins is least, for a number of bins, at h ∝ (w·density)^(−1/3).

use super::{
    super::compose::Side,
    points::{FAR, Point, Points, Sum},
    weight::Weight,
};

/// Points that stand for a list while the bins are chosen.
const THINNED: usize = 72;
/// Pair sums that one piece of the weights takes together.
const GROUP: usize = 16;
/// Share of the bins that is spread evenly over the pieces.
const EVEN: f64 = 0.15;

/// Edges in rising order; bin k ends at edge k, and bin 0 is what lies at or below the first edge.
#[derive(Debug)]
pub(super) struct Edges {
    loss: Vec<f64>,
    /// 1 − e^(−loss), e^(−loss).
    pub u: Vec<f64>,
    pub y: Vec<f64>,
    /// The first bin whose sums are taken by Y.
    pub far: usize,
}

impl Edges {
    pub(super) fn new(mut loss: Vec<f64>) -> Self {
        // The change from U to Y falls on an edge.
        loss.push(FAR);
        loss.sort_by(f64::total_cmp);
        let points = |l: &f64| Point::new(*l, 0.0);
        // Edges that U and Y cannot tell apart are one.
        loss.dedup_by(|b, a| {
            let (a, b) = (points(a), points(b));
            if b.loss <= FAR { a.u >= b.u } else { a.y <= b.y }
        });
        let far = 1 + loss.partition_point(|l| *l < FAR);
        let (u, y) = loss.iter().map(points).map(|p| (p.u, p.y)).unzip();
        Self { loss, u, y, far }
    }

    /// About `count` edges for the sums of two lists; `weight` says how much mass at a loss counts.
    pub(super) fn of_sums(a: &Points, b: &Points, count: usize, weight: &Weight) -> Self {
        let (few, other) = (a.thinned(THINNED), b.thinned(THINNED));
        let mut sums: Vec<(f64, f64)> =
            few.iter().flat_map(|(l, m)| other.iter().map(move |(k, n)| (l + k, m * n))).collect();
        let end = |list: &[Point], last: bool| if last { list.last() } else { list.first() }.map_or(0.0, |p| p.loss);
        let range = (end(&a.list, false) + end(&b.list, false), end(&a.list, true) + end(&b.list, true));
        Self::new(place(&mut sums, range, count, weight))
    }

    pub(super) fn len(&self) -> usize {
        self.loss.len()
    }

    pub(super) fn losses(&self) -> &[f64] {
        &self.loss
    }

    /// The last edge.
    pub(super) fn top(&self) -> Option<Point> {
        let k = self.len().checked_sub(1)?;
        Some(Point { loss: self.loss[k], u: self.u[k], y: self.y[k], mass: 0.0 })
    }

    /// Points for the masses of bins: at both edges of each, so that U keeps its mean, or at that mean.
    pub(super) fn points(&self, sums: &[Sum], side: Side) -> Points {
        let mut list = Vec::with_capacity(sums.len());
        if side == Side::Upper {
            let mut mass = vec![0.0; sums.len()];
            mass[0] = sums[0].mass;
            for (mut k, sum) in sums.iter().enumerate().skip(1) {
                let width = |k: usize| if k < self.far { self.u[k] - self.u[k - 1] } else { self.y[k - 1] - self.y[k] };
                // Where all of a bin's mass lies at its upper edge, rounding can put the mean into the next bin.
                let mut excess = sum.excess(side);
                while excess > width(k) * sum.mass && k + 1 < sums.len() {
                    excess -= width(k) * sum.mass;
                    k += 1;
                }
                let up = (excess / width(k)).min(sum.mass);
                mass[k] += up;
                mass[k - 1] += sum.mass - up;
            }
            let point = |(k, mass)| Point { loss: self.loss[k], u: self.u[k], y: self.y[k], mass };
            list.extend(mass.into_iter().enumerate().filter(|(_, mass)| *mass > 0.0).map(point));
        } else {
            for (k, sum) in sums.iter().enumerate().skip(1) {
                if sum.mass <= 0.0 {
                    continue;
                }
                let mean = sum.excess(side) / sum.mass;
                list.push(if k < self.far {
                    let u = self.u[k - 1] + mean;
                    Point { loss: -(-u).ln_1p(), u, y: 1.0 - u, mass: sum.mass }
                } else {
                    let y = self.y[k - 1] - mean;
                    Point { loss: -y.ln(), u: 1.0 - y, y, mass: sum.mass }
                });
            }
        }
        Points { list, ..Points::default() }
    }
}

/// Edges over a range for losses with masses, in any order.
pub(super) fn place(losses: &mut [(f64, f64)], range: (f64, f64), count: usize, weight: &Weight) -> Vec<f64> {
    losses.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The mass of a group belongs to the stretch between its neighbours, which is cut where the weight changes.
    let mut breaks = weight.breaks().to_vec();
    breaks.sort_by(f64::total_cmp);
    let mut breaks = breaks.into_iter().filter(|b| *b > range.0).peekable();
    let mut from = range.0;
    let mut pieces: Vec<(f64, f64)> = Vec::with_capacity(losses.len() / GROUP + 1);
    let groups = losses.chunks(GROUP.min(losses.len() / 64 + 1));
    let number = groups.len();
    for (index, group) in groups.enumerate() {
        let end = if index + 1 == number { range.1 } else { group.last().map_or(from, |l| l.0).min(range.1) };
        let density = group.iter().map(|(_, m)| m).sum::<f64>() / (end - from);
        while from < end {
            let to = breaks.next_if(|b| *b < end).unwrap_or(end);
            let width = to - from;
            if width > 0.0 {
                // (density·weight)^(1/3)·width
                pieces.push((to, (density * weight.over(from, to)).cbrt() * width));
                from = to;
            }
        }
    }
    let total: f64 = pieces.iter().map(|p| p.1).sum();
    let even = EVEN / pieces.len() as f64;
    // Nothing lies on the outermost edges, whatever is rounded.
    let room = 1e-9 * (range.1 - range.0) + 1e-12 * (range.0.abs() + range.1.abs());
    let mut edges = vec![range.0 - room, range.0];
    let mut from = range.0;
    let mut due = 0.0;
    for (to, share) in pieces {
        let share = if total > 0.0 { (1.0 - EVEN) * share / total + even } else { even };
        let number = share * count as f64;
        // Edges at whole numbers of the running count.
        let (first, last) = (due, due + number);
        let mut next = f64::floor(first) + 1.0;
        while next <= last {
            edges.push(from + (to - from) * (next - first) / number);
            next += 1.0;
        }
        due = last;
        from = to;
    }
    edges.extend([range.1, range.1 + room]);
    // Sums of atoms coincide up to rounding, which no bin can resolve.
    let least = 1e-13 * (range.1 - range.0);
    edges.dedup_by(|b, a| *b - *a < least + 1e-13 * a.abs());
    edges
}
