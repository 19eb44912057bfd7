//! Dividing a set's examples among clients.
//!
//! Every example goes to exactly one client; lists are in increasing order; the result depends on the arguments and the
//! seed alone. Clients without examples are possible (more clients than examples, or a skewed Dirichlet draw):
//! [`summary`] counts them.
//!
//! | kind | rule |
//! |---|---|
//! | `iid` | a random permutation cut into pieces whose sizes differ by at most one |
//! | `by_class` | each client holds pieces of `classes_per_client` classes; with 1 every client sees one class (FetchSGD's non-iid setting) |
//! | `dirichlet` | class-major: for each class the clients' shares are Dir(α·1) over clients; sizes vary widely |
//! | `dirichlet_client` | client-major: each client draws class proportions Dir(α·1) over classes; sizes differ by at most one |
//! | `natural` | by writer, speaker or user: whole groups, dealt to clients |
//!
//! The two Dirichlet definitions are both called "Dirichlet α" in papers and are not the same: a small α gives
//! few clients a class in the first, and few classes a client in the second.

use ashlar_kernels::rng;
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use crate::{Error, LabelledSet, Result};

/// How examples are divided; in TOML `{ kind = "dirichlet", alpha = 0.9 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Partition {
    /// At random, equal sizes.
    #[default]
    Iid,
    /// Few classes a client.
    ByClass {
        /// Classes a client, 1 or more.
        #[serde(default = "one")]
        classes_per_client: usize,
    },
    /// Class-major Dirichlet.
    Dirichlet {
        /// Concentration, above 0; small is skewed.
        #[serde(default = "default_alpha")]
        alpha: f64,
    },
    /// Client-major Dirichlet.
    DirichletClient {
        /// Concentration, above 0; small is skewed.
        #[serde(default = "default_alpha")]
        alpha: f64,
    },
    /// By the groups of the set.
    Natural,
}

fn one() -> usize {
    1
}

fn default_alpha() -> f64 {
    0.9
}

impl Partition {
    /// The names that [`Partition::from_name`] takes.
    pub const NAMES: [&'static str; 5] = ["iid", "by_class", "dirichlet", "dirichlet_client", "natural"];

    /// By name, for configurations that keep the name and `alpha` in separate keys; `-` and `_` are the same.
    pub fn from_name(name: &str, alpha: f64, classes_per_client: usize) -> Result<Self> {
        match name.replace('-', "_").as_str() {
            "iid" => Ok(Self::Iid),
            "by_class" => Ok(Self::ByClass { classes_per_client }),
            "dirichlet" => Ok(Self::Dirichlet { alpha }),
            "dirichlet_client" => Ok(Self::DirichletClient { alpha }),
            "natural" => Ok(Self::Natural),
            _ => Err(Error::value(
                "partition",
                format!("`{name}` is no partition; say one of {}", Self::NAMES.join(", ")),
            )),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Iid => "iid",
            Self::ByClass { .. } => "by_class",
            Self::Dirichlet { .. } => "dirichlet",
            Self::DirichletClient { .. } => "dirichlet_client",
            Self::Natural => "natural",
        }
    }
}

/// Each client has its list, even an empty one; a federation has millions of clients, not billions.
const MAX_CLIENTS: usize = 1 << 24;

/// Divides the examples of a set: [`split`] with its labels and groups.
pub fn split_set(set: &LabelledSet, clients: usize, partition: &Partition, seed: u64) -> Result<Vec<Vec<u32>>> {
    split(set.labels(), set.groups(), clients, partition, seed)
}

/// Divides the examples `0..labels.len()` among `clients`; `result[client]` is increasing.
///
/// O(examples + clients), except the client-major Dirichlet: O(examples × classes).
pub fn split(
    labels: &[u32],
    groups: Option<&[u32]>,
    clients: usize,
    partition: &Partition,
    seed: u64,
) -> Result<Vec<Vec<u32>>> {
    if clients == 0 {
        return Err(Error::value("clients", "0 clients; say 1 or more"));
    }
    if clients > MAX_CLIENTS {
        return Err(Error::value("clients", format!("{clients} clients are too many; say at most {MAX_CLIENTS}")));
    }
    if u32::try_from(labels.len()).is_err() {
        return Err(Error::value("clients", "more than 2³² examples"));
    }
    let mut rng = rng::stream(seed, &["data", "partition", partition.name()]);
    let mut parts = match *partition {
        Partition::Iid => iid(labels.len(), clients, &mut rng),
        Partition::ByClass { classes_per_client } => by_class(labels, clients, classes_per_client, &mut rng)?,
        Partition::Dirichlet { alpha } => class_major(labels, clients, check_alpha(alpha)?, &mut rng)?,
        Partition::DirichletClient { alpha } => client_major(labels, clients, check_alpha(alpha)?, &mut rng)?,
        Partition::Natural => natural(labels.len(), groups, clients, &mut rng)?,
    };
    for part in &mut parts {
        part.sort_unstable();
    }
    let empty = parts.iter().filter(|part| part.is_empty()).count();
    if empty > 0 {
        tracing::warn!(clients, empty, "some clients hold no example");
    }
    Ok(parts)
}

fn check_alpha(alpha: f64) -> Result<f64> {
    if alpha.is_finite() && alpha > 0.0 {
        return Ok(alpha);
    }
    Err(Error::value("alpha", format!("{alpha} is no Dirichlet concentration; say a number above 0")))
}

fn iid(examples: usize, clients: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..examples as u32).collect();
    order.shuffle(rng);
    cut_evenly(&order, clients)
}

