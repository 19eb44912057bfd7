//! Oracle 8 (without the geometric median), preconditions and laws.

use ashlar_fl_core::aggregate::{
    self, AGGREGATORS, Aggregator, Bulyan, Krum, Mean, Median, MultiKrum, NormClip, Params, TrimmedMean, UpdateMatrix,
    WeakDp, krum_scores, squared_distances,
};
use ashlar_fl_core::{Error, Update};
use proptest::prelude::*;

use crate::{close, fixture, floats, floats32, noise};

fn rows() -> Vec<Vec<f32>> {
    fixture()["aggregators"]["rows"].as_array().unwrap().iter().map(floats32).collect()
}

fn run(aggregator: &dyn Aggregator, rows: &[Vec<f32>], f: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    aggregator.aggregate(&UpdateMatrix::new(&rows, &vec![1.0; rows.len()]).unwrap(), f).unwrap()
}

#[test]
fn seven_rows() {
    let rows = rows();
    let expected = &fixture()["aggregators"];
    close(&run(&Median, &rows, 0), &[1.0, 2.0, 3.0], 1e-6);
    close(&run(&TrimmedMean, &rows, 1), &[1.0, 2.0, 3.01], 1e-6);
    close(&run(&TrimmedMean, &rows, 2), &[1.0, 2.0, 3.016_666_7], 1e-6);
    close(&run(&Krum, &rows, 2), &[0.95, 1.95, 3.05], 1e-6);
    close(&run(&MultiKrum { m: Some(5) }, &rows, 2), &[1.0, 2.0, 3.01], 1e-6);
    close(&run(&MultiKrum { m: None }, &rows, 2), &[1.0, 2.0, 3.01], 1e-6);
    close(&run(&Bulyan, &rows, 1), &floats(&expected["bulyan_1"]), 1e-6);
    close(&run(&Mean, &rows, 0), &floats(&expected["mean"]), 1e-6);
    let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let scores = krum_scores(&UpdateMatrix::new(&views, &[1.0; 7]).unwrap(), 2).unwrap();
    let spec = [0.0425, 0.1125, 0.0925, 0.0425, 0.0375, 660.3375, 712.735];
    for ((found, spec), independent) in scores.iter().zip(spec).zip(floats(&expected["krum_scores"])) {
        assert!((found - spec).abs() < 1e-4 && (found - independent).abs() < 1e-4, "{found} {spec} {independent}");
    }
}

#[test]
fn trimming_nothing_is_the_mean() {
    let rows = rows();
    close(&run(&TrimmedMean, &rows, 0), &floats(&fixture()["aggregators"]["trimmed"]["0"]), 1e-6);
    assert_eq!(run(&TrimmedMean, &rows, 0), run(&Mean, &rows, 0));
}

#[test]
fn krum_ties_take_the_lowest_row() {
    let rows = vec![vec![1.0f32, -0.0], vec![1.0, 0.0], vec![1.0, 0.0], vec![1.0, 0.0], vec![1.0, 0.0]];
    assert_eq!(run(&Krum, &rows, 1)[1].to_bits(), (-0.0f32).to_bits());
}

#[test]
fn too_few_updates_say_how_many_are_needed() {
    let table: [(&dyn Aggregator, usize, usize, usize); 5] = [
        (&Krum, 2, 6, 7),
        (&MultiKrum { m: None }, 2, 6, 7),
        (&Bulyan, 2, 10, 11),
        (&TrimmedMean, 3, 6, 7),
        (&TrimmedMean, usize::MAX, 6, usize::MAX),
    ];
    for (aggregator, f, n, needed) in table {
        let rows = vec![[1.0f32, 2.0]; n];
        let views: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let matrix = UpdateMatrix::new(&views, &vec![1.0; n]).unwrap();
        let refused = aggregator.aggregate(&matrix, f).unwrap_err();
        assert!(matches!(refused, Error::TooFewUpdates { needed: found, .. } if found == needed), "{refused}");
        assert!(refused.to_string().contains(&needed.to_string()));
        if needed < 100 {
            let rows = vec![[1.0f32, 2.0]; needed];
            let views: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
            let matrix = UpdateMatrix::new(&views, &vec![1.0; needed]).unwrap();
            assert_eq!(aggregator.aggregate(&matrix, f).unwrap(), [1.0, 2.0]);
        }
    }
}

#[test]
fn clipping_and_weights() {
    let rows = vec![vec![3.0f32, 4.0], vec![0.3, 0.4]];
    close(&run(&NormClip::new(1.0).unwrap(), &rows, 0), &[0.45, 0.6], 1e-7);
    let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let weighted = UpdateMatrix::new(&views, &[1.0, 3.0]).unwrap();
    close(&Mean.aggregate(&weighted, 0).unwrap(), &[0.975, 1.3], 1e-6);
    close(&NormClip::new(1.0).unwrap().aggregate(&weighted, 0).unwrap(), &[0.375, 0.5], 1e-6);
    // A zero row is not divided by its norm.
    close(&run(&NormClip::new(1.0).unwrap(), &[vec![0.0, 0.0]], 0), &[0.0, 0.0], 0.0);
}

