//! Special functions in f64, for tails as far out as the numbers reach.
//!
//! Outside its domain, and for NaN, a function here returns NaN; nothing panics. The crate's page has a table of the
//! errors, measured against mpmath (`scripts/fixtures/special.py`).

mod beta;
mod gamma;
mod log;
mod normal;
mod reference;

pub use beta::{beta_inc, beta_inc_inv, ln_beta, ln_binomial};
pub(crate) use beta::{beta_inc_inv_pair, beta_inc_pair};
pub use gamma::ln_gamma;
pub(crate) use gamma::{deviance, stirling_error};
pub use log::{ln_1m_exp, ln_add_exp, ln_sub_exp, ln_sum_exp};
pub(crate) use normal::mills;
pub use normal::{erfc, erfcx, ln_normal_cdf, normal_cdf, normal_pdf, normal_quantile, normal_quantile_ln, normal_sf};
pub use reference::{chi_squared_sf, student_t_cdf, student_t_quantile};

/// ½·ln 2π.
pub(crate) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;