/// `pieces` runs whose lengths differ by at most one, the longer ones first.
fn cut_evenly(order: &[u32], pieces: usize) -> Vec<Vec<u32>> {
    let (short, longer) = (order.len() / pieces, order.len() % pieces);
    let mut rest = order;
    (0..pieces)
        .map(|piece| {
            let (head, tail) = rest.split_at(short + usize::from(piece < longer));
            rest = tail;
            head.to_vec()
        })
        .collect()
}

/// The examples of each class that occurs, shuffled.
fn class_lists(labels: &[u32], rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    // A label near 2³² must not make 2³² lists.
    let mut lists: Vec<Vec<u32>> = if classes <= labels.len().max(1 << 16) {
        let mut lists = vec![Vec::new(); classes];
        for (index, &label) in labels.iter().enumerate() {
            lists[label as usize].push(index as u32);
        }
        lists.retain(|list| !list.is_empty());
        lists
    } else {
        let mut lists = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for (index, &label) in labels.iter().enumerate() {
            lists.entry(label).or_default().push(index as u32);
        }
        lists.into_values().collect()
    };
    for list in &mut lists {
        list.shuffle(rng);
    }
    lists
}

fn by_class(labels: &[u32], clients: usize, per_client: usize, rng: &mut ChaCha8Rng) -> Result<Vec<Vec<u32>>> {
    if per_client == 0 {
        return Err(Error::value("classes_per_client", "0 classes a client; say 1 or more"));
    }
    let lists = class_lists(labels, rng);
    let pieces = clients.checked_mul(per_client).filter(|&pieces| u32::try_from(pieces).is_ok());
    let pieces =
        pieces.ok_or_else(|| Error::value("classes_per_client", "clients × classes_per_client is over 2³²"))?;
    if pieces < lists.len() {
        return Err(Error::value(
            "clients",
            format!(
                "{clients} clients with {per_client} classes each cannot hold {} classes; \
                 use more clients or classes_per_client",
                lists.len()
            ),
        ));
    }
    // Pieces a class in proportion to its size, so that pieces are as equal as one class a piece allows.
    let sizes: Vec<f64> = lists.iter().map(|list| list.len() as f64).collect();
    let counts = apportion(pieces, &sizes, 1);
    let all = lists.iter().zip(counts).flat_map(|(list, count)| cut_evenly(list, count.max(1)));
    // Consecutive pieces go to different clients, so a client's classes differ unless one class fills more than a round.
    let mut order: Vec<usize> = (0..clients).collect();
    order.shuffle(rng);
    let mut parts = vec![Vec::new(); clients];
    for (piece, examples) in all.enumerate() {
        parts[order[piece % clients]].extend(examples);
    }
    Ok(parts)
}

/// `total` units in proportion to `weights` by largest remainder, each at least `floor`; ties go to the lower index.
pub(crate) fn apportion(total: usize, weights: &[f64], floor: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    if weights.is_empty() || sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let ideal: Vec<f64> = weights.iter().map(|weight| weight / sum * total as f64).collect();
    let mut counts: Vec<usize> = ideal.iter().map(|share| (*share as usize).max(floor)).collect();
    let mut given: usize = counts.iter().sum();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    while given != total {
        // Whom the next unit is owed most, or owed least where the floor gave too much.
        let owed = |index: usize| ideal[index] - counts[index] as f64;
        order.sort_by(|&a, &b| owed(b).total_cmp(&owed(a)).then(a.cmp(&b)));
        if given < total {
            let step = (total - given).min(order.len());
            for &index in &order[..step] {
                counts[index] += 1;
            }
            given += step;
        } else {
            let Some(&index) = order.iter().rev().find(|&&index| counts[index] > floor) else { break };
            counts[index] -= 1;
            given -= 1;
        }
    }
    counts
}

fn class_major(labels: &[u32], clients: usize, alpha: f64, rng: &mut ChaCha8Rng) -> Result<Vec<Vec<u32>>> {
    let mut parts = vec![Vec::new(); clients];
    for list in class_lists(labels, rng) {
        let shares = dirichlet(alpha, clients, rng)?;
        // Cutting at rounded cumulative shares leaves out no example and gives none twice.
        let (mut cumulative, mut from) = (0.0, 0);
        for (client, share) in shares.iter().enumerate() {
            cumulative += share;
            let to = if client + 1 == clients { list.len() } else { (cumulative * list.len() as f64).round() as usize };
            let to = to.clamp(from, list.len());
            parts[client].extend_from_slice(&list[from..to]);
            from = to;
        }
    }
    Ok(parts)
}

