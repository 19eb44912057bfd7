//! Gaussian differential privacy (Dong, Roth and Su, 2022).
//!
//! Full batches compose exactly: μ² = Σ T/σ². For Poisson samples the central limit theorem gives
//! μ² ≈ Σ q²T(e^{1/σ²}−1), an approximation that can lie below the truth and says so. Both convert by
//! δ(ε) = Φ(−ε/μ+μ/2) − e^ε Φ(−ε/μ−μ/2).

use ashlar_stats::tradeoff;

use crate::{
    Accountant, Bound, Event, Kind, Neighboring, Result,
    accountant::{check_delta, check_epsilon},
};

/// What an approximate result warns of.
const WARNING: &str = "gdp with a sample rate below 1 is a central limit approximation that can under-report: \
                       use the accountant pld for a bound";

/// The accountant `gdp`.
#[derive(Clone, Copy, Debug)]
pub struct Gdp {
    neighboring: Neighboring,
}

impl Gdp {
    /// Under this relation.
    pub fn new(neighboring: Neighboring) -> Self {
        Self { neighboring }
    }

    /// μ of a list of Gaussian events, and whether it is exact.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for Laplace noise, and for sampling under `replace-one`.
    pub fn mu(&self, events: &[Event]) -> Result<(f64, bool)> {
        let distance = distance(self.neighboring);
        let costly = Kind::Gdp.supported(events, self.neighboring)?;
        let squared: f64 = costly
            .iter()
            .map(|event| {
                let (q, steps) = (event.sample_rate(), event.steps() as f64);
                let mu = distance / event.noise_multiplier();
                if q < 1.0 { q * q * steps * (mu * mu).exp_m1() } else { steps * mu * mu }
            })
            .sum();
        Ok((squared.sqrt(), costly.iter().all(|event| event.sample_rate() == 1.0)))
    }
}

/// How far apart the pair's means are, in units of one contribution.
pub(crate) fn distance(neighboring: Neighboring) -> f64 {
    match neighboring {
        Neighboring::ReplaceOne => 2.0,
        Neighboring::AddRemove | Neighboring::ReplaceSpecial => 1.0,
    }
}

impl Accountant for Gdp {
    fn name(&self) -> &'static str {
        Kind::Gdp.name()
    }

    fn neighboring(&self) -> Neighboring {
        self.neighboring
    }

    fn epsilon(&self, events: &[Event], delta: f64) -> Result<Bound> {
        let (mu, exact) = self.mu(events)?;
        check_delta(events, delta)?;
        let value = if mu == 0.0 {
            0.0
        } else if mu.is_finite() {
            tradeoff::epsilon(mu, delta)?
        } else {
            f64::INFINITY
        };
        Ok(bound(value, exact))
    }

    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound> {
        let (mu, exact) = self.mu(events)?;
        check_epsilon(epsilon)?;
        let value = if mu == 0.0 {
            0.0
        } else if mu.is_finite() {
            tradeoff::delta(mu, epsilon)
        } else {
            1.0
        };
        Ok(bound(value, exact))
    }
}

fn bound(value: f64, exact: bool) -> Bound {
    if exact { Bound::exact(value) } else { Bound::approximate(value, WARNING) }
}
