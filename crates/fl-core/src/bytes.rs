//! Counting bytes, in two columns.
//!
//! *paper*, as published (CommEfficient): a participating client uploads 4 bytes a number it sends (d, k or rows·cols of
//! them; indices are free) and downloads 4 bytes for each coordinate whose weight changed since its last participation,
//! counted from the initial weights (which a seed gives) the first time. Round 0 thus downloads nothing. Where training
//! starts from weights that no seed gives, the first download is all d of them ([`Accountant::without_seed`]).
//!
//! *wire*: the bytes of a frame that a decoder can read: tag, count, values, and the shortest of a bitmap (d/8 bytes),
//! u32 indices (4 a value) and LEB128 gaps between indices ([`frame`]); no index at all when all d coordinates are sent.
//! Fixed-point tables are 8 bytes a cell.
//!
//! "Changed" means `!=`. (The published count, ceil(|difference|) clamped to [0, 1], is the same in exact arithmetic
//! only.) Instead of the weights of the last rounds we keep, for each coordinate, the last round that changed it: the
//! same count, except that a coordinate that returned to its old value counts as changed; 4·d bytes instead of
//! 4·d·10·N/W.
//!
//! Compression is the bytes of uncompressed training over as many rounds and participations (4·d up and 4·d down each)
//! over the bytes of the run, for up, down and their total.

use std::collections::BTreeMap;

use ashlar_kernels::SparseVec;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{Error, Result, frame};

/// Instead of a round that a client has seen: not even the initial weights.
const NEVER: u32 = u32::MAX;

/// Bytes, counted both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// As the paper counts.
    pub paper: u64,
    /// As framed.
    pub wire: u64,
}

impl std::ops::AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.paper += other.paper;
        self.wire += other.wire;
    }
}

/// What one client uploads.
#[derive(Debug, Clone, Copy)]
pub enum Upload<'a> {
    /// d numbers: uncompressed, true top-k, fedavg, SparseFed.
    Dense {
        /// How many.
        d: usize,
    },
    /// Some coordinates: local top-k.
    Sparse(&'a SparseVec),
    /// A sketch's table.
    Table {
        /// rows·cols.
        cells: usize,
        /// Whether in fixed point, i64 (else f32).
        fixed: bool,
    },
}

impl Upload<'_> {
    /// Its size.
    pub fn bytes(&self) -> Bytes {
        match *self {
            Self::Dense { d } => Bytes { paper: 4 * d as u64, wire: frame::dense_len(d as u64, 4) },
            Self::Sparse(sparse) => {
                let count = sparse.nnz() as u64;
                Bytes { paper: 4 * count, wire: frame::frame_len(sparse.len(), count, sparse.idx().iter().copied()) }
            }
            Self::Table { cells, fixed } => {
                let cells = cells as u64;
                Bytes { paper: 4 * cells, wire: frame::dense_len(cells, if fixed { 8 } else { 4 }) }
            }
        }
    }
}

/// What a run has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// From clients to the server.
    pub up: Bytes,
    /// From the server to clients.
    pub down: Bytes,
    /// Clients times the rounds in which each took part.
    pub participations: u64,
}

/// How many times fewer bytes than uncompressed training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compression {
    /// Uploads.
    pub up: f64,
    /// Downloads.
    pub down: f64,
    /// Both.
    pub total: f64,
}

/// Which column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// As the paper counts.
    Paper,
    /// As framed.
    Wire,
}

impl Totals {
    /// Against uncompressed training of d parameters with the same participations.
    pub fn compression(&self, d: usize, column: Column) -> Compression {
        let of = |bytes: Bytes| if column == Column::Paper { bytes.paper } else { bytes.wire };
        let (up, down) = (of(self.up) as f64, of(self.down) as f64);
        let dense = 4.0 * d as f64 * self.participations as f64;
        Compression { up: dense / up, down: dense / down, total: 2.0 * dense / (up + down) }
    }
}

/// Counts a run's bytes.
#[derive(Debug, Clone)]
pub struct Accountant {
    /// The last round that changed a coordinate, plus 1; 0 for never.
    last_changed: Vec<u32>,
    /// Coordinates whose entry above is r, at r.
    changed_in: Vec<u64>,
    /// The round whose initial weights a client last had, or [`NEVER`].
    seen: Vec<u32>,
    totals: Totals,
}

impl Accountant {
    /// For d parameters and N clients.
    pub fn new(d: usize, clients: usize) -> Self {
        Self { last_changed: vec![0; d], changed_in: vec![d as u64], seen: vec![0; clients], totals: Totals::default() }
    }

    /// The initial weights don't come from a seed: a client's first participation downloads all of them.
    #[must_use]
    pub fn without_seed(mut self) -> Self {
        self.seen.fill(NEVER);
        self
    }

