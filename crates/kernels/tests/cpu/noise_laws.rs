//! Noise: the law of 10⁷ draws, the bytes of any split, streams apart, exact integers, bad input.

use std::collections::HashSet;

use ashlar_kernels::noise::{DiscreteGaussian, DiscreteLaplace, Noise, NoiseKey};
use ashlar_kernels::simd::{Level, with_level};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::common::bits;

const DRAWS: usize = 10_000_000;
/// Kolmogorov's distribution: P(√n·D > 1.628) = 0.01.
const KOLMOGOROV: f64 = 1.628;

fn keys() -> [NoiseKey; 2] {
    [NoiseKey::philox(20_241_125), NoiseKey::chacha([0x5a; 32])]
}

/// Φ by its series about 0 (|x| < 6), of which each term is below the last once k > x²/2.
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        term *= x * x / (2.0 * k + 1.0);
        sum += term;
        k += 1.0;
    }
    0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

fn laplace_cdf(x: f64) -> f64 {
    if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() }
}

/// Mean and first moments within 4.5 standard errors, and Kolmogorov's distance.
fn check_law(noise: Noise, variance: f64, fourth: f64, cdf: impl Fn(f64) -> f64, what: &str) {
    let mut z = vec![0.0; DRAWS];
    noise.fill(0, 1.0, &mut z).unwrap();
    let n = DRAWS as f64;
    let moment = |power: i32| z.iter().map(|&z| (z as f64).powi(power)).sum::<f64>() / n;
    let (mean, second) = (moment(1), moment(2));
    assert!(mean.abs() < 4.5 * (variance / n).sqrt(), "{what}: mean {mean}");
    let spread = ((fourth - variance * variance) / n).sqrt();
    assert!((second - variance).abs() < 4.5 * spread, "{what}: second moment {second}");
    // Half of the pairs of neighbours are a Box-Muller pair: no correlation.
    let product = z.chunks_exact(2).map(|pair| pair[0] as f64 * pair[1] as f64).sum::<f64>() / (n / 2.0);
    assert!(product.abs() < 4.5 * variance / (n / 2.0).sqrt(), "{what}: correlation {product}");

    z.sort_unstable_by(f32::total_cmp);
    // Every 8th point, and 8 steps of 1/n for what may lie between.
    let distance =
        z.iter().enumerate().step_by(8).map(|(i, &z)| (cdf(z as f64) - i as f64 / n).abs()).fold(0.0, f64::max);
    assert!(distance * n.sqrt() < KOLMOGOROV - 8.0 / n.sqrt(), "{what}: Kolmogorov {}", distance * n.sqrt());
}

#[test]
fn ten_million_draws_have_their_law() {
    for key in keys() {
        check_law(key.gaussian(3, 5), 1.0, 3.0, normal_cdf, &format!("{key:?} gaussian"));
    }
    check_law(keys()[0].laplace(3, 5), 2.0, 24.0, laplace_cdf, "laplace");
    check_law(keys()[0].gaussian(3, 6).sum4(), 1.0, 3.0, normal_cdf, "sum of four");
}

#[test]
fn oracle_two() {
    let mut z = [0.0; 4];
    for (param, offset, expected) in [
        (0, 0, [-0.970_189_7, 0.194_019_0, -1.235_620_1, 1.923_927_0]),
        (7, 4, [-0.328_625_6, 0.327_658_0, 0.493_254_2, 0.954_015_0_f64]),
    ] {
        NoiseKey::philox(42).gaussian(param, 0).fill(offset, 1.0, &mut z).unwrap();
        for (z, expected) in z.iter().zip(expected) {
            assert!((*z as f64 - expected).abs() < 2e-6, "{z} for {expected}");
        }
    }
}

