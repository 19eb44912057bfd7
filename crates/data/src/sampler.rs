//! Who takes part in a round, and which examples make a batch.
//!
//! [`Uniform`], [`Poisson`], [`Stratified`] and [`Shuffled`] are pure functions of `(seed, round)`: a resumed run asks
//! for round `t` and gets what the undisturbed run got. [`EpochExhaust`] goes through a federation's data, so it has a
//! [state](ExhaustState) of one cursor a client, which is saved in the checkpoint.

use ashlar_kernels::rng;
use rand::{Rng, seq::SliceRandom, seq::index};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, partition::apportion};

/// The clients of a partition that hold at least one example.
pub fn eligible(parts: &[Vec<u32>]) -> Vec<u32> {
    (0u32..).zip(parts).filter(|(_, part)| !part.is_empty()).map(|(client, _)| client).collect()
}

/// `per_round` of the eligible clients, uniformly without replacement, afresh each round.
#[derive(Clone, Debug)]
pub struct Uniform {
    eligible: Vec<u32>,
    per_round: usize,
    seed: u64,
}

impl Uniform {
    /// Refuses 0 a round and more than there are.
    pub fn new(eligible: Vec<u32>, per_round: usize, seed: u64) -> Result<Self> {
        check_per_round(per_round, eligible.len())?;
        Ok(Self { eligible, per_round, seed })
    }

    /// The clients of this round, in increasing order of their place in `eligible`.
    pub fn round(&self, round: u64) -> Vec<u32> {
        let mut rng = rng::stream(self.seed, &["sampler", "uniform", &round.to_string()]);
        let mut places = index::sample(&mut rng, self.eligible.len(), self.per_round).into_vec();
        places.sort_unstable();
        places.into_iter().map(|place| self.eligible[place]).collect()
    }
}

fn check_per_round(per_round: usize, eligible: usize) -> Result<()> {
    if per_round == 0 {
        return Err(Error::value("per_round", "0 clients a round; say 1 or more"));
    }
    if per_round > eligible {
        return Err(Error::value(
            "per_round",
            format!("{per_round} clients a round, but only {eligible} clients hold examples"),
        ));
    }
    Ok(())
}

/// Each of `0..population` independently with probability `rate`: the sampling that privacy accounting assumes.
///
/// A batch may be empty. The draw compares 64 random bits with `rate · 2⁶⁴`, so the rate is met to 2⁻⁵³.
#[derive(Clone, Debug)]
pub struct Poisson {
    population: u32,
    rate: f64,
    seed: u64,
}

impl Poisson {
    /// Refuses a rate outside (0, 1].
    pub fn new(population: u32, rate: f64, seed: u64) -> Result<Self> {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(Error::value("rate", format!("{rate} is no sampling rate; say a number in (0, 1]")));
        }
        Ok(Self { population, rate, seed })
    }

    /// Expected size of a batch.
    pub fn expected(&self) -> f64 {
        f64::from(self.population) * self.rate
    }

    /// The members of this round's batch, increasing.
    pub fn round(&self, round: u64) -> Vec<u32> {
        let mut rng = rng::stream(self.seed, &["sampler", "poisson", &round.to_string()]);
        // As a float, 2⁶⁴ · rate is exact; the conversion saturates at u64::MAX for rate 1, which is handled apart.
        let bound = (self.rate * 2f64.powi(64)) as u64;
        (0..self.population).filter(|_| rng.random::<u64>() < bound || self.rate >= 1.0).collect()
    }
}

/// Batches over `0..n` in a new random order each epoch; the last batch may be short.
#[derive(Clone, Debug)]
pub struct Shuffled {
    n: u32,
    batch: usize,
    seed: u64,
}

impl Shuffled {
    /// Refuses a batch of 0.
    pub fn new(n: u32, batch: usize, seed: u64) -> Result<Self> {
        if batch == 0 {
            return Err(Error::value("batch", "0 examples a batch; say 1 or more"));
        }
        Ok(Self { n, batch, seed })
    }

    /// The batches of an epoch: every index once.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<u32>> {
        let mut order: Vec<u32> = (0..self.n).collect();
        order.shuffle(&mut rng::stream(self.seed, &["sampler", "shuffled", &epoch.to_string()]));
        order.chunks(self.batch).map(<[u32]>::to_vec).collect()
    }
}

/// Batches in which each class has its share of the population (largest remainder), without replacement in a round.
#[derive(Clone, Debug)]
pub struct Stratified {
    classes: Vec<Vec<u32>>,
    quotas: Vec<usize>,
    seed: u64,
}

impl Stratified {
    /// Refuses a batch of 0 or one larger than the population.
    pub fn new(labels: &[u32], batch: usize, seed: u64) -> Result<Self> {
        if batch == 0 || batch > labels.len() {
            return Err(Error::value("batch", format!("{batch} of {} examples; say 1 to that many", labels.len())));
        }
        let mut members = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for (index, &label) in (0u32..).zip(labels) {
            members.entry(label).or_default().push(index);
        }
        let classes: Vec<Vec<u32>> = members.into_values().collect();
        let sizes: Vec<f64> = classes.iter().map(|class| class.len() as f64).collect();
        let quotas = apportion(batch, &sizes, 0);
        Ok(Self { classes, quotas, seed })
    }

