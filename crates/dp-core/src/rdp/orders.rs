//! Which Rényi orders are tried.

use crate::{Error, Result};

/// Orders at or below this are skipped: the conversion is not stable there.
pub(crate) const LEAST: f64 = 1.01;
/// The largest order tried.
pub(crate) const LARGEST: f64 = 1e7;

/// The orders over which a bound is minimised.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Orders {
    /// 1.1 to 10.9 in steps of 0.1, 11 to 63, 128, 256, 512, 1024: dp_accounting's.
    #[default]
    Default,
    /// Every real order in (1.01, 1e7].
    Continuous,
    /// These.
    List(Vec<f64>),
}

impl Orders {
    /// A list of orders, sorted here.
    ///
    /// # Errors
    /// [`Error::Range`] unless each order is above 1.01 and at most 1e7, and there is one.
    pub fn list(mut orders: Vec<f64>) -> Result<Self> {
        let range = |value| Error::Range { name: "orders", value, expected: "above 1.01 and at most 1e7" };
        if let Some(&wrong) = orders.iter().find(|&&order| !(order > LEAST && order <= LARGEST)) {
            return Err(range(wrong));
        }
        if orders.is_empty() {
            return Err(range(f64::NAN));
        }
        orders.sort_by(f64::total_cmp);
        orders.dedup();
        Ok(Self::List(orders))
    }

    /// The grid, rising; none where the orders are continuous.
    pub fn grid(&self) -> Option<Vec<f64>> {
        match self {
            Self::Default => Some(default_grid()),
            Self::Continuous => None,
            Self::List(orders) => Some(orders.clone()),
        }
    }
}

fn default_grid() -> Vec<f64> {
    // As dp_accounting writes it, 1 + x/10: some neighbours of 0.1's multiples differ in the last bit otherwise.
    let tenths = (1..100).map(|x| 1.0 + f64::from(x) / 10.0);
    let whole = (11..64).map(f64::from);
    tenths.chain(whole).chain([128.0, 256.0, 512.0, 1024.0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_grid_is_dp_accountings() {
        let grid = default_grid();
        assert_eq!(grid.len(), 99 + 53 + 4);
        assert_eq!((grid[0], grid[98], grid[99], grid[151]), (1.1, 10.9, 11.0, 63.0));
        assert!(grid.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn a_list_is_sorted_and_checked() {
        assert_eq!(Orders::list(vec![8.0, 2.0, 8.0]).unwrap(), Orders::List(vec![2.0, 8.0]));
        for wrong in [vec![], vec![1.0], vec![1.01], vec![f64::NAN], vec![2.0, f64::INFINITY], vec![-3.0]] {
            assert!(Orders::list(wrong).is_err());
        }
    }
}
