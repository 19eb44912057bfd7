//! The Fourier transform of real sequences, thinly over `realfft`: a plan for one length and its two directions.

use std::{fmt, sync::Arc};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

pub use realfft::num_complex::Complex;

use crate::error::{Error, Result};

/// A plan for sequences of one length n, any n ≥ 1. Fast (O(n log n)) for every n, fastest for products of 2, 3 and 5.
///
/// ```
/// use ashlar_stats::fft::RealFft;
///
/// // The square of 1 + x, by its coefficients.
/// let fft = RealFft::new(4)?;
/// let mut spectrum = fft.forward(&mut [1.0, 1.0, 0.0, 0.0])?;
/// for z in &mut spectrum {
///     *z *= *z;
/// }
/// let square = fft.inverse(&mut spectrum)?;
/// assert!(square.iter().zip([1.0, 2.0, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-15));
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
#[derive(Clone)]
pub struct RealFft {
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

impl RealFft {
    /// Plans both directions for sequences of `len` values, `len` ≥ 1.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 {
            return Err(Error::TooFew { what: "a Fourier transform", needed: 1, found: 0 });
        }
        let mut planner = RealFftPlanner::new();
        Ok(Self { forward: planner.plan_fft_forward(len), inverse: planner.plan_fft_inverse(len) })
    }

    /// The length n of a sequence.
    #[allow(clippy::len_without_is_empty, reason = "never 0")]
    pub fn len(&self) -> usize {
        self.forward.len()
    }

    /// X_j = Σ_t x_t·e^(−2πi·jt/n) for j = 0 … ⌊n/2⌋. Overwrites `x`, which must have n values.
    pub fn forward(&self, x: &mut [f64]) -> Result<Vec<Complex<f64>>> {
        check(x.len(), self.len())?;
        let mut spectrum = self.forward.make_output_vec();
        // The lengths, all that it checks, are right.
        let _ = self.forward.process(x, &mut spectrum);
        Ok(spectrum)
    }

    /// The inverse of [`forward`](Self::forward), divided by n. Overwrites `spectrum`, which must have ⌊n/2⌋ + 1 values;
    /// the imaginary parts of the first and, for an even n, the last don't count.
    pub fn inverse(&self, spectrum: &mut [Complex<f64>]) -> Result<Vec<f64>> {
        check(spectrum.len(), self.inverse.complex_len())?;
        let mut x = self.inverse.make_output_vec();
        // It also reports imaginary parts that it sets to 0.
        let _ = self.inverse.process(spectrum, &mut x);
        let scale = 1.0 / x.len() as f64;
        for value in &mut x {
            *value *= scale;
        }
        Ok(x)
    }
}

fn check(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::Length { what: "the input of a Fourier transform", expected, found })
    }
}

impl fmt::Debug for RealFft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealFft").field("len", &self.len()).finish()
    }
}
