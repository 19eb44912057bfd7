//! What carries out the scheduler's copies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Chunk;

/// Time since some start.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Wall(Instant);

impl Default for Wall {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One copy stream: chunks are copied one after another, in the order of [`Self::submit`].
///
/// [`ExpertSlots`](super::ExpertSlots) calls everything here from its own thread.
pub trait Engine: Send + 'static {
    /// A slot's contents, as a lease holds them.
    type Data: Clone + Send + Sync + 'static;
    /// The end of a lease's use of its slot.
    type Free: Send + 'static;

    /// Into how many chunks a record (or 32 MiB) is cut; as many of a speculation are on their way at once. 1 where a chunk
    /// begins as soon as the one before it has ended, 2 where the next must be there before that.
    fn parts(&self) -> u32;

    /// Chunks that one submission may have, and submissions that may be on their way.
    fn limits(&self) -> (usize, usize);

    /// Whether [`Self::data`] may be used in stream order as soon as a record's last chunk has been submitted, before it has
    /// arrived.
    fn stream_ordered(&self) -> bool {
        false
    }

    /// Starts copying. `old[i]` is what [`Self::data`] gave for the slot's former contents when chunk i is its record's first;
    /// nobody else has it.
    ///
    /// # Errors
    /// Nothing of the submission will arrive.
    fn submit(&mut self, chunks: &mut [Chunk<Self::Free>], old: &mut [Option<Self::Data>]) -> Result<(), String>;

    /// Waits for the oldest submission that succeeded.
    ///
    /// # Errors
    /// It failed.
    fn finish(&mut self) -> Result<(), String>;

    /// A slot's contents: the last chunk of its record has ended, or in stream order has been submitted.
    fn data(&mut self, slot: u32) -> Option<Self::Data>;

    /// A lease of `data` ends.
    fn release(data: Self::Data) -> Option<Self::Free>;

    /// The clock that stalls are measured by.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(Wall::default())
    }
}
