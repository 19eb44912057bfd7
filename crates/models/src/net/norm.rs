//! Group normalisation over `[C, B, P]`: x̂ = (x − mean)/√(var + ε) over a group of an example, y = γ·x̂ + β.
//!
//! With m elements a group and g = γ·dy: dx = (g − Σg/m − x̂·Σ(g·x̂)/m)/√(var + ε), dγ = Σ dy·x̂, dβ = Σ dy.

use std::ops::Range;

use super::{
    plain::{dot, sum},
    work::{Workspace, grow, two},
};
use crate::matmul::Real;

const EPSILON: f64 = 1e-5;

#[derive(Clone, Debug)]
pub struct Norm {
    pub from: usize,
    pub to: usize,
    pub channels: usize,
    pub groups: usize,
    pub plane: usize,
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

impl Norm {
    /// Channels of a group, and where channel `c` of example `b` lies.
    fn group(&self, group: usize) -> Range<usize> {
        let size = self.channels / self.groups;
        group * size..(group + 1) * size
    }

    fn at(&self, n: usize, channel: usize, example: usize) -> Range<usize> {
        let start = (channel * n + example) * self.plane;
        start..start + self.plane
    }

    fn elements(&self) -> f64 {
        (self.channels / self.groups * self.plane) as f64
    }

    pub fn forward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>, step: usize) {
        let stats = grow(&mut ws.stats[step], 2 * n * self.groups);
        let (x, y) = two(&mut ws.values, self.from, self.to);
        let (gamma, beta) = (&w[self.weight.clone()], &w[self.bias.clone()]);
        for b in 0..n {
            for group in 0..self.groups {
                let total: f64 = self.group(group).map(|c| sum(&x[self.at(n, c, b)]).to_f64()).sum();
                let mean = T::from_f64(total / self.elements());
                let mut squares = 0.0;
                for c in self.group(group) {
                    let (x, y) = (&x[self.at(n, c, b)], &mut y[self.at(n, c, b)]);
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - mean);
                    squares += dot(y, y).to_f64();
                }
                let inverse = T::from_f64(1.0 / (squares / self.elements() + EPSILON).sqrt());
                for c in self.group(group) {
                    let (scale, shift) = (gamma[c] * inverse, beta[c]);
                    y[self.at(n, c, b)].iter_mut().for_each(|y| *y = *y * scale + shift);
                }
                stats[2 * (b * self.groups + group)..][..2].copy_from_slice(&[mean, inverse]);
            }
        }
    }

    pub fn backward<T: Real>(
        &self,
        w: &[T],
        n: usize,
        ws: &mut Workspace<T>,
        step: usize,
        grad: &mut [T],
        accumulate: bool,
    ) {
        let stats = &ws.stats[step];
        let x = &ws.values[self.from];
        let (dx, dy) = two(&mut ws.grads, self.from, self.to);
        if !accumulate {
            grad[self.weight.clone()].fill(T::default());
            grad[self.bias.clone()].fill(T::default());
        }
        let gamma = &w[self.weight.clone()];
        for b in 0..n {
            for group in 0..self.groups {
                let at = 2 * (b * self.groups + group);
                let (mean, inverse) = (stats[at], stats[at + 1]);
                let (mut sum_g, mut sum_gx) = (0.0, 0.0);
                for c in self.group(group) {
                    // dx holds x̂ until the sums are known.
                    let (x, dx, dy) = (&x[self.at(n, c, b)], &mut dx[self.at(n, c, b)], &dy[self.at(n, c, b)]);
                    dx.iter_mut().zip(x).for_each(|(h, &x)| *h = (x - mean) * inverse);
                    let (a, d) = (sum(dy), dot(dy, dx));
                    grad[self.bias.start + c] += a;
                    grad[self.weight.start + c] += d;
                    sum_g += (a * gamma[c]).to_f64();
                    sum_gx += (d * gamma[c]).to_f64();
                }
                let (mean_g, mean_gx) = (T::from_f64(sum_g / self.elements()), T::from_f64(sum_gx / self.elements()));
                for c in self.group(group) {
                    let (dx, dy) = (&mut dx[self.at(n, c, b)], &dy[self.at(n, c, b)]);
                    let gamma = gamma[c];
                    dx.iter_mut().zip(dy).for_each(|(h, &dy)| *h = (gamma * dy - mean_g - *h * mean_gx) * inverse);
                }
            }
        }
    }
}
