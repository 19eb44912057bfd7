//! What implementations of FetchSGD get wrong: each trap, and that the mistake would be seen.

use ashlar_fl_core::fetchsgd::{FetchSgd, Variant};
use ashlar_fl_core::true_topk::TrueTopk;
use ashlar_fl_core::{CountSketch, Lr, ServerAlgo};

use crate::{gradient, mean, noise, sketch};

/// One step with each learning rate; what is left in E.
fn error_after(variant: Variant, lrs: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut server = FetchSgd::new(sketch(200, 3, 61, 9), 5, 0.5, variant).unwrap();
    let mut w = vec![0.0; 200];
    for (t, lr) in lrs.iter().enumerate() {
        server.step(&mean(gradient(t as u64, 0, 200)), Lr::Scalar(*lr), &mut w).unwrap();
    }
    (server.state().1.table_f32().to_vec(), w)
}

#[test]
fn a_schedule_does_not_rescale_the_codes_error() {
    assert_eq!(error_after(Variant::Code, &[0.5, 0.5, 0.5]).0, error_after(Variant::Code, &[1.0, 0.25, 0.125]).0);
    assert_ne!(error_after(Variant::Paper, &[0.5, 0.5, 0.5]).0, error_after(Variant::Paper, &[1.0, 0.25, 0.125]).0);
}

/// "For a constant η the two are the same algorithm": η moved inside E, with the code's masking, gives the same weights.
#[test]
fn with_a_constant_rate_eta_may_stand_inside_or_outside() {
    let (d, k, rho, lr) = (200, 5, 0.5f32, 0.25f32);
    let config = sketch(d, 3, 61, 9);
    let mut v = CountSketch::new(config).unwrap();
    let (mut e, mut inside) = (v.clone(), vec![0.0f32; d as usize]);
    for t in 0..5 {
        v.scale(rho).unwrap();
        v.accumulate(&gradient(t, 0, d), 0).unwrap();
        e.add_scaled(&v, lr).unwrap();
        let delta = e.unsketch(k).unwrap();
        let mut z = CountSketch::new(config).unwrap();
        z.accumulate_sparse(&delta).unwrap();
        e.zero_where_nonzero(&z).unwrap();
        v.zero_where_nonzero(&z).unwrap();
        delta.add_to(&mut inside, -1.0).unwrap();
    }
    assert_eq!(error_after(Variant::Code, &[lr; 5]).1, inside);
}

/// Z ≠ 0 wipes 1 − e^{−k/c} of every row, untouched coordinates' mass included.
#[test]
fn the_mask_wipes_a_known_share_of_the_table() {
    for (k, c) in [(500usize, 4000u64), (500, 2000), (2000, 2000)] {
        let d = 20_000;
        let mut server = FetchSgd::new(sketch(d, 5, c, 3), k, 0.9, Variant::Code).unwrap();
        // Random positions and well separated magnitudes, so that what is selected is spread over the columns.
        let mut g = vec![0.0f32; d as usize];
        for (i, (x, at)) in noise(7, k).into_iter().zip(noise(8, k)).enumerate() {
            let place = (((f64::from(at) + 1.0) * 0.5 * d as f64) as usize + i * 7) % d as usize;
            g[place] = x + x.signum() * 10.0;
        }
        let report = server.step(&mean(g), Lr::Scalar(1.0), &mut vec![0.0; d as usize]).unwrap();
        let expected = 1.0 - (-(k as f64) / c as f64).exp();
        let found = report.masked_fraction.unwrap();
        // Selected coordinates share cells where the table is crowded, so a little less may be wiped.
        assert!(found <= expected * 1.05 && found >= expected * 0.75, "k {k} c {c}: {found}, expected {expected}");
    }
    // The paper's variant wipes nothing and says so.
    let mut paper = FetchSgd::new(sketch(200, 3, 61, 9), 5, 0.5, Variant::Paper).unwrap();
    let report = paper.step(&mean(gradient(0, 0, 200)), Lr::Scalar(1.0), &mut [0.0; 200]).unwrap();
    assert_eq!(report.masked_fraction, None);
}

