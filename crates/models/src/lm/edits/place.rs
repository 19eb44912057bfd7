//! At which tokens an edit acts.

use std::ops::Range;

use candle_core::Tensor;

use crate::{
    Error, Result,
    lm::hooks::{HookCtx, Layout, Site},
};

/// The tokens at which an edit acts; positions are counted in each row without its padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Where {
    /// Everywhere.
    #[default]
    All,
    /// The last token of this call: of a prompt its last, then each new one.
    Last,
    /// The last n tokens of this call.
    LastN(usize),
    /// These positions of the row; negative ones count from the end of the prompt.
    Positions(Vec<i64>),
    /// The tokens of the prompt.
    PromptOnly,
    /// The tokens after the prompt, as they are read through a cache.
    GeneratedOnly,
    /// The first occurrence of this token in the row, in its prompt or after, and every token that follows; nowhere in a
    /// row without it.
    FromToken(u32),
    /// `mask[row id][position]`; nowhere beyond it. [`Where::mask`] makes one of a tensor.
    Mask(Vec<Vec<bool>>),
    /// Only in the rows with these ids ([`Layout::rows`]): with it, several settings are rows of one batch.
    Rows(Vec<usize>, Box<Where>),
}

/// What of a row is chosen.
enum Chosen<'a> {
    None,
    All,
    Span(Range<u32>),
    List(Vec<i64>),
    Flags(&'a [bool]),
}

impl Chosen<'_> {
    fn has(&self, position: u32) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Span(span) => span.contains(&position),
            Self::List(list) => list.contains(&i64::from(position)),
            Self::Flags(flags) => flags.get(position as usize).copied().unwrap_or(false),
        }
    }
}

/// The tokens of an activation that an edit acts on.
pub(super) enum Tokens {
    None,
    All,
    /// One flag each, in the order of the activation's rows.
    Some(Vec<bool>),
}

impl Where {
    /// Where a mask [rows, positions], one row an id, isn't 0.
    ///
    /// # Errors
    /// Where it has no two dimensions.
    pub fn mask(mask: &Tensor) -> Result<Self> {
        if mask.rank() != 2 {
            let (found, expected) = (format!("{:?}", mask.dims()), "[rows, positions]".to_owned());
            return Err(Error::Setting { name: "mask of an edit", found, expected });
        }
        let rows = mask.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
        Ok(Self::Mask(rows.into_iter().map(|row| row.into_iter().map(|x| x != 0.0).collect()).collect()))
    }

    /// The same, only in the rows with these ids.
    #[must_use]
    pub fn in_rows(self, rows: impl Into<Vec<usize>>) -> Self {
        Self::Rows(rows.into(), Box::new(self))
    }

    fn chosen(&self, at: &Layout, row: usize) -> Chosen<'_> {
        let prompt = at.prompt.get(row).copied().unwrap_or(0);
        let end = at.last(row).map_or(0, |last| last.saturating_add(1));
        let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match self {
            Self::All => Chosen::All,
            Self::Last => Chosen::Span(end.saturating_sub(1)..end),
            Self::LastN(n) => Chosen::Span(end.saturating_sub(short(*n))..end),
            Self::Positions(list) => {
                let of = |&p: &i64| if p < 0 { p.saturating_add(prompt as i64) } else { p };
                Chosen::List(list.iter().map(of).collect())
            }
            Self::PromptOnly => Chosen::Span(0..short(prompt)),
            Self::GeneratedOnly => Chosen::Span(short(prompt)..u32::MAX),
            Self::FromToken(token) => {
                let first = at.ids.get(row).and_then(|ids| ids.iter().position(|id| id == token));
                first.map_or(Chosen::None, |first| Chosen::Span(short(first)..u32::MAX))
            }
            Self::Mask(rows) => {
                let flags = at.rows.get(row).and_then(|&id| rows.get(id));
                flags.map_or(Chosen::None, |flags| Chosen::Flags(flags))
            }
            Self::Rows(ids, inner) => match at.rows.get(row) {
                Some(id) if ids.contains(id) => inner.chosen(at, row),
                _ => Chosen::None,
            },
        }
    }

    /// Which of the activation's tokens are chosen; padding never is, unless all are.
    pub(super) fn tokens(&self, ctx: &HookCtx) -> Tokens {
        if *self == Self::All {
            return Tokens::All;
        }
        let at = ctx.layout;
        let mut flags = Vec::with_capacity(at.real.len() * at.columns());
        for (row, (positions, real)) in at.positions.iter().zip(&at.real).enumerate() {
            let chosen = self.chosen(at, row);
            flags.extend(positions.iter().zip(real).map(|(&position, &real)| real && chosen.has(position)));
        }
        if let Some(tokens) = ctx.tokens {
            flags = tokens.iter().map(|&i| flags.get(i as usize).copied().unwrap_or(false)).collect();
        }
        if !flags.contains(&true) {
            Tokens::None
        } else if flags.contains(&false) {
            Tokens::Some(flags)
        } else {
            Tokens::All
        }
    }
}

/// One value a token as a tensor whose shape broadcasts to the activation's.
pub(super) fn spread(flags: Vec<bool>, x: &Tensor, ctx: &HookCtx) -> Result<Tensor> {
    let (batch, columns) = (ctx.real.len(), ctx.layout.columns());
    let mut shape = vec![1; x.rank()];
    match ctx.point.site {
        Site::AttnScores | Site::Pattern => (shape[0], shape[2]) = (batch, columns), // [B, H, T, S]
        _ if x.rank() == 2 => shape[0] = flags.len(),                                // [N, ·], [n_e, ·]
        _ => (shape[0], shape[1]) = (batch, columns),
    }
    let flat: Vec<u8> = flags.into_iter().map(u8::from).collect();
    Ok(Tensor::from_vec(flat, shape, x.device())?)
}
