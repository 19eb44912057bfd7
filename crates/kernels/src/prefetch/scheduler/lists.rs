//! Into the lists, out of them, and out of the slots.

use super::{Class, Record, Scheduler};

impl<F> Scheduler<F> {
    /// To the end of a list, out of the other.
    pub(super) fn requeue(&mut self, number: usize, class: Class) {
        if self.records[number].queue == Some(class) {
            return;
        }
        self.unqueue(number);
        self.records[number].queue = Some(class);
        match class {
            Class::Demand => self.demands.push_back(number as u32),
            Class::Speculative => self.speculations.push_back(number as u32),
        }
    }

    pub(super) fn unqueue(&mut self, number: usize) {
        match self.records[number].queue.take() {
            Some(Class::Demand) => self.demands.retain(|&other| other != number as u32),
            Some(Class::Speculative) => self.speculations.retain(|&other| other != number as u32),
            None => {}
        }
    }

    /// Drops a record that is not all there, at once or when its chunks have ended.
    pub(super) fn abandon(&mut self, number: usize) {
        let was_queued = self.records[number].queue.is_some();
        self.unqueue(number);
        let record = &mut self.records[number];
        match record.slot {
            None => self.stats.cancelled += was_queued as u64,
            Some(_) if record.dropped => {}
            Some(_) => {
                self.stats.cancelled += record.failed.is_none() as u64;
                record.dropped = true;
                if record.in_flight == 0 {
                    self.leave(number);
                }
            }
        }
    }

    /// Empties the slot of a record.
    pub(super) fn leave(&mut self, number: usize) {
        let id = self.geometry.id(number);
        let record = &mut self.records[number];
        let Some(slot) = record.slot.take() else { return };
        if record.unused {
            self.stats.wasted_bytes += record.guessed;
        }
        let (last_use, holds, failed, queue) = (record.last_use, record.holds, record.failed.take(), record.queue);
        *record = Record { queue, holds, last_use, failed, ..Record::default() };
        self.slots[slot as usize].record = None;
        self.empty.push(slot);
        self.taken[id.layer as usize] -= 1;
        self.stats.held_bytes -= self.geometry.slot_bytes;
        self.policy.removed(id);
    }
}
