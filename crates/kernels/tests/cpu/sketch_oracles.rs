use ashlar_kernels::sketch::{Coefficients, CountSketch, HashFamily, SketchConfig, scale_for};

fn sketch(config: SketchConfig) -> CountSketch {
    CountSketch::new(config).unwrap()
}

fn buckets(sketch: &CountSketch, row: u32, n: u64) -> Vec<u64> {
    (0..n).map(|i| sketch.place(row, i).unwrap().0).collect()
}

fn signs(sketch: &CountSketch, row: u32, n: u64) -> String {
    (0..n).map(|i| if sketch.place(row, i).unwrap().1 { '-' } else { '+' }).collect()
}

fn ramp() -> Vec<f32> {
    (1..=16).map(|x| x as f32).collect()
}

fn estimates(sketch: &CountSketch) -> Vec<f32> {
    (0..sketch.config().d).map(|i| sketch.estimate(i).unwrap()).collect()
}

#[test]
fn fmix_seed_7() {
    let v = [5.0, -3.0, 0.5, 0.25, -0.125, 8.0, 1.0, -1.0];
    let expected_buckets = [
        [1, 3, 0, 4, 2, 7, 2, 3],
        [2, 4, 1, 7, 1, 7, 5, 4],
        [1, 3, 0, 4, 6, 7, 1, 2],
        [1, 6, 7, 6, 1, 4, 7, 3],
        [3, 3, 7, 6, 0, 4, 0, 3],
    ];
    let expected_signs = ["-++++-++", "--+++++-", "+---+++-", "---+-++-", "++-+-+++"];
    let tables = [
        [0.5, -5.0, 0.875, -4.0, 0.25, 0.0, 0.0, -8.0],
        [0.0, 0.375, -5.0, 0.0, 4.0, 1.0, 0.0, 8.25],
        [-0.5, 6.0, 1.0, 3.0, -0.25, 0.0, -0.125, 8.0],
        [0.0, -4.875, 0.0, 1.0, 8.0, 0.0, 3.25, 0.5],
        [1.125, 0.0, 0.0, 1.0, 8.0, 0.0, 0.25, -0.5],
    ];
    let medians = [5.0, -3.25, 0.5, 0.25, 0.375, 8.0, 1.0, -1.0];
    let mut s = sketch(SketchConfig::new(8, 5, 8, 7));
    s.accumulate(&v, 0).unwrap();
    for row in 0..5 {
        assert_eq!(buckets(&s, row, 8), expected_buckets[row as usize], "row {row}");
        assert_eq!(signs(&s, row, 8), expected_signs[row as usize], "row {row}");
    }
    assert_eq!(s.table_f32(), tables.concat());
    assert_eq!(estimates(&s), medians);
}

#[test]
fn fmix_far_index() {
    let s = sketch(SketchConfig::new(20_000_000_000, 3, 1_000_003, 7));
    let found: Vec<_> = (0..3).map(|row| s.place(row, 10_000_000_000).unwrap()).collect();
    assert_eq!(found, [(170_041, true), (383_528, false), (775_607, false)]);
}

#[test]
fn fmix_seed_42() {
    let mut s = sketch(SketchConfig::new(16, 3, 8, 42));
    s.accumulate(&ramp(), 0).unwrap();
    assert_eq!(buckets(&s, 0, 16), [0, 2, 5, 3, 7, 5, 7, 7, 4, 7, 7, 7, 6, 6, 2, 4]);
    assert_eq!(buckets(&s, 1, 16), [3, 6, 1, 6, 0, 3, 7, 6, 7, 5, 0, 3, 4, 3, 6, 0]);
    assert_eq!(buckets(&s, 2, 16), [7, 1, 3, 1, 6, 6, 0, 2, 4, 6, 0, 0, 6, 1, 1, 5]);
    assert_eq!(signs(&s, 0, 16), "+-+--+-+++--++-+");
    assert_eq!(signs(&s, 1, 16), "--+--++++----+-+");
    assert_eq!(signs(&s, 2, 16), "-+-++-----+-----");
    let tables = [
        [1.0, 0.0, -17.0, -4.0, 25.0, 9.0, 27.0, -17.0],
        [0.0, 3.0, 0.0, 7.0, -13.0, -10.0, -13.0, 16.0],
        [-8.0, -23.0, -8.0, -3.0, -9.0, -16.0, -24.0, -1.0],
    ];
    assert_eq!(s.table_f32(), tables.concat());
    let expected = [1, 13, 3, 4, 0, 9, 16, -13, 16, 10, 0, 8, 24, 23, 17, 16].map(|x| x as f32);
    assert_eq!(estimates(&s), expected);
    let top = s.unsketch(3).unwrap();
    assert_eq!((top.idx(), top.val()), (&[12, 13, 14][..], &[24.0, 23.0, 17.0][..]));
}

