//! The privacy loss of one step in one direction, as a function of one real variable.
//!
//! Let a be the loss of the mechanism without sampling: N(−μ²/2, μ²) under Q₀ for a Gaussian with μ = 1/σ, in [−1/b, 1/b]
//! for a Laplace. Poisson sampling at rate q mixes: with r(a) = 1 − q + q·eᵃ,
//!
//! * *remove* compares P = (1 − q)·Q₀ + q·P₀ with Q = Q₀: loss ln r(a), bounded below by ln(1 − q);
//! * *add* exchanges the roles: P = Q₀, loss −ln r(a), bounded above by −ln(1 − q);
//! * *replace* (Gaussian, q < 1) compares the mixture at +1 with the mixture at −1: loss ln r(v − μ²/2) − ln r(−v − μ²/2)
//!   at the point v = x/σ². It is odd in v, so one direction is both.
//!
//! The variable is v = a + μ²/2 = x/σ² ~ N(0, μ²) under Q₀ for Gaussians, v = a for Laplace noise.

use ashlar_stats::special::{normal_cdf, normal_sf};

use crate::{Event, Mechanism, Neighboring};

/// Four-point Gauss–Legendre on [−1, 1].
const NODES: [f64; 4] =
    [-0.861_136_311_594_052_6, -0.339_981_043_584_856_26, 0.339_981_043_584_856_26, 0.861_136_311_594_052_6];
const WEIGHTS: [f64; 4] =
    [0.347_854_845_137_453_86, 0.652_145_154_862_546_1, 0.652_145_154_862_546_1, 0.347_854_845_137_453_86];
/// Largest change of the log-density over a panel: four points then err by less than 2e-13 of the panel's mass.
const PANEL: f64 = 0.35;
/// Relative error of a bin's mass, with room.
pub(super) const QUADRATURE_ERROR: f64 = 4e-13;

/// Which of the two neighbours has the example, as seen by the test that the loss belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    Remove,
    Add,
    Replace,
}

#[derive(Clone, Copy, Debug)]
enum Base {
    /// μ: distance of the means over the standard deviation.
    Gaussian { mu: f64 },
    /// Largest loss, distance over scale.
    Laplace { top: f64 },
}

/// The privacy loss of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    base: Base,
    rate: f64,
    direction: Direction,
    /// a = v − shift.
    shift: f64,
}

/// A point mass of the loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    pub loss: f64,
    pub mass: f64,
}

/// A bin's P-mass m and its excess B = m − w·e^(lower edge), w its Q-mass: how far its losses lie above the lower edge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    pub mass: f64,
    pub excess: f64,
}

impl Bin {
    /// Takes in a point mass.
    pub(super) fn add(&mut self, mass: f64, loss: f64, lower: f64) {
        self.mass += mass;
        self.excess -= mass * (lower - loss).exp_m1();
    }
}

impl Loss {
    /// The loss of an event's step. `add` asks for the other direction of add/remove.
    pub(super) fn new(event: &Event, neighboring: Neighboring, add: bool) -> Self {
        let rate = event.sample_rate();
        let replace = neighboring == Neighboring::ReplaceOne;
        // Without sampling, replacing one example is a shift twice as far.
        let distance = if replace && rate == 1.0 { 2.0 } else { 1.0 } / event.noise_multiplier();
        let base = match event.mechanism() {
            Mechanism::Gaussian => Base::Gaussian { mu: distance },
            Mechanism::Laplace => Base::Laplace { top: distance },
        };
        let direction = match (replace && rate < 1.0, add) {
            (true, _) => Direction::Replace,
            (false, true) => Direction::Add,
            (false, false) => Direction::Remove,
        };
        Self::from_parts(base, rate, direction)
    }

    /// All unsampled Gaussian steps of a list at once: they compose to one with μ² = Σ μᵢ².
    pub(super) fn gaussian(mu: f64) -> Self {
        Self::from_parts(Base::Gaussian { mu }, 1.0, Direction::Remove)
    }

