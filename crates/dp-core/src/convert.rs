//! Conversions between guarantees: ρ-zCDP and μ-GDP to (ε, δ).

use ashlar_stats::tradeoff;

use crate::{Bound, Error, Result, accountant::check_epsilon, zcdp::epsilon_of_rho};

/// ε of ρ-zCDP at δ, an upper bound with its order. ρ = 0 costs nothing.
///
/// # Errors
/// [`Error::Range`] unless ρ is at least 0 and finite, and δ in (0, 1).
pub fn rho_to_epsilon(rho: f64, delta: f64) -> Result<Bound> {
    not_negative("rho", rho)?;
    open_delta(delta)?;
    if rho == 0.0 { Ok(Bound::exact(0.0)) } else { Ok(epsilon_of_rho(rho, delta)) }
}

/// ε of μ-GDP at δ, exact. μ = 0 costs nothing.
///
/// # Errors
/// [`Error::Range`] unless μ is at least 0 and finite, and δ in (0, 1).
pub fn mu_to_epsilon(mu: f64, delta: f64) -> Result<Bound> {
    not_negative("mu", mu)?;
    open_delta(delta)?;
    if mu == 0.0 { Ok(Bound::exact(0.0)) } else { Ok(Bound::exact(tradeoff::epsilon(mu, delta)?)) }
}

/// δ of μ-GDP at ε, exact.
///
/// # Errors
/// [`Error::Range`] unless μ is at least 0 and finite, and ε at least 0 and finite.
pub fn mu_to_delta(mu: f64, epsilon: f64) -> Result<Bound> {
    not_negative("mu", mu)?;
    check_epsilon(epsilon)?;
    if mu == 0.0 { Ok(Bound::exact(0.0)) } else { Ok(Bound::exact(tradeoff::delta(mu, epsilon))) }
}

fn not_negative(name: &'static str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Range { name, value, expected: "at least 0 and finite" })
}

pub(crate) fn open_delta(delta: f64) -> Result<()> {
    if delta > 0.0 && delta < 1.0 {
        return Ok(());
    }
    Err(Error::Range { name: "delta", value: delta, expected: "above 0 and below 1" })
}
