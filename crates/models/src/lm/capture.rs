//! What of a forward pass is kept: sites by name, tokens by position.

use std::{fmt, str::FromStr};

use candle_core::{D, DType, Tensor};

use super::{
    config::ModelSpec,
    forward::PassOptions,
    hooks::{Captured, HookCtx, HookPoint, HookSet, SITES, Site, SiteInfo, Token, no_site},
    input::Input,
    model::Model,
};
use crate::{Error, Result};

/// Tokens of each row, by their position without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The activation as the site has it: `[B,T,…]`, padding included.
    Whole,
    /// Every token, one after the other: `[n,…]`.
    All,
    /// One position; negative ones count from the end of the row. Rows that don't have it are left out.
    At(i64),
    /// Positions from … up to and without …; `None`: the row's end. Negative ones count from it; what a row doesn't have
    /// is left out.
    Range(i64, Option<i64>),
    /// The mean over the row's tokens, `[B,…]`.
    Mean,
}

impl Select {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str, absent: Option<i64>| if text.is_empty() { absent } else { text.parse().ok() };
        Some(match text {
            "all" => Self::All,
            "last" => Self::At(-1),
            "mean" => Self::Mean,
            _ => match text.split_once("..") {
                Some((from, "")) => Self::Range(number(from, Some(0))?, None),
                Some((from, to)) => Self::Range(number(from, Some(0))?, Some(number(to, None)?)),
                None => Self::At(text.parse().ok()?),
            },
        })
    }

    /// Whether a row of `n` tokens has this one selected.
    fn has(self, position: u32, n: usize) -> bool {
        let from_start = |p: i64| if p < 0 { p.saturating_add(n as i64) } else { p };
        let position = i64::from(position);
        match self {
            Self::Whole | Self::All | Self::Mean => true,
            Self::At(p) => position == from_start(p),
            Self::Range(from, to) => position >= from_start(from) && to.is_none_or(|to| position < from_start(to)),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::All => f.write_str("@all"),
            Self::At(-1) => f.write_str("@last"),
            Self::At(p) => write!(f, "@{p}"),
            Self::Range(from, None) => write!(f, "@{from}.."),
            Self::Range(from, Some(to)) => write!(f, "@{from}..{to}"),
            Self::Mean => f.write_str("@mean"),
        }
    }
}

/// Names with `*` for a layer, an expert or a part of a site's name, each with the tokens to keep:
/// `blocks.*.hook_resid_post@last,blocks.3.attn.hook_z`.
///
/// After `@` stands `all`, `last`, `mean`, a position (`-1` is the last) or a range of positions `2..5`, `..4`, `-3..`;
/// without `@` the whole activation is kept, padding included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSpec(Vec<(String, Select)>);

impl CaptureSpec {
    /// Reads a specification.
    ///
    /// # Errors
    /// [`Error::Capture`] where an entry is empty, its positions can't be read or no site is called so.
    pub fn parse(text: &str) -> Result<Self> {
        text.parse()
    }

    /// The same with every token kept where a whole activation was asked for: one row a token.
    #[must_use]
    pub fn by_token(mut self) -> Self {
        for (_, select) in &mut self.0 {
            if *select == Select::Whole {
                *select = Select::All;
            }
        }
        self
    }

    /// The points of a model that it means, in the order of the forward pass.
    ///
    /// # Errors
    /// [`Error::NoSite`] where the model has nothing of that name, [`Error::Capture`] where a point is meant twice or its
    /// tokens can't be selected so.
    pub fn resolve(&self, spec: &ModelSpec) -> Result<Vec<(HookPoint, Select)>> {
        let mut found: Vec<(HookPoint, Select)> = Vec::new();
        let mut used = vec![false; self.0.len()];
        for point in HookPoint::all(spec) {
            let name = point.to_string();
            let mut entries = self.0.iter().enumerate().filter(|(_, (pattern, _))| matches(pattern, &name));
            let Some((at, &(_, select))) = entries.next() else { continue };
            used[at] = true;
            if let Some((_, (again, _))) = entries.next() {
                return Err(wrong(again, format!("{name} is meant twice")));
            }
            if select == Select::Mean && point.site == Site::ExpertIdx {
                return Err(wrong(&self.0[at].0, "indices of experts have no mean".to_owned()));
            }
            found.push((point, select));
        }
        match used.iter().position(|used| !used) {
            Some(unused) => Err(no_site(self.0[unused].0.clone(), spec)),
            None => Ok(found),
        }
    }

