//! Auditing f-DP in one run (Mahloujifar, Melis and Chaudhuri, 2024), for the Gaussian family of trade-off curves.
//!
//! With m canaries, r guesses, v right ones, τ = 1 − confidence and the inverse blow-up B(x) = Φ(Φ⁻¹(x) − μ):
//!
//! a ← τ·v/m, h ← τ·(r − v)/m; for i = v − 1 … 0: h' ← max(h, B(a)), stop if h' = h, a ← min(1, a + i/(r − i)·(h' − h)),
//! h ← h'; μ is refuted iff a + h > r/m at the end (their `audit_rh_with_cap`).
//!
//! It holds for mechanisms whose trade-off curve is at least as private as a Gaussian's, and knows no δ: that enters when
//! μ is turned into ε. Cost of one test: O(v) at worst.

use ashlar_stats::{
    root,
    special::{normal_cdf, normal_quantile},
    tradeoff,
};

use crate::{
    Bound, Method, OneRun, Result, Validity,
    error::{check_confidence, check_gaussian_delta},
};

const TOLERANCE: f64 = 1e-12;
/// B(x) is 0 in f64 beyond this, and nothing is refuted.
const MU_MAX: f64 = 512.0;

impl OneRun {
    /// The largest μ that the guesses refute if the mechanism is Gaussian, 0 where they refute none; at most 1e-12 off.
    ///
    /// # Errors
    /// The one-sided confidence must be inside (0.5, 1).
    pub fn mu_lower_fdp(&self, confidence: f64) -> Result<f64> {
        check_confidence(confidence)?;
        self.mu_at_level(1.0 - confidence, 0.0)
    }

    /// ε at δ of [`mu_lower_fdp`](Self::mu_lower_fdp).
    ///
    /// # Errors
    /// δ must be inside (0, 1), the one-sided confidence inside (0.5, 1).
    pub fn epsilon_lower_fdp(&self, delta: f64, confidence: f64) -> Result<Bound> {
        check_gaussian_delta(delta)?;
        let mu = self.mu_lower_fdp(confidence)?;
        Ok(Bound {
            epsilon_lower: tradeoff::epsilon(mu, delta)?,
            epsilon_upper: None,
            mu_lower: Some(mu),
            delta,
            confidence,
            method: Method::OneRunFdp,
            valid: Validity::Valid,
        })
    }

    /// sup of the μ ≥ `from` that are refuted at level τ, `from` itself if that isn't refuted.
    pub(crate) fn mu_at_level(&self, level: f64, from: f64) -> Result<f64> {
        if !self.refutes_mu(from, level) {
            return Ok(from);
        }
        let sign = |mu| if self.refutes_mu(mu, level) { -1.0 } else { 1.0 };
        let (low, high) = root::bracket_upwards(sign, from, MU_MAX)?;
        Ok(root::bisect(sign, low, high, TOLERANCE)?)
    }

    /// Whether μ-GDP is refuted at level τ.
    pub(crate) fn refutes_mu(&self, mu: f64, level: f64) -> bool {
        let (m, r, v) = (self.canaries() as f64, self.guesses(), self.correct());
        if v == 0 {
            return false;
        }
        let goal = r as f64 / m;
        let (mut a, mut h) = (level * v as f64 / m, level * (r - v) as f64 / m);
        for i in (0..v).rev() {
            let raised = h.max(normal_cdf(normal_quantile(a) - mu));
            // Neither sum ever falls, so that a goal once passed stays so.
            if raised == h || a + h > goal {
                break;
            }
            a = (i as f64 / (r - i) as f64).mul_add(raised - h, a).min(1.0);
            h = raised;
        }
        a + h > goal
    }
}
