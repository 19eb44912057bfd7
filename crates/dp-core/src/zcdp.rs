//! Zero-concentrated differential privacy (Bun and Steinke, 2016): ρ = Σ T/(2σ²) for full-batch Gaussian noise.
//!
//! ε_RDP(α) = ρα at every real α > 1, so the conversion of the `rdp` module is minimised over real orders. Sampling is
//! refused: it improves on ρ-zCDP only through a truncated variant that nobody asks for here. Under `replace-one` the
//! distance is 2, hence ρ = Σ 2T/σ².

use crate::{
    Accountant, Bound, Event, Kind, Neighboring, Result,
    accountant::{check_delta, check_epsilon},
    rdp::{Orders, optimum},
};

/// The accountant `zcdp`.
#[derive(Clone, Copy, Debug)]
pub struct Zcdp {
    neighboring: Neighboring,
}

impl Zcdp {
    /// Under this relation.
    pub fn new(neighboring: Neighboring) -> Self {
        Self { neighboring }
    }

    /// ρ of a list of full-batch Gaussian events.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for any other event.
    pub fn rho(&self, events: &[Event]) -> Result<f64> {
        let distance = crate::gdp::distance(self.neighboring);
        let costly = Kind::Zcdp.supported(events, self.neighboring)?;
        Ok(costly
            .iter()
            .map(|event| {
                let mu = distance / event.noise_multiplier();
                0.5 * event.steps() as f64 * mu * mu
            })
            .sum())
    }
}

impl Accountant for Zcdp {
    fn name(&self) -> &'static str {
        Kind::Zcdp.name()
    }

    fn neighboring(&self) -> Neighboring {
        self.neighboring
    }

    fn epsilon(&self, events: &[Event], delta: f64) -> Result<Bound> {
        let rho = self.rho(events)?;
        check_delta(events, delta)?;
        if rho == 0.0 { Ok(Bound::exact(0.0)) } else { Ok(epsilon_of_rho(rho, delta)) }
    }

    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound> {
        let rho = self.rho(events)?;
        check_epsilon(epsilon)?;
        if rho == 0.0 {
            return Ok(Bound::exact(0.0));
        }
        let found = optimum::delta(&Orders::Continuous, epsilon, |order| rho * order);
        Ok(Bound::upper(found.value).at_order(found.order))
    }
}

/// ε of ρ > 0 at δ in (0, 1).
pub(crate) fn epsilon_of_rho(rho: f64, delta: f64) -> Bound {
    let found = optimum::epsilon(&Orders::Continuous, delta, |order| rho * order);
    Bound::upper(found.value).at_order(found.order)
}
