//! Experts that don't fit, brought before they are needed: slots, a copy stream, demands before speculation.
//!
//! A mixture-of-experts layer uses k of its E experts a token. The records of all experts stay in a large, slow place (files,
//! host memory); some are held in slots of a small, fast one (an arena in memory, a GPU). One scheduler decides what is copied
//! when:
//!
//! ```
//! use ashlar_kernels::prefetch::{Config, ExpertSlots, MemorySource, dense_places};
//!
//! // 4 layers of 8 experts of 10,000 bytes, of which a layer may hold 3.
//! let weights: Vec<u8> = (0..4 * 8 * 10_000_u32).map(|i| (i / 10_000) as u8).collect();
//! let source = MemorySource::new(weights, dense_places(4, 8, 10_000))?;
//! let experts = ExpertSlots::new(Config::new(3, 1 << 20), source)?;
//!
//! for layer in 0..4 {
//!     if layer < 3 {
//!         let _guess = experts.prefetch(layer + 1, 5)?; // copied while this layer is computed
//!     }
//!     let leases = experts.acquire(layer, &[2, 5])?; // waits for what isn't there
//!     assert!(leases[1].iter().all(|&byte| byte == (layer * 8 + 5) as u8));
//!     experts.pass(layer)?; // guesses for this layer are worth nothing now
//! } // dropping the leases frees their slots
//! let stats = experts.stats();
//! assert_eq!((stats.demands(), stats.failures), (8, 0));
//! # Ok::<(), ashlar_kernels::prefetch::PrefetchError>(())
//! ```
//!
//! # What is promised
//!
//! * A slot is not read before all of its record has come, nor overwritten while a [`Lease`] (or work on a stream that was
//!   started with it) reads it. Records that are demanded or leased are not evicted.
//! * The slots' bytes never exceed [`Config::budget`]. Slots have the size of the largest record, rounded up to 256 bytes.
//! * [`ExpertSlots::demand`] jumps all speculation. Copies are cut into chunks, and no more than one record or 32 MiB of
//!   speculation, whichever is less, is on its way at once: a demand waits for no more than that, and for the demands before
//!   it. A speculation that is demanded while it is on its way goes on as a demand.
//! * Speculation never evicts what is predicted for a layer that has not passed, and never waits for anything: what has no slot
//!   stays in the list until there is one, or until it is demanded, cancelled or passed.
//! * No deadlock: a demand that can't get a slot because all are held is an error at once.
//! * A read or copy that fails, or a source that panics, is an error of the demands that wait for it; the next demand tries
//!   again. Failed speculation is only counted.
//!
//! Hits promote at use: the order of eviction knows when a record was demanded, not when it was guessed ([`Policy`], [`Lru`]).
//! Nothing is ever written back, since weights are read only.
//!
//! # Which engine
//!
//! | engine | slots | source | a lease is | tested |
//! |---|---|---|---|---|
//! | [`Arena`] | ordinary memory, 256-byte aligned | [`MemorySource`] (memory, a memory map), [`FileSource`], any [`Source`] | `&[u8]` | with threads |
//! | `CudaEngine` (feature `cuda`) | device memory | the same, and `PinnedSource` | a device address, in stream order | with a driver that plays one |
//! | [`Simulation`] | none | sizes only | | virtual time, which the properties are tested in |
//!
//! The scheduler's thread sleeps on a condition variable when there is nothing to copy; nothing spins.
//!
//! # What it costs
//!
//! A copy moves each byte of a record once: read once, written once. On the host a request or release takes a lock and a few
//! list operations, an eviction a scan over the slots. Memory beside the slots: some 100 bytes a record.
//!
//! The arena's demands, all of them misses, reach 0.95 of a plain `memcpy` of the same records in the same run with 8 records
//! of 2.7 MB, 1.01 with 8 of 9.4 MB and 1.02 with 2 of 100 MB (`cargo bench -p ashlar-benches --bench prefetch`). A single
//! record of 2.7 MB pays for waking two threads: 0.84, tried by hand on a busy machine.
//!
//! On [stalls](Stats::stall): with n bytes to copy at B bytes a second while computing takes c seconds, the least that can be
//! waited for is max(0, n/B − c). The simulation stays within 3 % of it when the guesses are right and early enough.
//!
//! Sources: one copy a record and never a copy back, eviction within a layer, as in (and against) mixtral-offloading's
//! `expert_cache.py`; copy before the layer from predicted experts as in yalis' `offload_prefetch` (Speculating Experts,
//! 2603.19289); demand queue before prefetch queue as in MoE-Infinity.

mod config;
#[cfg(feature = "cuda")]
mod cuda;
mod engine;
mod error;
mod host;
mod policy;
mod scheduler;
mod sim;
mod slots;
mod source;
mod stats;
mod ticket;

use std::fmt;

pub use config::{CHUNK, Config};
#[cfg(feature = "cuda")]
pub use cuda::{CudaEngine, DeviceRecord, Pinned, PinnedSource};
pub use engine::{Clock, Engine, Wall};
pub use error::PrefetchError;
pub use host::{Arena, SlotMemory};
pub use policy::{Candidate, Lru, Policy};
pub use scheduler::{Chunk, Class};
pub use sim::{Link, SimLease, Simulation};
pub use slots::{ExpertSlots, Lease};
pub use source::{FileSource, MemorySource, Places, Source, dense_places};
pub use stats::Stats;
pub use ticket::Ticket;

/// Which expert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExpertId {
    /// Layer, from 0.
    pub layer: u32,
    /// Expert of the layer, from 0.
    pub expert: u32,
}

impl fmt::Display for ExpertId {
    /// `expert 3 of layer 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expert {} of layer {}", self.expert, self.layer)
    }
}
