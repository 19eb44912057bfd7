//! Numerical composition of privacy losses (in progress).

use crate::{
    Accountant, Bound, Event, Kind, Neighboring, Result,
    accountant::{check_delta, check_epsilon},
};

/// The accountants `pld` and `prv`.
#[derive(Clone, Debug)]
pub struct Pld {
    kind: Kind,
    neighboring: Neighboring,
    grid: Option<f64>,
}

impl Pld {
    /// The default accountant, bounds within 1e-3 of each other.
    pub fn new(neighboring: Neighboring) -> Self {
        Self { kind: Kind::Pld, neighboring, grid: None }
    }

    /// The PRV accountant's error budget.
    pub fn prv(neighboring: Neighboring) -> Self {
        Self { kind: Kind::Prv, neighboring, grid: None }
    }

    /// The same accountant on a loss grid of this step.
    ///
    /// # Errors
    /// [`crate::Error::Range`] unless the step is positive and finite.
    pub fn with_grid(self, step: f64) -> Result<Self> {
        if step > 0.0 && step.is_finite() {
            return Ok(Self { grid: Some(step), ..self });
        }
        Err(crate::Error::Range { name: "grid", value: step, expected: "positive and finite" })
    }
}

impl Accountant for Pld {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn neighboring(&self) -> Neighboring {
        self.neighboring
    }

    fn epsilon(&self, events: &[Event], delta: f64) -> Result<Bound> {
        check_delta(events, delta)?;
        let _ = (self.kind.supported(events, self.neighboring)?, self.grid);
        Ok(Bound::upper(f64::INFINITY))
    }

    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound> {
        check_epsilon(epsilon)?;
        let _ = self.kind.supported(events, self.neighboring)?;
        Ok(Bound::upper(1.0))
    }
}
