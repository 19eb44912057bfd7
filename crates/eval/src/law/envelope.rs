//! Approach 1: the lower hull of loss over compute, and power laws through the models on it (Gemstones §4.1; the
//! repository's `plotters/approach_1.py`).
//!
//! In (ln resource, ln loss) the points get one vantage point above and to the right of all, (ln 2·max, ln 2·max), and
//! their convex hull is taken; whatever is on it, upper side included, goes on. Sorted by resource, a point stays if its
//! loss is strictly below that of the hull point before it (the one before filtering, not the lowest so far). ln target
//! is then regressed on ln resource. The older method takes the lowest loss in each of log-spaced buckets instead.
//!
//! The hull is a monotone chain: O(n log n), 3,850 rows in well under a millisecond.

use ashlar_stats::ols;

use super::{Points, Resource, Variable};
use crate::{Error, Result};

/// What the frontier's law predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Parameters.
    Params,
    /// Tokens.
    Tokens,
    /// Tokens a parameter.
    TokensPerParam,
}

/// How the frontier is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeMethod {
    /// The lower convex hull.
    Hull,
    /// The lowest loss in each of this many log-spaced buckets, closed on the right.
    Bucket(usize),
}

/// A row on the frontier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnvelopePoint {
    /// Row of the fitted points, from 0.
    pub row: usize,
    /// What it has spent.
    pub resource: f64,
    /// Its loss.
    pub loss: f64,
    /// Its target.
    pub target: f64,
}

/// The frontier and the power law through it: target = e^intercept · resource^coef.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Exponent.
    pub coef: f64,
    /// ln of the factor.
    pub intercept: f64,
    /// Rows looked at.
    pub n_rows: usize,
    /// Rows of step 0 left aside.
    pub n_untrained: usize,
    /// The frontier, by resource.
    pub points: Vec<EnvelopePoint>,
    /// Different runs on the frontier and in the table, where runs have names.
    pub runs: Option<(usize, usize)>,
}

impl Envelope {
    /// Finds the frontier of a table and fits it. `no_embeds` takes both embedding matrices from the parameters.
    ///
    /// # Errors
    /// What [`Points`] says of a column; [`Error::Undefined`] where all rows have spent the same;
    /// [`Error::TooFew`] for fewer than 3 rows on the frontier.
    pub fn fit(
        points: &Points,
        resource: Resource,
        target: Target,
        no_embeds: bool,
        method: EnvelopeMethod,
    ) -> Result<Self> {
        let (points, n_untrained) = points.trained()?;
        let spent = points.resource(resource)?;
        let loss = points.loss()?;
        let params = || if no_embeds { points.params_no_embeds(2) } else { points.variable(Variable::Params) };
        let target = match target {
            Target::Params => params()?,
            Target::Tokens => points.variable(Variable::Tokens)?,
            Target::TokensPerParam => {
                let params = params()?;
                points.variable(Variable::Tokens)?.iter().zip(params).map(|(d, n)| d / n).collect()
            }
        };
        if Points::distinct(&spent) < 2 {
            return Err(Error::Undefined(format!(
                "every row of {} has {} = {:e}: a frontier needs several budgets",
                points.table().file(),
                resource.name(),
                spent.first().copied().unwrap_or(f64::NAN)
            )));
        }
        let rows = match method {
            EnvelopeMethod::Hull => hull(&spent, &loss),
            EnvelopeMethod::Bucket(buckets) => bucket_minima(&spent, &loss, buckets)?,
        };
        if rows.len() < 3 {
            let what = format!("rows of {} on the frontier", points.table().file());
            return Err(Error::TooFew { what, needed: 3, found: rows.len() });
        }
        let x: Vec<f64> = rows.iter().map(|&row| spent[row].ln()).collect();
        let y: Vec<f64> = rows.iter().map(|&row| target[row].ln()).collect();
        let line = ols::simple(&x, &y)?;
        let runs = points.runs()?.map(|names| {
            let on = |rows: &mut dyn Iterator<Item = usize>| {
                rows.map(|row| names[row].as_str()).collect::<std::collections::HashSet<_>>().len()
            };
            (on(&mut rows.iter().copied()), on(&mut (0..names.len())))
        });
        let at = |&row: &usize| EnvelopePoint { row, resource: spent[row], loss: loss[row], target: target[row] };
        Ok(Self {
            coef: line.slope,
            intercept: line.intercept,
            n_rows: points.len(),
            n_untrained,
            points: rows.iter().map(at).collect(),
            runs,
        })
    }

