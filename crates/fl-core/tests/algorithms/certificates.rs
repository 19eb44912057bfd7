//! The one-step certificate: its values, and that no poison beats it.

use ashlar_fl_core::certify::{certified_accuracy, one_step, poison_radius};
use ashlar_kernels::topk::{self, Count};

use crate::{fixture, noise};

#[test]
fn values_of_the_specification() {
    let x = [5.0f32, -4.0, 3.0, 2.9, -1.0, 0.5];
    let spec = [(0.05, 0.086_602_5, 0), (0.1, 6.114_626, 1), (0.5, 7.373_132, 1), (2.0, 15.264_102, 2)];
    let independent = &fixture()["certificates"]["cases"];
    for (i, (radius, l1, swaps)) in spec.into_iter().enumerate() {
        let found = one_step(&x, 3, radius).unwrap();
        assert!((found.l1 - l1).abs() < 1e-6, "R = {radius}: {found:?}");
        assert!((found.l1 - independent[i]["l1"].as_f64().unwrap()).abs() < 1e-6);
        assert_eq!(found.swaps, swaps);
        assert!((found.gain - 6f64.sqrt() * radius / found.l1).abs() < 1e-12);
    }
}

#[test]
fn keeping_all_is_the_dense_bound() {
    let found = one_step(&noise(1, 50), 50, 0.3).unwrap();
    assert!((found.l1 - 50f64.sqrt() * 0.3).abs() < 1e-12);
    assert!((found.gain - 1.0).abs() < 1e-12);
    assert_eq!(found.swaps, 0);
    assert_eq!(one_step(&noise(1, 50), 5, 0.0).unwrap().l1, 0.0);
}

fn top(x: &[f32], k: usize) -> Vec<f32> {
    topk::select(x, Count::Exact(k as u64)).unwrap().0.to_dense()
}

/// How far the step moves under δ, in L1.
fn moved(x: &[f32], delta: &[f64], k: usize) -> f64 {
    let poisoned: Vec<f32> = x.iter().zip(delta).map(|(x, d)| (f64::from(*x) + d) as f32).collect();
    top(x, k).iter().zip(top(&poisoned, k)).map(|(a, b)| (f64::from(*a) - f64::from(b)).abs()).sum()
}

/// 20,000 cases: random directions, and attackers that swap the t closest pairs with the least effort and then spend the
/// rest of R on kept coordinates.
#[test]
fn no_poison_beats_the_bound() {
    let (mut tightest, mut swapped) = (0.0f64, 0);
    for case in 0..20_000u64 {
        let u = noise(case, 8);
        let unit = |i: usize| f64::midpoint(f64::from(u[i]), 1.0);
        let d = 4 + (unit(0) * 40.0) as usize;
        let k = 1 + (unit(1) * (d - 1) as f64) as usize;
        let power = 1.0 + 4.0 * unit(2);
        let x: Vec<f32> = noise(case + 1_000_000, d).iter().map(|v| v.signum() * v.abs().powf(power as f32)).collect();
        let radius = 10f64.powf(-3.0 + 3.5 * unit(3));
        let direction: Vec<f64> = noise(case + 2_000_000, d).into_iter().map(f64::from).collect();
        let delta = if case % 2 == 0 {
            let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
            direction.iter().map(|x| x / norm * radius).collect()
        } else {
            adversarial(&x, k, radius, unit(4))
        };
        let norm = delta.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(norm <= radius * (1.0 + 1e-9));
        let bound = one_step(&x, k, radius).unwrap();
        let found = moved(&x, &delta, k);
        // x + δ is rounded to f32.
        assert!(found <= bound.l1 + 1e-5, "case {case}: moved {found}, bound {bound:?}");
        tightest = tightest.max(found / bound.l1);
        swapped += usize::from(found > radius * (k as f64).sqrt() * (1.0 + 1e-6));
    }
    // The attacks are strong enough that a bound half as large, or one that forgot the swaps, would have been caught.
    assert!(tightest > 0.75, "{tightest}");
    assert!(swapped > 1000, "{swapped}");
}

/// Swaps as many of the closest pairs as `share` of the budget allows, the rest raises the kept coordinates evenly.
fn adversarial(x: &[f32], k: usize, radius: f64, share: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].abs().total_cmp(&x[a].abs()));
    let mut delta = vec![0.0; x.len()];
    let mut left = radius * radius * (1.0 - 1e-9);
    let budget = left * share;
    let mut spent = 0.0;
    for t in 0..k.min(x.len() - k) {
        let (inside, outside) = (order[k - 1 - t], order[k + t]);
        let gap = f64::from(x[inside].abs()) - f64::from(x[outside].abs());
        let half = gap / 2.0 + 1e-6;
        let cost = 2.0 * half * half;
        if spent + cost > budget {
            break;
        }
        spent += cost;
        delta[inside] = -half * f64::from(x[inside].signum());
        delta[outside] = half * f64::from(if x[outside] == 0.0 { 1.0 } else { x[outside].signum() });
    }
    left -= spent;
    let free: Vec<usize> = order[..k].iter().copied().filter(|&i| delta[i] == 0.0).collect();
    let each = (left / free.len().max(1) as f64).sqrt();
    for i in free {
        delta[i] = each * f64::from(x[i].signum());
    }
    delta
}

#[test]
fn the_radius_of_m_clipped_slots() {
    assert_eq!(poison_radius(2, 1.0, 10, false).unwrap(), 0.4);
    assert_eq!(poison_radius(2, 1.0, 10, true).unwrap(), 0.2);
    for (m, clip, slots) in [(1, 1.0, 0), (11, 1.0, 10), (1, 0.0, 10), (1, f64::NAN, 10)] {
        assert!(poison_radius(m, clip, slots, false).unwrap_err().is_input());
    }
}

#[test]
fn certified_accuracy_needs_the_gap_and_the_right_answer() {
    let logits = [
        3.0f32,
        1.0,
        0.0,
        /**/ 0.0,
        0.4,
        0.0,
        /**/ 1.0,
        5.0,
        0.0,
        /**/ f32::NAN,
        9.0,
        0.0,
        /**/ 2.0,
        2.0,
        0.0,
    ];
    let labels = [0, 1, 0, 1, 0];
    let at = |bound| certified_accuracy(&logits, &labels, 3, bound).unwrap();
    assert_eq!((at(2.0).accuracy, at(2.0).wide_gap), (0.2, 2));
    assert_eq!((at(0.1).accuracy, at(0.1).wide_gap), (0.4, 3));
    assert_eq!((at(0.0).accuracy, at(0.0).wide_gap), (0.6, 4));
    assert_eq!(at(100.0).accuracy, 0.0);
    assert!(certified_accuracy(&logits, &labels, 1, 0.0).is_err());
    assert!(certified_accuracy(&logits[1..], &labels, 3, 0.0).is_err());
    assert!(certified_accuracy(&logits, &labels, 3, -1.0).is_err());
    assert!(certified_accuracy(&logits, &labels, 3, f64::NAN).is_err());
}

#[test]
fn bad_radii_and_memories_are_refused() {
    let x = noise(1, 10);
    for (k, radius) in [(0, 1.0), (11, 1.0), (3, -1.0), (3, f64::NAN), (3, f64::INFINITY)] {
        assert!(one_step(&x, k, radius).unwrap_err().is_input());
    }
    assert!(one_step(&[1.0, f32::NAN], 1, 1.0).is_err());
}