#[test]
fn any_split_threads_and_level_give_the_same_bytes() {
    for noise in keys().into_iter().flat_map(|key| [key.gaussian(1, 2), key.gaussian(1, 2).sum4(), key.laplace(1, 2)]) {
        let n = 200_003;
        let mut whole = vec![0.0; n];
        noise.fill(12_345, 0.7, &mut whole).unwrap();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut again = vec![0.0; n];
            pool.install(|| noise.fill(12_345, 0.7, &mut again)).unwrap();
            assert_eq!(bits(&again), bits(&whole), "{threads} threads");
        }
        for pieces in [1_usize, 3, 5, 16, 255, 1000, 65_537] {
            let mut again = vec![0.0; n];
            for (at, part) in again.chunks_mut(pieces).enumerate().filter(|(at, _)| at % 7 == 0 || pieces > 100) {
                noise.fill(12_345 + (at * pieces) as u64, 0.7, part).unwrap();
                assert_eq!(bits(part), bits(&whole[at * pieces..][..part.len()]), "pieces of {pieces}");
            }
        }
        for level in Level::available() {
            let mut again = vec![0.0; n];
            with_level(level, || noise.fill(12_345, 0.7, &mut again)).unwrap();
            assert_eq!(bits(&again), bits(&whole), "{}", level.name());
        }
        // Added to a sum, and divided.
        let mut sum: Vec<f32> = (0..n).map(|i| i as f32 * 1e-3).collect();
        let expected: Vec<f32> = sum.iter().zip(&whole).map(|(x, z)| (x + z) / 256.0).collect();
        noise.add_and_divide(12_345, 0.7, 256.0, &mut sum).unwrap();
        assert_eq!(bits(&sum), bits(&expected));
    }
}

