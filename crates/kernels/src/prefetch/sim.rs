//! The scheduler on a virtual clock: a link with a bandwidth and a latency, computing that takes what it is told to take.
//!
//! Time moves only in [`Simulation::compute`] and [`Simulation::wait`]. Whenever a copy ends before then, the scheduler chooses
//! the next at that moment, as its thread does on a machine. The simulation keeps its own account of what each slot holds
//! and who reads it, and [`Simulation::violations`] names every copy into a slot that was still read, every lease of bytes that
//! had not come, and every slot beyond the budget.
//!
//! ```
//! use std::time::Duration;
//! use ashlar_kernels::prefetch::{Config, Link, Simulation};
//!
//! let link = Link { bytes_per_second: 1e9, latency: Duration::ZERO };
//! // 2 layers of 4 experts of 1 MB.
//! let mut sim = Simulation::new(Config::new(2, 1 << 30), vec![vec![1_000_000; 4]; 2], link)?;
//! let ticket = sim.prefetch(1, 3)?;
//! sim.compute(Duration::from_micros(600));
//! let lease = sim.wait(ticket)?;
//! assert_eq!(sim.stats().stall, Duration::from_micros(400));
//! sim.release(lease);
//! # Ok::<(), ashlar_kernels::prefetch::PrefetchError>(())
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::config::Geometry;
use super::scheduler::{Scheduler, State};
use super::{Chunk, Config, ExpertId, Lru, Policy, PrefetchError, Stats, Ticket};

/// A copy engine as fast as this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Of one copy at a time.
    pub bytes_per_second: f64,
    /// Before each submission's first byte, while nothing is copied.
    pub latency: Duration,
}

/// A record that is read.
#[derive(Debug)]
#[must_use = "a lease that is not released holds its slot for ever"]
pub struct SimLease {
    id: ExpertId,
    slot: u32,
}

impl SimLease {
    /// Which record.
    pub const fn id(&self) -> ExpertId {
        self.id
    }
}

/// What the simulation itself knows of a slot.
#[derive(Clone, Debug, Default)]
struct Memory {
    of: Option<ExpertId>,
    arrived: u64,
    readers: u32,
    /// When computing that goes on after its lease reads last.
    read_until: u64,
}

/// A submission on its way.
struct Flight {
    ends: u64,
    chunks: Vec<Chunk<u64>>,
}

/// The scheduler on a virtual clock.
pub struct Simulation {
    scheduler: Scheduler<u64>,
    link: Link,
    /// Nanoseconds.
    now: u64,
    link_free: u64,
    flights: VecDeque<Flight>,
    memory: Vec<Memory>,
    budget: u64,
    /// Submissions at once, and chunks in one.
    depth: usize,
    batch: usize,
    violations: Vec<String>,
}

impl Simulation {
    /// Records of `sizes[layer][expert]` bytes, least recently used out first, one chunk on its way at a time.
    ///
    /// # Errors
    /// As [`ExpertSlots::new`](super::ExpertSlots::new).
    pub fn new(config: Config, sizes: Vec<Vec<u64>>, link: Link) -> Result<Self, PrefetchError> {
        Self::with(config, sizes, link, Box::new(Lru), 1, 1)
    }

    /// Another policy; `depth` submissions of at most `batch` chunks on their way, as on a GPU's copy stream.
    ///
    /// # Errors
    /// As [`Self::new`]; a bandwidth that isn't positive and finite.
    pub fn with(
        config: Config,
        sizes: Vec<Vec<u64>>,
        link: Link,
        policy: Box<dyn Policy>,
        depth: usize,
        batch: usize,
    ) -> Result<Self, PrefetchError> {
        if !(link.bytes_per_second >= 1.0 && link.bytes_per_second.is_finite()) {
            let (what, value) = ("bytes_per_second", link.bytes_per_second as u64);
            return Err(PrefetchError::Parameter { what, value, expected: "a finite number of at least 1" });
        }
        let (depth, batch) = (depth.max(1), batch.max(1));
        let geometry = Geometry::new(&config, &sizes, depth as u32)?;
        let memory = vec![Memory::default(); geometry.slots as usize];
        let scheduler = Scheduler::new(geometry, policy);
        let (flights, violations) = (VecDeque::new(), Vec::new());
        let budget = config.budget;
        Ok(Self { scheduler, link, now: 0, link_free: 0, flights, memory, budget, depth, batch, violations })
    }

    /// As [`ExpertSlots::prefetch`](super::ExpertSlots::prefetch).
    ///
    /// # Errors
    /// As there.
    pub fn prefetch(&mut self, layer: u32, expert: u32) -> Result<Ticket, PrefetchError> {
        let id = ExpertId { layer, expert };
        self.scheduler.prefetch(id)?;
        self.pump();
        Ok(Ticket { id, demand: false })
    }

    /// As [`ExpertSlots::demand`](super::ExpertSlots::demand).
    ///
    /// # Errors
    /// As there.
    pub fn demand(&mut self, layer: u32, expert: u32) -> Result<Ticket, PrefetchError> {
        let id = ExpertId { layer, expert };
        self.scheduler.demand(id)?;
        self.pump();
        Ok(Ticket { id, demand: true })
    }

