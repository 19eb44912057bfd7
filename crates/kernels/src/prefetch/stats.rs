//! What happened.

use std::time::Duration;

/// Counts since the start. Each demand is one of `hits`, `speculative_hits`, `misses`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Demands of records that were there, used before, or on their way for another demand.
    pub hits: u64,
    /// Demands of records that speculation had brought, or had begun to bring (`late` of them).
    pub speculative_hits: u64,
    /// Speculative hits whose copy had begun but not ended.
    pub late: u64,
    /// Demands that had to begin a copy.
    pub misses: u64,
    /// Speculations asked for that were neither there nor on their way.
    pub speculated: u64,
    /// Speculations dropped before all their bytes were copied.
    pub cancelled: u64,
    /// Records that left to make room.
    pub evictions: u64,
    /// Bytes copied for demands.
    pub demand_bytes: u64,
    /// Bytes copied for speculations.
    pub speculative_bytes: u64,
    /// Bytes of speculations that left or were dropped unused, in `speculative_bytes`.
    pub wasted_bytes: u64,
    /// Copies that failed.
    pub failures: u64,
    /// Bytes of the slots in use now.
    pub held_bytes: u64,
    /// The most that ever were.
    pub peak_bytes: u64,
    /// Time in `wait` for bytes that were not there; on a GPU for their copy to be ordered, since what follows waits on the
    /// device.
    pub stall: Duration,
}

impl Stats {
    /// Demands.
    pub const fn demands(&self) -> u64 {
        self.hits + self.speculative_hits + self.misses
    }

    /// Share of demands that began no copy; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        (self.hits + self.speculative_hits) as f64 / self.demands().max(1) as f64
    }

    /// Bytes copied.
    pub const fn copied_bytes(&self) -> u64 {
        self.demand_bytes + self.speculative_bytes
    }
}
