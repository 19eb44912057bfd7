//! Pure ε-differential privacy of Laplace noise by basic composition, δ = 0.
//!
//! ε = Σ T·ln(1 + q(e^{1/b} − 1)) under add or remove, and Σ T·ln((1−q+q e^{1/b})/(1−q+q e^{−1/b})) under
//! `replace-one` (2/b at q = 1). Both losses are attained, so at δ = 0 the value is exact.

use crate::{
    Accountant, Bound, Error, Event, Kind, Neighboring, Result,
    accountant::{check_delta, check_epsilon},
    rdp::ln_mixture,
};

/// The accountant `pure`.
#[derive(Clone, Copy, Debug)]
pub struct Pure {
    neighboring: Neighboring,
}

impl Pure {
    /// Under this relation.
    pub fn new(neighboring: Neighboring) -> Self {
        Self { neighboring }
    }

    fn total(self, events: &[Event]) -> Result<f64> {
        let costly = Kind::Pure.supported(events, self.neighboring)?;
        Ok(costly.iter().map(|event| event.steps() as f64 * largest_loss(event, self.neighboring)).sum())
    }
}

/// The largest privacy loss of one step.
fn largest_loss(event: &Event, neighboring: Neighboring) -> f64 {
    let (q, edge) = (event.sample_rate(), 1.0 / event.noise_multiplier());
    let up = ln_mixture(q, edge);
    match neighboring {
        Neighboring::ReplaceOne => up - ln_mixture(q, -edge),
        Neighboring::AddRemove | Neighboring::ReplaceSpecial => up,
    }
}

impl Accountant for Pure {
    fn name(&self) -> &'static str {
        Kind::Pure.name()
    }

    fn neighboring(&self) -> Neighboring {
        self.neighboring
    }

    fn epsilon(&self, events: &[Event], delta: f64) -> Result<Bound> {
        let total = self.total(events).map_err(|error| match error {
            // The others have no bound for Gaussian noise at a delta of 0 either.
            Error::Unsupported { accountant, what, instead: "pld" } if delta == 0.0 => {
                Error::Unsupported { accountant, what, instead: "pld with a delta above 0" }
            }
            other => other,
        })?;
        check_delta(events, delta)?;
        Ok(if delta == 0.0 { Bound::exact(total) } else { Bound::upper(total) })
    }

    /// δ at ε from the total ε₀ alone: (e^{ε₀} − e^ε)/(e^{ε₀} + 1), which randomised response attains.
    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound> {
        let total = self.total(events)?;
        check_epsilon(epsilon)?;
        if epsilon >= total {
            return Ok(Bound::exact(0.0));
        }
        Ok(Bound::upper(-(epsilon - total).exp_m1() / (1.0 + (-total).exp())))
    }
}
