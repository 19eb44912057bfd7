//! Activations by their place, as hooks or [`run_with_cache`](crate::lm::Model::run_with_cache) leave them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use candle_core::Tensor;

use super::{HookCtx, HookPoint, Layout};

/// The token that a row of an activation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The row's id, as in [`Layout::rows`].
    pub row: usize,
    /// Its position in the row, padding not counted.
    pub position: u32,
}

/// Activations by their place: those of the last call that went by.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<BTreeMap<HookPoint, Capture>>>);

#[derive(Clone, Debug)]
struct Capture {
    x: Tensor,
    tokens: Tokens,
}

/// How rows of the tensor belong to tokens.
#[derive(Clone, Debug)]
enum Tokens {
    /// As the site has it: `[B,T,…]`, padding included.
    Site { layout: Arc<Layout>, experts: Option<Vec<u32>> },
    /// One row each.
    Packed(Vec<Token>),
    /// One row each: the mean over the tokens of a row.
    Means(Vec<usize>),
}

impl Captured {
    /// The activation at a point, where it was captured.
    pub fn get(&self, point: HookPoint) -> Option<Tensor> {
        self.lock().get(&point).map(|capture| capture.x.clone())
    }

    /// The token of each row of a tensor that was selected by a [`CaptureSpec`](crate::lm::CaptureSpec) or is an
    /// expert's; `None` for a whole activation `[B,T,…]`, for a mean, and where nothing was captured.
    ///
    /// At an expert the rows of padding are among those that the hook sees, but not among those that are selected.
    pub fn tokens(&self, point: HookPoint) -> Option<Vec<Token>> {
        match &self.lock().get(&point)?.tokens {
            Tokens::Packed(tokens) => Some(tokens.clone()),
            Tokens::Site { layout, experts: Some(flat) } => {
                Some(flat.iter().map(|&i| layout.token(i as usize)).collect())
            }
            Tokens::Site { .. } | Tokens::Means(_) => None,
        }
    }

    /// The row's id of each row of a mean.
    pub fn rows(&self, point: HookPoint) -> Option<Vec<usize>> {
        match &self.lock().get(&point)?.tokens {
            Tokens::Means(rows) => Some(rows.clone()),
            Tokens::Packed(tokens) => Some(tokens.iter().map(|token| token.row).collect()),
            Tokens::Site { .. } => None,
        }
    }

    /// Where something was captured.
    pub fn points(&self) -> Vec<HookPoint> {
        self.lock().keys().copied().collect()
    }

    /// All of them, by name.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.lock().iter().map(|(point, capture)| (point.to_string(), capture.x.clone())).collect()
    }

    pub(super) fn whole(&self, x: Tensor, ctx: &HookCtx) {
        let tokens = Tokens::Site { layout: ctx.layout.clone(), experts: ctx.tokens.map(<[u32]>::to_vec) };
        self.lock().insert(ctx.point, Capture { x, tokens });
    }

    pub(crate) fn packed(&self, point: HookPoint, x: Tensor, tokens: Vec<Token>) {
        self.lock().insert(point, Capture { x, tokens: Tokens::Packed(tokens) });
    }

    pub(crate) fn means(&self, point: HookPoint, x: Tensor, rows: Vec<usize>) {
        self.lock().insert(point, Capture { x, tokens: Tokens::Means(rows) });
    }

    /// The activation with one row a token `[n, …]`, and where each token's is; `None` where there is no capture of
    /// single tokens.
    pub(crate) fn by_token(&self, point: HookPoint) -> candle_core::Result<Option<(Tensor, HashMap<Token, u32>)>> {
        let guard = self.lock();
        let Some(Capture { x, tokens }) = guard.get(&point) else { return Ok(None) };
        let of = |(token, at): (&Token, u32)| (*token, at);
        Ok(match tokens {
            Tokens::Packed(tokens) => Some((x.clone(), tokens.iter().zip(0_u32..).map(of).collect())),
            Tokens::Site { layout, experts: None } => {
                let real = layout.real.iter().flatten().zip(0_u32..).filter(|&(&real, _)| real);
                let places = real.map(|(_, at)| (layout.token(at as usize), at)).collect();
                let (b, t) = (layout.real.len(), layout.columns());
                let x = if x.dim(0)? == b * t { x.clone() } else { x.flatten(0, 1)? };
                Some((x, places))
            }
            Tokens::Site { experts: Some(_), .. } | Tokens::Means(_) => None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HookPoint, Capture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
