//! Robust aggregators: what a server can put in place of the mean when some clients lie.
//!
//! All take the round's updates as an [`UpdateMatrix`] and f, the number of liars to withstand; each says how many
//! updates that needs. [`AGGREGATORS`] is the one table of them: name, precondition, constructor.
//!
//! | name | result | needs |
//! |---|---|---|
//! | mean | Σ w_i·u_i / Σ w_i | n ≥ 1 |
//! | norm-clip | the mean of the rows scaled down to L | n ≥ 1 |
//! | weak-dp | norm-clip, and N(0, σ²) on every coordinate of the mean | n ≥ 1 |
//! | median | each coordinate's median (the mean of the middle two for even n) | n ≥ 1 |
//! | trimmed-mean | each coordinate's mean without its f smallest and f largest | n > 2f |
//! | krum | the row with the smallest sum of its n − f − 2 smallest *squared* distances | n ≥ 2f + 3 |
//! | multi-krum | the mean of the m rows with the smallest such sums (m = n − f) | n ≥ 2f + 3 |
//! | bulyan | θ = n − 2f Krum selections, then a coordinate's mean of the θ − 2f values nearest its median | n ≥ 4f + 3 |
//!
//! Where we differ from CommEfficient's: f = 0 trims nothing (its slice `[f:-f]` is empty then), Krum's distances are
//! squared and n − f − 2 of them are added, Bulyan trims the selected set once. Ties take the lowest row. The weights
//! count in the first three only. Rows are finite: what is not was dropped before.

mod coordinate;
mod distance;
mod mean;

use ashlar_kernels::rng;

pub use coordinate::{Median, TrimmedMean};
pub use distance::{Bulyan, Krum, MultiKrum, krum_scores, squared_distances};
pub use mean::{Mean, NormClip, WeakDp};

use crate::error::expect_len;
use crate::{Aggregate, Direction, Error, Result, Update, Values};

/// A round's updates, one a row, in the order of client ids.
#[derive(Debug, Clone)]
pub struct UpdateMatrix<'a> {
    rows: Vec<&'a [f32]>,
    weights: Vec<f64>,
    d: usize,
    dropped: usize,
    direction: Direction,
    round: u64,
}

impl<'a> UpdateMatrix<'a> {
    /// From equally long rows and their weights. A row that is not finite is left out and counted.
    pub fn new(rows: &[&'a [f32]], weights: &[f64]) -> Result<Self> {
        expect_len("the weights", weights.len(), rows.len())?;
        let d = rows.first().map_or(0, |row| row.len());
        let mut matrix = Self {
            rows: Vec::with_capacity(rows.len()),
            weights: Vec::with_capacity(rows.len()),
            d,
            dropped: 0,
            direction: Direction::Gradient,
            round: 0,
        };
        for (i, (row, weight)) in rows.iter().zip(weights).enumerate() {
            expect_len(&format!("row {i}"), row.len(), d)?;
            if row.iter().all(|x| x.is_finite()) && weight.is_finite() && *weight >= 0.0 {
                matrix.rows.push(row);
                matrix.weights.push(*weight);
            } else {
                matrix.dropped += 1;
            }
        }
        if matrix.rows.is_empty() {
            return Err(Error::NoUpdates { dropped: matrix.dropped });
        }
        Ok(matrix)
    }

    /// From clients' dense updates.
    pub fn from_updates(updates: &'a [Update]) -> Result<Self> {
        let mut sorted: Vec<&Update> = updates.iter().collect();
        sorted.sort_by_key(|update| update.client);
        let mut rows = Vec::with_capacity(sorted.len());
        for update in &sorted {
            match &update.values {
                Values::Dense(values) => rows.push(values.as_slice()),
                Values::Sparse(_) => {
                    return Err(Error::Conflict {
                        first: "defence",
                        second: "mode",
                        why: "robust aggregators compare dense updates: use a mode whose clients send them",
                    });
                }
            }
            if update.direction != sorted[0].direction {
                return Err(Error::Conflict {
                    first: "gradient",
                    second: "delta",
                    why: "the updates of one round must all be gradients or all be weight changes",
                });
            }
        }
        let weights: Vec<f64> = sorted.iter().map(|update| update.weight).collect();
        let mut matrix = Self::new(&rows, &weights)?;
        if let Some(first) = sorted.first() {
            matrix.direction = first.direction;
        }
        Ok(matrix)
    }

    /// Says which round it is, so that noise differs between rounds.
    #[must_use]
    pub fn in_round(self, round: u64) -> Self {
        Self { round, ..self }
    }

    /// The rows, W × d.
    pub fn rows(&self) -> &[&'a [f32]] {
        &self.rows
    }

    /// The rows' weights.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Columns.
    pub const fn d(&self) -> usize {
        self.d
    }

    /// Rows that were left out because they were not finite.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Checks that n rows are enough for f liars.
    fn need(&self, method: &'static str, f: usize, needed: usize) -> Result<()> {
        let found = self.rows.len();
        if found < needed { Err(Error::TooFewUpdates { method, f, needed, found }) } else { Ok(()) }
    }
}

/// Makes one vector of a round's updates.
pub trait Aggregator: Send + Sync {
    /// Its name in [`AGGREGATORS`].
    fn name(&self) -> &'static str;