    /// The examples of this round's batch, increasing.
    pub fn round(&self, round: u64) -> Vec<u32> {
        let mut rng = rng::stream(self.seed, &["sampler", "stratified", &round.to_string()]);
        let mut batch = Vec::with_capacity(self.quotas.iter().sum());
        for (class, &quota) in self.classes.iter().zip(&self.quotas) {
            let places = index::sample(&mut rng, class.len(), quota.min(class.len()));
            batch.extend(places.into_iter().map(|place| class[place]));
        }
        batch.sort_unstable();
        batch
    }
}

/// FetchSGD's sampler: examples are permuted inside each client; each round takes `per_round` clients among those with
/// data left and up to `batch` of each one's next examples, until all is used; then a new epoch begins.
///
/// The last rounds of an epoch may have fewer clients. Permutations and picks are functions of the seed, the epoch and
/// the round within it; the state is the rest.
#[derive(Clone, Debug)]
pub struct EpochExhaust {
    parts: Vec<Vec<u32>>,
    per_round: usize,
    batch: Option<usize>,
    seed: u64,
    state: ExhaustState,
}

/// Where an [`EpochExhaust`] stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExhaustState {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Rounds done in this epoch.
    pub round: u64,
    /// Examples used in this epoch, a client.
    pub used: Vec<u32>,
}

/// A client's work in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The client.
    pub client: u32,
    /// Its examples, in the order of its permutation.
    pub examples: Vec<u32>,
}

impl EpochExhaust {
    /// `parts` as [`crate::partition::split`] gives them; `batch` of `None` takes a client's whole data at once.
    ///
    /// Refuses 0 clients a round, more than hold examples, and a batch of 0.
    pub fn new(parts: Vec<Vec<u32>>, per_round: usize, batch: Option<usize>, seed: u64) -> Result<Self> {
        check_per_round(per_round, eligible(&parts).len())?;
        if batch == Some(0) {
            return Err(Error::value("batch", "0 examples a client; say 1 or more, or leave it out for all"));
        }
        let state = ExhaustState { epoch: 0, round: 0, used: vec![0; parts.len()] };
        Ok(Self { parts, per_round, batch, seed, state })
    }

    /// Where it stands, to save.
    pub fn state(&self) -> &ExhaustState {
        &self.state
    }

    /// Goes on from a saved state; refuses one that does not fit the federation.
    pub fn restore(&mut self, state: ExhaustState) -> Result<()> {
        if state.used.len() != self.parts.len() {
            return Err(Error::Length { what: "used", found: state.used.len(), expected: self.parts.len() });
        }
        if let Some(client) =
            (0..self.parts.len()).find(|&client| state.used[client] as usize > self.parts[client].len())
        {
            let (used, held) = (state.used[client], self.parts[client].len());
            return Err(Error::value("used", format!("client {client} used {used} of {held} examples")));
        }
        self.state = state;
        Ok(())
    }

    /// Rounds that an epoch takes at least: ⌈Σ ⌈nᵢ / batch⌉ / per_round⌉.
    pub fn rounds_per_epoch(&self) -> usize {
        let draws = self.parts.iter().map(|part| part.len().div_ceil(self.batch.unwrap_or(usize::MAX)));
        draws.sum::<usize>().div_ceil(self.per_round)
    }

    /// The next round's clients, in increasing order.
    pub fn next_round(&mut self) -> Vec<Draw> {
        let mut open = self.open();
        if open.is_empty() {
            self.state.epoch += 1;
            self.state.round = 0;
            self.state.used.fill(0);
            open = self.open();
        }
        let (epoch, round) = (self.state.epoch.to_string(), self.state.round.to_string());
        let mut rng = rng::stream(self.seed, &["sampler", "epoch-exhaust", &epoch, "round", &round]);
        let mut places = index::sample(&mut rng, open.len(), self.per_round.min(open.len())).into_vec();
        places.sort_unstable();
        let draws = places.into_iter().map(|place| self.draw(open[place], &epoch)).collect();
        self.state.round += 1;
        draws
    }

    fn open(&self) -> Vec<u32> {
        let left = |&client: &u32| (self.state.used[client as usize] as usize) < self.parts[client as usize].len();
        (0..self.parts.len() as u32).filter(left).collect()
    }

    fn draw(&mut self, client: u32, epoch: &str) -> Draw {
        let mut order = self.parts[client as usize].clone();
        let path = ["sampler", "epoch-exhaust", epoch, "client", &client.to_string()];
        order.shuffle(&mut rng::stream(self.seed, &path));
        let from = self.state.used[client as usize] as usize;
        let to = order.len().min(from.saturating_add(self.batch.unwrap_or(usize::MAX)));
        self.state.used[client as usize] = to as u32;
        Draw { client, examples: order[from..to].to_vec() }
    }
}
