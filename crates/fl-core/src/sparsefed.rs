//! SparseFed (Panda et al., 2022): clipped updates, their unweighted mean, and only the top k of the server's memory.
//!
//! u_i ← u_i·min(1, L/‖u_i‖₂); G = (1/W)·Σu_i over the W slots, whatever the clients' numbers of examples;
//! V = ρV + G; E = E + V; Δ = topk(E, k); E and V are zeroed where Δ is not 0; w ← w − ηΔ.
//! In fedavg mode the updates contain the clients' η, so the bound is L·η ([`clip_bound`]).
//!
//! *Threat model.* The attacker owns some of the N clients (in the simulator the last ids), knows the global model,
//! lets its clients collude (one malicious update is made and reused) and sends any update whatsoever; the server clips
//! it like everyone's. Top-k then lets the attacker move only coordinates in which the honest memory is not much larger:
//! [`certify`](crate::certify) bounds by how much. The defence fails when attackers fill many slots every round, for
//! then their coordinates are the top k (the matrix keeps such a row).
//!
//! Where we differ: a dropped non-finite update leaves its slot empty, and W stays the divisor. Cost: as
//! [`true_topk`](crate::true_topk), and one pass a client to clip.

use crate::exact::{Divisor, Reduction};
use crate::true_topk::TrueTopk;
use crate::vector::norm_sq;
use crate::{Aggregate, Error, Lr, Result, RoundReport, ServerAlgo};

/// True top-k on clipped, unweighted updates.
#[derive(Debug, Clone)]
pub struct SparseFed {
    server: TrueTopk,
    radius: Option<f64>,
}

impl SparseFed {
    /// For d parameters, k applied coordinates and a momentum in [0, 1). With `radius`
    /// ([`poison_radius`](crate::certify::poison_radius)) each step reports its certificate.
    pub fn new(d: usize, k: usize, momentum: f32, radius: Option<f64>) -> Result<Self> {
        if let Some(radius) = radius.filter(|r| !(*r >= 0.0 && r.is_finite())) {
            return Err(Error::setting("radius", radius, "a finite number of at least 0"));
        }
        Ok(Self { server: TrueTopk::new(d, k, momentum)?, radius })
    }

    /// The error memory E.
    pub fn error(&self) -> &[f32] {
        self.server.error()
    }

    /// How SparseFed sums the (clipped, [`unweighted`](crate::Update::unweighted)) updates of W slots.
    pub fn reduction(slots: usize, exact: bool) -> Reduction {
        Reduction { exact, divisor: Divisor::Slots(slots), ..Reduction::default() }
    }
}

impl ServerAlgo for SparseFed {
    fn name(&self) -> &'static str {
        "sparsefed"
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        self.server.step_certified(aggregate, lr, w, self.radius)
    }

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        self.server.save()
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        self.server.load(state)
    }
}

/// The L2 bound for a round: L on gradients, L·η on local training's weight changes, which contain η.
pub fn clip_bound(l2: f64, local_lr: Option<f64>) -> f64 {
    l2 * local_lr.unwrap_or(1.0)
}

/// Scales x down to an L2 norm of at most `bound`; says whether it had to. The norm is taken in f64, and after
/// rounding to f32 it may exceed the bound by 1e-7 of itself. A norm that is not finite is left for the reduction to drop.
pub fn clip_l2(x: &mut [f32], bound: f64) -> bool {
    let norm = norm_sq(x).sqrt();
    let above = norm > bound && norm.is_finite();
    if above {
        let factor = (bound / norm) as f32;
        for x in x {
            *x *= factor;
        }
    }
    above
}
