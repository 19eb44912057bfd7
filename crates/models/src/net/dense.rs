//! Dense layer: `y = x·Wᵀ + b`, `dW = dyᵀ·x`, `dx = dy·W`, with x `[B, in]` and W `[out, in]`.

use std::ops::Range;

use super::work::{Workspace, two};
use crate::matmul::{Real, Shape, matmul};

#[derive(Clone, Debug)]
pub struct Dense {
    pub from: usize,
    pub to: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
    pub backprop: bool,
}

impl Dense {
    pub fn forward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>) {
        let (x, y) = two(&mut ws.values, self.from, self.to);
        let y = &mut y[..n * self.outputs];
        if let Some(bias) = &self.bias {
            y.chunks_exact_mut(self.outputs).for_each(|row| row.copy_from_slice(&w[bias.clone()]));
        }
        matmul(
            (y, Shape::row_major(n, self.outputs)),
            self.bias.is_some(),
            (x, Shape::row_major(n, self.inputs)),
            (&w[self.weight.clone()], Shape::row_major(self.outputs, self.inputs).t()),
        );
    }

    pub fn backward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>, grad: &mut [T], accumulate: bool) {
        let x = &ws.values[self.from];
        let dy = &ws.grads[self.to][..n * self.outputs];
        matmul(
            (&mut grad[self.weight.clone()], Shape::row_major(self.outputs, self.inputs)),
            accumulate,
            (dy, Shape::row_major(n, self.outputs).t()),
            (x, Shape::row_major(n, self.inputs)),
        );
        if let Some(bias) = &self.bias {
            let db = &mut grad[bias.clone()];
            if !accumulate {
                db.fill(T::default());
            }
            dy.chunks_exact(self.outputs).for_each(|row| super::plain::add(db, row));
        }
        if self.backprop {
            let (dx, dy) = two(&mut ws.grads, self.from, self.to);
            matmul(
                (dx, Shape::row_major(n, self.inputs)),
                false,
                (dy, Shape::row_major(n, self.outputs)),
                (&w[self.weight.clone()], Shape::row_major(self.outputs, self.inputs)),
            );
        }
    }
}
