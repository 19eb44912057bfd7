//! How far a law's parameters move when the rows are drawn again, with replacement (Besiroglu et al. 2024).
//!
//! Each resample is fitted from the optimum on all rows, as theirs are. ChaCha8 with the resample's number as its
//! stream, so the answer depends on the seed alone.

use ashlar_stats::quantile;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rayon::prelude::*;

use super::{Fit, Loss, lad, starts::below};
use crate::{Error, Result};

/// Standard errors and percentile intervals of the natural parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// What the numbers are: for params,tokens `A B E alpha beta`, else `coefficient_VAR…`, `E`, `exponent_VAR…`.
    pub names: Vec<String>,
    /// Standard deviations over resamples.
    pub se: Vec<f64>,
    /// Lower ends of the intervals.
    pub lo: Vec<f64>,
    /// Upper ends.
    pub hi: Vec<f64>,
    /// Coverage.
    pub level: f64,
    /// Resamples fitted.
    pub resamples: usize,
}

impl Fit {
    /// The natural parameters: e^{c_j}, E, x_j.
    pub fn natural(&self) -> Vec<f64> {
        natural(self.vars.len(), &self.problem.outer(&self.theta))
    }

    /// Refits `resamples` times.
    ///
    /// # Errors
    /// [`Error::Range`] for fewer than 2 resamples or a level outside (0, 1).
    pub fn bootstrap(&self, resamples: usize, level: f64, seed: u64) -> Result<Bootstrap> {
        if resamples < 2 {
            return Err(Error::Range { name: "bootstrap", value: resamples as f64, expected: "0 or at least 2" });
        }
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::Range { name: "level", value: level, expected: "inside (0, 1), as 0.95" });
        }
        let k = self.vars.len();
        let fits: Vec<Vec<f64>> = (0..resamples as u64)
            .into_par_iter()
            .map(|resample| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(resample);
                let mut count = vec![0_u32; self.problem.rows()];
                for _ in 0..count.len() {
                    count[below(&mut rng, self.problem.rows() as u64) as usize] += 1;
                }
                let problem = self.problem.resampled(&count);
                let mut theta = self.theta.clone();
                match self.loss {
                    Loss::Huber { delta } => {
                        lad::polish(&problem, &mut theta, delta);
                    }
                    Loss::Lad => lad::descend(&problem, &mut theta, lad::FIRST_DELTA),
                }
                natural(k, &problem.outer(&theta))
            })
            .collect();
        let columns: Vec<Vec<f64>> = (0..=2 * k).map(|at| fits.iter().map(|fit| fit[at]).collect()).collect();
        let tail = 0.5 * (1.0 - level);
        let end = |q: f64| columns.iter().map(|c| quantile(c, q)).collect::<ashlar_stats::Result<Vec<_>>>();
        Ok(Bootstrap {
            names: self.names(),
            se: columns.iter().map(|c| ashlar_stats::std_dev(c)).collect::<ashlar_stats::Result<_>>()?,
            lo: end(tail)?,
            hi: end(1.0 - tail)?,
            level,
            resamples,
        })
    }

    fn names(&self) -> Vec<String> {
        if self.law().is_ok() {
            return ["A", "B", "E", "alpha", "beta"].map(str::to_owned).to_vec();
        }
        let coefficients = self.vars.iter().map(|var| format!("coefficient_{var}"));
        let exponents = self.vars.iter().map(|var| format!("exponent_{var}"));
        coefficients.chain(["E".to_owned()]).chain(exponents).collect()
    }
}

fn natural(k: usize, outer: &[f64]) -> Vec<f64> {
    let coefficients = outer[k..2 * k].iter().map(|c| c.exp());
    let floor = outer.get(2 * k).map_or(0.0, |e| e.exp());
    coefficients.chain([floor]).chain(outer[..k].iter().copied()).collect()
}
