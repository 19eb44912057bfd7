use ashlar_kernels::{
    Error, SparseVec, quantise,
    sketch::{Coefficients, CountSketch, HashFamily, SketchConfig, TableKind},
};
use proptest::{prelude::*, sample::select};

use super::common::{bits, everywhere, finite_vec, noise};

fn family() -> impl Strategy<Value = HashFamily> {
    select(vec![
        HashFamily::Fmix64,
        HashFamily::Poly61,
        HashFamily::Csvec { blocks: 1, coef: Coefficients::Torch },
        HashFamily::Csvec { blocks: 3, coef: Coefficients::Torch },
        HashFamily::Csvec { blocks: 2, coef: Coefficients::SplitMix },
    ])
}

fn config() -> impl Strategy<Value = SketchConfig> {
    let cols = prop_oneof![1_u64..40, select(vec![255, 256, 257, 1000, 5000])];
    (select(vec![1_u32, 3, 5, 7, 9]), cols, any::<u64>(), family())
        .prop_map(|(rows, cols, seed, hash)| SketchConfig::new(3000, rows, cols, seed).hash(hash))
}

fn fits(config: &mut SketchConfig, d: usize) {
    config.d = d as u64;
    if let HashFamily::Csvec { blocks, .. } = &mut config.hash {
        *blocks = (*blocks).min(d as u32);
    }
}

/// The definition, one coordinate after the other.
fn slow_table(config: &SketchConfig, x: &[f32], offset: u64) -> Vec<f32> {
    let empty = CountSketch::new(*config).unwrap();
    let mut table = vec![0.0_f32; config.cells() as usize];
    for row in 0..config.rows {
        for (at, &x) in x.iter().enumerate() {
            let (bucket, minus) = empty.place(row, offset + at as u64).unwrap();
            table[(row as u64 * config.cols + bucket) as usize] += if minus { -x } else { x };
        }
    }
    table
}

fn sketch_of(config: &SketchConfig, x: &[f32], offset: u64) -> CountSketch {
    let mut sketch = CountSketch::new(*config).unwrap();
    sketch.accumulate(x, offset).unwrap();
    sketch
}

