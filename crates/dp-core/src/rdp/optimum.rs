//! The order that gives the least ε or δ.
//!
//! ε(α) = ε_RDP(α) + ln(1−1/α) − ln(δα)/(α−1) (Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential
//! Privacy", 2020, proposition 12), and ln δ(α) = (α−1)(ε_RDP(α) − ε) + α ln(1−1/α) − ln(α−1). With λ = α−1 and the
//! cumulant K(λ) = λ ε_RDP, which is convex, ε(α) is (K(λ) − ln δ + h(λ))/λ and ln δ(α) is K(λ) − λε + h(λ), with
//! h(λ) = λ ln(λ/(λ+1)) − ln(λ+1), convex as well (h'' = 1/(λ(λ+1))). So the first is quasi-convex and the second
//! convex in λ: both fall, then rise, and a search by halves finds the least one of a grid in a few evaluations.

use super::orders::{LARGEST, LEAST, Orders};

/// A value and the order that gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AtOrder {
    pub value: f64,
    pub order: f64,
}

/// ε at `delta` (in (0, 1)), not below 0, and its order, from the curve α ↦ ε_RDP(α).
pub(crate) fn epsilon(orders: &Orders, delta: f64, mut rdp: impl FnMut(f64) -> f64) -> AtOrder {
    // δ ≥ √(1 − e^{−KL}) holds with ε = 0 (Bretagnolle–Huber), and the least order bounds KL best.
    let least = orders.grid().map_or(LEAST, |grid| grid[0]);
    if delta * delta > -(-rdp(least)).exp_m1() {
        return AtOrder { value: 0.0, order: least };
    }
    let found = minimum(orders, |order| rdp(order) + (-1.0 / order).ln_1p() - (delta * order).ln() / (order - 1.0));
    AtOrder { value: found.value.max(0.0), ..found }
}

/// δ at `epsilon`, not above 1, and its order.
pub(crate) fn delta(orders: &Orders, epsilon: f64, mut rdp: impl FnMut(f64) -> f64) -> AtOrder {
    let least = orders.grid().map_or(LEAST, |grid| grid[0]);
    let total_variation = (-(-rdp(least)).exp_m1()).sqrt();
    let found = minimum(orders, |order| (order - 1.0) * (rdp(order) - epsilon + (-1.0 / order).ln_1p()) - order.ln());
    let value = found.value.exp();
    if value < total_variation {
        return AtOrder { value: value.min(1.0), ..found };
    }
    AtOrder { value: total_variation, order: least }
}

/// The least value over the orders of a function that falls, then rises.
fn minimum(orders: &Orders, mut f: impl FnMut(f64) -> f64) -> AtOrder {
    match orders.grid() {
        Some(grid) => on_grid(&grid, &mut f),
        None => continuous(&mut f),
    }
}

fn on_grid(grid: &[f64], f: &mut impl FnMut(f64) -> f64) -> AtOrder {
    let (mut low, mut high) = (0, grid.len() - 1);
    while high - low > 2 {
        let middle = low + (high - low) / 2;
        // What is infinite or no number lies on the rising side: only large orders overflow.
        if f(grid[middle]) > f(grid[middle + 1]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    grid[low..=high]
        .iter()
        .map(|&order| AtOrder { value: f(order), order })
        .reduce(|best, one| if one.value < best.value { one } else { best })
        .unwrap_or(AtOrder { value: f64::INFINITY, order: grid[0] })
}

/// Golden sections on ln(α−1).
fn continuous(f: &mut impl FnMut(f64) -> f64) -> AtOrder {
    const RATIO: f64 = 0.618_033_988_749_894_9;
    let order = |s: f64| 1.0 + s.exp();
    let (mut low, mut high) = ((LEAST - 1.0).ln(), (LARGEST - 1.0).ln());
    let mut left = high - RATIO * (high - low);
    let mut right = low + RATIO * (high - low);
    let (mut at_left, mut at_right) = (f(order(left)), f(order(right)));
    // The minimum is flat: 1e-7 in the order's logarithm is 1e-14 in the value.
    while high - low > 1e-7 {
        if at_left > at_right {
            (low, left, at_left) = (left, right, at_right);
            right = low + RATIO * (high - low);
            at_right = f(order(right));
        } else {
            (high, right, at_right) = (right, left, at_left);
            left = high - RATIO * (high - low);
            at_left = f(order(left));
        }
    }
    let (value, s) = if at_right < at_left { (at_right, right) } else { (at_left, left) };
    AtOrder { value, order: order(s) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_by_halves_finds_what_trying_every_order_finds() {
        let grid = Orders::Default.grid().unwrap();
        for rho in [1e-9, 1e-4, 0.02, 0.5, 7.0, 300.0] {
            for delta in [1e-12, 1e-5, 0.1] {
                let each = |order: f64| rho * order + (-1.0 / order).ln_1p() - (delta * order).ln() / (order - 1.0);
                let least = grid.iter().map(|&order| each(order)).fold(f64::INFINITY, f64::min).max(0.0);
                let found = epsilon(&Orders::Default, delta, |order| rho * order);
                if found.order > grid[0] || found.value > 0.0 {
                    assert_eq!(found.value, least, "ρ {rho} δ {delta}");
                }
            }
        }
    }

    #[test]
    fn real_orders_are_at_least_as_good_and_delta_inverts_epsilon() {
        for rho in [0.02, 0.5, 7.0] {
            let curve = |order: f64| rho * order;
            let fine = epsilon(&Orders::Continuous, 1e-5, curve);
            assert!(fine.value <= epsilon(&Orders::Default, 1e-5, curve).value);
            let back = delta(&Orders::Continuous, fine.value, curve);
            assert!((back.value / 1e-5 - 1.0).abs() < 1e-6, "{back:?}");
        }
    }

    #[test]
    fn nothing_spent_costs_nothing() {
        assert_eq!(epsilon(&Orders::Default, 1e-5, |_| 0.0).value, 0.0);
        assert_eq!(delta(&Orders::Default, 0.0, |_| 0.0).value, 0.0);
        assert_eq!(epsilon(&Orders::Default, 1e-5, |_| f64::INFINITY).value, f64::INFINITY);
        assert_eq!(delta(&Orders::Default, 1.0, |_| f64::INFINITY).value, 1.0);
    }
}
