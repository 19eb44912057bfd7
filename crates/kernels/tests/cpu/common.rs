//! Inputs that hurt, and slow references.

use ashlar_kernels::{simd, simd::Level};
use proptest::{prelude::*, sample::select};

/// Lengths around every block size in use.
pub const LENGTHS: [usize; 16] = [1, 2, 15, 16, 17, 31, 32, 33, 63, 65, 1000, 2047, 2048, 2049, 4097, 9000];

/// Vectors with ties, ±0, denormals, NaN and infinities; all-equal ones; plain random ones.
pub fn nasty_vec() -> impl Strategy<Value = Vec<f32>> {
    let special = select(vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -3.0,
        1e-45,
        -1e-45,
        1e-39,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
    ]);
    let length = prop_oneof![select(LENGTHS.to_vec()), 1_usize..200];
    length.prop_flat_map(move |n| {
        prop_oneof![
            3 => prop::collection::vec(prop_oneof![2 => special.clone(), 3 => -1.0_f32..1.0], n),
            2 => prop::collection::vec((-3_i8..4).prop_map(f32::from), n),
            2 => prop::collection::vec(any::<u32>().prop_map(f32::from_bits), n),
            1 => special.clone().prop_map(move |x| vec![x; n]),
        ]
    })
}

/// Finite values of moderate size, with ties and zeros.
pub fn finite_vec(max: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![1 => Just(0.0), 1 => Just(-2.5), 4 => -100.0_f32..100.0], 1..max)
}

/// Runs `work` at every level of the machine and with 1 and 3 threads; all results must be equal to the first.
pub fn everywhere<R: PartialEq + std::fmt::Debug + Send>(work: impl Fn() -> R + Sync) -> R {
    let first = simd::with_level(Level::Scalar, &work);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for level in Level::available() {
            let other = pool.install(|| simd::with_level(level, &work));
            assert_eq!(first, other, "{level:?} with {threads} threads");
        }
    }
    first
}

/// Bits, so that NaNs compare.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// A pseudo-normal vector (sum of uniforms), fixed by its seed.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut mix = ashlar_kernels::rng::SplitMix64::new(seed);
    (0..n)
        .map(|_| {
            let word = mix.next_u64();
            let sum: i32 = (0..4).map(|part| (word >> (16 * part)) as u16 as i32).sum();
            (sum - 131_070) as f32 / 37_837.0
        })
        .collect()
}