#[test]
fn poly61_seed_42() {
    let mut s = sketch(SketchConfig::new(16, 3, 8, 42).hash(HashFamily::Poly61));
    s.accumulate(&ramp(), 0).unwrap();
    assert_eq!(buckets(&s, 0, 16), [4, 7, 2, 5, 0, 2, 5, 0, 3, 6, 1, 4, 7, 2, 5, 0]);
    assert_eq!(signs(&s, 0, 16), "-----++--+-----+");
    let tables =
        [[3, -11, -11, -9, -13, -12, 10, -15], [-24, -6, -6, 13, -6, -6, -4, 23], [26, -12, 4, -6, -22, 8, -24, 10]];
    assert_eq!(s.table_f32(), tables.concat().iter().map(|&x| x as f32).collect::<Vec<_>>());
    let expected = [6, 8, 10, 12, -3, -6, -6, 6, 22, 23, 11, 6, 15, 11, 24, 4].map(|x| x as f32);
    assert_eq!(estimates(&s), expected);
    let top = s.unsketch(3).unwrap();
    assert_eq!((top.idx(), top.val()), (&[8, 9, 14][..], &[22.0, 23.0, 24.0][..]));
}

#[test]
fn csvec_wraps_and_poly61_does_not() {
    let config = SketchConfig::new(16, 3, 7, 42);
    let csvec = sketch(config.hash(HashFamily::Csvec { blocks: 1, coef: Coefficients::SplitMix }));
    let exact = sketch(config.hash(HashFamily::Poly61));
    assert_eq!(buckets(&csvec, 0, 16), [4, 3, 2, 1, 6, 6, 5, 4, 3, 2, 1, 0, 6, 4, 3, 2]);
    assert_eq!(buckets(&exact, 0, 16), [4, 3, 2, 1, 0, 0, 6, 5, 4, 3, 2, 1, 0, 6, 5, 4]);
    assert_eq!(signs(&csvec, 0, 16), signs(&exact, 0, 16));
}

#[test]
fn csvec_itself() {
    let mut s = sketch(SketchConfig::new(16, 3, 8, 0).hash(HashFamily::Csvec { blocks: 1, coef: Coefficients::Torch }));
    s.accumulate(&ramp(), 0).unwrap();
    assert_eq!(buckets(&s, 1, 16), [2, 5, 7, 2, 4, 7, 1, 4, 6, 1, 3, 6, 0, 2, 5, 7]);
    let tables = [[0, -30, 0, 4, 0, 2, 0, 8], [-13, 3, -11, 11, 13, -17, 3, -13], [7, -21, -2, 10, -14, 19, -11, 2]];
    assert_eq!(s.table_f32(), tables.concat().iter().map(|&x| x as f32).collect::<Vec<_>>());
    let expected = [2, 4, 2, -8, 13, 4, 7, 13, -2, 4, 11, 2, 11, -2, 19, 13].map(|x| x as f32);
    assert_eq!(estimates(&s), expected);
}

#[test]
fn scale_of_oracle_7() {
    assert_eq!(scale_for(18.875, 1), 57);
    assert_eq!((scale_for(1.0, 1), scale_for(1.0, 3), scale_for(4.0, 4), scale_for(0.3, 1)), (62, 60, 58, 63));
    assert_eq!((scale_for(0.0, 1), scale_for(f64::INFINITY, 1), scale_for(f64::NAN, 9)), (126, -126, -126));
}

/// 50 normal draws: the squared norm estimate is unbiased.
#[test]
fn l2_is_unbiased() {
    let mean: f64 = (0..50)
        .map(|draw| {
            let x = super::common::noise(draw, 5000);
            let mut s = sketch(SketchConfig::new(5000, 5, 700, 42));
            s.accumulate(&x, 0).unwrap();
            let norm2: f64 = x.iter().map(|&x| x as f64 * x as f64).sum();
            s.l2().powi(2) / norm2 / 50.0
        })
        .sum();
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
}
