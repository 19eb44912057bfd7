//! Losses with masses at places of their own, and the sums of all pairs of two such lists.
//!
//! What counts is linear in U = 1 − e^(−L) (the module `grid` says why). A sum of losses has 1 − u = (1 − uᵢ)(1 − uⱼ), so
//! the excess of a bin, Σ p·(u − lower edge), takes no exponential a pair. Losses from [`FAR`] on, whose U runs out of
//! digits near 1, are summed by Y = e^(−L).

use super::{super::compose::Side, edges::Edges};

/// The loss from which on Y is used in place of U.
pub(super) const FAR: f64 = 2.0;
/// Error of one sum's U, in units of the magnitudes of its parts.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// A loss and its mass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub loss: f64,
    /// 1 − e^(−loss) and e^(−loss), each with its own digits.
    pub u: f64,
    pub y: f64,
    pub mass: f64,
}

impl Point {
    pub(super) fn new(loss: f64, mass: f64) -> Self {
        Self { loss, u: -(-loss).exp_m1(), y: (-loss).exp(), mass }
    }
}

/// Losses in rising order.
#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    pub list: Vec<Point>,
    /// Mass of an infinite loss.
    pub infinite: f64,
    /// Bound on the relative error of each mass.
    pub error: f64,
}

/// P-mass, excess over the lower edge in U, and how far rounding can have moved the excess.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub mass: f64,
    excess: f64,
    slack: f64,
}

impl Points {
    /// Takes the `tail` of both ends away: to an infinite loss where losses may only grow.
    pub(super) fn trim(&mut self, tail: f64, side: Side) {
        let within = |total: &mut f64, p: &Point| {
            *total += p.mass;
            *total <= tail
        };
        let (mut above, mut below) = (0.0, 0.0);
        let top = self.list.iter().rev().take_while(|p| within(&mut above, p)).count();
        let bottom = self.list.iter().take_while(|p| within(&mut below, p)).count();
        let cut: f64 = self.list.drain(self.list.len() - top..).map(|p| p.mass).sum();
        let bottom = bottom.min(self.list.len());
        let cut = cut + self.list.drain(..bottom).map(|p| p.mass).sum::<f64>();
        if side == Side::Upper {
            self.infinite += cut;
        }
        self.list.retain(|p| p.mass > 0.0);
    }

    /// At most about `count` points, neighbours together at their mean loss: an estimate.
    pub(super) fn thinned(&self, count: usize) -> Vec<(f64, f64)> {
        self.list
            .chunks(self.list.len().div_ceil(count).max(1))
            .map(|group| {
                let mass: f64 = group.iter().map(|p| p.mass).sum();
                (group.iter().map(|p| p.loss * p.mass).sum::<f64>() / mass, mass)
            })
            .collect()
    }

    /// δ at ε.
    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        let excess = |p: &&Point| p.loss > epsilon;
        let above = self.list.iter().rev().take_while(excess).map(|p| -p.mass * (epsilon - p.loss).exp_m1());
        self.infinite + above.sum::<f64>()
    }

    /// The losses of both lists added, on the bins of `edges`.
    pub(super) fn sum(&self, other: &Self, edges: &Edges, side: Side) -> Self {
        let mut sums = vec![Sum::default(); edges.len()];
        let mut above = 0.0;
        let square = std::ptr::eq(self, other);
        let masses: Vec<f64> = other.list.iter().map(|p| p.mass).collect();
        let us: Vec<f64> = other.list.iter().map(|p| p.u).collect();
        let ys: Vec<f64> = other.list.iter().map(|p| p.y).collect();
        for (i, point) in self.list.iter().enumerate() {
            let mut mass = point.mass;
            let mut from = 0;
            if square {
                // Each pair once, with twice its mass; the loss with itself once.
                above += add(&mut sums, point, mass, (&masses[i..=i], &us[i..=i], &ys[i..=i]), edges);
                from = i + 1;
                mass *= 2.0;
            }
            above += add(&mut sums, point, mass, (&masses[from..], &us[from..], &ys[from..]), edges);
        }
        let terms = (self.list.len() + other.list.len() + 8) as f64;
        let mut result = edges.points(&sums, side);
        result.error = self.error + other.error + terms * f64::EPSILON;
        match side {
            Side::Upper => result.infinite = self.infinite + other.infinite + above,
            Side::Lower => result.list.extend(edges.top().map(|point| Point { mass: above, ..point })),
        }
        result
    }
}

/// Adds `point` to losses in rising order; returns the mass above the last edge. Sums up to the first edge go to bin 0.
fn add(sums: &mut [Sum], point: &Point, own: f64, (masses, us, ys): (&[f64], &[f64], &[f64]), edges: &Edges) -> f64 {
    let n = masses.len();
    let (size, y) = (point.u.abs(), point.y);
    let mut j = 0;
    if n == 0 {
        return 0.0;
    }
    // Bins 0 to far − 1 by U.
    let mut k = edges.u[..edges.far].partition_point(|edge| *edge < point.u + y * us[0]);
    while j < n && k < edges.far {
        let (top, base) = (edges.u[k], edges.u[k.saturating_sub(1)]);
        let mut sum = Sum::default();
        while j < n {
            let u = point.u + y * us[j];
            if u > top {
                break;
            }
            let mass = masses[j];
            sum.mass += mass;
            sum.excess += mass * (u - base);
            sum.slack += mass * (size + y * us[j].abs());
            j += 1;
        }
        sums[k].take(&sum, own);
        if j < n {
            let u = point.u + y * us[j];
            while k < edges.far && edges.u[k] < u {
                k += 1;
            }
        }
    }
    if j < n {
        k = edges.far + edges.y[edges.far..].partition_point(|edge| *edge > y * ys[j]);
    }
    while j < n && k < edges.len() {
        let (top, base) = (edges.y[k], edges.y[k.saturating_sub(1)]);
        let mut sum = Sum::default();
        while j < n {
            let product = y * ys[j];
            if product < top {
                break;
            }
            let mass = masses[j];
            sum.mass += mass;
            sum.excess += mass * (base - product);
            sum.slack += mass * product;
            j += 1;
        }
        sums[k].take(&sum, own);
        if j < n {
            let product = y * ys[j];
            while k < edges.len() && edges.y[k] > product {
                k += 1;
            }
        }
    }
    masses[j..].iter().sum::<f64>() * own
}

impl Sum {
    pub(super) fn new(mass: f64, excess: f64) -> Self {
        Self { mass, excess, slack: 0.0 }
    }

    fn take(&mut self, other: &Self, factor: f64) {
        self.mass += factor * other.mass;
        self.excess += factor * other.excess;
        self.slack += factor * other.slack;
    }

    /// The excess, rounded up or down.
    pub(super) fn excess(&self, side: Side) -> f64 {
        let error = ROUNDING * (self.slack + self.excess.abs());
        if side == Side::Upper { self.excess + error } else { self.excess - error }
    }
}