#[test]
fn two_streams_never_overlap() {
    // The counter determines (part, parameter, step, block) and is determined by it, so under a bijection no block comes
    // twice: tried on neighbours in every coordinate, at the edges of each.
    let mut seen = HashSet::new();
    let mut count = 0;
    for param in [0, 1, 2, u32::MAX] {
        for step in [0, 1, 2, u32::MAX] {
            for block in [0, 1, u32::MAX as u64, 1 << 32, (1 << 62) - 1] {
                for part in 0..4_u32 {
                    let counter = [block as u32, (block >> 32) as u32 | part << 30, param, step];
                    assert!(seen.insert(ashlar_kernels::noise::philox4x32(counter, [42, 0])), "{counter:?}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(seen.len(), count);
    // Values too: no run of four elements of one stream is one of another, at any shift.
    for key in keys() {
        let mut runs = HashSet::new();
        for (param, step) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)] {
            let mut z = vec![0.0; 20_000];
            key.gaussian(param, step).fill(0, 1.0, &mut z).unwrap();
            assert!(z.windows(4).all(|run| runs.insert(bits(run))), "stream ({param}, {step}) repeats another");
        }
    }
    // The last elements there are.
    let mut z = [0.0; 3];
    NoiseKey::philox(1).gaussian(0, 0).fill(u64::MAX - 3, 1.0, &mut z).unwrap();
    assert!(z.iter().all(|z| z.is_finite()));
}

#[test]
fn secure_keys_are_new_and_not_shown() {
    let (a, b) = (NoiseKey::secure().unwrap(), NoiseKey::secure().unwrap());
    assert!(a != b && a.is_secure() && !NoiseKey::chacha([1; 32]).is_secure() && !NoiseKey::philox(1).is_secure());
    assert_eq!(format!("{a:?}"), "NoiseKey(chacha20, secure)");
    assert_eq!(format!("{:?}", NoiseKey::philox(99)), "NoiseKey(philox, seeded)");
}

#[test]
fn what_cannot_be_is_refused() {
    let noise = NoiseKey::philox(1).gaussian(0, 0);
    let mut x = [0.0; 4];
    for (scale, divisor, offset, message) in [
        (-1.0, 1.0, 0, "the noise scale = -1"),
        (f32::NAN, 1.0, 0, "the noise scale = NaN"),
        (f32::INFINITY, 1.0, 0, "the noise scale = inf"),
        (1.0, 0.0, 0, "the divisor = 0"),
        (1.0, f32::NAN, 0, "the divisor = NaN"),
        (1.0, 1.0, u64::MAX - 3, "the noise offset = 18446744073709551612"),
    ] {
        let error = noise.add_and_divide(offset, scale, divisor, &mut x).unwrap_err();
        assert!(error.to_string().contains(message) && error.is_input(), "{error}");
        assert_eq!(x, [0.0; 4]);
    }
    for (n, d) in [(0, 1), (1, 0), (1 << 62, 1), (1, 1 << 32)] {
        assert!(DiscreteGaussian::new(n, d).is_err() && (n, d) != (1, 1));
    }
    assert!(DiscreteLaplace::new(0, 1).is_err() && DiscreteLaplace::new(1, 0).is_err());
    let discrete = DiscreteGaussian::new(4, 1).unwrap();
    let error = discrete.fill(&NoiseKey::philox(1), 0, 0, 0, &mut [0; 3]).unwrap_err();
    assert!(error.to_string().contains("ChaCha20"), "{error}");
    // Nothing to do is nothing wrong.
    noise.fill(5, 0.0, &mut []).unwrap();
}

/// χ² of counts against probabilities: below its 99.9 % point, by Wilson and Hilferty's cube.
fn check_counts(draws: &[i64], probability: impl Fn(i64) -> f64, reach: i64, what: &str) {
    let n = draws.len() as f64;
    let (mut chi, mut cells) = (0.0, 0.0);
    for k in -reach..=reach {
        let expected = n * probability(k);
        if expected >= 10.0 {
            let count = draws.iter().filter(|&&draw| draw == k).count() as f64;
            chi += (count - expected).powi(2) / expected;
            cells += 1.0;
        }
    }
    let limit = cells * f64::powi(1.0 - 2.0 / (9.0 * cells) + 3.09 * f64::sqrt(2.0 / (9.0 * cells)), 3);
    assert!(chi < limit, "{what}: chi squared {chi} for {cells} cells, limit {limit}");
}

#[test]
fn integers_have_their_exact_law() {
    let mut random = ChaCha20Rng::seed_from_u64(3);
    for (n, d) in [(1, 4), (1, 1), (9, 2), (100, 1)] {
        let sigma2 = n as f64 / d as f64;
        let noise = DiscreteGaussian::new(n, d).unwrap();
        let draws: Vec<i64> = (0..200_000).map(|_| noise.sample(&mut random)).collect();
        let weight = |k: i64| (-(k * k) as f64 / (2.0 * sigma2)).exp();
        let total: f64 = (-200..=200).map(weight).sum();
        check_counts(&draws, |k| weight(k) / total, 60, &format!("sigma^2 = {n}/{d}"));
    }
    for (t, s) in [(1, 1), (7, 2)] {
        let noise = DiscreteLaplace::new(t, s).unwrap();
        let draws: Vec<i64> = (0..200_000).map(|_| noise.sample(&mut random)).collect();
        let p = (-(s as f64) / t as f64).exp();
        check_counts(&draws, |k| (1.0 - p) / (1.0 + p) * p.powi(k.abs() as i32), 60, &format!("scale {t}/{s}"));
    }
}

#[test]
fn integers_on_a_fine_grid_have_their_variance() {
    // sigma = 10⁹, as for a grid of 10⁹ steps a unit; and the largest that is accepted.
    for (sigma2, n) in [(10_u64.pow(18), 20_000), ((1 << 62) - 1, 5_000)] {
        let mut draws = vec![0; n];
        DiscreteGaussian::new(sigma2, 1).unwrap().fill(&NoiseKey::chacha([9; 32]), 0, 0, 0, &mut draws).unwrap();
        let ratio = draws.iter().map(|&k| (k as f64).powi(2)).sum::<f64>() / n as f64 / sigma2 as f64;
        assert!((ratio - 1.0).abs() < 4.5 * (2.0 / n as f64).sqrt(), "variance ratio {ratio}");
    }
}

#[test]
fn integers_do_not_depend_on_the_split() {
    let (key, noise) = (NoiseKey::chacha([1; 32]), DiscreteGaussian::new(25, 1).unwrap());
    let mut whole = vec![0; 5000];
    noise.fill(&key, 4, 9, 700, &mut whole).unwrap();
    for pieces in [1, 100, 1024, 1500, 5000] {
        for (at, expected) in whole.chunks(pieces).enumerate().step_by(5) {
            let mut part = vec![0; expected.len()];
            noise.fill(&key, 4, 9, 700 + (at * pieces) as u64, &mut part).unwrap();
            assert_eq!(part, expected, "pieces of {pieces}");
        }
    }
    let mut other = vec![0; 5000];
    noise.fill(&key, 4, 10, 700, &mut other).unwrap();
    assert_ne!(other, whole);
}
