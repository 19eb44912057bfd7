//! Intervals: Wilson's and the exact one for a proportion, Student's for a mean, bootstrap ones for anything else.
//!
//! | question | function |
//! |---|---|
//! | accuracy on n test items | [`wilson`] |
//! | a bound that must hold, as an audit's | [`clopper_pearson`], [`clopper_pearson_upper`], [`clopper_pearson_lower`] |
//! | a mean over seeds, values roughly normal | [`t_mean`] |
//! | a mean, median or ratio of unknown shape | `Bootstrap` (feature `bootstrap`) |
//! | method A against B on the same seeds | `Bootstrap::paired_difference`, or [`paired`](crate::paired::paired) |

#[cfg(feature = "bootstrap")]
mod bootstrap;
mod closed;
mod exact;

use serde::{Deserialize, Serialize};

#[cfg(feature = "bootstrap")]
pub use bootstrap::{Bootstrap, Estimate, Method, bca, percentile};
pub use closed::{t_mean, wilson};
pub use exact::{clopper_pearson, clopper_pearson_lower, clopper_pearson_upper};

/// A two-sided interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end, never below `low`.
    pub high: f64,
    /// Nominal coverage, inside (0, 1).
    pub confidence: f64,
}

impl Interval {
    /// Whether `value` lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The distance between the ends.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}
