//! What a Gemstones model of a given width and depth has and costs.
//!
//! Geometry: heads of 128, two query heads a key-value head, a gated MLP of 4·width, embedding and head untied, RMS
//! norms. Parameters are exact (all 22 published models agree to the unit); FLOPs count attention's own products, norms
//! and the backward pass of attention at its real cost, which 6N does not: the fitted exponents differ in the second
//! digit. Source: the accounting of the paper's repository (`plotters/plotting_utils.py`).

use serde::Serialize;

use crate::{Error, Result};

/// Vocabulary of the Gemstones models.
pub const VOCAB: u64 = 50304;
/// Their sequence length.
pub const SEQ_LEN: u64 = 2048;
/// Their head size.
pub const HEAD: u64 = 128;
/// No dimension of a model may exceed this.
const LIMIT: u64 = 1_000_000_000;

/// A model's size and cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shape {
    /// All parameters.
    pub params: u64,
    /// Without both embedding matrices.
    pub params_no_embeds: u64,
    /// Training FLOPs (forward and backward) a token.
    pub flops_per_token: f64,
    /// The usual estimate, 6 · `params`.
    pub flops_per_token_6n: f64,
}

impl Shape {
    /// The shape of a Gemstones model: vocabulary 50,304, sequences of 2,048.
    ///
    /// # Errors
    /// As [`Shape::with`].
    pub fn new(width: u64, depth: u64) -> Result<Self> {
        Self::with(width, depth, VOCAB, SEQ_LEN)
    }

    /// The shape with another vocabulary and sequence length.
    ///
    /// # Errors
    /// [`Error::Range`] for a width below 128 (one head), a depth, vocabulary or sequence of 0, a dimension above 10⁹, or
    /// 2⁶⁴ parameters.
    pub fn with(width: u64, depth: u64, vocab: u64, seq_len: u64) -> Result<Self> {
        let limits = [
            ("width", width, HEAD, "from 128 (one head) to 1e9"),
            ("depth", depth, 1, "from 1 to 1e9"),
            ("vocab", vocab, 1, "from 1 to 1e9"),
            ("seq-len", seq_len, 1, "from 1 to 1e9"),
        ];
        for (name, value, least, expected) in limits {
            if value < least || value > LIMIT {
                return Err(Error::Range { name, value: value as f64, expected });
            }
        }
        let (w, l) = (u128::from(width), u128::from(depth));
        let heads = w / u128::from(HEAD);
        let groups = heads / 2;
        let head = u128::from(HEAD);
        let blocks = l * (w * head * (heads + 2 * groups) + head * heads * w + 12 * w * w + 2 * w) + w;
        let all = blocks + 2 * u128::from(vocab) * w;
        let params = u64::try_from(all).map_err(|_| Error::Range {
            name: "params",
            value: all as f64,
            expected: "below 2^64: make the model smaller",
        })?;
        let flops = flops_per_token(width as f64, depth as f64, vocab as f64, seq_len as f64);
        Ok(Self {
            params,
            params_no_embeds: blocks as u64,
            flops_per_token: flops,
            flops_per_token_6n: 6.0 * params as f64,
        })
    }
}

/// Parameters with real-valued heads (no rounding down), for optimisers over width and depth.
pub fn relaxed_params(width: f64, depth: f64, vocab: f64) -> f64 {
    // q = W/128 query heads and q key-value matrices' worth of K and V: 2 W² + W² = 3 W² a block.
    2.0 * vocab * width + width + depth * (15.0 * width * width + 2.0 * width)
}

/// Training FLOPs a token, for real-valued dimensions.
pub fn flops_per_token(width: f64, depth: f64, vocab: f64, seq_len: f64) -> f64 {
    let (w, l, s, head) = (width, depth, seq_len, HEAD as f64);
    // Query heads; K and V together are as many again.
    let q = w / head;
    let kv = q;
    let projections = 2.0 * s * (q + kv) * w * head;
    let rotations = 3.5 * s * (q + kv / 2.0) * head;
    let attn0 = projections + rotations;
    let kq = s * s * head * q;
    let softmax = 3.0 * s * s * q;
    let reduce = 2.0 * s * s * head * q;
    let out = 2.0 * s * w * head * q;
    let backward_attn = l * (2.0 * attn0 + 2.5 * (kq + softmax + reduce) + 2.0 * out);
    let attn = attn0 + kq + softmax + reduce + out;
    let mlp = 6.0 * s * w * 4.0 * w + 10.0 * s * 4.0 * w + 2.0 * w * s;
    let norm = 14.0 * w * s;
    let tail = 7.0 * w * s + 2.0 * s * w * vocab;
    (l * (attn + mlp + norm) + tail + backward_attn + 2.0 * (l * (mlp + norm) + tail)) / s
}