fn slow_estimate(sketch: &CountSketch, i: u64) -> f32 {
    let config = sketch.config();
    let mut all: Vec<f32> = (0..config.rows)
        .map(|row| {
            let (bucket, minus) = sketch.place(row, i).unwrap();
            let cell = sketch.table_f32()[(row as u64 * config.cols + bucket) as usize];
            if minus { -cell } else { cell }
        })
        .collect();
    all.sort_by(f32::total_cmp);
    all[(all.len() - 1) / 2]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn accumulate_is_the_definition(mut config in config(), x in finite_vec(3000), before in 0_usize..70) {
        fits(&mut config, x.len() + before);
        let table = everywhere(|| bits(sketch_of(&config, &x, before as u64).table_f32()));
        prop_assert_eq!(table, bits(&slow_table(&config, &x, before as u64)));
    }

    #[test]
    fn estimate_and_unsketch_are_the_definition(mut config in config(), x in finite_vec(3000), share in 0.0..1.0_f64) {
        fits(&mut config, x.len());
        let sketch = sketch_of(&config, &x, 0);
        let estimates: Vec<f32> = (0..config.d).map(|i| slow_estimate(&sketch, i)).collect();
        for i in 0..config.d {
            prop_assert_eq!(sketch.estimate(i).unwrap().to_bits(), estimates[i as usize].to_bits());
        }
        let k = ((share * x.len() as f64) as u64).max(1);
        let mut order: Vec<u32> = (0..x.len() as u32).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(estimates[i as usize].to_bits() & 0x7fff_ffff));
        order.truncate(k as usize);
        order.sort_unstable();
        let (idx, val) = everywhere(|| {
            let top = sketch.unsketch(k).unwrap();
            (top.idx().to_vec(), bits(top.val()))
        });
        let expected: Vec<u32> = order.iter().map(|&i| estimates[i as usize].to_bits()).collect();
        prop_assert_eq!(idx, order);
        prop_assert_eq!(val, expected);
    }

    #[test]
    fn fixed_tables_are_free_of_order(mut config in config(), x in finite_vec(3000), scale in 20..40_i32, cuts in prop::collection::vec(any::<prop::sample::Index>(), 6)) {
        fits(&mut config, x.len());
        let config = config.fixed(scale);
        let whole = everywhere(|| sketch_of(&config, &x, 0).table_fixed().to_vec());
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(x.len())).chain([0, x.len()]).collect();
        at.sort_unstable();
        let mut parts = CountSketch::new(config).unwrap();
        for cut in at.windows(2).rev() {
            parts.merge(&sketch_of(&config, &x[cut[0]..cut[1]], cut[0] as u64)).unwrap();
        }
        prop_assert_eq!(parts.table_fixed(), &whole[..]);

        let mut integers = vec![0; x.len()];
        quantise(&x, scale, &mut integers).unwrap();
        let ready = everywhere(|| {
            let mut ready = CountSketch::new(config).unwrap();
            ready.accumulate_fixed(&integers, 0).unwrap();
            ready.table_fixed().to_vec()
        });
        prop_assert_eq!(ready, whole.clone());
        prop_assert_eq!(parts.to_f32().table_f32().len(), whole.len());
        let reread = CountSketch::from_table_fixed(config, whole).unwrap();
        prop_assert_eq!(bits(reread.to_f32().table_f32()), bits(parts.to_f32().table_f32()));
    }

    #[test]
    fn sketches_are_linear(mut config in config(), x in finite_vec(2000), seed: u64, a in -3.0..3.0_f32, b in -3.0..3.0_f32) {
        fits(&mut config, x.len());
        let y = noise(seed, x.len());
        let (mut sum, other) = (sketch_of(&config, &x, 0), sketch_of(&config, &y, 0));
        sum.scale(a).unwrap();
        sum.add_scaled(&other, b).unwrap();
        let joined: Vec<f32> = x.iter().zip(&y).map(|(x, y)| a * x + b * y).collect();
        let direct = sketch_of(&config, &joined, 0);
        let size: f32 = x.iter().map(|x| x.abs()).sum::<f32>() * a.abs() + y.iter().map(|y| y.abs()).sum::<f32>() * b.abs() + 1.0;
        for (sum, direct) in sum.table_f32().iter().zip(direct.table_f32()) {
            prop_assert!((sum - direct).abs() <= 1e-4 * size, "{sum} {direct}");
        }
    }

    #[test]
    fn sparse_is_dense_with_zeros(mut config in config(), x in finite_vec(2000), step in 1_usize..9) {
        fits(&mut config, x.len());
        let idx: Vec<u32> = (0..x.len() as u32).step_by(step).collect();
        let val = idx.iter().map(|&i| x[i as usize]).collect();
        let sparse = SparseVec::new(x.len() as u64, idx, val).unwrap();
        for config in [config, config.fixed(30)] {
            let (table, fixed) = everywhere(|| {
                let mut sketch = CountSketch::new(config).unwrap();
                sketch.accumulate_sparse(&sparse).unwrap();
                (sketch.table_f32().to_vec(), sketch.table_fixed().to_vec())
            });
            let dense = sketch_of(&config, &sparse.to_dense(), 0);
            prop_assert_eq!(&table[..], dense.table_f32());
            prop_assert_eq!(&fixed[..], dense.table_fixed());
        }
    }

    #[test]
    fn quantise_rounds_half_to_even(x in prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..70), scale in -126..=126_i32) {
        let mut out = vec![0; x.len()];
        let result = everywhere(|| {
            let mut out = vec![0; x.len()];
            let bad = match quantise(&x, scale, &mut out) {
                Ok(()) => None,
                Err(Error::NonFinite { index, .. } | Error::Overflow { index, .. }) => Some(index as usize),
                Err(_) => Some(usize::MAX),
            };
            (bad, out)
        });
        let exact = |x: f32| x as f64 * 2.0_f64.powi(scale);
        let bad = x.iter().position(|&x| exact(x).is_nan() || exact(x).abs() >= 2.0_f64.powi(62));
        prop_assert_eq!(result.0, bad);
        if bad.is_none() {
            for (out, &x) in out.iter_mut().zip(&x) {
                *out = exact(x).round_ties_even() as i64;
            }
            prop_assert_eq!(result.1, out);
        }
    }

    #[test]
    fn scaling_cells_rounds_half_to_even(cell in any::<i64>(), factor in prop_oneof![any::<u32>().prop_map(f32::from_bits), -4.0_f32..4.0, select(vec![0.5, 0.25, -0.5, 0.0, 1.0])]) {
        let config = SketchConfig::new(1, 1, 1, 0).fixed(0);
        let mut sketch = CountSketch::from_table_fixed(config, vec![cell]).unwrap();
        let result = sketch.scale(factor);
        let near = cell as f64 * factor as f64;
        if !factor.is_finite() || near.abs() > 9.3e18 {
            prop_assert!(result.is_err());
            prop_assert_eq!(sketch.table_fixed(), &[cell]);
        } else if near.abs() < 9.2e18 {
            prop_assert!(result.is_ok());
            let found = sketch.table_fixed()[0];
            prop_assert!((found as f64 - near).abs() <= 0.5 + near.abs() * 1e-15, "{} · {} = {}", cell, factor, found);
            if cell.unsigned_abs() < 1 << 29 {
                prop_assert_eq!(found, near.round_ties_even() as i64);
            }
        }
    }
}

