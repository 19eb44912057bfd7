//! Named places in the forward pass where activations are read and edited.
//!
//! The names are TransformerLens', so that published code can be transcribed: `blocks.3.hook_resid_post`,
//! `blocks.0.attn.hook_pattern`. They are resolved once, when a [`HookSet`] is built; in the forward pass a site without
//! hooks costs one bit test. Edits are made of differentiable operations.
//!
//! With a [`KvCache`](super::KvCache), keys and values of what was read stay as they were computed: an edit of the
//! residual stream, of keys or of values at a prompt's tokens acts on every later token through the layers above, also
//! after the hooks are gone. The cache belongs to the run; another cache knows nothing of it.

mod captured;
mod point;
mod set;
mod site;

use std::{ops::Deref, sync::Arc};

use candle_core::Tensor;

pub(crate) use self::point::no_site;
pub use self::{
    captured::{Captured, Token},
    point::HookPoint,
    set::HookSet,
    site::{SITES, Site, SiteInfo},
};
use super::config::ModelSpec;
use crate::Result;

/// Which part of a run a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads the prompts; every call without a cache is one.
    Prefill,
    /// It goes on after the prompts.
    Decode {
        /// Tokens that the row furthest on has read after its prompt, before this call: 0, 1, …
        step: usize,
    },
}

/// Rows, columns and tokens of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Every token that a row has read, this call's included and padding left out: `ids[row][position]`. Empty in a call
    /// without hooks.
    pub ids: Vec<Vec<u32>>,
    /// Position of each token in its row, padding not counted: `positions[row][column]`.
    pub positions: Vec<Vec<u32>>,
    /// Whether a column of a row is a token, not padding.
    pub real: Vec<Vec<bool>>,
    /// What each row is to the caller: its index among a generation's prompts, also when finished rows have left the batch.
    pub rows: Vec<usize>,
    /// Tokens of each row's prompt: without a cache all of them, with one those of its first call.
    pub prompt: Vec<usize>,
    /// Which part of the run it is.
    pub phase: Phase,
}

impl Layout {
    /// Columns of this call, T.
    pub fn columns(&self) -> usize {
        self.real.first().map_or(0, Vec::len)
    }

    /// Position of the last token of a row in this call, wherever the padding is.
    pub fn last(&self, row: usize) -> Option<u32> {
        let column = self.real.get(row)?.iter().rposition(|&real| real)?;
        self.positions.get(row)?.get(column).copied()
    }

    /// The token at a flat index row · T + column; at padding the one whose position it shares.
    pub(crate) fn token(&self, flat: usize) -> Token {
        let columns = self.columns().max(1);
        let (row, column) = (flat / columns, flat % columns);
        Token { row: self.rows[row], position: self.positions[row][column] }
    }
}

/// What a hook is told; the [`Layout`]'s fields are its own.
#[derive(Debug)]
pub struct HookCtx<'a> {
    /// Where it stands.
    pub point: HookPoint,
    /// At an expert: which tokens its rows are, as row · T + column, padding included.
    pub tokens: Option<&'a [u32]>,
    /// Rows, columns and tokens of the call.
    pub layout: &'a Arc<Layout>,
}

impl Deref for HookCtx<'_> {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        self.layout
    }
}

/// Reads or edits an activation.
pub trait Hook: Send + Sync {
    /// Returns the activation that the forward pass goes on with, of the same shape.
    ///
    /// At an expert that no token chose, the activation has no rows.
    ///
    /// # Errors
    /// Whatever stops the forward pass.
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor>;

    /// Whether it can work at this point of this model; asked once, when it is added to a [`HookSet`].
    ///
    /// # Errors
    /// Where it can't.
    fn check(&self, spec: &ModelSpec, point: HookPoint) -> Result<()> {
        let _ = (spec, point);
        Ok(())
    }
}

impl<F: Fn(Tensor, &HookCtx) -> Result<Tensor> + Send + Sync> Hook for F {
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor> {
        self(x, ctx)
    }
}