    fn from_parts(base: Base, rate: f64, direction: Direction) -> Self {
        let shift = match base {
            Base::Gaussian { mu } => 0.5 * mu * mu,
            Base::Laplace { .. } => 0.0,
        };
        Self { base, rate, direction, shift }
    }

    /// Whether the numbers stay in the range where the quadrature is worth its cost.
    pub(super) fn is_tractable(&self) -> bool {
        match self.base {
            Base::Gaussian { mu } => (1e-12..=3e3).contains(&mu),
            Base::Laplace { top } => (1e-12..=1e5).contains(&top),
        }
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.rate < 1.0
    }

    /// The losses between which most steps without the example lie, and one in their middle.
    pub(super) fn bulk(&self) -> (f64, f64, f64) {
        match self.base {
            Base::Gaussian { mu } => (self.at(-1.645 * mu), self.at(0.0), self.at(1.645 * mu)),
            // Half the mass is an atom at one end, the rest falls with e^(−v/2).
            Base::Laplace { top } => (self.at(-top), self.at(-top), self.at((4.6 - top).min(top))),
        }
    }

    pub(super) fn is_increasing(&self) -> bool {
        self.direction != Direction::Add
    }

    /// The loss at v.
    pub(super) fn at(&self, v: f64) -> f64 {
        match self.direction {
            Direction::Remove => self.ln_ratio(v - self.shift),
            Direction::Add => -self.ln_ratio(v - self.shift),
            Direction::Replace => self.odd(v.abs()).copysign(v),
        }
    }

    /// ln(1 − q + q·eᵃ).
    fn ln_ratio(&self, a: f64) -> f64 {
        let q = self.rate;
        if q == 1.0 {
            a
        } else if a > 30.0 {
            a + q.ln() + ((1.0 - q) / q * (-a).exp()).ln_1p()
        } else {
            (q * a.exp_m1()).ln_1p()
        }
    }

    /// The loss of the replaced pair at v ≥ 0.
    fn odd(&self, v: f64) -> f64 {
        let q = self.rate;
        let below = 1.0 - q + q * (-v - self.shift).exp();
        if v - self.shift > 30.0 {
            return self.ln_ratio(v - self.shift) - below.ln();
        }
        let rise = if v < 300.0 { 2.0 * v.sinh() * (-self.shift).exp() } else { (v - self.shift).exp() };
        (q * rise / below).ln_1p()
    }

    /// The point at which the loss is `loss`: −∞ or ∞ outside its range.
    pub(super) fn point(&self, loss: f64) -> f64 {
        match self.direction {
            Direction::Remove => self.inverse_ln_ratio(loss) + self.shift,
            Direction::Add => self.inverse_ln_ratio(-loss) + self.shift,
            Direction::Replace => {
                // With u = e^v: q·c·u² + (1 − q)(1 − e^l)·u − e^l·q·c = 0, c = e^(−μ²/2).
                let half = 0.5 * loss.abs();
                let ln_sinh = if half > 300.0 { half - std::f64::consts::LN_2 } else { half.sinh().ln() };
                let ln_s = (1.0 - self.rate).ln() - self.rate.ln() + self.shift + ln_sinh;
                let asinh = if ln_s > 300.0 { ln_s + std::f64::consts::LN_2 } else { ln_s.exp().asinh() };
                (half + asinh).copysign(loss)
            }
        }
    }

    fn inverse_ln_ratio(&self, loss: f64) -> f64 {
        let q = self.rate;
        if q == 1.0 {
            loss
        } else if loss > 30.0 {
            loss - q.ln() + (-(1.0 - q) * (-loss).exp()).ln_1p()
        } else {
            let x = loss.exp_m1() / q;
            if x <= -1.0 { f64::NEG_INFINITY } else { x.ln_1p() }
        }
    }