#[test]
fn masking_zeroes_where_the_other_is_not() {
    for config in [SketchConfig::new(100, 3, 20, 1), SketchConfig::new(100, 3, 20, 1).fixed(10)] {
        let mut sketch = sketch_of(&config, &[1.0; 100], 0);
        let before = sketch.to_f32();
        let mut other = CountSketch::new(config).unwrap();
        other.accumulate(&[1.0], 3).unwrap();
        assert_eq!(sketch.zero_where_nonzero(&other).unwrap(), 3);
        let after = sketch.to_f32();
        for at in 0..60 {
            let expected = if other.to_f32().table_f32()[at] == 0.0 { before.table_f32()[at] } else { 0.0 };
            assert_eq!(after.table_f32()[at], expected);
        }
    }
}

#[test]
fn bad_configurations_are_told() {
    let message = |config: SketchConfig| CountSketch::new(config).unwrap_err().to_string();
    let good = SketchConfig::new(100, 3, 20, 1);
    let even = message(SketchConfig { rows: 4, ..good });
    assert!(even.contains("rows must be odd, so that the median is one of the estimates"), "{even}");
    let csvec = HashFamily::Csvec { blocks: 1, coef: Coefficients::Torch };
    assert!(CountSketch::new(SketchConfig { rows: 4, ..good }.hash(csvec)).is_ok());
    assert!(message(SketchConfig { rows: 0, ..good }).contains("at least 1 row"));
    assert!(message(SketchConfig { rows: 65, ..good }).contains("at most 64"));
    assert!(message(SketchConfig { cols: 0, ..good }).contains("1 to 2^32 columns"));
    assert!(message(SketchConfig { cols: (1 << 32) + 1, ..good }).contains("1 to 2^32 columns"));
    assert!(message(SketchConfig { d: 0, ..good }).contains('d'));
    assert!(message(good.fixed(127)).contains("-126 to 126"));
    assert!(message(good.hash(HashFamily::Csvec { blocks: 0, coef: Coefficients::Torch })).contains("blocks"));
    assert!(message(good.hash(HashFamily::Csvec { blocks: 101, coef: Coefficients::Torch })).contains("1 to d blocks"));
    // 2 TB: refused rather than aborted, unless this machine has it.
    for config in [good, good.fixed(20)] {
        if let Err(error) = CountSketch::new(SketchConfig { rows: 63, cols: 1 << 32, ..config }) {
            assert!(error.is_input() && error.to_string().contains("63 x 4294967296 cells"), "{error}");
        }
    }
}

#[test]
fn sketches_that_differ_do_not_merge() {
    let config = SketchConfig::new(100, 3, 20, 1);
    let others = [
        ("d", SketchConfig { d: 101, ..config }),
        ("rows", SketchConfig { rows: 5, ..config }),
        ("cols", SketchConfig { cols: 21, ..config }),
        ("seed", SketchConfig { seed: 2, ..config }),
        ("hash", config.hash(HashFamily::Poly61)),
        ("table", config.fixed(3)),
    ];
    for (name, other) in others {
        let other = CountSketch::new(other).unwrap();
        let mut sketch = CountSketch::new(config).unwrap();
        for result in
            [sketch.merge(&other), sketch.add_scaled(&other, 1.0), sketch.zero_where_nonzero(&other).map(drop)]
        {
            match result.unwrap_err() {
                Error::SketchMismatch { field, left, right } => assert!(field == name && left != right),
                error => panic!("{error}"),
            }
        }
    }
    let error =
        CountSketch::new(config).unwrap().merge(&CountSketch::new(SketchConfig { cols: 21, ..config }).unwrap());
    assert_eq!(error.unwrap_err().to_string(), "the sketches differ in cols: 20 and 21");
}

