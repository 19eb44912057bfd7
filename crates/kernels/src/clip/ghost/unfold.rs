//! Convolutions as linear layers.

use super::check_rows;
use crate::clip::tile::transpose;
use crate::{Error, Result};

/// A convolution's window: the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Step within a window.
    pub dilation: usize,
}

impl Window {
    /// Windows along an axis of so many pixels.
    pub fn count(&self, pixels: usize) -> Result<usize> {
        let Self { kernel, stride, padding, dilation } = *self;
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(Error::parameter("the window", 0, "kernel, stride and dilation must be at least 1"));
        }
        let reach = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let padded = pixels.saturating_add(padding.saturating_mul(2));
        if reach > padded {
            return Err(Error::parameter("the window", reach, "it must not exceed the padded image"));
        }
        Ok((padded - reach) / stride + 1)
    }
}

/// Images `[N, C, H, W]` as a linear layer's inputs `[N, H'·W', C·k·k]`: a convolution's weight `[p, C, k, k]` is then a
/// matrix `[p, C·k·k]`, and its output gradients `[N, p, H', W']` are B after [`positions_first`]. Also H'·W'.
///
/// # Errors
/// Shapes that don't fit; a window larger than the image.
pub fn unfold(images: &[f32], [channels, height, width]: [usize; 3], window: Window) -> Result<(Vec<f32>, usize)> {
    let (rows, columns) = (window.count(height)?, window.count(width)?);
    let pixels = channels * height * width;
    check_rows(images.len(), pixels)?;
    let k = window.kernel;
    let features = channels * k * k;
    let mut out = vec![0.0; images.len() / pixels * rows * columns * features];
    for (at, out) in out.chunks_mut(features).enumerate() {
        let (image, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
        for (feature, out) in out.iter_mut().enumerate() {
            let (channel, ky, kx) = (feature / (k * k), feature / k % k, feature % k);
            let y = (row * window.stride + ky * window.dilation).wrapping_sub(window.padding);
            let x = (column * window.stride + kx * window.dilation).wrapping_sub(window.padding);
            if y < height && x < width {
                *out = images[image * pixels + (channel * height + y) * width + x];
            }
        }
    }
    Ok((out, rows * columns))
}

/// `[N, C, S]` to `[N, S, C]`.
///
/// # Errors
/// Shapes that don't fit.
pub fn positions_first(x: &[f32], channels: usize, positions: usize) -> Result<Vec<f32>> {
    check_rows(x.len(), channels * positions)?;
    Ok(x.chunks(channels * positions).flat_map(|x| transpose(x, positions)).collect())
}
