//! The state machine: what is wanted, where it is, which copy is next. It has no clock, no memory and no thread; an engine
//! carries out the copies that [`Scheduler::next`] orders and says when they have ended.
//!
//! A record is *absent*, *queued* (no slot yet), *arriving* (a slot, some of its chunks ordered) or *there*. Demands and leases
//! hold a record (`holds`); what is held is never evicted. [`Scheduler::demand`] refuses more holds than there are slots,
//! so a demand always gets one: of the slots it may have, at least one is not held, and is free, or evictable now, or as soon
//! as the chunk on its way into it has ended.

mod choose;
mod lists;

use std::collections::VecDeque;
use std::time::Duration;

use super::config::Geometry;
use super::{ExpertId, Policy, PrefetchError, Stats};

/// Why a record is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for it.
    Demand,
    /// Somebody may.
    Speculative,
}

/// A chunk to be copied: `bytes` bytes of the record from `offset` on, to the same place of the slot.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<F> {
    /// Which record.
    pub id: ExpertId,
    /// Which slot.
    pub slot: u32,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// The record's last.
    pub last: bool,
    /// Why.
    pub class: Class,
    /// The end of the last use of the slot's former contents, on the first chunk into it: the copy may begin after that.
    pub after: Option<F>,
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    /// All its chunks have been ordered.
    Ordered(u32),
    There(u32),
    Failed(String),
}

#[derive(Clone, Debug, Default)]
struct Record {
    slot: Option<u32>,
    /// Which list it is in, if any.
    queue: Option<Class>,
    /// Bytes ordered, and arrived.
    ordered: u64,
    arrived: u64,
    /// Of those that arrived, for speculation.
    guessed: u64,
    /// Chunks on their way.
    in_flight: u32,
    /// Demands and leases.
    holds: u32,
    /// To be dropped when the chunks on their way have ended.
    dropped: bool,
    /// Brought by speculation and not demanded since.
    unused: bool,
    /// Asked for by speculation, and neither demanded nor passed since.
    predicted: bool,
    /// Unused, and its layer has passed.
    stale: bool,
    last_use: u64,
    uses: u64,
    failed: Option<String>,
}

impl Record {
    /// A chunk failed, and others are on their way: only when they have ended can it begin again.
    const fn is_failing(&self) -> bool {
        self.failed.is_some() && self.slot.is_some()
    }
}

#[derive(Debug)]
struct Slot<F> {
    record: Option<u32>,
    /// When the last user of the contents ends.
    free: Option<F>,
}

pub(crate) struct Scheduler<F> {
    geometry: Geometry,
    records: Vec<Record>,
    slots: Vec<Slot<F>>,
    empty: Vec<u32>,
    /// By layer: slots held, and records held by somebody.
    taken: Vec<u32>,
    held: Vec<u32>,
    demands: VecDeque<u32>,
    speculations: VecDeque<u32>,
    speculative_in_flight: u64,
    policy: Box<dyn Policy>,
    events: u64,
    stats: Stats,
}

impl<F> Scheduler<F> {
    pub fn new(geometry: Geometry, policy: Box<dyn Policy>) -> Self {
        let (slots, layers) = (geometry.slots, geometry.layers() as usize);
        Self {
            records: vec![Record::default(); geometry.bytes.len()],
            slots: (0..slots).map(|_| Slot { record: None, free: None }).collect(),
            empty: (0..slots).rev().collect(),
            taken: vec![0; layers],
            held: vec![0; layers],
            demands: VecDeque::new(),
            speculations: VecDeque::new(),
            speculative_in_flight: 0,
            policy,
            events: 0,
            stats: Stats::default(),
            geometry,
        }
    }

    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Asks for a record that may be needed.
    pub fn prefetch(&mut self, id: ExpertId) -> Result<(), PrefetchError> {
        let number = self.geometry.number(id)?;
        let bytes = self.geometry.bytes[number];
        let record = &mut self.records[number];
        if record.is_failing() {
            return Ok(());
        }
        record.failed = None;
        (record.predicted, record.stale) = (true, false);
        if record.slot.is_none() && record.queue.is_none() {
            self.stats.speculated += 1;
            self.requeue(number, Class::Speculative);
        } else if record.dropped {
            // It goes on where it stopped.
            (record.dropped, record.unused) = (false, true);
            self.stats.speculated += 1;
            if record.ordered < bytes {
                self.requeue(number, Class::Speculative);
            }
        }
        Ok(())
    }