    /// What the law predicts for a budget.
    pub fn predict(&self, resource: f64) -> f64 {
        (self.intercept + self.coef * resource.ln()).exp()
    }

    /// How much more than the frontier a run has spent at its loss: 100 · (resource / frontier resource − 1) percent,
    /// the frontier linear in (ln resource, ln loss) between its points. `None` for a loss that the frontier does not
    /// span.
    pub fn overspend(&self, resource: f64, loss: f64) -> Option<f64> {
        self.points.windows(2).find_map(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            // Losses may rise where the filter kept a point after a peak; each segment counts for itself.
            let (low, high) = (a.loss.min(b.loss), a.loss.max(b.loss));
            if !(low..=high).contains(&loss) || low == high {
                return None;
            }
            let along = (loss.ln() - a.loss.ln()) / (b.loss.ln() - a.loss.ln());
            let frontier = (a.resource.ln() + along * (b.resource.ln() - a.resource.ln())).exp();
            Some(100.0 * (resource / frontier - 1.0))
        })
    }
}

/// Rows on the frontier by the hull, sorted by resource; both columns finite and above 0.
pub fn hull(resource: &[f64], loss: &[f64]) -> Vec<usize> {
    let most = |x: &[f64]| x.iter().copied().fold(0.0, f64::max);
    let mut points: Vec<(f64, f64, Option<usize>)> =
        resource.iter().zip(loss).enumerate().map(|(row, (r, l))| (r.ln(), l.ln(), Some(row))).collect();
    points.push(((2.0 * most(resource)).ln(), (2.0 * most(loss)).ln(), None));
    // Ties by row, so that of equal points the first stands for all.
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    points.dedup_by(|b, a| a.0 == b.0 && a.1 == b.1);
    let mut on = chain(points.iter().copied());
    on.extend(chain(points.iter().rev().copied()));
    // The chains share their ends.
    on.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    on.dedup_by_key(|point| point.2);
    let rows: Vec<usize> = on.into_iter().filter_map(|point| point.2).collect();
    let below = |(at, &row): (usize, &usize)| (at == 0 || loss[row] < loss[rows[at - 1]]).then_some(row);
    rows.iter().enumerate().filter_map(below).collect()
}

type Vertex = (f64, f64, Option<usize>);

/// One side of the hull: the points at which the path along them turns left.
fn chain(points: impl Iterator<Item = Vertex>) -> Vec<Vertex> {
    let mut chain: Vec<Vertex> = Vec::new();
    for point in points {
        while let [.., a, b] = chain[..] {
            let turn = (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0);
            if turn > 0.0 {
                break;
            }
            chain.pop();
        }
        chain.push(point);
    }
    chain
}

/// Rows of lowest loss in each bucket that has any (the first of equal ones), by resource. Buckets are closed on the
/// right; the first has its left edge too, which is the smallest resource itself and not 10^log10 of it.
///
/// # Errors
/// [`Error::Range`] for no bucket or more than a million.
pub fn bucket_minima(resource: &[f64], loss: &[f64], buckets: usize) -> Result<Vec<usize>> {
    if buckets == 0 || buckets > 1_000_000 {
        return Err(Error::Range { name: "buckets", value: buckets as f64, expected: "from 1 to 1,000,000" });
    }
    let low = resource.iter().copied().fold(f64::INFINITY, f64::min);
    let high = resource.iter().copied().fold(0.0, f64::max);
    let (from, to) = (low.log10(), high.log10());
    let edge = |i: usize| match i {
        0 => low,
        i if i == buckets => high,
        i => 10f64.powf(from + (to - from) / buckets as f64 * i as f64),
    };
    let edges: Vec<f64> = (0..=buckets).map(edge).collect();
    let mut best: Vec<Option<usize>> = vec![None; buckets];
    for (row, &spent) in resource.iter().enumerate() {
        // The bucket whose right edge is the first one not below.
        let bucket = edges[1..].partition_point(|&right| right < spent).min(buckets - 1);
        if best[bucket].is_none_or(|held| loss[row] < loss[held]) {
            best[bucket] = Some(row);
        }
    }
    Ok(best.into_iter().flatten().collect())
}
