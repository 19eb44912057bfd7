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
                for y in y {
                    *y += bias;
                }
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

    /// Rows of the columns, one a kernel position of an input channel.
    ///
    /// Position `(ky, kx)` meets output `(y, x)` at input `(y + ky − pad, x + kx − pad)`: in a flat plane that is one
    /// shift for all of it, right wherever the input's column exists, and outside the plane where its row doesn't.
    fn taps(&self) -> impl Iterator<Item = Tap> + use<> {
        let (kernel, pad, width, plane) = (self.kernel, self.kernel / 2, self.width, self.plane());
        (0..self.rows()).map(move |row| {
            let (ky, kx) = (row / kernel % kernel, row % kernel);
            let (forward, back) = (ky * width + kx, pad * width + pad);
            let (ahead, behind) = (forward.saturating_sub(back), back.saturating_sub(forward));
            let to = behind.min(plane)..plane - ahead.min(plane);
            Tap {
                row,
                channel: row / (kernel * kernel),
                from: if to.is_empty() { 0..0 } else { to.start + ahead - behind..to.end + ahead - behind },
                to: if to.is_empty() { 0..0 } else { to },
                outside: if kx < pad { 0..(pad - kx).min(width) } else { width - (kx - pad).min(width)..width },
            }
        })
    }

    /// Columns of a block of images.
    fn gather<T: Real>(&self, x: &[T], n: usize, images: &Range<usize>, columns: &mut [T]) {
        let plane = self.plane();
        for tap in self.taps() {
            let columns = &mut columns[tap.row * images.len() * plane..][..images.len() * plane];
            let planes = &x[(tap.channel * n + images.start) * plane..][..images.len() * plane];
            for (to, from) in columns.chunks_exact_mut(plane).zip(planes.chunks_exact(plane)) {
                to[..tap.to.start].fill(T::default());
                to[tap.to.clone()].copy_from_slice(&from[tap.from.clone()]);
                to[tap.to.end..].fill(T::default());
            }
            tap.clear_outside(columns, self.width);
        }
    }

    /// Adds the columns' gradients to where [`gather`](Self::gather) took them from.
    fn scatter<T: Real>(&self, columns: &mut [T], n: usize, images: &Range<usize>, dx: &mut [T]) {
        let plane = self.plane();
        for tap in self.taps() {
            let columns = &mut columns[tap.row * images.len() * plane..][..images.len() * plane];
            tap.clear_outside(columns, self.width);
            let planes = &mut dx[(tap.channel * n + images.start) * plane..][..images.len() * plane];
            for (from, to) in columns.chunks_exact(plane).zip(planes.chunks_exact_mut(plane)) {
                plain::add(&mut to[tap.from.clone()], &from[tap.to.clone()]);
            }
        }
    }
}

struct Tap {
    row: usize,
    channel: usize,
    /// Part of an input plane, and where in the columns' plane it goes.
    from: Range<usize>,
    to: Range<usize>,
    /// Output columns whose input column doesn't exist.
    outside: Range<usize>,
}

impl Tap {
    fn clear_outside<T: Real>(&self, columns: &mut [T], width: usize) {
        if self.outside.is_empty() {
            return;
        }
        for row in columns.chunks_exact_mut(width) {
            match &mut row[self.outside.clone()] {
                // Not worth a call: the usual 3×3 kernel has one such column.
                [one] => *one = T::default(),
                several => several.fill(T::default()),
            }
        }
    }
}
