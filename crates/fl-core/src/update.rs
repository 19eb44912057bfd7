//! What a client sends.

use std::borrow::Cow;

use ashlar_kernels::SparseVec;

/// Which way an update points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// w ← w − update (CommEfficient's convention).
    Gradient,
    /// w ← w + update (FedAvg's and Neurotoxin's convention).
    Delta,
}

/// An update's numbers.
#[derive(Debug, Clone)]
pub enum Values {
    /// All d coordinates.
    Dense(Vec<f32>),
    /// Some of them, the others 0.
    Sparse(SparseVec),
}

impl Values {
    /// The model's d.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Self::Dense(values) => values.len(),
            Self::Sparse(values) => values.len() as usize,
        }
    }

    /// The numbers that are sent: all, or the sparse ones.
    pub fn sent(&self) -> &[f32] {
        match self {
            Self::Dense(values) => values,
            Self::Sparse(values) => values.val(),
        }
    }

    /// All d coordinates.
    pub fn dense(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Dense(values) => Cow::Borrowed(values),
            Self::Sparse(values) => Cow::Owned(values.to_dense()),
        }
    }
}

/// One client's update of one round.
///
/// It adds `scale · values` to the sum and `weight` to the divisor. Usually both are n_i, the examples used; a client
/// whose values already carry n_i (local top-k's error feedback) has `scale` 1.
#[derive(Debug, Clone)]
pub struct Update {
    /// The client's id.
    pub client: u32,
    /// The numbers.
    pub values: Values,
    /// What the values are multiplied by in the sum.
    pub scale: f64,
    /// What the client adds to the divisor.
    pub weight: f64,
    /// Which way the values point.
    pub direction: Direction,
}

impl Update {
    /// A mean gradient over `examples` examples.
    pub fn gradient(client: u32, examples: u64, values: Vec<f32>) -> Self {
        let weight = examples as f64;
        Self { client, values: Values::Dense(values), scale: weight, weight, direction: Direction::Gradient }
    }

    /// A weight change w_local − w after local training on `examples` examples.
    pub fn delta(client: u32, examples: u64, values: Vec<f32>) -> Self {
        Self { direction: Direction::Delta, ..Self::gradient(client, examples, values) }
    }

    /// Values that already carry n_i, as [`local_topk`](crate::local_topk) sends them.
    pub fn prescaled(client: u32, examples: u64, values: SparseVec) -> Self {
        Self {
            client,
            values: Values::Sparse(values),
            scale: 1.0,
            weight: examples as f64,
            direction: Direction::Gradient,
        }
    }

    /// The same values counted once, whatever the number of examples: SparseFed's mean over slots.
    pub fn unweighted(self) -> Self {
        Self { scale: 1.0, weight: 1.0, ..self }
    }
}