    /// Hooks that capture what it means.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn hooks(&self, spec: &ModelSpec, mut hooks: HookSet) -> Result<(HookSet, Captured)> {
        let points = self.resolve(spec)?;
        let (whole, selected): (Vec<_>, Vec<_>) = points.into_iter().partition(|(_, s)| *s == Select::Whole);
        let whole: Vec<HookPoint> = whole.into_iter().map(|(point, _)| point).collect();
        let (with, captured) = hooks.capture(spec, &whole)?;
        hooks = with;
        for (point, select) in selected {
            let into = captured.clone();
            hooks = hooks.on(spec, point, move |x: Tensor, ctx: &HookCtx| {
                keep(&into, &x, ctx, select)?;
                Ok(x)
            })?;
        }
        Ok((hooks, captured))
    }
}

impl FromStr for CaptureSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let entry = |entry: &str| {
            let entry = entry.trim();
            let (name, select) = match entry.split_once('@') {
                Some((name, at)) => {
                    let expected = "after @: all, last, mean, a position or a range of positions a..b".to_owned();
                    (name, Select::parse(at).ok_or_else(|| wrong(entry, expected))?)
                }
                None => (entry, Select::Whole),
            };
            if !SITES.iter().any(|info| could_match(name, info)) {
                let expected = "no site is called so; write blocks.LAYER.SITE or blocks.*.SITE".to_owned();
                return Err(wrong(entry, expected));
            }
            Ok((name.to_owned(), select))
        };
        text.split(',').map(entry).collect::<Result<_>>().map(Self)
    }
}

impl fmt::Display for CaptureSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, select)) in self.0.iter().enumerate() {
            write!(f, "{}{name}{select}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

fn wrong(entry: &str, problem: String) -> Error {
    Error::Capture { entry: entry.to_owned(), problem }
}

/// Whether a name, part by part, is what the pattern says; `*` is any run of characters within a part.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if glob(pattern, name) => {}
            _ => return false,
        }
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    // Few stars in short names.
    (0..=rest.len()).any(|skip| rest.get(skip..).is_some_and(|rest| glob(tail, rest)))
}

/// Whether some model may have a point of this name at the site.
fn could_match(pattern: &str, info: &SiteInfo) -> bool {
    let mut parts: Vec<&str> = pattern.split('.').collect();
    if info.layered && parts.first().is_some_and(|first| glob(first, "blocks")) && parts.len() > 2 {
        let layer = parts.remove(1);
        parts.remove(0);
        if !number(layer) {
            return false;
        }
    } else if info.layered {
        return false;
    }
    let names: Vec<&str> = info.name.split('.').collect();
    let fits = |(pattern, name): (&&str, &&str)| if *name == "{e}" { number(pattern) } else { glob(pattern, name) };
    names.len() == parts.len() && parts.iter().zip(&names).all(fits)
}

/// A number, or a pattern that one may match.
fn number(part: &str) -> bool {
    part.chars().all(|c| c.is_ascii_digit() || c == '*') && !part.is_empty()
}

