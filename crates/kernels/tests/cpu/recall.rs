//! Share of the true top-1000 that comes back from a sketch of x₍ᵢ₎ = ±i^−α, d = 10⁵ (fl-core's table).

use ashlar_kernels::{
    rng,
    sketch::{Coefficients, CountSketch, HashFamily, SketchConfig},
};
use rand::{Rng, seq::SliceRandom};

const D: usize = 100_000;
const K: usize = 1000;
const SEEDS: u64 = 8;

/// x and the positions of its K largest.
fn input(alpha: f64, seed: u64, random_positions: bool) -> (Vec<f32>, Vec<usize>) {
    let mut rng = rng::stream(seed, &["recall"]);
    let mut positions: Vec<usize> = (0..D).collect();
    if random_positions {
        positions.shuffle(&mut rng);
    }
    let mut x = vec![0.0; D];
    for (rank, &position) in positions.iter().enumerate() {
        let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
        x[position] = (sign * (rank as f64 + 1.0).powf(-alpha)) as f32;
    }
    positions.truncate(K);
    (x, positions)
}

/// Mean recall, worst recall and mean relative error over the seeds.
fn measure(alpha: f64, rows: u32, cols: u64, random: bool, hash: HashFamily) -> (f64, f64, f64) {
    let (mut recall, mut worst, mut rel) = (0.0, 1.0_f64, 0.0);
    for seed in 0..SEEDS {
        let (x, heavy) = input(alpha, seed, random);
        let mut sketch = CountSketch::new(SketchConfig::new(D as u64, rows, cols, seed).hash(hash)).unwrap();
        sketch.accumulate(&x, 0).unwrap();
        let top = sketch.unsketch(K as u64).unwrap();
        let found = heavy.iter().filter(|&&i| top.idx().binary_search(&(i as u32)).is_ok()).count();
        let share = found as f64 / K as f64;
        recall += share / SEEDS as f64;
        worst = worst.min(share);
        let estimate = top.to_dense();
        let square = |x: f32| x as f64 * x as f64;
        let error: f64 = x.iter().zip(&estimate).map(|(x, e)| square(x - e)).sum();
        rel += (error / x.iter().map(|&x| square(x)).sum::<f64>()).sqrt() / SEEDS as f64;
    }
    (recall, worst, rel)
}

struct Row {
    alpha: f64,
    random: [f64; 3],
    rel: [f64; 3],
    sorted: [f64; 3],
}

const COLS: [u64; 3] = [5000, 10_000, 20_000];
const TABLE: [Row; 4] = [
    Row { alpha: 0.5, random: [0.374, 0.573, 0.758], rel: [0.830, 0.706, 0.645], sorted: [0.372, 0.575, 0.753] },
    Row { alpha: 0.7, random: [0.548, 0.770, 0.899], rel: [0.315, 0.241, 0.215], sorted: [0.543, 0.766, 0.898] },
    Row { alpha: 1.0, random: [0.612, 0.851, 0.958], rel: [0.054, 0.032, 0.026], sorted: [0.613, 0.848, 0.958] },
    Row { alpha: 1.5, random: [0.628, 0.869, 0.972], rel: [0.004, 0.001, 0.001], sorted: [0.625, 0.864, 0.974] },
];

#[test]
fn fmix_recalls_what_the_table_says() {
    for row in &TABLE {
        for at in 0..3 {
            let (random, _, rel) = measure(row.alpha, 5, COLS[at], true, HashFamily::Fmix64);
            let (sorted, ..) = measure(row.alpha, 5, COLS[at], false, HashFamily::Fmix64);
            let cell = format!("alpha {} cols {}: {random:.3} {rel:.3} {sorted:.3}", row.alpha, COLS[at]);
            assert!((random - row.random[at]).abs() <= 0.015, "{cell}");
            assert!((sorted - row.sorted[at]).abs() <= 0.015, "{cell}");
            assert!((random - sorted).abs() <= 0.015, "{cell}");
            assert!((rel - row.rel[at]).abs() <= 0.015, "{cell}");
        }
    }
}

#[test]
fn fewer_rows_recall_less() {
    for (alpha, expected) in [(0.5, 0.407), (0.7, 0.529), (1.0, 0.560), (1.5, 0.567)] {
        let (three, ..) = measure(alpha, 3, 10_000, true, HashFamily::Fmix64);
        assert!((three - expected).abs() <= 0.015, "alpha {alpha}: {three:.3}");
        let (one, ..) = measure(alpha, 1, 10_000, true, HashFamily::Fmix64);
        assert!((one - 0.1).abs() <= 0.015, "alpha {alpha}, one row: {one:.3}");
    }
}

/// The exact polynomial family: the same mean at random positions, up to .029 more at sorted ones.
#[test]
fn poly61_recalls_as_much() {
    for (alpha, at) in [(0.7, 0), (1.0, 1)] {
        let (fmix, fmix_worst, _) = measure(alpha, 5, COLS[at], true, HashFamily::Fmix64);
        let (poly, poly_worst, _) = measure(alpha, 5, COLS[at], true, HashFamily::Poly61);
        assert!((fmix - poly).abs() <= 0.015, "{fmix:.3} {poly:.3} (worst {fmix_worst:.3} {poly_worst:.3})");
        let (fmix, ..) = measure(alpha, 5, COLS[at], false, HashFamily::Fmix64);
        let (poly, ..) = measure(alpha, 5, COLS[at], false, HashFamily::Poly61);
        assert!((-0.005..=0.045).contains(&(poly - fmix)), "sorted: {fmix:.3} {poly:.3}");
    }
}

/// The published setting's size: 6.6 M coordinates ±i⁻¹ in 5 × 500,000 cells; share of the true top 50,000 recovered.
#[test]
fn six_million_coordinates_come_back_better_than_from_csvec() {
    const D: usize = 6_568_640;
    const K: usize = 50_000;
    let mut rng = rng::stream(0, &["recall", "large"]);
    for (positions, csvec_was) in [("random", 0.729), ("sorted", 0.650)] {
        let mut order: Vec<u32> = (0..D as u32).collect();
        if positions == "random" {
            order.shuffle(&mut rng);
        }
        let mut x = vec![0.0_f32; D];
        for (rank, &position) in order.iter().enumerate() {
            let size = 1.0 / (rank + 1) as f32;
            x[position as usize] = if rng.random::<bool>() { size } else { -size };
        }
        order.truncate(K);
        let csvec = HashFamily::Csvec { blocks: 1, coef: Coefficients::Torch };
        let [fmix, csvec] = [HashFamily::Fmix64, csvec].map(|hash| {
            let mut sketch = CountSketch::new(SketchConfig::new(D as u64, 5, 500_000, 42).hash(hash)).unwrap();
            sketch.accumulate(&x, 0).unwrap();
            let top = sketch.unsketch(K as u64).unwrap();
            order.iter().filter(|i| top.idx().binary_search(i).is_ok()).count() as f64 / K as f64
        });
        println!("{positions}: Fmix64 {fmix:.3}, csvec {csvec:.3}");
        assert!(fmix >= 0.80 && fmix >= csvec, "{positions}: {fmix:.3} {csvec:.3}");
        assert!((csvec - csvec_was).abs() <= 0.03, "{positions}: {csvec:.3}");
    }
}