    /// ln of the density of v under Q₀.
    fn ln_density(&self, v: f64) -> f64 {
        match self.base {
            Base::Gaussian { mu } => {
                let z = v / mu;
                -0.5 * z * z - mu.ln() - 0.918_938_533_204_672_8
            }
            Base::Laplace { top } => -0.5 * (v + top) - 2.0 * std::f64::consts::LN_2,
        }
    }

    /// A width of v over which the density's logarithm changes by at most `PANEL`, around [lo, hi].
    fn panel(&self, lo: f64, hi: f64) -> f64 {
        match self.base {
            Base::Gaussian { mu } => {
                let slope = lo.abs().max(hi.abs()) / (mu * mu) + 1.0;
                (PANEL / slope).min(PANEL * mu)
            }
            Base::Laplace { .. } => PANEL,
        }
    }

    /// The range of v outside of which at most `tail` of the P-mass lies on the side of large losses, and `rest` on the
    /// other. Laplace losses end by themselves.
    pub(super) fn range(&self, tail: f64, rest: f64) -> (f64, f64) {
        let mu = match self.base {
            Base::Gaussian { mu } => mu,
            Base::Laplace { top } => return (-top, top),
        };
        let (low, high) = if self.is_increasing() { (rest, tail) } else { (tail, rest) };
        // Bisection on the side's own tail function, in units of the standard deviation.
        let solve = |p: f64, f: &dyn Fn(f64) -> f64| {
            let (mut a, mut b) = (-40.0 - mu, 40.0 + mu);
            for _ in 0..60 {
                let middle = 0.5 * (a + b);
                if f(middle) > p { a = middle } else { b = middle }
            }
            b
        };
        (-mu * solve(low, &|z| self.below(-z * mu)), mu * solve(high, &|z| self.above(z * mu)))
    }

    /// P[v' > v], atoms left out.
    fn above(&self, v: f64) -> f64 {
        match self.base {
            Base::Gaussian { mu } if self.direction == Direction::Add => normal_sf(v / mu),
            Base::Gaussian { mu } => (1.0 - self.rate) * normal_sf(v / mu) + self.rate * normal_sf(v / mu - mu),
            Base::Laplace { .. } => 0.0,
        }
    }

    /// P[v' < v], atoms left out.
    fn below(&self, v: f64) -> f64 {
        match self.base {
            Base::Gaussian { mu } if self.direction == Direction::Add => normal_cdf(v / mu),
            Base::Gaussian { mu } => (1.0 - self.rate) * normal_cdf(v / mu) + self.rate * normal_cdf(v / mu - mu),
            Base::Laplace { .. } => 0.0,
        }
    }

    /// The P-mass outside [lo, hi] with losses (above, below) those inside.
    pub(super) fn outside(&self, (lo, hi): (f64, f64)) -> (f64, f64) {
        let (left, right) = (self.below(lo), self.above(hi));
        if self.is_increasing() { (right, left) } else { (left, right) }
    }

    /// The largest and the smallest loss where they are atoms.
    pub(super) fn ends(&self) -> Option<[Atom; 2]> {
        match self.atoms()[..] {
            [a, b] if a.loss > b.loss => Some([a, b]),
            [a, b] => Some([b, a]),
            _ => None,
        }
    }

    /// The point masses.
    pub(super) fn atoms(&self) -> Vec<Atom> {
        let Base::Laplace { top } = self.base else { return Vec::new() };
        // Under Q₀: ½·e^(−top) at a = top, ½ at −top.
        let q0 = [(top, 0.5 * (-top).exp()), (-top, 0.5)];
        let p = |(a, mass): (f64, f64)| {
            let ratio = if self.direction == Direction::Remove { 1.0 - self.rate + self.rate * a.exp() } else { 1.0 };
            // ½·e^(−top)·e^top without overflow.
            let sampled = self.direction == Direction::Remove && a > 0.0;
            let mass = if sampled { (1.0 - self.rate) * mass + 0.5 * self.rate } else { mass * ratio };
            Atom { loss: self.at(a), mass }
        };
        q0.map(p).to_vec()
    }