/// Leaves the selected tokens of an activation in `into`.
fn keep(into: &Captured, x: &Tensor, ctx: &HookCtx, select: Select) -> Result<()> {
    let lengths: Vec<usize> = (0..ctx.real.len()).map(|b| ctx.ids.get(b).map_or(0, Vec::len)).collect();
    let columns = ctx.layout.columns().max(1);
    let flat: Vec<u32> = match ctx.tokens {
        Some(tokens) => tokens.to_vec(),
        None => (0..(ctx.real.len() * columns) as u32).collect(),
    };
    // (row of x, batch row, token)
    let mut kept: Vec<(u32, usize, Token)> = Vec::new();
    for (at, &i) in (0_u32..).zip(&flat) {
        let (b, column) = (i as usize / columns, i as usize % columns);
        let token = ctx.layout.token(i as usize);
        if ctx.real[b][column] && select.has(token.position, lengths[b]) {
            kept.push((at, b, token));
        }
    }
    let x = by_token(x, ctx)?;
    let index: Vec<u32> = kept.iter().map(|&(at, ..)| at).collect();
    let rows = x.index_select(&Tensor::new(index.as_slice(), x.device())?, 0)?;
    if select != Select::Mean {
        into.packed(ctx.point, rows, kept.into_iter().map(|(.., token)| token).collect());
        return Ok(());
    }
    let mut ids: Vec<usize> = Vec::new();
    let mut means: Vec<Tensor> = Vec::new();
    let mut at = 0;
    for row in kept.chunk_by(|(_, a, _), (_, b, _)| a == b) {
        let wide = if rows.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        means.push(rows.narrow(0, at, row.len())?.to_dtype(wide)?.mean_keepdim(0)?.to_dtype(rows.dtype())?);
        ids.push(row[0].2.row);
        at += row.len();
    }
    let means = if means.is_empty() { rows.narrow(0, 0, 0)? } else { Tensor::cat(&means, 0)? };
    into.means(ctx.point, means, ids);
    Ok(())
}

/// One row a token: [B·T, …], [B·T, H, S] at scores and pattern, with key j of position j there.
fn by_token(x: &Tensor, ctx: &HookCtx) -> Result<Tensor> {
    if !matches!(ctx.point.site, Site::AttnScores | Site::Pattern) {
        return Ok(if x.rank() == 2 { x.clone() } else { x.flatten(0, 1)? });
    }
    let (batch, heads, t, s) = x.dims4()?;
    let mut rows = Vec::with_capacity(batch);
    for b in 0..batch {
        // Columns of padding go, and what a row is short of becomes NaN on its right.
        let row = x.get(b)?.transpose(0, 1)?.contiguous()?; // [T, H, S]
        let tokens = if s == t {
            let real: Vec<u32> = (0_u32..).zip(&ctx.real[b]).filter_map(|(i, &real)| real.then_some(i)).collect();
            row.index_select(&Tensor::new(real.as_slice(), x.device())?, D::Minus1)?
        } else {
            // After a cache, whose padding stands on the left.
            let n = ctx.ids.get(b).map_or(s, Vec::len).min(s);
            row.narrow(D::Minus1, s - n, n)?
        };
        let n = tokens.dim(D::Minus1)?;
        rows.push(if n == s {
            tokens
        } else {
            let nan = Tensor::full(f32::NAN, (t, heads, s - n), x.device())?.to_dtype(x.dtype())?;
            Tensor::cat(&[&tokens, &nan], D::Minus1)?
        });
    }
    Ok(Tensor::cat(&rows, 0)?)
}

impl Model {
    /// Logits `[B,T,V]`, and the activations that a specification asks for.
    ///
    /// # Errors
    /// As [`CaptureSpec::resolve`] and [`forward`](Self::forward).
    pub fn run_with_cache(&self, input: &Input, spec: &CaptureSpec) -> Result<(Tensor, Captured)> {
        let (hooks, captured) = spec.hooks(&self.spec, HookSet::new())?;
        Ok((self.forward(input, None, &hooks)?, captured))
    }

    /// The activations alone: logits are computed only where they are asked for.
    ///
    /// # Errors
    /// As [`run_with_cache`](Self::run_with_cache).
    pub fn capture(&self, input: &Input, spec: &CaptureSpec) -> Result<Captured> {
        let (hooks, captured) = spec.hooks(&self.spec, HookSet::new())?;
        self.forward_with(input, None, &hooks, &PassOptions { last_only: true, ..PassOptions::default() })?;
        Ok(captured)
    }
}