fn client_major(labels: &[u32], clients: usize, alpha: f64, rng: &mut ChaCha8Rng) -> Result<Vec<Vec<u32>>> {
    let mut lists = class_lists(labels, rng);
    let mut parts = vec![Vec::new(); clients];
    let (short, longer) = (labels.len() / clients, labels.len() % clients);
    for (client, part) in parts.iter_mut().enumerate() {
        let shares = dirichlet(alpha, lists.len(), rng)?;
        for _ in 0..short + usize::from(client < longer) {
            // A class that has run out drops from the draw; when all the client wants has run out, it takes what is left.
            let open = |class: usize| !lists[class].is_empty();
            let weight: f64 = (0..lists.len()).filter(|&class| open(class)).map(|class| shares[class]).sum();
            let mut at = rng.random::<f64>() * weight;
            let drawn = (0..lists.len()).filter(|&class| open(class) && shares[class] > 0.0).find(|&class| {
                at -= shares[class];
                at < 0.0
            });
            let class = drawn.unwrap_or_else(|| any_left(&lists, rng));
            part.extend(lists[class].pop());
        }
    }
    Ok(parts)
}

/// A class with examples left, drawn by how many it has.
fn any_left(lists: &[Vec<u32>], rng: &mut ChaCha8Rng) -> usize {
    let left: usize = lists.iter().map(Vec::len).sum();
    let mut at = rng.random_range(0..left.max(1));
    let found = lists.iter().position(|list| {
        let here = at < list.len();
        at = at.saturating_sub(list.len());
        here
    });
    found.unwrap_or(0)
}

/// One draw of Dir(α·1ₙ), in logarithms so that a small α does not underflow to 0/0.
fn dirichlet(alpha: f64, n: usize, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
    // Gamma(α) = Gamma(α + 1) · U^(1/α).
    let gamma = Gamma::new(alpha + 1.0, 1.0).map_err(|error| Error::value("alpha", format!("{alpha}: {error}")))?;
    let logs: Vec<f64> = (0..n).map(|_| gamma.sample(rng).ln() + (1.0 - rng.random::<f64>()).ln() / alpha).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let draws: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
    let sum: f64 = draws.iter().sum();
    Ok(draws.into_iter().map(|draw| draw / sum).collect())
}

fn natural(examples: usize, groups: Option<&[u32]>, clients: usize, rng: &mut ChaCha8Rng) -> Result<Vec<Vec<u32>>> {
    let groups = groups.ok_or_else(|| {
        Error::value(
            "partition",
            "`natural` needs a set that says who made each example; use iid, by_class or dirichlet",
        )
    })?;
    if groups.len() != examples {
        return Err(Error::Length { what: "groups", found: groups.len(), expected: examples });
    }
    let mut members = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    for (index, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(index as u32);
    }
    if clients > members.len() {
        return Err(Error::value(
            "clients",
            format!("{clients} clients, but the natural partition has {} groups; say at most that many", members.len()),
        ));
    }
    // As many clients as groups: client i is the i-th group. Fewer: groups are dealt round by round in random order.
    let mut order: Vec<usize> = (0..members.len()).collect();
    if clients < members.len() {
        order.shuffle(rng);
    }
    let mut parts = vec![Vec::new(); clients];
    for (examples, place) in members.into_values().zip(order) {
        parts[place % clients].extend(examples);
    }
    Ok(parts)
}

/// A partition in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Number of clients.
    pub clients: usize,
    /// Number of examples.
    pub examples: usize,
    /// Clients without an example, which samplers leave out.
    pub empty: Vec<u32>,
    /// Fewest examples of a client.
    pub smallest: usize,
    /// Most examples of a client.
    pub largest: usize,
    /// Mean number of classes over clients that have examples.
    pub mean_classes: f64,
}

/// Sizes and class counts of a partition of a set with these labels.
///
/// Panics if `parts` holds an index beyond `labels`, as slices do.
pub fn summary(parts: &[Vec<u32>], labels: &[u32]) -> Summary {
    let empty: Vec<u32> = (0u32..).zip(parts).filter(|(_, part)| part.is_empty()).map(|(client, _)| client).collect();
    let classes: usize = parts
        .iter()
        .map(|part| {
            let mut classes: Vec<u32> = part.iter().map(|&index| labels[index as usize]).collect();
            classes.sort_unstable();
            classes.dedup();
            classes.len()
        })
        .sum();
    Summary {
        clients: parts.len(),
        examples: parts.iter().map(Vec::len).sum(),
        smallest: parts.iter().map(Vec::len).min().unwrap_or(0),
        largest: parts.iter().map(Vec::len).max().unwrap_or(0),
        mean_classes: classes as f64 / (parts.len() - empty.len()).max(1) as f64,
        empty,
    }
}
