//! From scores over a corpus to thresholds, and from ablation curves to the share of heads that can go.

use super::Side;
use crate::{Error, Result};

/// The threshold that calls a fraction p of the scores inactive.
///
/// The empirical CDF is the points (x₍ᵢ₎, i/n), i from 1, joined by lines; the threshold is where it reaches p (1 − p for
/// [`Side::Greater`]), and the smallest or largest score beyond its ends. Linear time in the number of scores, after
/// selection.
///
/// # Errors
/// [`Error::TooFew`] without scores, [`Error::Range`] for a fraction outside [0, 1] or a score that is not finite.
pub fn threshold(scores: &[f64], fraction: f64, side: Side) -> Result<f64> {
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Error::Range { name: "fraction", value: fraction, expected: "inside [0, 1]" });
    }
    if scores.is_empty() {
        return Err(Error::TooFew { what: "scores".to_owned(), needed: 1, found: 0 });
    }
    if let Some(&value) = scores.iter().find(|score| !score.is_finite()) {
        return Err(Error::Range { name: "score", value, expected: "finite" });
    }
    let n = scores.len();
    let level = if side == Side::Less { fraction } else { 1.0 - fraction };
    // In units of 1/n the points are i = 1, …, n. A level meant as i/n may miss it by rounding, and that must not matter.
    let place = level * n as f64;
    let place = if (place - place.round()).abs() < 1e-9 { place.round() } else { place };
    let place = place.clamp(1.0, n as f64);
    let below = place.floor() as usize;
    let mut sorted = scores.to_vec();
    let (_, &mut low, above) = sorted.select_nth_unstable_by(below - 1, f64::total_cmp);
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    let part = place - below as f64;
    // By parts, since high − low may overflow.
    Ok(if part == 0.0 { low } else { low * (1.0 - part) + high * part })
}

/// The **largest** proportion of heads at which accuracy, joined by lines, crosses `baseline − drop`; 0 if it never does.
/// Points are (proportion, accuracy), in any order.
///
/// # Errors
/// [`Error::Range`] for what is not finite.
pub fn within(points: &[(f64, f64)], baseline: f64, drop: f64) -> Result<f64> {
    let numbers = points.iter().flat_map(|&(proportion, accuracy)| [proportion, accuracy]);
    if let Some(value) = numbers.chain([baseline, drop]).find(|v| !v.is_finite()) {
        return Err(Error::Range { name: "point of the curve", value, expected: "finite" });
    }
    let floor = baseline - drop;
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let crossing = |pair: &[(f64, f64)]| {
        let ((x, y), (x1, y1)) = (pair[0], pair[1]);
        if (y - floor) * (y1 - floor) > 0.0 {
            return None;
        }
        // A segment along the line crosses it to its end.
        Some(if y == y1 { x1 } else { x + (y - floor) / (y - y1) * (x1 - x) })
    };
    Ok(points.windows(2).filter_map(crossing).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 10] = [0.12, 0.9, 0.5, 1.4, 0.33, 0.71, 1.05, 0.2, 0.62, 1.2];

    #[test]
    fn the_inverse_of_the_distribution_is_linear_and_clamped() {
        let less = |p| threshold(&SCORES, p, Side::Less).unwrap();
        let greater = |p| threshold(&SCORES, p, Side::Greater).unwrap();
        assert!((less(0.15) - 0.16).abs() < 1e-15);
        assert!((greater(0.15) - 1.125).abs() < 1e-15);
        assert_eq!((less(0.0), less(0.05), less(0.1), less(1.0)), (0.12, 0.12, 0.12, 1.4));
        assert_eq!((greater(0.0), greater(0.1), greater(0.3), greater(1.0)), (1.4, 1.2, 0.9, 0.12));
        assert_eq!(threshold(&[3.0], 0.7, Side::Less).unwrap(), 3.0);
        assert!(threshold(&[f64::MAX, -f64::MAX], 0.75, Side::Less).unwrap().is_finite());
        for (scores, p) in [(&SCORES[..], 1.1), (&SCORES, -0.1), (&SCORES, f64::NAN), (&[], 0.1), (&[f64::NAN], 0.1)] {
            assert!(threshold(scores, p, Side::Less).is_err());
        }
    }

    #[test]
    fn the_last_crossing_counts() {
        let curve = [(0.0, 0.7), (0.1, 0.68), (0.2, 0.70), (0.3, 0.68), (0.4, 0.5)];
        assert!((within(&curve, 0.7, 0.01).unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(within(&[(0.0, 0.7), (0.3, 0.695)], 0.7, 0.01).unwrap(), 0.0);
        assert_eq!(within(&[(0.0, 0.69), (0.3, 0.69)], 0.7, 0.7 - 0.69).unwrap(), 0.3);
        assert_eq!(within(&[], 0.7, 0.01).unwrap(), 0.0);
        assert!(within(&[(0.0, f64::NAN)], 0.7, 0.01).is_err());
    }
}