    /// Mass and excess of the bin between the losses `lower` and an upper edge, whose points span [from, to] of `range`;
    /// `anchor` is the point of `lower`. Quadrature of positive terms: no difference of masses loses digits.
    pub(super) fn bin(&self, lower: f64, anchor: f64, from: f64, to: f64) -> Bin {
        let mut bin = Bin::default();
        if from >= to {
            return bin;
        }
        let panels = ((to - from) / self.panel(from, to)).ceil().max(1.0);
        // Wide bins have panels as wide as their own place allows.
        if panels > 4.0 {
            let mut left = from;
            while left < to {
                let next = (left + self.panel(left, left)).min(to);
                let right = (left + self.panel(left, next)).min(to);
                self.add_panel(&mut bin, lower, anchor, left, right);
                if right <= left {
                    break;
                }
                left = right;
            }
            return bin;
        }
        let width = (to - from) / panels;
        for panel in 0..panels as usize {
            let left = from + panel as f64 * width;
            self.add_panel(&mut bin, lower, anchor, left, left + width);
        }
        bin
    }

    fn add_panel(&self, bin: &mut Bin, lower: f64, anchor: f64, left: f64, right: f64) {
        let q = self.rate;
        let (middle, half) = (0.5 * (left + right), 0.5 * (right - left));
        let at_anchor = anchor - self.shift;
        // Q-mass share of the mixture at the lower edge, for the add direction.
        let share =
            if self.direction == Direction::Add { 1.0 / (1.0 + (1.0 - q) / q * (-at_anchor).exp()) } else { 0.0 };
        for (node, weight) in NODES.iter().zip(WEIGHTS) {
            let v = middle + half * node;
            let ln_density = self.ln_density(v);
            let weight = weight * half;
            match self.direction {
                Direction::Add => {
                    let mass = weight * ln_density.exp();
                    bin.mass += mass;
                    bin.excess -= mass * share * (v - anchor).exp_m1();
                }
                Direction::Remove | Direction::Replace => {
                    let sampled = weight * q * (ln_density + v - self.shift).exp();
                    let base = if q < 1.0 { weight * (1.0 - q) * ln_density.exp() } else { 0.0 };
                    bin.mass += base + sampled;
                    bin.excess += if anchor == f64::NEG_INFINITY {
                        // The lower edge lies below every loss: r(a) − e^lower, both parts positive.
                        sampled - weight * ln_density.exp() * (lower.exp_m1() + q)
                    } else {
                        // r(a) − r(a₀) = q·eᵃ·(1 − e^(a₀ − a)).
                        let rise = -sampled * (anchor - v).exp_m1();
                        if self.direction == Direction::Replace {
                            rise * (1.0 + (lower - v - anchor).exp())
                        } else {
                            rise
                        }
                    };
                }
            }
        }
    }

    /// The loss at quadrature points with their P-masses, atoms included: for moments, not for bounds.
    pub(super) fn sample(&self, (lo, hi): (f64, f64)) -> Vec<Atom> {
        let mut points = self.atoms();
        let mut left = lo;
        // Without sampling P itself is normal in v, and its own width serves.
        let least = match self.base {
            Base::Gaussian { mu } if self.rate == 1.0 => PANEL * mu,
            _ => 0.0,
        };
        while left < hi {
            // Twice as wide as for bounds.
            let next = (left + self.panel(left, left)).min(hi);
            let right = (left + (2.0 * self.panel(left, next)).max(least)).min(hi);
            if right <= left {
                break;
            }
            let (middle, half) = (0.5 * (left + right), 0.5 * (right - left));
            for (node, weight) in NODES.iter().zip(WEIGHTS) {
                let v = middle + half * node;
                let base = self.ln_density(v);
                let mass = match self.direction {
                    Direction::Add => base.exp(),
                    _ => (1.0 - self.rate) * base.exp() + self.rate * (base + v - self.shift).exp(),
                };
                points.push(Atom { loss: self.at(v), mass: mass * weight * half });
            }
            left = right;
        }
        points
    }
}