    /// Asks for a record that is needed, and holds it.
    pub fn demand(&mut self, id: ExpertId) -> Result<(), PrefetchError> {
        let number = self.geometry.number(id)?;
        let layer = id.layer as usize;
        if self.records[number].holds == 0 {
            let all: u32 = self.held.iter().sum();
            for (held, slots, place) in [
                (self.held[layer], self.geometry.slots_per_layer, "its layer"),
                (all, self.geometry.slots, "the budget"),
            ] {
                if held >= slots {
                    return Err(PrefetchError::Full { id, slots, place });
                }
            }
            self.held[layer] += 1;
        }
        self.events += 1;
        let (events, bytes) = (self.events, self.geometry.bytes[number]);
        let record = &mut self.records[number];
        record.holds += 1;
        if record.is_failing() {
            self.stats.misses += 1;
            return Ok(());
        }
        record.failed = None;
        record.predicted = false;
        (record.last_use, record.uses) = (events, record.uses + 1);
        let begun = record.slot.is_some();
        let (unused, dropped) = (record.unused || record.queue == Some(Class::Speculative), record.dropped);
        (record.unused, record.stale, record.dropped, record.guessed) = (false, false, false, 0);
        if begun {
            if unused || dropped {
                self.stats.speculative_hits += 1;
                self.stats.late += (record.arrived < bytes) as u64;
            } else {
                self.stats.hits += 1;
            }
        } else if record.queue == Some(Class::Demand) {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
        }
        if self.records[number].ordered < bytes {
            self.requeue(number, Class::Demand);
        }
        self.policy.used(id);
        Ok(())
    }

    /// Where a record is.
    pub fn state(&self, id: ExpertId) -> Result<State, PrefetchError> {
        let number = self.geometry.number(id)?;
        let (record, bytes) = (&self.records[number], self.geometry.bytes[number]);
        Ok(match (&record.failed, record.slot) {
            (Some(reason), _) => State::Failed(reason.clone()),
            (None, Some(slot)) if record.arrived == bytes => State::There(slot),
            (None, Some(slot)) if record.ordered == bytes => State::Ordered(slot),
            _ => State::Waiting,
        })
    }

    /// A lease or demand ends; its use of the slot ends at `free`.
    pub fn release(&mut self, id: ExpertId, free: Option<F>) -> Result<(), PrefetchError> {
        let number = self.geometry.number(id)?;
        let record = &mut self.records[number];
        if record.holds == 0 {
            return Err(PrefetchError::Ticket { id });
        }
        record.holds -= 1;
        if let (Some(slot), Some(free)) = (record.slot, free) {
            // A stream's events are in order, so the latest stands for all.
            self.slots[slot as usize].free = Some(free);
        }
        if record.holds == 0 {
            self.held[id.layer as usize] -= 1;
            // Nobody waits for it any more.
            if record.ordered < self.geometry.bytes[number] {
                self.abandon(number);
            }
        }
        Ok(())
    }

    /// Gives up a speculation that nobody has demanded, unless all of it has been ordered.
    pub fn cancel(&mut self, id: ExpertId) -> Result<(), PrefetchError> {
        let number = self.geometry.number(id)?;
        let record = &self.records[number];
        if record.holds == 0 && record.ordered < self.geometry.bytes[number] {
            self.abandon(number);
        }
        Ok(())
    }

    /// The layer has been computed: speculations for it that have not come are dropped, those that came leave first.
    pub fn pass(&mut self, layer: u32) -> Result<(), PrefetchError> {
        for number in self.geometry.layer(layer)? {
            let record = &mut self.records[number];
            if record.holds > 0 {
                continue;
            }
            record.predicted = false;
            record.stale = record.unused;
            if record.ordered < self.geometry.bytes[number] {
                self.abandon(number);
            }
        }
        Ok(())
    }

    /// Time that somebody waited for bytes.
    pub fn stalled(&mut self, time: Duration) {
        self.stats.stall += time;
    }

    /// A chunk that [`Self::next`] ordered has ended.
    pub fn ended(&mut self, chunk: &Chunk<F>, result: &Result<(), String>) -> Result<(), PrefetchError> {
        let number = self.geometry.number(chunk.id)?;
        let bytes = self.geometry.bytes[number];
        match chunk.class {
            Class::Demand => self.stats.demand_bytes += chunk.bytes,
            Class::Speculative => {
                self.speculative_in_flight -= chunk.bytes;
                self.stats.speculative_bytes += chunk.bytes;
            }
        }
        let record = &mut self.records[number];
        record.in_flight -= 1;
        match result {
            Ok(()) => {
                record.arrived += chunk.bytes;
                record.guessed += if chunk.class == Class::Speculative { chunk.bytes } else { 0 };
            }
            Err(reason) if record.failed.is_none() => {
                record.failed = Some(reason.clone());
                self.stats.failures += 1;
                self.abandon(number);
                return Ok(());
            }
            Err(_) => {}
        }
        let record = &self.records[number];
        if record.in_flight == 0 && record.dropped {
            self.leave(number);
        } else if record.arrived == bytes {
            self.policy.inserted(chunk.id, record.unused);
        }
        Ok(())
    }
}
