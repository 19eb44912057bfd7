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
                let first = &x[row * self.size * self.width..];
                for (col, (y, place)) in y.iter_mut().zip(places.iter_mut()).enumerate() {
                    (*y, *place) = (first[col * self.size], 0);
                }
                for i in 1..self.size * self.size {
                    let line = &first[(i / self.size) * self.width + i % self.size..];
                    for (col, (y, place)) in y.iter_mut().zip(places.iter_mut()).enumerate() {
                        let x = line[col * self.size];
                        // Also true for the first NaN, and false against one.
                        let wins = !(x <= *y) && *y == *y;
                        *y = if wins { x } else { *y };
                        *place = if wins { i as u8 } else { *place };
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
