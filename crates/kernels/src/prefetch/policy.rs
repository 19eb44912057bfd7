//! Which record leaves when room is needed.

use super::ExpertId;

/// A record that may be evicted: nobody holds it and no copy of it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: ExpertId,
    /// When it was last demanded, or else when its copy began: a count of events, larger is later.
    pub last_use: u64,
    /// How often it was demanded since it arrived.
    pub uses: u64,
    /// Speculated for a layer that has passed, and never demanded.
    pub stale: bool,
    /// Speculated, and its layer has neither demanded it nor passed.
    pub predicted: bool,
}

/// Chooses what leaves.
///
/// The scheduler offers only what may leave: in the layer that needs room when the layer's slots are taken, in all layers
/// when the budget is. Speculation is never offered what is predicted.
pub trait Policy: Send {
    /// Position in `candidates` (not empty) of what leaves; a position past the end means the last.
    fn victim(&mut self, candidates: &[Candidate]) -> usize;

    /// A record was demanded.
    fn used(&mut self, _id: ExpertId) {}

    /// A record has arrived.
    fn inserted(&mut self, _id: ExpertId, _speculative: bool) {}

    /// A record has left, or was dropped on its way.
    fn removed(&mut self, _id: ExpertId) {}
}

/// Least recently used. Speculations that came to nothing leave first, and what is predicted last. A speculation counts as used
/// when its copy begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lru;

impl Policy for Lru {
    fn victim(&mut self, candidates: &[Candidate]) -> usize {
        let oldest = candidates.iter().enumerate().min_by_key(|(_, c)| (!c.stale, c.predicted, c.last_use));
        oldest.map_or(0, |(at, _)| at)
    }
}