    /// The aggregate of the rows, withstanding f liars.
    fn aggregate(&self, updates: &UpdateMatrix<'_>, f: usize) -> Result<Vec<f32>>;
}

/// Settings of the aggregators that have any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params {
    /// Rows that Multi-Krum averages; n − f by default.
    pub m: Option<usize>,
    /// L, for norm-clip and weak-dp.
    pub l2: Option<f64>,
    /// σ, for weak-dp.
    pub sigma: Option<f64>,
    /// Seed of weak-dp's noise.
    pub seed: u64,
}

/// A row of the table of aggregators.
pub struct Entry {
    /// As on the command line and in TOML.
    pub name: &'static str,
    /// The fewest updates for f liars, in words.
    pub needs: &'static str,
    /// Makes it, or says which setting is missing.
    pub build: fn(&Params) -> Result<Box<dyn Aggregator>>,
}

/// Every aggregator.
pub const AGGREGATORS: &[Entry] = &[
    Entry { name: "mean", needs: "n >= 1", build: |_| Ok(Box::new(Mean)) },
    Entry { name: "norm-clip", needs: "n >= 1", build: |p| Ok(Box::new(NormClip::new(p.l2()?)?)) },
    Entry { name: "weak-dp", needs: "n >= 1", build: |p| Ok(Box::new(WeakDp::new(p.l2()?, p.sigma()?, p.seed)?)) },
    Entry { name: "median", needs: "n >= 1", build: |_| Ok(Box::new(Median)) },
    Entry { name: "trimmed-mean", needs: "n >= 2f + 1", build: |_| Ok(Box::new(TrimmedMean)) },
    Entry { name: "krum", needs: "n >= 2f + 3", build: |_| Ok(Box::new(Krum)) },
    Entry { name: "multi-krum", needs: "n >= 2f + 3", build: |p| Ok(Box::new(MultiKrum { m: p.m })) },
    Entry { name: "bulyan", needs: "n >= 4f + 3", build: |_| Ok(Box::new(Bulyan)) },
];

impl Params {
    fn l2(&self) -> Result<f64> {
        self.l2.ok_or_else(|| Error::setting("clip.l2", "missing", "the L2 bound on each update"))
    }

    fn sigma(&self) -> Result<f64> {
        self.sigma.ok_or_else(|| Error::setting("defence.sigma", "missing", "the noise on each coordinate of the mean"))
    }
}

/// The aggregator of that name (`_` and `-` are the same).
pub fn by_name(name: &str, params: &Params) -> Result<Box<dyn Aggregator>> {
    let dashed = name.replace('_', "-");
    let entry = AGGREGATORS.iter().find(|entry| entry.name == dashed).ok_or_else(|| {
        let names: Vec<&str> = AGGREGATORS.iter().map(|entry| entry.name).collect();
        Error::setting("defence.name", name, names.join(", "))
    })?;
    (entry.build)(params)
}

/// Runs an aggregator on a round's updates.
pub fn aggregate(aggregator: &dyn Aggregator, updates: &[Update], f: usize, round: u64) -> Result<Aggregate> {
    let matrix = UpdateMatrix::from_updates(updates)?.in_round(round);
    let weight = matrix.weights.iter().sum();
    let result = aggregator.aggregate(&matrix, f)?;
    Ok(Aggregate::mean(result, weight).with_counts(matrix.rows.len(), matrix.dropped).pointing(matrix.direction))
}

/// N(0, σ²) for every coordinate, from the stream (seed, "fl", "weak-dp", round).
fn add_noise(x: &mut [f32], sigma: f64, seed: u64, round: u64) {
    use rand_distr::{Distribution, StandardNormal};
    let mut stream = rng::stream(seed, &["fl", "weak-dp", &round.to_string()]);
    for x in x {
        let z: f64 = StandardNormal.sample(&mut stream);
        *x += (sigma * z) as f32;
    }
}
