//! Max-pooling over squares; the first of equal elements wins, NaN wins over all, as in PyTorch.

use super::work::{Workspace, grow, two};
use crate::matmul::Real;

#[derive(Clone, Debug)]
pub struct Pool {
    pub from: usize,
    pub to: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub size: usize,
}

impl Pool {
    fn out(&self) -> (usize, usize) {
        (self.height / self.size, self.width / self.size)
    }

    pub fn forward<T: Real>(&self, n: usize, ws: &mut Workspace<T>, step: usize) {
        let (rows, cols) = self.out();
        let planes = n * self.channels;
        let places = grow(&mut ws.places[step], planes * rows * cols);
        let (x, y) = two(&mut ws.values, self.from, self.to);
        let planes = x.chunks_exact(self.height * self.width).take(planes);
        let outs = y.chunks_exact_mut(rows * cols).zip(places.chunks_exact_mut(rows * cols));
        for (x, (y, places)) in planes.zip(outs) {
            for row in 0..rows {
                let (y, places) = (&mut y[row * cols..][..cols], &mut places[row * cols..][..cols]);
                let band = &x[row * self.size * self.width..][..self.size * self.width];
                if self.size == 2 {
                    let (above, below) = band.split_at(self.width);
                    let squares = above.chunks_exact(2).zip(below.chunks_exact(2));
                    for ((y, place), (a, b)) in y.iter_mut().zip(places).zip(squares) {
                        (*y, *place) = largest([a[0], a[1], b[0], b[1]]);
                    }
                } else {
                    for (col, (y, place)) in y.iter_mut().zip(places).enumerate() {
                        let square =
                            (0..self.size).flat_map(|i| &band[i * self.width + col * self.size..][..self.size]);
                        (*y, *place) = largest(square.copied());
                    }
                }
            }
        }
    }

    pub fn backward<T: Real>(&self, n: usize, ws: &mut Workspace<T>, step: usize) {
        let (rows, cols) = self.out();
        let planes = n * self.channels;
        let (dx, dy) = two(&mut ws.grads, self.from, self.to);
        let dx = &mut dx[..planes * self.height * self.width];
        dx.fill(T::default());
        let outs = dy.chunks_exact(rows * cols).zip(ws.places[step].chunks_exact(rows * cols));
        for (dx, (dy, places)) in dx.chunks_exact_mut(self.height * self.width).zip(outs) {
            for row in 0..rows {
                for col in 0..cols {
                    let place = usize::from(places[row * cols + col]);
                    let (y, x) = (row * self.size + place / self.size, col * self.size + place % self.size);
                    dx[y * self.width + x] = dy[row * cols + col];
                }
            }
        }
    }
}

/// The largest and its place; `|` instead of `||`, because a branch on which of four wins would often be mispredicted.
#[inline(always)]
fn largest<T: Real>(square: impl IntoIterator<Item = T>) -> (T, u8) {
    let mut square = square.into_iter();
    let mut best = (square.next().unwrap_or_default(), 0);
    for (i, x) in square.enumerate() {
        let wins = (x > best.0) | x.is_nan();
        best = (if wins { x } else { best.0 }, if wins { i as u8 + 1 } else { best.1 });
    }
    best
}
