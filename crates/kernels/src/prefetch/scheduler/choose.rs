//! Which chunk is next, and whose slot it goes into.

use super::{Chunk, Class, Record, Scheduler, Slot};
use crate::prefetch::policy::Candidate;

impl<F> Scheduler<F> {
    /// The next chunks, in the order in which they must be copied: demands, up to `most` chunks; where there are none, one chunk
    /// of a speculation, if no more than the window is on its way with it. Empty: nothing can be copied now.
    pub fn next(&mut self, most: usize) -> Vec<Chunk<F>> {
        let mut chunks = Vec::new();
        let waiting: Vec<u32> = self.demands.iter().copied().collect();
        for number in waiting {
            let number = number as usize;
            while chunks.len() < most && self.records[number].queue.is_some() && self.place(number, Class::Demand) {
                chunks.push(self.order(number, Class::Demand));
            }
        }
        // A demand without a slot gets the next one that a chunk on its way makes free: no speculation goes before.
        if !chunks.is_empty() || !self.demands.is_empty() {
            return chunks;
        }
        for at in 0..self.speculations.len() {
            let number = self.speculations[at] as usize;
            let left = self.geometry.bytes[number] - self.records[number].ordered;
            let bytes = self.geometry.chunk(number).min(left);
            if self.speculative_in_flight + bytes > self.geometry.window {
                break;
            }
            if self.place(number, Class::Speculative) {
                chunks.push(self.order(number, Class::Speculative));
                break;
            }
        }
        chunks
    }

    /// Orders the next chunk of a record that has a slot.
    fn order(&mut self, number: usize, class: Class) -> Chunk<F> {
        let bytes = self.geometry.bytes[number];
        let chunk = self.geometry.chunk(number);
        let record = &mut self.records[number];
        let slot = record.slot.unwrap_or_default();
        let offset = record.ordered;
        let size = chunk.min(bytes - offset);
        record.ordered += size;
        record.in_flight += 1;
        let last = record.ordered == bytes;
        if last {
            self.unqueue(number);
        }
        if class == Class::Speculative {
            self.speculative_in_flight += size;
        }
        let after = if offset == 0 { self.slots[slot as usize].free.take() } else { None };
        Chunk { id: self.geometry.id(number), slot, offset, bytes: size, last, class, after }
    }

    /// Whether the record has a slot, or gets one.
    fn place(&mut self, number: usize, class: Class) -> bool {
        if self.records[number].slot.is_some() {
            return true;
        }
        let layer = self.geometry.id(number).layer as usize;
        let full = self.taken[layer] >= self.geometry.slots_per_layer;
        if (full || self.empty.is_empty()) && !self.evict(if full { Some(layer) } else { None }, class) {
            return false;
        }
        let Some(slot) = self.empty.pop() else { return false };
        self.events += 1;
        let record = &mut self.records[number];
        record.slot = Some(slot);
        record.unused = class == Class::Speculative;
        record.last_use = self.events;
        self.slots[slot as usize].record = Some(number as u32);
        self.taken[layer] += 1;
        self.stats.held_bytes += self.geometry.slot_bytes;
        self.stats.peak_bytes = self.stats.peak_bytes.max(self.stats.held_bytes);
        true
    }

    /// Makes room in a layer, or anywhere, for a record of a class.
    fn evict(&mut self, layer: Option<usize>, class: Class) -> bool {
        let (mut candidates, mut numbers) = (Vec::new(), Vec::new());
        for Slot { record, .. } in &self.slots {
            let Some(number) = record.map(|number| number as usize) else { continue };
            let (record, id) = (&self.records[number], self.geometry.id(number));
            let busy = record.holds > 0 || record.in_flight > 0;
            let elsewhere = layer.is_some_and(|layer| id.layer as usize != layer);
            if busy || elsewhere || class == Class::Speculative && record.predicted {
                continue;
            }
            let Record { last_use, uses, stale, predicted, .. } = *record;
            candidates.push(Candidate { id, last_use, uses, stale, predicted });
            numbers.push(number);
        }
        if candidates.is_empty() {
            return false;
        }
        let victim = numbers[self.policy.victim(&candidates).min(numbers.len() - 1)];
        self.unqueue(victim);
        if self.records[victim].ordered < self.geometry.bytes[victim] {
            self.stats.cancelled += 1;
        } else {
            self.stats.evictions += 1;
        }
        self.leave(victim);
        true
    }
}
