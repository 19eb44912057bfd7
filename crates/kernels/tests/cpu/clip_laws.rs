//! Clipping against its closed forms, explicit per-example gradients, and Opacus.

use ashlar_kernels::clip::ghost::{self, LinearShape, NormMethod, Window};
use ashlar_kernels::clip::{ClipRule, Clipper, Finish, TokenGroups};
use ashlar_kernels::noise::NoiseKey;
use ashlar_kernels::rng::SplitMix64;

use crate::common::{bits, noise};

fn near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1e-12), "{what}: {got} for {expected}");
}

fn normals(n: usize, seed: u64) -> Vec<f32> {
    noise(seed, n)
}

fn linear(samples: usize, positions: usize, inputs: usize, outputs: usize) -> LinearShape {
    LinearShape { samples, positions, inputs, outputs }
}

/// gᵢ = BᵢᵀAᵢ in f64, `[N, p, d]`.
fn explicit(shape: LinearShape, a: &[f32], b: &[f32]) -> Vec<Vec<f64>> {
    let LinearShape { samples, positions, inputs, outputs } = shape;
    (0..samples)
        .map(|i| {
            let mut g = vec![0.0; outputs * inputs];
            for s in (i * positions)..(i + 1) * positions {
                for j in 0..outputs {
                    for k in 0..inputs {
                        g[j * inputs + k] += b[s * outputs + j] as f64 * a[s * inputs + k] as f64;
                    }
                }
            }
            g
        })
        .collect()
}

fn squared(g: &[f64]) -> f64 {
    g.iter().map(|g| g * g).sum()
}

#[test]
fn oracle_nine() {
    let g = [3.0, 4.0, 0.0, 0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0];
    let mut sum = [0.0; 3];
    let factors = Clipper::new(ClipRule::Flat, 1.0, 3).unwrap().accumulate(&g, &mut sum).unwrap();
    for (got, expected) in factors.values().iter().zip([0.2, 1.0, 1.0, 1.0 / 3.0]) {
        near(*got as f64, expected, "flat");
    }
    for (got, expected) in sum.iter().zip([1.233_333_3, 1.866_666_7, 0.666_666_7]) {
        near(*got as f64, expected, "sum");
    }
    assert_eq!((factors.clipped(), factors.dropped()), (2, 0));
    let automatic = Clipper::new(ClipRule::Automatic { gamma: 0.01 }, 1.0, 3).unwrap();
    let factors = automatic.accumulate(&g, &mut [0.0; 3]).unwrap();
    for (got, expected) in factors.values().iter().zip([0.199_600_8, 1.960_784_3, 100.0, 0.332_225_9]) {
        near(*got as f64, expected, "automatic");
    }
    let normalize = Clipper::new(ClipRule::Normalize, 2.0, 3).unwrap().accumulate(&g, &mut [0.0; 3]).unwrap();
    assert_eq!(normalize.values()[2], 0.0);
    near(normalize.values()[1] as f64, 4.0, "normalize");
    let global = Clipper::new(ClipRule::Global { cutoff: 4.0 }, 1.0, 3).unwrap().accumulate(&g, &mut [0.0; 3]).unwrap();
    assert_eq!(global.values(), [0.0, 0.25, 0.25, 0.25]);
}

#[test]
fn oracle_ten() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0, 2.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    for method in [NormMethod::Gram, NormMethod::Explicit, NormMethod::Mixed] {
        assert_eq!(ghost::linear_squared_norms(linear(1, 3, 2, 3), &a, &b, method).unwrap(), [345.0]);
    }
    // Positions as examples of their own: the usual bug's sum.
    let each = ghost::linear_squared_norms(linear(3, 1, 2, 3), &a, &b, NormMethod::Gram).unwrap();
    assert_eq!(each.iter().sum::<f64>(), 257.0);
    let groups = TokenGroups::new(&[2, 0, 2], 3, 4).unwrap();
    assert_eq!(ghost::embedding_squared_norms(&groups, &b, 3).unwrap(), [7.0]);
}

