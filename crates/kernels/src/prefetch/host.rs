//! The CPU's engine: an arena of slots in ordinary memory, filled from a [`Source`] by the scheduler's thread.

use std::ops::Deref;
use std::sync::Arc;

use super::config::ALIGN;
use super::engine::Engine;
use super::slots::Lease;
use super::{Chunk, Config, ExpertSlots, Lru, Policy, PrefetchError, Source};

/// Memory of a slot, aligned to 256 bytes.
#[derive(Debug)]
pub struct SlotMemory {
    lines: Vec<Line>,
    /// Bytes of the record that is there.
    len: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(256))]
struct Line([u8; ALIGN as usize]);

impl SlotMemory {
    fn new(bytes: u64) -> Result<Self, String> {
        let lines = bytes.div_ceil(ALIGN) as usize;
        let mut memory = Vec::new();
        memory.try_reserve_exact(lines).map_err(|error| format!("no memory for a slot of {bytes} bytes: {error}"))?;
        memory.resize(lines, Line([0; ALIGN as usize]));
        Ok(Self { lines: memory, len: 0 })
    }

    fn all_mut(&mut self) -> &mut [u8] {
        let bytes = self.lines.len() * ALIGN as usize;
        // SAFETY: a `Line` is 256 bytes without padding, and the borrow is of all of them.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), bytes) }
    }
}

impl Deref for SlotMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = self.lines.len() * ALIGN as usize;
        // SAFETY: as above.
        let all: &[u8] = unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), bytes) };
        &all[..self.len]
    }
}

/// Slots in ordinary memory. Each is allocated when it is first used, and then used again.
#[derive(Debug)]
pub struct Arena<S> {
    source: S,
    slot_bytes: u64,
    /// Slots that nobody reads: with a part of a record, or with none.
    memory: Vec<Option<SlotMemory>>,
}

impl<S: Source> Arena<S> {
    fn copy(&mut self, chunk: &Chunk<()>, old: Option<Arc<SlotMemory>>) -> Result<(), String> {
        let slot = &mut self.memory[chunk.slot as usize];
        if let Some(old) = old {
            // The scheduler never reuses a slot that is leased; if it did, this would say so, and the lease would stay whole.
            *slot = Some(Arc::into_inner(old).ok_or("the slot is still leased: please report this")?);
        }
        let memory = match slot {
            Some(memory) => memory,
            None => slot.insert(SlotMemory::new(self.slot_bytes)?),
        };
        let (from, until) = (chunk.offset as usize, (chunk.offset + chunk.bytes) as usize);
        memory.len = until;
        let to = &mut memory.all_mut()[from..until];
        match self.source.bytes(chunk.id).and_then(|bytes| bytes.get(from..until)) {
            Some(bytes) => to.copy_from_slice(bytes),
            None => self.source.read_at(chunk.id, chunk.offset, to).map_err(|error| error.to_string())?,
        }
        Ok(())
    }
}

impl<S: Source> Engine for Arena<S> {
    type Data = Arc<SlotMemory>;
    type Free = ();

    fn parts(&self) -> u32 {
        1
    }

    /// The thread copies while it submits, and looks for demands after each chunk.
    fn limits(&self) -> (usize, usize) {
        (1, 1)
    }

    fn submit(&mut self, chunks: &mut [Chunk<()>], old: &mut [Option<Arc<SlotMemory>>]) -> Result<(), String> {
        chunks.iter().zip(old).try_for_each(|(chunk, old)| self.copy(chunk, old.take()))
    }

    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn data(&mut self, slot: u32) -> Option<Arc<SlotMemory>> {
        self.memory[slot as usize].take().map(Arc::new)
    }

    fn release(_data: Arc<SlotMemory>) -> Option<()> {
        None
    }
}

impl<S: Source> ExpertSlots<Arena<S>> {
    /// Slots in ordinary memory for the records of `source`, least recently used out first.
    ///
    /// # Errors
    /// A configuration that can't work: no slot, a budget below the largest record, chunks out of range, an empty record, no
    /// record; no thread.
    pub fn new(config: Config, source: S) -> Result<Self, PrefetchError> {
        Self::with_policy(config, source, Box::new(Lru))
    }

    /// Another policy of eviction.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_policy(config: Config, source: S, policy: Box<dyn Policy>) -> Result<Self, PrefetchError> {
        let sizes = source.sizes();
        Self::start(config, &sizes, policy, 1, |slots, slot_bytes| {
            Ok(Arena { source, slot_bytes, memory: (0..slots).map(|_| None).collect() })
        })
    }
}

impl<S: Source> Deref for Lease<Arena<S>> {
    type Target = [u8];

    /// The record, aligned to 256 bytes.
    fn deref(&self) -> &[u8] {
        self.data().map_or(&[], |memory| memory)
    }
}
