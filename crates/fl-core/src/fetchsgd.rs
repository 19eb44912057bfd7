//! FetchSGD (Rothchild et al., 2020): clients send count-sketches of gradients; momentum, error feedback and top-k
//! happen in the sketch at the server.
//!
//! With G = Σn_i·S(g_i)/Σn_i, where S is the [`CountSketch`]:
//!
//! | | [`Variant::Code`] (CommEfficient; default) | [`Variant::Paper`] (algorithm 1) |
//! |---|---|---|
//! | momentum | V = ρV + G | V = ρV + G |
//! | error | E = E + V | E = E + ηV |
//! | update | Δ = topk(unsketch(E), k) | Δ = topk(unsketch(E), k) |
//! | feedback | E and V zeroed in every cell in which S(Δ) ≠ 0 | E = E − S(Δ) |
//! | weights | w ← w − ηΔ | w ← w − Δ |
//!
//! Traps, each held by a test:
//! - In the code's order η is outside E: a change of the schedule does not rescale the accumulated error. With constant
//!   η the places of η are equivalent (top-k and masks are scale-free).
//! - The mask S(Δ) ≠ 0 wipes 1 − e^{−k/c} of every row, other coordinates' mass included. At k ≈ c that is most of
//!   momentum and error, silently: [`RoundReport::masked_fraction`] says how much, and we warn above one half.
//! - Without collisions and with k = d, `Paper` is SGD with momentum; `Code` is plain SGD, its momentum erased each round.
//! - Even numbers of rows have no middle estimate; taking the lower one biases every estimate. They are refused
//!   (except in the csvec hash family, for parity).
//!
//! Where we differ: the *aggregate* is sketched, once, instead of each client's gradient: by linearity the same up to
//! rounding, and the same bits in fixed point ([`reduce_sketched`] sketches each client, to prove it). A learning rate a
//! coordinate multiplies Δ after unsketching; `Paper` refuses it, since its η acts on the sketch. Cost: rows·d adds for
//! each vector sketched, rows·d reads and one top-k to unsketch. State: 2·rows·cols floats.

use ashlar_kernels::sketch::{CountSketch, SketchConfig, TableKind};
use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::exact::{self, Reduction};
use crate::server::{check_k, check_momentum, descend_sparse, restore};
use crate::{Aggregate, Direction, Error, Lr, Result, RoundReport, ServerAlgo, Update};

/// Whose order of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// CommEfficient's: η outside, error and momentum masked.
    #[default]
    Code,
    /// Algorithm 1 of the paper: η inside the error, S(Δ) subtracted, momentum kept.
    Paper,
}

/// The server of mode sketch.
#[derive(Debug, Clone)]
pub struct FetchSgd {
    k: usize,
    rho: f32,
    variant: Variant,
    v: CountSketch,
    e: CountSketch,
    warned: bool,
}

/// Above this share of wiped cells the server warns, once.
const MASKED_WARNING: f64 = 0.5;

impl FetchSgd {
    /// For a sketch shape (its table kind is ignored: the server's state is f32), k applied coordinates, a momentum in
    /// [0, 1) and a variant. Fewer columns than k work badly: a warning.
    pub fn new(config: SketchConfig, k: usize, momentum: f32, variant: Variant) -> Result<Self> {
        check_k(k, config.d as usize)?;
        if config.cols < k as u64 {
            tracing::warn!(cols = config.cols, k, "fewer sketch columns than kept coordinates: most estimates collide");
        }
        let zero = CountSketch::new(SketchConfig { table: TableKind::F32, ..config })?;
        Ok(Self { k, rho: check_momentum(momentum)?, variant, v: zero.clone(), e: zero, warned: false })
    }

    /// The momentum V and the error E.
    pub fn state(&self) -> (&CountSketch, &CountSketch) {
        (&self.v, &self.e)
    }

    fn warn_if_mostly_masked(&mut self, masked: f64) {
        if masked > MASKED_WARNING && !self.warned {
            self.warned = true;
            tracing::warn!(
                masked_fraction = masked,
                k = self.k,
                cols = self.v.config().cols,
                "most of the sketched momentum and error is wiped each round: use more columns or a smaller k"
            );
        }
    }
}

