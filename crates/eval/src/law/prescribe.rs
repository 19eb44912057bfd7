//! What to train with a budget, by a law L = E + A·N^−α + B·D^−β and C = 6ND (Hoffmann et al. 2022, equation 4).

use serde::Serialize;

use crate::{Error, Result};

/// A two-variable law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Law {
    /// Coefficient of parameters.
    #[serde(rename = "A")]
    pub a: f64,
    /// Coefficient of tokens.
    #[serde(rename = "B")]
    pub b: f64,
    /// Irreducible loss, in nats.
    #[serde(rename = "E")]
    pub e: f64,
    /// Exponent of parameters.
    pub alpha: f64,
    /// Exponent of tokens.
    pub beta: f64,
}

/// A model and its data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Parameters N.
    pub params: f64,
    /// Tokens D.
    pub tokens: f64,
    /// D / N.
    pub tokens_per_param: f64,
    /// The law's loss there.
    pub loss: f64,
}

/// A smaller model trained longer at the same cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Overtrained {
    /// What is trained.
    #[serde(flatten)]
    pub plan: Plan,
    /// Its loss above the optimum's.
    pub loss_gap: f64,
    /// The budget over the one whose optimum has the same loss: what the overtraining costs.
    pub compute_equivalent: f64,
}

impl Law {
    /// A law, checked.
    ///
    /// # Errors
    /// [`Error::Range`] unless A, B, α, β are finite and above 0 and E is finite and not below 0.
    pub fn new(a: f64, b: f64, e: f64, alpha: f64, beta: f64) -> Result<Self> {
        for (name, value) in [("A", a), ("B", b), ("alpha", alpha), ("beta", beta)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::Range { name, value, expected: "finite and above 0" });
            }
        }
        if !(e >= 0.0 && e.is_finite()) {
            return Err(Error::Range { name: "E", value: e, expected: "finite and not below 0" });
        }
        Ok(Self { a, b, e, alpha, beta })
    }

    /// The loss of N parameters on D tokens.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        self.e + self.a * params.powf(-self.alpha) + self.b * tokens.powf(-self.beta)
    }

    /// a in N* ∝ C^a; tokens have 1 − a.
    pub fn params_exponent(&self) -> f64 {
        self.beta / (self.alpha + self.beta)
    }

    /// G in N* = G (C/6)^a, D* = G⁻¹ (C/6)^b.
    pub fn g(&self) -> f64 {
        (self.alpha * self.a / (self.beta * self.b)).powf(1.0 / (self.alpha + self.beta))
    }

    /// The best model for a budget in FLOPs.
    ///
    /// # Errors
    /// [`Error::Range`] for a budget that is not finite and above 0, or so extreme that sizes leave the floats' range.
    pub fn optimum(&self, flops: f64) -> Result<Plan> {
        if !(flops > 0.0 && flops.is_finite()) {
            return Err(Error::Range { name: "flops", value: flops, expected: "finite and above 0" });
        }
        let a = self.params_exponent();
        let (g, c) = (self.g(), flops / 6.0);
        self.plan(g * c.powf(a), c.powf(1.0 - a) / g)
    }

    /// The optimum's budget spent on √k times the tokens and a √k-th of the parameters, so k times the tokens a
    /// parameter.
    ///
    /// # Errors
    /// As [`Law::optimum`]; [`Error::Range`] for a factor that is not finite and above 0.
    pub fn overtrained(&self, flops: f64, factor: f64) -> Result<Overtrained> {
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(Error::Range { name: "overtrain", value: factor, expected: "finite and above 0" });
        }
        let best = self.optimum(flops)?;
        let root = factor.sqrt();
        let plan = self.plan(best.params / root, best.tokens * root)?;
        // Along optima L − E ∝ C^(−αβ/(α+β)).
        let exponent = (self.alpha + self.beta) / (self.alpha * self.beta);
        let compute_equivalent = ((plan.loss - self.e) / (best.loss - self.e)).powf(exponent);
        Ok(Overtrained { plan, loss_gap: plan.loss - best.loss, compute_equivalent })
    }

    fn plan(&self, params: f64, tokens: f64) -> Result<Plan> {
        let plan = Plan { params, tokens, tokens_per_param: tokens / params, loss: self.loss(params, tokens) };
        let sane = |v: f64| v.is_finite() && v > 0.0;
        if sane(plan.params) && sane(plan.tokens) && sane(plan.tokens_per_param) && plan.loss.is_finite() {
            return Ok(plan);
        }
        Err(Error::Undefined(format!(
            "this law and budget ask for {params:e} parameters and {tokens:e} tokens: outside what floats can hold"
        )))
    }
}
