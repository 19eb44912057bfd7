//! Shaping of malicious updates, and Neurotoxin's mask.

use ashlar_fl_core::attack::{Shaping, project_weights, replacement_boost};
use ashlar_fl_core::neurotoxin::{Mask, Scope, global_delta, top_overlap};
use proptest::prelude::*;

use crate::noise;

fn norm(x: &[f32]) -> f64 {
    x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn scaling_boosting_projecting() {
    let shaped = |shaping: Shaping, x: &[f32]| {
        let mut x = x.to_vec();
        shaping.apply(&mut x, None).unwrap();
        x
    };
    assert_eq!(shaped(Shaping::ScaleUpTo { l2: 10.0 }, &[3.0, 4.0]), [6.0, 8.0]);
    assert_eq!(shaped(Shaping::ScaleUpTo { l2: 1.0 }, &[3.0, 4.0]), [3.0, 4.0]);
    assert_eq!(shaped(Shaping::ScaleUpTo { l2: 1.0 }, &[0.0, 0.0]), [0.0, 0.0]);
    assert_eq!(shaped(Shaping::Boost { factor: replacement_boost(10, 2).unwrap() }, &[1.0, -2.0]), [5.0, -10.0]);
    assert_eq!(shaped(Shaping::Project { l2: 1.0 }, &[3.0, 4.0]), [0.6, 0.8]);
    assert_eq!(shaped(Shaping::Project { l2: 9.0 }, &[3.0, 4.0]), [3.0, 4.0]);
    let mut local = [4.0f32, 5.0];
    assert!(project_weights(&mut local, &[1.0, 1.0], 2.5).unwrap());
    assert_eq!(local, [2.5, 3.0]);
    assert!(!project_weights(&mut local, &[1.0, 1.0], 2.6).unwrap());
}

#[test]
fn perfect_knowledge_stays_on_the_honest_support_and_in_the_ball() {
    let (honest, mut x) = (noise(1, 200), noise(2, 200));
    let unshaped = x.clone();
    Shaping::PerfectKnowledge { k: 20, l2: 0.5 }.apply(&mut x, Some(&honest)).unwrap();
    assert!((norm(&x) - 0.5).abs() < 1e-6);
    let mut order: Vec<usize> = (0..200).collect();
    order.sort_by(|a, b| honest[*b].abs().total_cmp(&honest[*a].abs()));
    // CommEfficient restricts and then sends the unrestricted vector: that would fail here.
    assert!(order[20..].iter().all(|&i| x[i] == 0.0));
    assert!(order[..20].iter().all(|&i| (x[i] != 0.0) == (unshaped[i] != 0.0)));
    assert!(Shaping::PerfectKnowledge { k: 20, l2: 0.5 }.apply(&mut x, None).unwrap_err().is_input());
}

#[test]
fn masked_coordinates_are_exactly_zero_and_avoid_the_observed_top() {
    let observed = noise(5, 10_000);
    for share in [0.01, 0.05, 0.1] {
        let mask = Mask::from_observed(&observed, share, Scope::Global).unwrap();
        assert_eq!(mask.masked(), (share * 10_000.0).round() as usize);
        let mut delta = noise(6, 10_000);
        mask.apply(&mut delta).unwrap();
        for (x, keep) in delta.iter().zip(mask.keep()) {
            assert!(*keep || x.to_bits() == 0);
        }
        assert_eq!(top_overlap(&delta, &observed, share).unwrap(), 0.0);
        // Unmasked, independent vectors share about that fraction.
        assert!(top_overlap(&noise(6, 10_000), &observed, share).unwrap() < share * 3.0);
        assert_eq!(top_overlap(&observed, &observed, share).unwrap(), 1.0);
    }
}

/// Weight decay after the mask leaks outside it, as in the official code; masking the final change does not.
#[test]
fn decay_after_masking_leaks_and_mask_delta_stops_it() {
    let (global, observed) = (noise(7, 1000), noise(8, 1000));
    let mask = Mask::from_observed(&observed, 0.05, Scope::Global).unwrap();
    let mut local = global.clone();
    for step in 0..3 {
        let mut g = noise(10 + step, 1000);
        mask.apply(&mut g).unwrap();
        local.iter_mut().zip(&g).for_each(|(w, g)| *w -= 0.1 * (g + 0.005 * *w));
    }
    let outside = |local: &[f32]| {
        let delta = global_delta(&global, local).unwrap();
        delta.iter().zip(mask.keep()).filter(|(x, keep)| !**keep && **x != 0.0).count()
    };
    assert!(outside(&local) > 40);
    mask.restore(&mut local, &global).unwrap();
    assert_eq!(outside(&local), 0);
}

#[test]
fn the_bottom_is_kept_not_the_top() {
    let observed = [0.1f32, -5.0, 0.0, 2.0, -0.3, 1.0, 0.2, 0.4, -0.5, 0.6];
    let mask = Mask::from_observed(&observed, 0.2, Scope::Global).unwrap();
    let masked: Vec<usize> = mask.keep().iter().enumerate().filter(|(_, keep)| !**keep).map(|(i, _)| i).collect();
    assert_eq!(masked, [1, 3]);
    // One threshold a tensor masks in each.
    let mask = Mask::from_observed(&observed, 0.2, Scope::PerTensor(&[0..5, 5..10])).unwrap();
    let masked: Vec<usize> = mask.keep().iter().enumerate().filter(|(_, keep)| !**keep).map(|(i, _)| i).collect();
    assert_eq!(masked, [1, 5]);
    // int(ratio · d) coordinates are kept, as the official code counts; 0 turns it off.
    assert_eq!(Mask::from_observed(&observed[..7], 0.05, Scope::Global).unwrap().masked(), 1);
    assert_eq!(Mask::from_observed(&observed, 0.0, Scope::Global).unwrap().masked(), 0);
    let ties = Mask::from_observed(&[1.0; 10], 0.3, Scope::Global).unwrap();
    assert_eq!(ties.keep()[..4], [false, false, false, true]);
}

proptest! {
    #[test]
    fn keeps_as_many_as_the_ratio_says(d in 1usize..3000, percent in 0u32..100) {
        let mask = Mask::from_observed(&noise(3, d), f64::from(percent) / 100.0, Scope::Global).unwrap();
        prop_assert_eq!(d - mask.masked(), d * (100 - percent as usize) / 100);
    }
}

#[test]
fn bad_masks_and_shapings_are_refused() {
    for share in [1.0, -0.1, f64::NAN] {
        assert!(Mask::from_observed(&[1.0; 4], share, Scope::Global).unwrap_err().is_input());
    }
    assert!(Mask::from_observed(&[1.0; 4], 0.5, Scope::PerTensor(&[0..2, 2..5])).unwrap_err().is_input());
    let mask = Mask::from_observed(&[1.0; 4], 0.5, Scope::Global).unwrap();
    assert!(mask.apply(&mut [0.0; 3]).unwrap_err().is_input());
    assert!(top_overlap(&[1.0; 3], &[1.0; 3], 0.0).is_err());
    assert!(global_delta(&[1.0; 3], &[1.0; 4]).is_err());
    for shaping in [
        Shaping::ScaleUpTo { l2: 0.0 },
        Shaping::Project { l2: f64::NAN },
        Shaping::Boost { factor: -1.0 },
        Shaping::PerfectKnowledge { k: 0, l2: 1.0 },
    ] {
        assert!(shaping.apply(&mut [1.0; 3], Some(&[1.0; 3])).unwrap_err().is_input());
    }
    assert!(replacement_boost(10, 0).is_err() && replacement_boost(10, 11).is_err());
}
