//! Stand-in for `ashlar_kernels::rng` until that module is merged: the same bytes.

use rand::SeedableRng;
use sha2::{Digest, Sha256};

pub(crate) fn stream(seed: u64, path: &[&str]) -> rand_chacha::ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"ashlar-rng-v1");
    hash.update(seed.to_le_bytes());
    for name in path {
        hash.update((name.len() as u32).to_le_bytes());
        hash.update(name.as_bytes());
    }
    rand_chacha::ChaCha8Rng::from_seed(hash.finalize().into())
}