#[test]
fn the_mask_takes_momentum_as_well_as_error() {
    let mut server = FetchSgd::new(sketch(200, 3, 61, 9), 5, 0.5, Variant::Code).unwrap();
    let report = server.step(&mean(gradient(0, 0, 200)), Lr::Scalar(1.0), &mut [0.0; 200]).unwrap();
    let mut z = CountSketch::new(sketch(200, 3, 61, 9)).unwrap();
    z.accumulate_sparse(&report.delta.unwrap()).unwrap();
    let (v, e) = server.state();
    for ((z, v), e) in z.table_f32().iter().zip(v.table_f32()).zip(e.table_f32()) {
        assert!(*z == 0.0 || (*v == 0.0 && *e == 0.0));
    }
    assert!(v.table_f32().iter().any(|v| *v != 0.0));
}

/// The code's lossless limit is plain SGD; testing it against momentum SGD would fail, as it must.
#[test]
fn code_at_k_equal_d_forgets_its_momentum() {
    let mut code = TrueTopk::new(50, 50, 0.9).unwrap();
    let mut w = vec![0.0; 50];
    for t in 0..3 {
        let report = code.step(&mean(gradient(t, 0, 50)), Lr::Scalar(1.0), &mut w).unwrap();
        assert_eq!((report.v_norm, report.e_norm), (0.0, 0.0));
    }
    let plain: Vec<f32> = (0..50).map(|i| -(0..3).map(|t| gradient(t, 0, 50)[i]).sum::<f32>()).collect();
    assert_eq!(w, plain);
}

#[test]
fn even_rows_are_refused() {
    for rows in [2, 4] {
        let refused = FetchSgd::new(sketch(200, rows, 61, 9), 5, 0.5, Variant::Code).unwrap_err();
        assert!(refused.is_input());
        assert!(refused.to_string().contains("rows"), "{refused}");
    }
}

/// The lower middle of an even number of estimates is biased downwards; the median of an odd number is not.
#[test]
fn the_lower_middle_value_would_bias_estimates() {
    let x = vec![1.0f32; 2000];
    let sketch = {
        let mut s = CountSketch::new(sketch(2000, 5, 100, 4)).unwrap();
        s.accumulate(&x, 0).unwrap();
        s
    };
    let (mut odd, mut lower) = (0.0, 0.0);
    for i in 0..2000u64 {
        let mut rows: Vec<f32> = (0..5)
            .map(|row| {
                let (bucket, minus) = sketch.place(row, i).unwrap();
                let cell = sketch.table_f32()[row as usize * 100 + bucket as usize];
                if minus { -cell } else { cell }
            })
            .collect();
        odd += f64::from(sketch.estimate(i).unwrap());
        rows.truncate(4);
        rows.sort_by(f32::total_cmp);
        lower += f64::from(rows[1]);
    }
    let (odd, lower) = (odd / 2000.0, lower / 2000.0);
    assert!((odd - 1.0).abs() < 0.5, "{odd}");
    assert!(lower < odd - 0.5, "{lower} against {odd}");
}

#[test]
fn ties_keep_the_lowest_index() {
    let mut server = TrueTopk::new(6, 2, 0.0).unwrap();
    let report = server.step(&mean(vec![1.0, -2.0, 2.0, -2.0, 2.0, 0.0]), Lr::Scalar(1.0), &mut [0.0; 6]).unwrap();
    assert_eq!(report.delta.unwrap().idx(), [1, 2]);
}

#[test]
fn a_table_with_nan_is_an_error_never_some_indices() {
    let mut server = FetchSgd::new(sketch(200, 3, 61, 9), 5, 0.5, Variant::Code).unwrap();
    let mut g = gradient(0, 0, 200);
    g[17] = f32::NAN;
    let before = vec![0.0; 200];
    let mut w = before.clone();
    assert!(server.step(&mean(g), Lr::Scalar(1.0), &mut w).is_err());
    assert_eq!(w, before);
    let mut dense = TrueTopk::new(200, 5, 0.5).unwrap();
    let mut g = gradient(0, 0, 200);
    g[17] = f32::NAN;
    assert!(dense.step(&mean(g), Lr::Scalar(1.0), &mut w).is_err());
    assert_eq!(w, before);
}