#[test]
fn norms_and_sums_are_those_of_explicit_gradients() {
    for (n, s, d, p) in [(3, 1, 5, 7), (2, 3, 2, 3), (4, 33, 40, 31), (2, 64, 130, 70), (1, 70, 200, 3), (5, 2, 1, 1)] {
        let shape = linear(n, s, d, p);
        let (a, b) = (normals(n * s * d, 1), normals(n * s * p, 2));
        let g = explicit(shape, &a, &b);
        let mut all = Vec::new();
        for method in [NormMethod::Gram, NormMethod::Explicit, NormMethod::Mixed] {
            let norms = ghost::linear_squared_norms(shape, &a, &b, method).unwrap();
            for (got, g) in norms.iter().zip(&g) {
                near(*got, squared(g), &format!("{shape:?} {method:?}"));
            }
            all = norms;
        }
        let clipper = Clipper::new(ClipRule::Flat, 1.0, d * p).unwrap();
        let factors = clipper.factors(all).unwrap();
        let mut sum = vec![0.0; d * p];
        ghost::linear_weighted_sum(shape, &a, &b, factors.values(), &mut sum).unwrap();
        let norm = squared(
            &(0..d * p)
                .map(|at| g.iter().zip(factors.values()).map(|(g, &c)| c as f64 * g[at]).sum())
                .collect::<Vec<_>>(),
        )
        .sqrt();
        for (at, got) in sum.iter().enumerate() {
            let expected: f64 = g.iter().zip(factors.values()).map(|(g, &c)| c as f64 * g[at]).sum();
            assert!((*got as f64 - expected).abs() <= 1e-5 * norm, "{shape:?}: {got} for {expected}");
        }
    }
}

#[test]
fn the_mixed_rule_is_that_of_the_paper() {
    for (s, d, p, method) in [
        (4, 8, 4, NormMethod::Gram),
        (4, 31, 1, NormMethod::Explicit),
        (512, 768, 768, NormMethod::Gram),
        (1024, 768, 768, NormMethod::Explicit),
    ] {
        assert_eq!(linear(1, s, d, p).resolve(NormMethod::Mixed), method, "{s} {d} {p}");
    }
}

#[test]
fn an_embedding_tied_to_the_head_has_a_cross_term() {
    let (n, s, r, d, v) = (3, 40, 35, 17, 11);
    let mut mix = SplitMix64::new(5);
    let tokens: Vec<u32> = (0..n * s).map(|_| (mix.next_u64() % v as u64) as u32).collect();
    let (e, a, b) = (normals(n * s * d, 3), normals(n * r * d, 4), normals(n * r * v, 5));
    let head = linear(n, r, d, v);
    let mut g = explicit(head, &a, &b);
    for (at, &token) in tokens.iter().enumerate() {
        for k in 0..d {
            g[at / s][token as usize * d + k] += e[at * d + k] as f64;
        }
    }
    let groups = TokenGroups::new(&tokens, s, v).unwrap();
    let own = ghost::embedding_squared_norms(&groups, &e, d).unwrap();
    let of_head = ghost::linear_squared_norms(head, &a, &b, NormMethod::Gram).unwrap();
    let cross = ghost::tied_cross_terms(&tokens, &e, head, &a, &b).unwrap();
    let total: Vec<f64> = (0..n).map(|i| own[i] + of_head[i] + 2.0 * cross[i]).collect();
    for (got, g) in total.iter().zip(&g) {
        near(*got, squared(g), "tied");
    }
    assert!(cross.iter().any(|c| c.abs() > 1e-3), "a test of nothing");

    let factors = Clipper::new(ClipRule::Flat, 1.0, d * v).unwrap().factors(total).unwrap();
    let mut sum = vec![0.0; v * d];
    ghost::linear_weighted_sum(head, &a, &b, factors.values(), &mut sum).unwrap();
    ghost::embedding_weighted_sum(&groups, &e, factors.values(), &mut sum).unwrap();
    for (at, got) in sum.iter().enumerate() {
        let expected: f64 = g.iter().zip(factors.values()).map(|(g, &c)| c as f64 * g[at]).sum();
        assert!((*got as f64 - expected).abs() < 1e-5, "{got} for {expected}");
    }
}

#[test]
fn the_same_bits_as_sums_of_explicit_gradients() {
    // The rows of the explicit gradient in f32, by the same code one example at a time, then clipped as gradients.
    let shape = linear(5, 37, 45, 33);
    let (a, b) = (normals(5 * 37 * 45, 8), normals(5 * 37 * 33, 9));
    let mut rows = Vec::new();
    for i in 0..5 {
        let mut g = vec![0.0; 45 * 33];
        let (a, b) = (&a[i * 37 * 45..][..37 * 45], &b[i * 37 * 33..][..37 * 33]);
        ghost::linear_weighted_sum(linear(1, 37, 45, 33), a, b, &[1.0], &mut g).unwrap();
        rows.extend(g);
    }
    let clipper = Clipper::new(ClipRule::Flat, 3.0, 45 * 33).unwrap();
    let mut expected = vec![0.0; 45 * 33];
    let factors = clipper.accumulate(&rows, &mut expected).unwrap();
    let mut sum = vec![0.0; 45 * 33];
    ghost::linear_weighted_sum(shape, &a, &b, factors.values(), &mut sum).unwrap();
    assert_eq!(bits(&sum), bits(&expected));
}