    /// As [`ExpertSlots::wait`](super::ExpertSlots::wait), in virtual time.
    ///
    /// # Errors
    /// As there; [`PrefetchError::System`] if nothing is on its way that could end the wait, which would be a deadlock.
    pub fn wait(&mut self, ticket: Ticket) -> Result<SimLease, PrefetchError> {
        let id = ticket.id;
        if !ticket.demand {
            self.scheduler.demand(id)?;
            self.pump();
        }
        let start = self.now;
        let slot = loop {
            match self.scheduler.state(id)? {
                State::There(slot) => break slot,
                State::Failed(reason) => return Err(PrefetchError::Copy { id, reason }),
                State::Waiting | State::Ordered(_) => {}
            }
            if !self.step(u64::MAX) {
                let (what, reason) = ("waiting", format!("deadlock: nothing is on its way, and {id} is not there"));
                return Err(PrefetchError::System { what, reason });
            }
        };
        self.scheduler.stalled(Duration::from_nanos(self.now - start));
        let bytes = self.scheduler.geometry().bytes[self.scheduler.geometry().number(id)?];
        let memory = &mut self.memory[slot as usize];
        memory.readers += 1;
        if memory.of != Some(id) || memory.arrived != bytes {
            let (of, arrived) = (memory.of, memory.arrived);
            self.violations.push(format!("lease of {id} in slot {slot}, which holds {arrived} bytes of {of:?}"));
        }
        Ok(SimLease { id, slot })
    }

    /// Computes for so long on the host.
    pub fn compute(&mut self, time: Duration) {
        let until = self.now + time.as_nanos() as u64;
        while self.step(until) {}
        self.now = until;
    }

    /// The lease's use ends now.
    pub fn release(&mut self, lease: SimLease) {
        self.release_after(lease, Duration::ZERO);
    }

    /// The lease ends now; work that was started with it reads the slot for so long yet, as kernels on a stream do. A copy into
    /// the slot has to wait for that.
    pub fn release_after(&mut self, lease: SimLease, time: Duration) {
        let free = self.now + time.as_nanos() as u64;
        let memory = &mut self.memory[lease.slot as usize];
        memory.readers -= 1;
        memory.read_until = memory.read_until.max(free);
        let free = memory.read_until;
        if let Err(error) = self.scheduler.release(lease.id, Some(free)) {
            self.violations.push(error.to_string());
        }
        self.pump();
    }

    /// As [`ExpertSlots::cancel`](super::ExpertSlots::cancel).
    ///
    /// # Errors
    /// As there.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<(), PrefetchError> {
        if ticket.demand {
            self.scheduler.release(ticket.id, None)?;
        } else {
            self.scheduler.cancel(ticket.id)?;
        }
        self.pump();
        Ok(())
    }

    /// As [`ExpertSlots::pass`](super::ExpertSlots::pass).
    ///
    /// # Errors
    /// As there.
    pub fn pass(&mut self, layer: u32) -> Result<(), PrefetchError> {
        self.scheduler.pass(layer)?;
        self.pump();
        Ok(())
    }

    /// As [`ExpertSlots::is_there`](super::ExpertSlots::is_there).
    ///
    /// # Errors
    /// As there.
    pub fn is_there(&self, layer: u32, expert: u32) -> Result<bool, PrefetchError> {
        Ok(matches!(self.scheduler.state(ExpertId { layer, expert })?, State::There(_)))
    }

    /// Virtual time since the start.
    pub const fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// What happened.
    pub fn stats(&self) -> Stats {
        *self.scheduler.stats()
    }

    /// Where the account of the simulation and the scheduler's differ; empty if the scheduler is right.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The most bytes of speculation on their way at once, and how many there are now.
    pub fn window(&self) -> (u64, u64) {
        let speculative = |chunk: &&Chunk<u64>| chunk.class == super::Class::Speculative;
        let chunks = self.flights.iter().flat_map(|flight| &flight.chunks);
        (self.scheduler.geometry().window, chunks.filter(speculative).map(|chunk| chunk.bytes).sum())
    }

    /// Ends the next flight that ends by `until`.
    fn step(&mut self, until: u64) -> bool {
        if self.flights.front().is_none_or(|flight| flight.ends > until) {
            return false;
        }
        let Some(flight) = self.flights.pop_front() else { return false };
        self.now = self.now.max(flight.ends);
        for chunk in &flight.chunks {
            self.memory[chunk.slot as usize].arrived += chunk.bytes;
            if let Err(error) = self.scheduler.ended(chunk, &Ok(())) {
                self.violations.push(error.to_string());
            }
        }
        self.pump();
        true
    }

    /// Submits what can be submitted now.
    fn pump(&mut self) {
        while self.flights.len() < self.depth {
            let chunks = self.scheduler.next(self.batch);
            if chunks.is_empty() {
                break;
            }
            let idle = self.link_free <= self.now;
            let mut at = self.now.max(self.link_free) + if idle { self.link.latency.as_nanos() as u64 } else { 0 };
            for chunk in &chunks {
                at = at.max(chunk.after.unwrap_or(0));
                self.begin(chunk, at);
                at += (chunk.bytes as f64 / self.link.bytes_per_second * 1e9).round() as u64;
            }
            self.link_free = at;
            self.flights.push_back(Flight { ends: at, chunks });
        }
        let held = self.memory.iter().filter(|memory| memory.of.is_some()).count() as u64;
        let bytes = held * self.scheduler.geometry().slot_bytes;
        if bytes > self.budget {
            self.violations.push(format!("{held} slots in use, {bytes} bytes of {}", self.budget));
        }
    }

    /// A copy's first byte is written.
    fn begin(&mut self, chunk: &Chunk<u64>, at: u64) {
        let memory = &mut self.memory[chunk.slot as usize];
        if memory.readers > 0 || memory.read_until > at {
            self.violations.push(format!("{} is copied over {:?}, which is read", chunk.id, memory.of));
        }
        if chunk.offset == 0 {
            *memory = Memory { of: Some(chunk.id), read_until: memory.read_until, ..Memory::default() };
        } else if memory.of != Some(chunk.id) {
            self.violations.push(format!("{} goes on in the slot of {:?}", chunk.id, memory.of));
        }
    }
}
