//! Activations of another run in place of this one's.

use candle_core::Tensor;

use crate::{
    Error, Result,
    lm::hooks::{Captured, HookCtx, Site, Token},
};

/// How positions of two runs belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Position p of the other run.
    #[default]
    Start,
    /// This many positions further on in the other run (negative: before).
    Shift(i64),
}

/// Rows of another run.
#[derive(Clone, Debug)]
pub struct Patch {
    from: Captured,
    rows: Vec<(usize, usize)>,
    align: Align,
}

impl Patch {
    /// What was captured at the same point; row i of the other run for row i here, or its row 0 where it has but one.
    pub fn new(from: &Captured) -> Self {
        Self { from: from.clone(), rows: Vec::new(), align: Align::Start }
    }

    /// Pairs (row id here, row id there); rows that are not among them stay as they are.
    #[must_use]
    pub fn rows(mut self, rows: &[(usize, usize)]) -> Self {
        self.rows = rows.to_vec();
        self
    }

    /// How positions belong together.
    #[must_use]
    pub fn align(mut self, align: Align) -> Self {
        self.align = align;
        self
    }

    /// The token there for one here; `None`: it stays as it is.
    fn source(&self, token: Token, only_row: Option<usize>) -> Option<Token> {
        let row = match (self.rows.as_slice(), only_row) {
            ([], Some(only)) => only,
            ([], None) => token.row,
            (rows, _) => rows.iter().find(|(here, _)| *here == token.row)?.1,
        };
        let position = match self.align {
            Align::Start => Some(token.position),
            Align::Shift(by) => u32::try_from(i64::from(token.position).saturating_add(by)).ok(),
        };
        // A position before the first is one that nothing was captured at.
        Some(Token { row, position: position.unwrap_or(u32::MAX) })
    }

    /// x with the tokens that `flags` chooses (`None`: all but padding) replaced.
    pub(super) fn apply(&self, x: &Tensor, ctx: &HookCtx, flags: Option<&[bool]>) -> Result<Tensor> {
        let missing = |token: Option<Token>| Error::NoCapture { point: ctx.point.to_string(), token };
        let (source, places) = self.from.by_token(ctx.point)?.ok_or_else(|| missing(None))?;
        let mut rows_there: Vec<usize> = places.keys().map(|token| token.row).collect();
        rows_there.sort_unstable();
        rows_there.dedup();
        let only_row = (rows_there.len() == 1).then(|| rows_there[0]);

        // Rows of [source; x]: the source's where it is patched, its own elsewhere.
        let n = ctx.real.iter().map(Vec::len).sum::<usize>();
        let own = source.dim(0)? as u32;
        let mut index = Vec::with_capacity(n);
        for (flat, &real) in ctx.real.iter().flatten().enumerate() {
            let chosen = real && flags.is_none_or(|flags| flags[flat]);
            let there = if chosen { self.source(ctx.layout.token(flat), only_row) } else { None };
            index.push(match there {
                Some(token) => *places.get(&token).ok_or_else(|| missing(Some(token)))?,
                None => own + flat as u32,
            });
        }
        let flat = if x.rank() == 2 { x.clone() } else { x.flatten(0, 1)? };
        let source = source.to_device(x.device())?.to_dtype(x.dtype())?;
        if source.dims()[1..] != flat.dims()[1..] {
            let (expected, found) = (flat.dims()[1..].to_vec(), source.dims()[1..].to_vec());
            return Err(Error::HookShape { point: ctx.point.to_string(), expected, found });
        }
        let index = Tensor::from_vec(index, n, x.device())?;
        Ok(Tensor::cat(&[&source, &flat], 0)?.index_select(&index, 0)?.reshape(x.shape())?)
    }

    pub(super) fn check(site: Site) -> Result<()> {
        if site.of_expert() || matches!(site, Site::AttnScores | Site::Pattern) {
            let expected = "a site with one row a token that all runs share; patch hook_z or hook_mlp_out".to_owned();
            return Err(Error::Setting { name: "site of a patch", found: site.info().name.to_owned(), expected });
        }
        Ok(())
    }
}
