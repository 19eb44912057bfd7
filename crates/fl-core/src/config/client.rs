//! `[client]`: local work.

use serde::{Deserialize, Serialize};

/// What a client does with its examples.
///
/// With mode `fedavg` (and `sparsefed` once `lr` is given or `epochs` exceeds 1) a client runs local SGD and sends
/// its weight change; in every other mode it sends the mean gradient of one batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTable {
    /// Passes over the client's examples, in a fixed order.
    pub epochs: usize,
    /// Examples a step; 0 takes all of the client's.
    pub batch: usize,
    /// Learning rate of local SGD; the server's schedule multiplies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// The learning rate's factor from one local step to the next.
    pub lr_decay: f64,
    /// Momentum: of local SGD, fresh each round; in the gradient modes that of the client's own memory v.
    pub momentum: f64,
    /// Weight decay. Gradient modes apply it once a round at the server, local SGD in each step.
    pub weight_decay: f64,
    /// Parity with CommEfficient: each client adds `weight_decay`/W · w to its mean gradient instead.
    pub wd_div_w: bool,
    /// FedProx: pulls local SGD towards the round's global weights with this strength.
    pub prox_mu: f64,
    /// Bound on the l2 norm of a client's mean gradient (of its sketch in mode `sketch`); 0 is no bound.
    pub max_grad_norm: f64,
    /// Whether local top-k keeps what it doesn't send.
    pub error: LocalError,
}

impl Default for ClientTable {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch: 0,
            lr: None,
            lr_decay: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
            wd_div_w: false,
            prox_mu: 0.0,
            max_grad_norm: 0.0,
            error: LocalError::Auto,
        }
    }
}

/// What happens to what a client computed and did not send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalError {
    /// `local` for mode `local-topk`, `none` elsewhere.
    #[default]
    Auto,
    /// Each client remembers it (mode `local-topk` only).
    Local,
    /// It is lost.
    None,
}