#[test]
fn microbatches_and_threads_change_no_bit() {
    let (n, d) = (32, 9_001);
    let g = normals(n * d, 11);
    let clipper = Clipper::uniform(ClipRule::Automatic { gamma: 0.01 }, 2.0, &[4_000, 1, 5_000]).unwrap();
    near(clipper.sensitivity(), 2.0, "sensitivity");
    let finish = Finish { noise: NoiseKey::philox(3).gaussian(10, 4), scale: 0.5, divisor: 32.0 };
    let run = |batch: usize| {
        let mut sum = vec![0.0; d];
        for (at, g) in g.chunks(batch * d).enumerate() {
            if (at + 1) * batch >= n {
                clipper.finish(g, &mut sum, &finish).unwrap();
            } else {
                clipper.accumulate(g, &mut sum).unwrap();
            }
        }
        bits(&sum)
    };
    let expected = run(n);
    for batch in [1, 5, 7, 31] {
        assert_eq!(run(batch), expected, "microbatches of {batch}");
    }
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| run(n)), expected, "{threads} threads");
    }
    // The noise is each layer's own, from its first element on.
    let mut sum = vec![0.0; d];
    clipper.accumulate(&g, &mut sum).unwrap();
    for (layer, columns) in [(0, 0..4_000), (1, 4_000..4_001), (2, 4_001..9_001)] {
        finish.noise.param(10 + layer).add_and_divide(0, 0.5, 32.0, &mut sum[columns]).unwrap();
    }
    assert_eq!(bits(&sum), expected);
}