    /// Counts what the round's participants download before they work.
    pub fn download(&mut self, round: u32, clients: &[u32]) -> Result<Bytes> {
        let mut by_staleness: BTreeMap<u32, u64> = BTreeMap::new();
        for &client in clients {
            let known = self.seen.len();
            let seen = self
                .seen
                .get_mut(client as usize)
                .ok_or_else(|| Error::setting("client", client, format!("one of the {known} clients")))?;
            *by_staleness.entry(*seen).or_default() += 1;
            *seen = round;
        }
        let groups: Vec<(u32, u64)> = by_staleness.into_iter().collect();
        let sizes: Vec<(Bytes, u64)> =
            groups.par_iter().map(|&(seen, clients)| (self.download_since(seen), clients)).collect();
        let mut sum = Bytes::default();
        for (bytes, clients) in sizes {
            sum += Bytes { paper: bytes.paper * clients, wire: bytes.wire * clients };
        }
        self.totals.down += sum;
        self.totals.participations += clients.len() as u64;
        Ok(sum)
    }

    /// The download of a client that last had the initial weights of round `seen`.
    fn download_since(&self, seen: u32) -> Bytes {
        if seen == NEVER {
            return Upload::Dense { d: self.last_changed.len() }.bytes();
        }
        let changed = self.changed_since(seen);
        let indices = self.last_changed.iter().enumerate().filter(|(_, at)| **at > seen);
        let wire = frame::frame_len(self.last_changed.len() as u64, changed, indices.map(|(i, _)| i as u32));
        Bytes { paper: 4 * changed, wire }
    }

    /// Coordinates that changed since the initial weights of round `seen`.
    pub fn changed_since(&self, seen: u32) -> u64 {
        self.changed_in.iter().skip(seen as usize + 1).sum()
    }

    /// Counts one client's upload.
    pub fn upload(&mut self, upload: Upload<'_>) -> Bytes {
        let bytes = upload.bytes();
        self.totals.up += bytes;
        bytes
    }

    /// Notes which coordinates the round's server step changed.
    pub fn weights_changed(&mut self, round: u32, before: &[f32], after: &[f32]) -> Result<()> {
        expect_len("the weights before", before.len(), self.last_changed.len())?;
        expect_len("the weights after", after.len(), self.last_changed.len())?;
        let mark = self.mark(round)?;
        for (at, (before, after)) in self.last_changed.iter_mut().zip(before.iter().zip(after)) {
            if before != after {
                self.changed_in[*at as usize] -= 1;
                self.changed_in[mark as usize] += 1;
                *at = mark;
            }
        }
        Ok(())
    }

    fn mark(&mut self, round: u32) -> Result<u32> {
        let mark = round.checked_add(1).ok_or_else(|| Error::setting("round", round, "below 2^32 - 1"))?;
        if self.changed_in.len() <= mark as usize {
            self.changed_in.resize(mark as usize + 1, 0);
        }
        Ok(mark)
    }

    /// What the run has cost so far.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The state, as named integer vectors.
    pub fn save(&self) -> Vec<(String, Vec<i64>)> {
        let wide = |x: &[u32]| x.iter().map(|&x| i64::from(x)).collect();
        let Totals { up, down, participations } = self.totals;
        let totals = [up.paper, up.wire, down.paper, down.wire, participations];
        vec![
            ("last_changed".to_owned(), wide(&self.last_changed)),
            ("seen".to_owned(), wide(&self.seen)),
            ("totals".to_owned(), totals.iter().map(|&x| x as i64).collect()),
        ]
    }

    /// Takes a saved state up.
    pub fn load(&mut self, state: &[(String, Vec<i64>)]) -> Result<()> {
        let named = |name: &str, len: usize| -> Result<&[i64]> {
            let error = |found: String| Error::State {
                tensor: name.to_owned(),
                found,
                expected: format!("{len} whole numbers are needed"),
            };
            let (_, saved) = state.iter().find(|(n, _)| n == name).ok_or_else(|| error("is missing".to_owned()))?;
            if saved.len() != len || saved.iter().any(|x| *x < 0) {
                return Err(error(format!("has {} numbers, or negative ones", saved.len())));
            }
            Ok(saved)
        };
        let narrow = |x: &[i64]| x.iter().map(|&x| x as u32).collect::<Vec<u32>>();
        let last_changed = narrow(named("last_changed", self.last_changed.len())?);
        let seen = narrow(named("seen", self.seen.len())?);
        let totals = named("totals", 5)?;
        let mut changed_in = vec![0u64; last_changed.iter().max().map_or(1, |max| *max as usize + 1)];
        for at in &last_changed {
            changed_in[*at as usize] += 1;
        }
        self.totals = Totals {
            up: Bytes { paper: totals[0] as u64, wire: totals[1] as u64 },
            down: Bytes { paper: totals[2] as u64, wire: totals[3] as u64 },
            participations: totals[4] as u64,
        };
        (self.last_changed, self.seen, self.changed_in) = (last_changed, seen, changed_in);
        Ok(())
    }
}
