//! Convolution with stride 1 and "same" padding, as matrix products over columns.
//!
//! For a block of images, `columns` holds the input elements under each kernel position, `[in·k·k, images·H·W]`. Then
//! y = W·columns, dW = dy·columnsᵀ and d columns = Wᵀ·dy, which is added back to where the columns came from. The block
//! is as large as fits the second-level cache; columns are made anew for the backward pass, which costs less than
//! keeping them.

use std::ops::Range;

use super::{
    plain,
    work::{Workspace, grow, two},
};
use crate::matmul::{Real, Shape, matmul};

/// Elements of the columns of a block.
const BLOCK: usize = 1 << 18;

#[derive(Clone, Debug)]
pub struct Conv {
    pub from: usize,
    pub to: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub height: usize,
    pub width: usize,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
    /// Whether the gradient of the input is wanted.
    pub backprop: bool,
    /// Whether the input's gradient already holds the part of another consumer.
    pub accumulate: bool,
}

impl Conv {
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Rows of the columns.
    fn rows(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// Images a block: what fits `BLOCK`, but a product of at least 128 columns, or the weights dominate the traffic.
    fn block(&self) -> usize {
        (BLOCK / (self.rows() * self.plane())).max(128usize.div_ceil(self.plane()))
    }

    fn blocks(&self, n: usize) -> impl Iterator<Item = Range<usize>> {
        let block = self.block();
        (0..n).step_by(block).map(move |b| b..(b + block).min(n))
    }

    fn weight_shape(&self) -> Shape {
        Shape::row_major(self.outputs, self.rows())
    }

    /// The images of a block within `[C, B, H, W]`.
    fn block_shape(&self, n: usize, images: &Range<usize>) -> Shape {
        Shape::strided(self.outputs, images.len() * self.plane(), n * self.plane())
    }

    pub fn forward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>) {
        let (x, y) = two(&mut ws.values, self.from, self.to);
        for images in self.blocks(n) {
            let len = images.len() * self.plane();
            let columns = grow(&mut ws.columns, self.rows() * len);
            self.gather(x, n, &images, columns);
            matmul(
                (&mut y[images.start * self.plane()..], self.block_shape(n, &images)),
                false,
                (&w[self.weight.clone()], self.weight_shape()),
                (columns, Shape::row_major(self.rows(), len)),
            );
        }
        if let Some(bias) = &self.bias {
            for (y, &bias) in y.chunks_exact_mut(n * self.plane()).zip(&w[bias.clone()]) {
                y.iter_mut().for_each(|y| *y += bias);
            }
        }
    }

    pub fn backward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>, grad: &mut [T], accumulate: bool) {
        let x = &ws.values[self.from];
        let (dx, dy) = two(&mut ws.grads, self.from, self.to);
        if let Some(bias) = &self.bias {
            for (db, dy) in grad[bias.clone()].iter_mut().zip(dy.chunks_exact(n * self.plane())) {
                let total = plain::sum(dy);
                *db = if accumulate { *db + total } else { total };
            }
        }
        if self.backprop && !self.accumulate {
            dx[..n * self.inputs * self.plane()].fill(T::default());
        }
        for images in self.blocks(n) {
            let len = images.len() * self.plane();
            let columns = grow(&mut ws.columns, self.rows() * len);
            let dy = &dy[images.start * self.plane()..];
            self.gather(x, n, &images, columns);
            matmul(
                (&mut grad[self.weight.clone()], self.weight_shape()),
                accumulate || images.start > 0,
                (dy, self.block_shape(n, &images)),
                (columns, Shape::row_major(self.rows(), len).t()),
            );
            if self.backprop {
                matmul(
                    (columns, Shape::row_major(self.rows(), len)),
                    false,
                    (&w[self.weight.clone()], self.weight_shape().t()),
                    (dy, self.block_shape(n, &images)),
                );
                self.scatter(columns, n, &images, dx);
            }
        }
    }

    /// Kernel position `(ky, kx)` of input channel `c` meets output `(y, x)` at input `(y + ky − pad, x + kx − pad)`:
    /// for each row of columns, the output columns that stay inside, and the shift to their input columns.
    fn taps(&self) -> impl Iterator<Item = Tap> + use<> {
        let (kernel, pad, width) = (self.kernel, self.kernel / 2, self.width);
        (0..self.rows()).map(move |row| {
            let (channel, ky, kx) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            let inside = pad.saturating_sub(kx).min(width)..(width + pad).saturating_sub(kx).min(width);
            let source = if inside.is_empty() { 0 } else { inside.start + kx - pad };
            Tap { row, channel, ky, source, inside }
        })
    }

    /// Input row under output row `y` at kernel row `ky`, if inside.
    fn input_row(&self, y: usize, ky: usize) -> Option<usize> {
        (y + ky).checked_sub(self.kernel / 2).filter(|row| *row < self.height)
    }

    fn gather<T: Real>(&self, x: &[T], n: usize, images: &Range<usize>, columns: &mut [T]) {
        let (plane, width) = (self.plane(), self.width);
        for tap in self.taps() {
            let columns = &mut columns[tap.row * images.len() * plane..][..images.len() * plane];
            let planes = &x[(tap.channel * n + images.start) * plane..][..images.len() * plane];
            for (to, from) in columns.chunks_exact_mut(plane).zip(planes.chunks_exact(plane)) {
                for (y, to) in to.chunks_exact_mut(width).enumerate() {
                    let Some(row) = self.input_row(y, tap.ky) else {
                        to.fill(T::default());
                        continue;
                    };
                    let from = &from[row * width + tap.source..][..tap.inside.len()];
                    to[..tap.inside.start].fill(T::default());
                    to[tap.inside.clone()].copy_from_slice(from);
                    to[tap.inside.end..].fill(T::default());
                }
            }
        }
    }

    fn scatter<T: Real>(&self, columns: &[T], n: usize, images: &Range<usize>, dx: &mut [T]) {
        let (plane, width) = (self.plane(), self.width);
        for tap in self.taps() {
            let columns = &columns[tap.row * images.len() * plane..][..images.len() * plane];
            let planes = &mut dx[(tap.channel * n + images.start) * plane..][..images.len() * plane];
            for (from, to) in columns.chunks_exact(plane).zip(planes.chunks_exact_mut(plane)) {
                for (y, from) in from.chunks_exact(width).enumerate() {
                    if let Some(row) = self.input_row(y, tap.ky) {
                        let to = &mut to[row * width + tap.source..][..tap.inside.len()];
                        plain::add(to, &from[tap.inside.clone()]);
                    }
                }
            }
        }
    }
}

struct Tap {
    row: usize,
    channel: usize,
    ky: usize,
    /// Input column of the first output column inside.
    source: usize,
    /// Output columns whose input column exists.
    inside: Range<usize>,
}
