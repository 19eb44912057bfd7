//! How much of the attention stays near its token, in time and in space.
//!
//! Distances are |Δt| in frames and Chebyshev's max(|Δy|, |Δx|) in patches. *Profile*: P(Δt, Δs) is the mean weight over
//! all video pairs at that distance. *Local mass*: the video → video block, each row renormalised to 1, summed over the
//! pairs within the radii (the token itself included) and averaged over rows; *uniform* is the same of a map that looks
//! everywhere alike, borders included.

use serde::Serialize;

use crate::{
    Error, Result,
    heads::{Attention, Scalar},
};

/// Which tokens are video, and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    frames: usize,
    height: usize,
    width: usize,
    tokens: usize,
    /// Whether the text tokens come before the video.
    pub text_first: bool,
}

impl Grid {
    /// A grid of \[frames, height, width\] among `tokens` tokens.
    ///
    /// # Errors
    /// [`Error::Undefined`] for an empty grid or one of more tokens than there are.
    pub fn new(shape: [usize; 3], tokens: usize, text_first: bool) -> Result<Self> {
        let [frames, height, width] = shape;
        match frames.checked_mul(height).and_then(|n| n.checked_mul(width)) {
            Some(video) if video > 0 && video <= tokens => Ok(Self { frames, height, width, tokens, text_first }),
            _ => Err(Error::Undefined(format!(
                "a grid of {frames} × {height} × {width} doesn't fit {tokens} tokens: it must have 1 to {tokens}"
            ))),
        }
    }

    /// Number of video tokens.
    pub fn video(&self) -> usize {
        self.frames * self.height * self.width
    }

    /// Number of text tokens.
    pub fn text(&self) -> usize {
        self.tokens - self.video()
    }

    /// The first video token.
    pub fn start(&self) -> usize {
        if self.text_first { self.text() } else { 0 }
    }

    /// Frame, row and column of a token; none of a text token.
    pub fn place(&self, token: usize) -> Option<[usize; 3]> {
        let at = token.checked_sub(self.start()).filter(|&at| at < self.video())?;
        Some([at / (self.height * self.width), at / self.width % self.height, at % self.width])
    }
}

/// Attention by distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Locality {
    /// Local mass, 0 to 1; none if no video token looks at video.
    pub local_mass: Option<f64>,
    /// The local mass of uniform attention.
    pub uniform: f64,
    /// `profile[Δt][Δs]`, mean weight.
    pub profile: Vec<Vec<f64>>,
    /// Mean mass from video onto video.
    pub video_mass: f64,
    /// Mean mass from video onto text.
    pub text_mass: f64,
    /// Rows whose video mass is 0 (they have no local mass).
    pub rows_without_video: usize,
}

/// Measures one head within `radius` = (frames, patches).
pub fn locality<T: Scalar>(attention: &Attention<'_, T>, head: usize, grid: &Grid, radius: (usize, usize)) -> Locality {
    let (start, video) = (grid.start(), grid.video());
    let places: Vec<[usize; 3]> = (start..start + video).filter_map(|token| grid.place(token)).collect();
    let space = grid.height.max(grid.width);
    let mut sums = vec![vec![0.0; space]; grid.frames];
    let mut pairs = vec![vec![0_u64; space]; grid.frames];
    let (mut local, mut uniform, mut video_mass, mut text_mass) = (0.0, 0.0, 0.0, 0.0);
    let mut rows_without_video = 0;
    for (i, &[t, y, x]) in places.iter().enumerate() {
        let row = attention.row(head, start + i);
        let (mut near, mut all, mut near_pairs) = (0.0, 0.0, 0_u64);
        for (&[t1, y1, x1], &weight) in places.iter().zip(&row[start..start + video]) {
            let weight: f64 = weight.into();
            let (dt, ds) = (t.abs_diff(t1), y.abs_diff(y1).max(x.abs_diff(x1)));
            sums[dt][ds] += weight;
            pairs[dt][ds] += 1;
            all += weight;
            if dt <= radius.0 && ds <= radius.1 {
                near += weight;
                near_pairs += 1;
            }
        }
        let total: f64 = row.iter().map(|&w| w.into()).sum();
        video_mass += all;
        text_mass += (total - all).max(0.0);
        uniform += near_pairs as f64 / video as f64;
        if all > 0.0 {
            local += near / all;
        } else {
            rows_without_video += 1;
        }
    }
    let rows = video - rows_without_video;
    let mean = |(sums, pairs): (&Vec<f64>, &Vec<u64>)| {
        sums.iter().zip(pairs).map(|(sum, &n)| if n == 0 { 0.0 } else { sum / n as f64 }).collect()
    };
    Locality {
        local_mass: (rows > 0).then(|| local / rows as f64),
        uniform: uniform / video as f64,
        profile: sums.iter().zip(&pairs).map(mean).collect(),
        video_mass: video_mass / video as f64,
        text_mass: text_mass / video as f64,
        rows_without_video,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_attention_has_the_uniform_share() {
        // The toy of the specification: 4 × 5 × 5 video tokens and 3 of text, uniform .169.
        let len = 103;
        let map = vec![1.0 / len as f64; len * len];
        let attention = Attention::bidirectional(&map, 1, len).unwrap();
        for text_first in [false, true] {
            let grid = Grid::new([4, 5, 5], len, text_first).unwrap();
            let found = locality(&attention, 0, &grid, (1, 1));
            assert!((found.uniform - 0.169).abs() < 1e-12);
            assert!((found.local_mass.unwrap() - 0.169).abs() < 1e-12);
            assert!((found.text_mass - 3.0 / 103.0).abs() < 1e-12);
            assert!(found.profile.iter().flatten().all(|p| (p * len as f64 - 1.0).abs() < 1e-12));
            assert_eq!((found.profile.len(), found.profile[0].len()), (4, 5));
        }
    }

    #[test]
    fn a_map_that_looks_at_itself_is_local() {
        let map = [0.9, 0.0, 0.1, 0.0, 0.8, 0.2, 0.3, 0.3, 0.4];
        let attention = Attention::bidirectional(&map, 1, 3).unwrap();
        let grid = Grid::new([2, 1, 1], 3, false).unwrap();
        let found = locality(&attention, 0, &grid, (0, 0));
        assert_eq!((found.local_mass, found.uniform), (Some(1.0), 0.5));
        assert!((found.profile[0][0] - 0.85).abs() < 1e-15 && found.profile[1][0] == 0.0);
        // Text first: the video tokens are 1 and 2.
        let grid = Grid::new([2, 1, 1], 3, true).unwrap();
        let found = locality(&attention, 0, &grid, (0, 0));
        assert!((found.local_mass.unwrap() - f64::midpoint(0.8, 0.4 / 0.7)).abs() < 1e-12);
        assert_eq!((grid.place(0), grid.place(2)), (None, Some([1, 0, 0])));
    }

    #[test]
    fn a_grid_must_fit() {
        assert!(Grid::new([2, 2, 2], 7, false).is_err());
        assert!(Grid::new([0, 2, 2], 7, false).is_err());
        assert!(Grid::new([usize::MAX, 2, 2], 7, false).is_err());
        assert!(Grid::new([1, 7, 1], 7, false).is_ok());
    }
}
