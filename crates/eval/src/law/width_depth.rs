//! The best width, depth and tokens for a budget, by a law in them.
//!
//! There is no closed form. The official code searches a grid of 1,025 widths, up to 800 depths each and 500 token counts
//! in buckets of equal FLOPs; here width and depth are real numbers, tokens follow from the budget,
//! D = C / flops_per_token(W, L), and a nested golden section in (ln W, ln L) finds the minimum.

use serde::Serialize;

use super::{
    Fit, Variable,
    shape::{self, SEQ_LEN, VOCAB},
};
use crate::{Error, Result};

/// Widths looked at: 2⁸ to 2¹⁷, as the official grid's.
const WIDTHS: (f64, f64) = (256.0, 131_072.0);
/// Depths looked at.
const DEPTHS: (f64, f64) = (1.0, 800.0);

/// A model and its data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WidthDepthPlan {
    /// Width, a real number.
    pub width: f64,
    /// Depth, a real number.
    pub depth: f64,
    /// Parameters of that shape, not rounded to heads.
    pub params: f64,
    /// Tokens.
    pub tokens: f64,
    /// The law's loss.
    pub loss: f64,
    /// Whether width or depth lies at the end of what is looked at: the law then has no optimum inside.
    pub at_border: bool,
}

/// Minimises a fitted law under a budget in FLOPs, for the Gemstones geometry (vocabulary 50,304, sequences of 2,048).
///
/// # Errors
/// [`Error::Range`] for a budget that is not finite and above 0; [`Error::Undefined`] for a law without width and depth
/// or without tokens.
pub fn prescribe(fit: &Fit, flops: f64) -> Result<WidthDepthPlan> {
    if !(flops > 0.0 && flops.is_finite()) {
        return Err(Error::Range { name: "flops", value: flops, expected: "finite and above 0" });
    }
    let needed = [Variable::Width, Variable::Depth, Variable::Tokens];
    if let Some(missing) = needed.iter().find(|var| !fit.vars.contains(var)) {
        return Err(Error::Undefined(format!("a law without {missing} prescribes no width and depth")));
    }
    let at = |width: f64, depth: f64| {
        let tokens = flops / shape::flops_per_token(width, depth, VOCAB as f64, SEQ_LEN as f64);
        let params = shape::relaxed_params(width, depth, VOCAB as f64);
        let value = |var: &Variable| match var {
            Variable::Params => params,
            Variable::Tokens => tokens,
            Variable::Width => width,
            Variable::Depth => depth,
        };
        let loss = fit.predict(&fit.vars.iter().map(value).collect::<Vec<_>>());
        WidthDepthPlan { width, depth, params, tokens, loss, at_border: false }
    };
    let best_depth = |log_width: f64| {
        let log_depth = golden(DEPTHS.0.ln(), DEPTHS.1.ln(), |log_depth| at(log_width.exp(), log_depth.exp()).loss);
        at(log_width.exp(), log_depth.exp())
    };
    let log_width = golden(WIDTHS.0.ln(), WIDTHS.1.ln(), |log_width| best_depth(log_width).loss);
    let mut plan = best_depth(log_width);
    let near = |value: f64, ends: (f64, f64)| (value / ends.0).ln() < 1e-4 || (ends.1 / value).ln() < 1e-4;
    plan.at_border = near(plan.width, WIDTHS) || near(plan.depth, DEPTHS);
    Ok(plan)
}

/// The minimum of a function with one valley, to about 1e-7 (beyond that, values tell nothing).
fn golden(mut low: f64, mut high: f64, mut f: impl FnMut(f64) -> f64) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut fa, mut fb) = (f(a), f(b));
    while high - low > 1e-7 {
        if fa <= fb {
            (high, b, fb) = (b, a, fa);
            a = high - ratio * (high - low);
            fa = f(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + ratio * (high - low);
            fb = f(b);
        }
    }
    f64::midpoint(low, high)
}