#[test]
fn examples_that_are_not_finite_contribute_nothing() {
    let d = 3_000;
    let mut g = normals(4 * d, 2);
    g[d + 17] = f32::NAN;
    g[2 * d + 2_999] = f32::NEG_INFINITY;
    for rule in
        [ClipRule::Flat, ClipRule::Automatic { gamma: 0.01 }, ClipRule::Normalize, ClipRule::Global { cutoff: 100.0 }]
    {
        // Also where only one layer of two has the NaN.
        for layers in [&[d][..], &[2_000, 1_000]] {
            let clipper = Clipper::uniform(rule, 1.0, layers).unwrap();
            let mut sum = vec![0.0; d];
            let factors = clipper.accumulate(&g, &mut sum).unwrap();
            assert_eq!(factors.dropped(), 2);
            let mut clean = vec![0.0; d];
            clipper.accumulate(&g[..d], &mut clean).unwrap();
            clipper.accumulate(&g[3 * d..], &mut clean).unwrap();
            assert_eq!(bits(&sum), bits(&clean), "{rule:?}");
            assert!(sum.iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn one_example_contributes_at_most_the_sensitivity() {
    // Gradients of any magnitude that has squares, tiny ones too, and of any bits at all.
    let mut mix = SplitMix64::new(8);
    let mut cases: Vec<Vec<f32>> = [1e-42, 1e-30, 1e-22, 1e-16, 1e-8, 1.0, 1e8, 1e15]
        .map(|scale| normals(700, 3).iter().map(|x| x * scale).collect())
        .into();
    cases.extend((0..8).map(|_| (0..700).map(|_| f32::from_bits(mix.next_u64() as u32)).collect()));
    let rules =
        [ClipRule::Flat, ClipRule::Automatic { gamma: 0.01 }, ClipRule::Normalize, ClipRule::Global { cutoff: 50.0 }];
    for (g, rule) in cases.iter().flat_map(|g| rules.map(|rule| (g, rule))) {
        for layers in [&[700][..], &[100, 500, 100]] {
            let clipper = Clipper::uniform(rule, 1.5, layers).unwrap();
            let mut sum = vec![0.0; 700];
            clipper.accumulate(g, &mut sum).unwrap();
            let norm = squared(&sum.iter().map(|&x| x as f64).collect::<Vec<_>>()).sqrt();
            assert!(norm <= 1.5 * (1.0 + 1e-6), "{rule:?}: {norm} of {}", g[0]);
        }
    }
}

#[test]
fn convolutions_are_linear_after_unfolding() {
    // One image of 1 x 3 x 3, kernel 2: the four windows, row by row.
    let image: Vec<f32> = (1..=9).map(|x| x as f32).collect();
    let plain = Window { kernel: 2, stride: 1, padding: 0, dilation: 1 };
    let (a, positions) = ghost::unfold(&image, [1, 3, 3], plain).unwrap();
    assert_eq!(positions, 4);
    assert_eq!(a, [1.0, 2.0, 4.0, 5.0, 2.0, 3.0, 5.0, 6.0, 4.0, 5.0, 7.0, 8.0, 5.0, 6.0, 8.0, 9.0]);
    let padded = Window { kernel: 3, stride: 2, padding: 1, dilation: 1 };
    let (a, positions) = ghost::unfold(&image, [1, 3, 3], padded).unwrap();
    assert_eq!(positions, 4);
    assert_eq!(a[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
    assert_eq!(ghost::positions_first(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3).unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert!(ghost::unfold(&image, [1, 3, 3], Window { kernel: 4, ..plain }).is_err());
    assert!(ghost::unfold(&image, [1, 3, 3], Window { stride: 0, ..plain }).is_err());
    assert!(ghost::unfold(&image, [2, 3, 3], plain).is_err());
}

#[test]
fn channels_are_sums_over_positions() {
    let (n, s, d) = (3, 200, 5);
    let (x, b) = (normals(n * s * d, 1), normals(n * s * d, 2));
    for with in [true, false] {
        let g = ghost::channel_gradients(with.then_some(&x[..]), &b, s, d).unwrap();
        for (at, g) in g.iter().enumerate() {
            let place = |position: usize| (at / d * s + position) * d + at % d;
            let x = |place: usize| if with { x[place] as f64 } else { 1.0 };
            let expected: f64 = (0..s).map(|s| x(place(s)) * b[place(s)] as f64).sum();
            assert!((*g as f64 - expected).abs() < 1e-4, "{g} for {expected}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (rule, bound, columns, message) in [
        (ClipRule::Flat, 0.0, 3, "the clipping bound = 0"),
        (ClipRule::Flat, -1.0, 3, "the clipping bound = -1"),
        (ClipRule::Flat, f64::NAN, 3, "the clipping bound = NaN"),
        (ClipRule::Flat, f64::INFINITY, 3, "the clipping bound = inf"),
        (ClipRule::Automatic { gamma: 0.0 }, 1.0, 3, "gamma = 0"),
        (ClipRule::Global { cutoff: 0.5 }, 1.0, 3, "the cutoff = 0.5"),
        (ClipRule::Flat, 1.0, 0, "the number of columns"),
    ] {
        let error = Clipper::new(rule, bound, columns).unwrap_err();
        assert!(error.to_string().contains(message) && error.is_input(), "{error}");
    }
    let clipper = Clipper::new(ClipRule::Flat, 1.0, 3).unwrap();
    assert!(clipper.accumulate(&[0.0; 4], &mut [0.0; 3]).is_err());
    assert!(clipper.accumulate(&[0.0; 6], &mut [0.0; 2]).is_err());
    assert!(Clipper::per_layer(ClipRule::Flat, &[]).is_err());
    let shape = linear(2, 3, 4, 5);
    assert!(ghost::linear_squared_norms(shape, &[0.0; 23], &[0.0; 30], NormMethod::Mixed).is_err());
    assert!(ghost::linear_squared_norms(shape, &[0.0; 24], &[0.0; 29], NormMethod::Mixed).is_err());
    assert!(ghost::linear_weighted_sum(shape, &[0.0; 24], &[0.0; 30], &[1.0; 3], &mut [0.0; 20]).is_err());
    assert!(ghost::linear_weighted_sum(shape, &[0.0; 24], &[0.0; 30], &[1.0; 2], &mut [0.0; 21]).is_err());
    assert!(TokenGroups::new(&[1, 2, 3], 2, 4).is_err() && TokenGroups::new(&[4], 1, 4).is_err());
    assert!(TokenGroups::new(&[1], 0, 4).is_err());
    // An empty batch is a step: noise on an untouched sum.
    let mut sum = [1.0; 3];
    let finish = Finish { noise: NoiseKey::philox(3).gaussian(0, 0), scale: 0.0, divisor: 2.0 };
    assert!(clipper.finish(&[], &mut sum, &finish).unwrap().values().is_empty());
    assert_eq!(sum, [0.5; 3]);
    assert!(clipper.finish(&[], &mut sum, &Finish { divisor: 0.0, ..finish }).is_err());
    assert!(clipper.finish(&[], &mut sum, &Finish { scale: -1.0, ..finish }).is_err());
}
