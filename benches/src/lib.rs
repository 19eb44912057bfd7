//! Helpers of the benchmarks.

/// A near-normal vector (sums of four uniforms), fixed by its seed.
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

/// The least that any search must do: add up all elements.
pub fn read_sweep(x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 64];
    for chunk in x.chunks_exact(64) {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().sum()
}

/// Holds the kernels to one thread; the first call of a process decides.
pub fn one_thread() {
    // An error says that the pool is there already.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
}
