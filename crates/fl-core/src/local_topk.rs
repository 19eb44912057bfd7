//! Top-k at each client, with error feedback and momentum in the client's state (CommEfficient's `local_topk`).
//!
//! Client i: v = m·v + n_i·g; e = e + v; s = topk(e, k); e and v are zeroed where s is not 0; s is sent as it is (it
//! carries n_i already). Without error feedback s = topk(v, k). The server is
//! a [`MomentumServer`](crate::momentum::MomentumServer) on Σs/Σn: no masking.
//!
//! A client holds up to 2·d floats, and the union of the clients' supports is dense: uploads shrink by d/k, downloads
//! hardly. Cost: one top-k of d numbers a client and round.

use ashlar_kernels::SparseVec;
use ashlar_kernels::topk::{self, Count};

use crate::error::expect_len;
use crate::server::{ErrorFeedback, check_k, check_momentum};
use crate::{Error, Result, Update};

/// What one client keeps between its rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientState {
    /// v_i; empty without local momentum.
    pub velocity: Vec<f32>,
    /// e_i; empty without local error feedback.
    pub error: Vec<f32>,
}

impl ClientState {
    /// Bytes of the state of one client.
    pub const fn bytes(&self) -> usize {
        (self.velocity.len() + self.error.len()) * size_of::<f32>()
    }
}

/// The client's side.
#[derive(Debug, Clone, Copy)]
pub struct Compressor {
    d: usize,
    k: usize,
    momentum: f32,
    error: ErrorFeedback,
}

impl Compressor {
    /// For d parameters, k sent coordinates, a local momentum in [0, 1), and error feedback at the client or none.
    pub fn new(d: usize, k: usize, momentum: f32, error: ErrorFeedback) -> Result<Self> {
        if error == ErrorFeedback::Virtual {
            return Err(Error::Conflict {
                first: "mode",
                second: "error",
                why: "local top-k has its error feedback at the clients (local) or nowhere (none)",
            });
        }
        Ok(Self { d, k: check_k(k, d)?, momentum: check_momentum(momentum)?, error })
    }

    /// A client's state before its first round.
    pub fn fresh(&self) -> ClientState {
        let zeros = |wanted: bool| if wanted { vec![0.0; self.d] } else { Vec::new() };
        ClientState { velocity: zeros(self.momentum > 0.0), error: zeros(self.error == ErrorFeedback::Local) }
    }

    /// Folds the mean gradient of `examples` examples into the state and takes out what is sent.
    pub fn compress(&self, state: &mut ClientState, client: u32, examples: u64, gradient: &[f32]) -> Result<Update> {
        expect_len("the gradient", gradient.len(), self.d)?;
        let n = examples as f32;
        let mut v: Vec<f32>;
        let velocity: &mut [f32] = if self.momentum > 0.0 {
            expect_len("the client's velocity", state.velocity.len(), self.d)?;
            state.velocity.iter_mut().zip(gradient).for_each(|(v, g)| *v = self.momentum * *v + n * g);
            &mut state.velocity
        } else {
            v = gradient.iter().map(|g| n * g).collect();
            &mut v
        };
        let sent = if self.error == ErrorFeedback::Local {
            expect_len("the client's error", state.error.len(), self.d)?;
            state.error.iter_mut().zip(velocity.iter()).for_each(|(e, v)| *e += v);
            topk::select(&state.error, Count::Exact(self.k as u64))?.0
        } else {
            topk::select(velocity, Count::Exact(self.k as u64))?.0
        };
        if self.error == ErrorFeedback::Local {
            zero_at(&mut state.error, &sent);
        }
        zero_at(velocity, &sent);
        Ok(Update::prescaled(client, examples, sent))
    }
}

/// Zeroes x where the sparse vector holds a value other than 0.
pub(crate) fn zero_at(x: &mut [f32], sparse: &SparseVec) {
    for (&i, &value) in sparse.idx().iter().zip(sparse.val()) {
        if value != 0.0 {
            x[i as usize] = 0.0;
        }
    }
}