#[test]
fn ranges_kinds_and_counts_are_checked() {
    let config = SketchConfig::new(100, 3, 20, 1);
    let mut sketch = CountSketch::new(config).unwrap();
    assert!(matches!(sketch.accumulate(&[0.0; 3], 98), Err(Error::OutOfRange { offset: 98, end: 101, d: 100 })));
    assert!(sketch.accumulate(&[0.0; 3], u64::MAX - 1).is_err());
    assert!(sketch.accumulate(&[], 100).is_ok());
    assert!(sketch.accumulate_sparse(&SparseVec::new(99, vec![], vec![]).unwrap()).is_err());
    assert!(sketch.accumulate_sparse(&SparseVec::new(100, vec![], vec![]).unwrap()).is_ok());
    assert!(matches!(sketch.accumulate_fixed(&[1], 0), Err(Error::TableKind { .. })));
    assert!(sketch.estimate(100).is_err() && sketch.place(3, 0).is_err());
    assert!(matches!(sketch.unsketch(0), Err(Error::ZeroK)));
    assert_eq!(
        sketch.unsketch(101).unwrap_err().to_string(),
        "k = 101 exceeds the 100 elements of the sketched vector"
    );
    assert!(CountSketch::from_table_f32(config, vec![0.0; 59]).is_err());
    assert!(CountSketch::from_table_f32(config.fixed(1), vec![0.0; 60]).is_err());
    assert!(CountSketch::from_table_fixed(config, vec![0; 60]).is_err());
    assert!(CountSketch::new(SketchConfig::new(1 << 33, 1, 9, 0)).unwrap().unsketch(1).is_err());
}

#[test]
fn nan_and_infinity_are_refused_where_they_would_spread() {
    let config = SketchConfig::new(100, 3, 20, 1);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut sketch = CountSketch::new(config).unwrap();
        sketch.accumulate(&[bad], 50).unwrap();
        assert!(matches!(sketch.unsketch(5), Err(Error::NonFinite { .. })));
        let mut fixed = sketch_of(&config.fixed(20), &[1.0; 100], 0);
        let before = fixed.table_fixed().to_vec();
        assert!(matches!(fixed.accumulate(&[1.0, bad], 50), Err(Error::NonFinite { index: 51, .. })));
        assert_eq!(fixed.table_fixed(), before);
    }
}

#[test]
fn fixed_point_overflow_leaves_the_table_alone() {
    let config = SketchConfig::new(10, 1, 1, 1).fixed(0);
    let TableKind::Fixed { .. } = config.table else { panic!() };
    let sign = if CountSketch::new(config).unwrap().place(0, 0).unwrap().1 { -1 } else { 1 };
    let mut sketch = CountSketch::from_table_fixed(config, vec![i64::MAX - 5]).unwrap();
    for (x, fits) in [(5, true), (1, false), (-7, true), (8, false)] {
        let before = sketch.table_fixed()[0];
        assert_eq!(sketch.accumulate_fixed(&[x * sign], 0).is_ok(), fits, "{x}");
        assert_eq!(sketch.table_fixed()[0], if fits { before + x } else { before });
    }
    let full = CountSketch::from_table_fixed(config, vec![i64::MAX]).unwrap();
    let mut sum = full.clone();
    assert!(matches!(sum.merge(&full), Err(Error::Overflow { .. })));
    assert!(sum.scale(1.5).is_err() && sum.scale(f32::NAN).is_err() && sum.add_scaled(&full, 0.5).is_err());
    assert_eq!(sum.table_fixed(), full.table_fixed());
    assert!(sum.accumulate(&[1e19], 0).is_err());
    // Values that fit one by one, and a sum far beyond what the bound's own arithmetic holds.
    let config = SketchConfig::new(100, 1, 1, 1).fixed(60);
    let mut sum = CountSketch::new(config).unwrap();
    let x: Vec<f32> = (0..100).map(|i| if sum.place(0, i).unwrap().1 { -3.0 } else { 3.0 }).collect();
    assert!(matches!(sum.accumulate(&x, 0), Err(Error::Overflow { index: 2, .. })));
    assert_eq!(sum.table_fixed(), [0]);
    assert!(quantise(&[1.0], 127, &mut [0]).is_err() && quantise(&[1.0], 0, &mut []).is_err());
}
