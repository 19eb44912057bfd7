//! Numerical composition of privacy losses: the accountants `pld` and `prv`.

mod compose;
mod curve;
mod grid;
mod loss;
mod pairs;
mod plan;
mod saddle;
mod search;

use ashlar_stats::tradeoff;

use crate::{
    Accountant, Bound, Error, Event, Kind, Mechanism, Neighboring, Result,
    accountant::{check_delta, check_epsilon},
};
use saddle::Query;
use search::{Budget, Interval};

/// The accountants `pld` and `prv`.
#[derive(Clone, Debug)]
pub struct Pld {
    kind: Kind,
    neighboring: Neighboring,
    grid: Option<f64>,
}

impl Pld {
    /// The default accountant. Its bounds are usually within 1e-4 of each other, for mixed events within 1e-3.
    pub fn new(neighboring: Neighboring) -> Self {
        Self { kind: Kind::Pld, neighboring, grid: None }
    }

    /// The error budget of the PRV accountant (Gopi, Lee and Wutschitz, 2021): an ε within 0.01.
    pub fn prv(neighboring: Neighboring) -> Self {
        Self { kind: Kind::Prv, neighboring, grid: None }
    }

    /// The same accountant with losses on a grid of this step (a little less where that puts the ends of a Laplace loss
    /// on the grid, more where it would take over 2²² points).
    ///
    /// # Errors
    /// [`Error::Range`] unless the step is positive and finite.
    pub fn with_grid(self, step: f64) -> Result<Self> {
        if step > 0.0 && step.is_finite() {
            return Ok(Self { grid: Some(step), ..self });
        }
        Err(Error::Range { name: "grid", value: step, expected: "positive and finite" })
    }

    fn budget(&self) -> Budget {
        match self.kind {
            Kind::Prv => Budget { aim: 2e-3, accept: 0.01, absolute: 0.01 },
            _ => Budget { aim: 2e-5, accept: 1e-4, absolute: f64::INFINITY },
        }
    }

    /// Bounds for events none of which is free, not all of them Gaussian without sampling.
    fn numerically(&self, events: &[Event], query: Query) -> Result<Interval> {
        let directions = search::directions(events, self.neighboring);
        if directions.iter().flatten().any(|(loss, _)| !loss.is_tractable()) {
            return Ok(self.crudely(events, query));
        }
        search::bounds(&directions, query, &self.budget(), self.grid)
    }

    /// Bounds for noise so small or so large that numbers run out: sampling can only help.
    fn crudely(&self, events: &[Event], query: Query) -> Interval {
        let gaussian = |event: &Event| event.mechanism() == Mechanism::Gaussian;
        let mu = events.iter().map(|event| search::gaussian_mu(event, self.neighboring).powi(2)).sum::<f64>().sqrt();
        let upper = match query {
            _ if !events.iter().all(gaussian) => f64::INFINITY,
            Query::Epsilon { delta } => tradeoff::epsilon(mu, delta).unwrap_or(f64::INFINITY),
            Query::Delta { epsilon } => tradeoff::delta(mu, epsilon),
        };
        Interval { lower: 0.0, upper }
    }

    /// Pure ε of the list, infinite with a Gaussian in it.
    fn pure(&self, events: &[Event]) -> f64 {
        let distance = if self.neighboring == Neighboring::ReplaceOne { 2.0 } else { 1.0 };
        let pure = |event: &Event| match event.mechanism() {
            Mechanism::Gaussian => f64::INFINITY,
            Mechanism::Laplace => {
                let top = distance / event.noise_multiplier();
                let q = event.sample_rate();
                let one = if top > 600.0 { top + q.ln() } else { (q * top.exp_m1()).ln_1p() };
                event.steps() as f64 * one
            }
        };
        events.iter().map(pure).sum()
    }
}

/// μ of a list of Gaussians without sampling, None with anything else in it.
fn full_batch_mu(events: &[Event], neighboring: Neighboring) -> Option<f64> {
    let exact = |event: &Event| event.mechanism() == Mechanism::Gaussian && event.sample_rate() == 1.0;
    events
        .iter()
        .all(exact)
        .then(|| events.iter().map(|event| search::gaussian_mu(event, neighboring).powi(2)).sum::<f64>().sqrt())
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
        let events = self.kind.supported(events, self.neighboring)?;
        if events.is_empty() {
            return Ok(Bound::exact(0.0));
        }
        if let Some(mu) = full_batch_mu(&events, self.neighboring) {
            return Ok(Bound::exact(tradeoff::epsilon(mu, delta)?));
        }
        let pure = self.pure(&events);
        if delta == 0.0 {
            return Ok(Bound::exact(pure));
        }
        let Interval { lower, upper } = self.numerically(&events, Query::Epsilon { delta })?;
        let upper = upper.min(pure);
        Ok(Bound { lower: Some(lower.min(upper)), ..Bound::upper(upper) })
    }

    fn delta(&self, events: &[Event], epsilon: f64) -> Result<Bound> {
        check_epsilon(epsilon)?;
        let events = self.kind.supported(events, self.neighboring)?;
        if events.is_empty() {
            return Ok(Bound::exact(0.0));
        }
        if let Some(mu) = full_batch_mu(&events, self.neighboring) {
            return Ok(Bound::exact(tradeoff::delta(mu, epsilon)));
        }
        if epsilon >= self.pure(&events) {
            return Ok(Bound::exact(0.0));
        }
        let Interval { lower, upper } = self.numerically(&events, Query::Delta { epsilon })?;
        let upper = upper.min(1.0);
        Ok(Bound { lower: Some(lower.min(upper)), ..Bound::upper(upper) })
    }
}
