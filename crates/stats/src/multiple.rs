//! Many tests at once: adjusted p-values, in the order given. A task is significant where its adjusted p ≤ α.

use crate::error::{Error, Result};

/// Holm's step-down p-values (1979): among all tasks, the chance of even one false alarm stays ≤ α, whatever their
/// dependence.
///
/// ```
/// let adjusted = ashlar_stats::multiple::holm(&[0.01, 0.04, 0.03])?;
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// # Ok::<(), ashlar_stats::Error>(())
/// ```
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut floor = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        floor = floor.max((p.len() - rank) as f64 * p[i]).min(1.0);
        adjusted[i] = floor;
    }
    Ok(adjusted)
}

/// Benjamini and Hochberg's step-up p-values (1995): among the tasks called significant, the expected share of false
/// alarms stays ≤ α, for independent or positively dependent tests.
pub fn benjamini_hochberg(p: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut ceiling = 1.0_f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        ceiling = ceiling.min(p[i] * (p.len() as f64 / (rank + 1) as f64));
        adjusted[i] = ceiling;
    }
    Ok(adjusted)
}

/// The indices of p by size.
fn ascending(p: &[f64]) -> Result<Vec<usize>> {
    if let Some(&found) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::OutOfRange { name: "a p-value", found, expected: "between 0 and 1" });
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    Ok(order)
}