impl ServerAlgo for FetchSgd {
    fn name(&self) -> &'static str {
        "sketch"
    }

    fn step(&mut self, aggregate: &Aggregate, lr: Lr<'_>, w: &mut [f32]) -> Result<RoundReport> {
        let d = self.v.config().d as usize;
        expect_len("w", w.len(), d)?;
        lr.check(d)?;
        let g = aggregate.sketched(self.v.config())?;
        self.v.scale(self.rho)?;
        self.v.merge(&g)?;
        let inside = match (self.variant, lr) {
            (Variant::Code, _) => 1.0,
            (Variant::Paper, Lr::Scalar(lr)) => lr,
            (Variant::Paper, Lr::PerCoordinate(_)) => {
                return Err(Error::Conflict {
                    first: "variant",
                    second: "lr",
                    why: "variant paper multiplies the sketch by one learning rate: give a single number, or use variant code",
                });
            }
        };
        self.e.add_scaled(&self.v, inside)?;
        let delta = self.e.unsketch(self.k as u64).map_err(|error| match error {
            ashlar_kernels::Error::NonFinite { .. } => Error::Diverged { what: "the server's error sketch" },
            error => error.into(),
        })?;
        let mut sketched = CountSketch::new(*self.v.config())?;
        sketched.accumulate_sparse(&delta)?;
        let masked_fraction = match self.variant {
            Variant::Code => {
                let wiped = self.e.zero_where_nonzero(&sketched)?;
                self.v.zero_where_nonzero(&sketched)?;
                let masked = wiped as f64 / self.v.config().cells() as f64;
                self.warn_if_mostly_masked(masked);
                Some(masked)
            }
            Variant::Paper => {
                self.e.add_scaled(&sketched, -1.0)?;
                None
            }
        };
        descend_sparse(w, &delta, if self.variant == Variant::Paper { Lr::Scalar(1.0) } else { lr });
        Ok(RoundReport {
            update_nnz: delta.val().iter().filter(|v| **v != 0.0).count(),
            masked_fraction,
            v_norm: self.v.l2(),
            e_norm: self.e.l2(),
            delta: Some(delta),
            certificate: None,
        })
    }

    fn save(&self) -> Vec<(String, Vec<f32>)> {
        vec![("v".to_owned(), self.v.table_f32().to_vec()), ("e".to_owned(), self.e.table_f32().to_vec())]
    }

    fn load(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        for (name, sketch) in [("v", &mut self.v), ("e", &mut self.e)] {
            let mut table = vec![0.0; sketch.table_f32().len()];
            restore(state, name, &mut table)?;
            *sketch = CountSketch::from_table_f32(*sketch.config(), table)?;
        }
        Ok(())
    }
}

/// Sketches each client's contribution and merges the sketches: what a federation does, W times the work of sketching
/// the sum. With `exact` the result is bit for bit that of [`exact::reduce`] followed by the server's own sketch.
///
/// `max_norm` divides a client's sketch by l2/max_norm where its estimated norm is larger (CommEfficient's
/// `max_grad_norm` in mode sketch); it needs f32 tables, thus `exact = false`.
pub fn reduce_sketched(
    updates: &[Update],
    config: &SketchConfig,
    how: &Reduction,
    max_norm: Option<f32>,
) -> Result<Aggregate> {
    let d = config.d as usize;
    let screened = exact::screen(updates, d)?;
    let weight = how.check(&screened, updates.len())?;
    let scale_log2 = exact::scale_log2(screened.max_log2, updates.len());
    let table = if how.exact { TableKind::Fixed { scale_log2 } } else { TableKind::F32 };
    if how.exact && max_norm.is_some() {
        return Err(Error::Conflict {
            first: "exact",
            second: "max_grad_norm",
            why: "clipping a client's sketch scales its table, which fixed point cannot do: set exact = false",
        });
    }
    let mut sum = CountSketch::new(SketchConfig { table, ..*config })?;
    for update in &screened.kept {
        let mut sketch = CountSketch::new(*sum.config())?;
        if how.exact {
            let one = exact::Screened { kept: vec![update], ..screened.empty() };
            sketch.accumulate_fixed(&exact::fixed_sum(&one, d, scale_log2)?.q, 0)?;
        } else {
            sketch.accumulate(&update.values.dense(), 0)?;
            let norm = sketch.l2() as f32;
            let clip = max_norm.filter(|max| norm > *max).map_or(1.0, |max| max / norm);
            sketch.scale(update.scale as f32 * clip)?;
        }
        sum.merge(&sketch)?;
    }
    let aggregate = Aggregate::sketch(sum, weight).with_counts(screened.kept.len(), screened.dropped);
    Ok(aggregate.pointing(if updates.is_empty() { Direction::Gradient } else { screened.direction }))
}
