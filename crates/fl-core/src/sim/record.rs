//! What a round leaves in `metrics.jsonl`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One round's figures; what was not measured, or has no meaning in the mode, is null.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Round, counted from 0.
    pub round: usize,
    /// Mean loss of the honest clients, weighted by their examples.
    pub train_loss: Option<f64>,
    /// Accuracy on the test set.
    pub test_acc: Option<f64>,
    /// Accuracy on the validation examples.
    pub val_acc: Option<f64>,
    /// Learning rate of the round (with local training: the clients').
    pub lr: f64,
    /// Bytes that clients sent, as published papers count.
    pub bytes_up_paper: u64,
    /// Bytes that clients received, as published papers count.
    pub bytes_down_paper: u64,
    /// Bytes that clients sent, framed.
    pub bytes_up_wire: u64,
    /// Bytes that clients received, framed.
    pub bytes_down_wire: u64,
    /// Share of the sketch's cells that the round wiped.
    pub masked_fraction: Option<f64>,
    /// Coordinates that changed.
    pub update_nnz: usize,
    /// Norm of the server's momentum.
    pub v_norm: f64,
    /// Norm of the server's error.
    pub e_norm: f64,
    /// Share of updates that the server's bound shortened.
    pub clip_fraction: Option<f64>,
    /// Share of triggered test images that get the attacker's label.
    pub backdoor_acc: Option<f64>,
    /// One-round certificate: L1 distance that the attackers can have moved the weights' update by.
    pub certificate_l1: Option<f64>,
    /// How many times smaller that is than for a dense mean.
    pub certificate_gain: Option<f64>,
    /// Malicious updates in the round.
    pub attackers: usize,
    /// Share of the attack's largest coordinates that are also among the largest of what the attacker observed.
    pub attack_overlap: Option<f64>,
    /// Updates that were dropped: not finite, of a wrong length, or missing.
    pub dropped_nonfinite: usize,
    /// Whether the server took no step, because its rule needs more updates than could be used.
    #[serde(default)]
    pub skipped: bool,
    /// Hash of the weights' bits after the round.
    pub w_hash: String,
    /// Seconds.
    pub wall_s: f64,
}

impl Record {
    /// As `metrics.jsonl` has it.
    pub fn to_json(&self) -> Value {
        // A struct of numbers and strings serialises.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// 64-bit hash of the weights' bits.
pub fn hash_weights(w: &[f32]) -> u64 {
    let mut hash = w.len() as u64;
    for (i, x) in (0u64..).zip(w) {
        hash = ashlar_kernels::rng::fmix64(hash ^ ((u64::from(x.to_bits()) << 32) | (i & 0xffff_ffff)));
    }
    hash
}