#[test]
fn weak_dp_adds_noise_of_the_right_size_anew_each_round() {
    let rows = vec![vec![0.0f32; 20_000]; 3];
    let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let dp = WeakDp::new(1.0, 0.002, 7).unwrap();
    let at = |round| dp.aggregate(&UpdateMatrix::new(&views, &[1.0; 3]).unwrap().in_round(round), 0).unwrap();
    let noise = at(3);
    let sd = (noise.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 20_000.0).sqrt();
    assert!((sd - 0.002).abs() < 5e-5, "{sd}");
    assert_eq!(noise, at(3));
    assert_ne!(noise, at(4));
}

#[test]
fn nonfinite_rows_are_left_out_and_counted() {
    let mut rows = rows();
    rows.push(vec![f32::NAN, 0.0, 0.0]);
    rows.push(vec![0.0, f32::INFINITY, 0.0]);
    let updates: Vec<Update> =
        rows.iter().enumerate().map(|(i, row)| Update::delta(i as u32, 5, row.clone())).collect();
    for entry in AGGREGATORS {
        let params = Params { l2: Some(100.0), sigma: Some(0.0), ..Params::default() };
        let found = aggregate::aggregate((entry.build)(&params).unwrap().as_ref(), &updates, 1, 0).unwrap();
        assert_eq!((found.clients, found.dropped_nonfinite), (7, 2), "{}", entry.name);
        assert!(found.dense().unwrap().iter().all(|x| x.is_finite()));
    }
    assert!(matches!(UpdateMatrix::new(&[&[f32::NAN]], &[1.0]), Err(Error::NoUpdates { dropped: 1 })));
}

#[test]
fn the_table_builds_what_it_names() {
    let params = Params { l2: Some(1.0), sigma: Some(0.1), ..Params::default() };
    for entry in AGGREGATORS {
        assert_eq!(aggregate::by_name(entry.name, &params).unwrap().name(), entry.name);
        assert_eq!(aggregate::by_name(&entry.name.replace('-', "_"), &params).unwrap().name(), entry.name);
    }
    let refused = aggregate::by_name("krumm", &params).err().unwrap().to_string();
    assert!(refused.contains("krumm") && refused.contains("multi-krum"), "{refused}");
    for name in ["norm-clip", "weak-dp"] {
        assert!(aggregate::by_name(name, &Params::default()).is_err());
    }
    for (l2, sigma) in [(0.0, 0.1), (f64::NAN, 0.1), (1.0, -1.0), (1.0, f64::NAN)] {
        assert!(WeakDp::new(l2, sigma, 0).is_err());
    }
    let views: Vec<Vec<f32>> = rows();
    let views: Vec<&[f32]> = views.iter().map(Vec::as_slice).collect();
    for m in [0, 8] {
        assert!(MultiKrum { m: Some(m) }.aggregate(&UpdateMatrix::new(&views, &[1.0; 7]).unwrap(), 2).is_err());
    }
}

#[test]
fn distances_match_a_loop_over_pairs_and_do_not_depend_on_threads() {
    for (n, d) in [(1, 5), (7, 1000), (10, 9001)] {
        let rows: Vec<Vec<f32>> = (0..n).map(|i| noise(i as u64, d)).collect();
        let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let found = squared_distances(&views);
        for i in 0..n {
            for j in 0..n {
                let direct: f64 =
                    rows[i].iter().zip(&rows[j]).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                assert!((found[i * n + j] - direct).abs() <= 1e-9 * d as f64, "{i} {j}");
            }
        }
        let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(threads.install(|| squared_distances(&views)), found);
    }
}

proptest! {
    /// Robust aggregates lie between the rows' extremes and do not depend on the rows' order (ties aside).
    #[test]
    fn within_the_rows_and_order_free(seed in 0u64..1000, n in 7usize..20, d in 1usize..40, turn in 0usize..20) {
        let rows: Vec<Vec<f32>> = (0..n).map(|i| noise(seed * 100 + i as u64, d)).collect();
        let mut turned = rows.clone();
        turned.rotate_left(turn % n);
        for aggregator in [&Median as &dyn Aggregator, &TrimmedMean, &Krum, &MultiKrum { m: None }, &Bulyan] {
            let found = run(aggregator, &rows, 1);
            for (i, value) in found.iter().enumerate() {
                let column = rows.iter().map(|row| row[i]);
                let (low, high) = column.fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(x), h.max(x)));
                prop_assert!((low..=high).contains(value));
            }
            // Bulyan's last selections have no neighbours left to be scored by: its ties are no accident.
            if aggregator.name() == "bulyan" {
                continue;
            }
            let other = run(aggregator, &turned, 1);
            for (a, b) in found.iter().zip(&other) {
                prop_assert!((a - b).abs() < 1e-5, "{}", aggregator.name());
            }
        }
    }
}
