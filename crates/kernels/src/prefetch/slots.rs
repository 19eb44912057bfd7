//! The scheduler with a thread of its own, for an engine that copies while others compute.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::config::Geometry;
use super::engine::{Clock, Engine};
use super::scheduler::{Scheduler, State};
use super::{Chunk, Config, ExpertId, Policy, PrefetchError, Stats, Ticket};

struct Inner<E: Engine> {
    scheduler: Scheduler<E::Free>,
    /// Contents of the slots, where they are there.
    data: Vec<Option<E::Data>>,
    stream_ordered: bool,
    closing: bool,
    /// The thread has ended.
    ended: bool,
}

struct Shared<E: Engine> {
    inner: Mutex<Inner<E>>,
    /// There may be something to copy.
    work: Condvar,
    /// Something has come, or failed.
    news: Condvar,
}

impl<E: Engine> Shared<E> {
    /// Nothing panics while the lock is held, and if it did the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots for experts, filled by a copy engine while the caller computes.
///
/// All methods take `&self` and may be called from several threads. Dropping it ends the copies after the chunks on
/// their way; leases stay valid.
pub struct ExpertSlots<E: Engine> {
    shared: Arc<Shared<E>>,
    clock: Arc<dyn Clock>,
    thread: Option<JoinHandle<()>>,
}

impl<E: Engine> std::fmt::Debug for ExpertSlots<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExpertSlots").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A record that may be used. Its slot is not overwritten before it is dropped.
pub struct Lease<E: Engine> {
    id: ExpertId,
    data: Option<E::Data>,
    shared: Arc<Shared<E>>,
}

impl<E: Engine> Lease<E> {
    /// Which record.
    pub const fn id(&self) -> ExpertId {
        self.id
    }

    pub(super) fn data(&self) -> Option<&E::Data> {
        self.data.as_ref()
    }
}

impl<E: Engine> std::fmt::Debug for Lease<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for Lease<E> {
    fn drop(&mut self) {
        // The contents first, so that nobody has them when the scheduler hears that the slot is free.
        let free = self.data.take().and_then(E::release);
        // It can only fail for a record that isn't held.
        let _ = self.shared.lock().scheduler.release(self.id, free);
        self.shared.work.notify_one();
    }
}

impl<E: Engine> ExpertSlots<E> {
    /// Starts the thread that runs `make`'s engine on records of `sizes[layer][expert]` bytes. `make` gets the number of slots
    /// and the bytes of each.
    pub(super) fn start(
        config: Config,
        sizes: &[Vec<u64>],
        policy: Box<dyn Policy>,
        parts: u32,
        make: impl FnOnce(u32, u64) -> Result<E, PrefetchError>,
    ) -> Result<Self, PrefetchError> {
        let geometry = Geometry::new(&config, sizes, parts)?;
        let engine = make(geometry.slots, geometry.slot_bytes)?;
        let clock = engine.clock();
        let inner = Inner {
            data: (0..geometry.slots).map(|_| None).collect(),
            scheduler: Scheduler::new(geometry, policy),
            stream_ordered: engine.stream_ordered(),
            closing: false,
            ended: false,
        };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), work: Condvar::new(), news: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("expert copies".to_owned())
            .spawn(move || run(&for_thread, engine))
            .map_err(|error| PrefetchError::System { what: "starting a thread", reason: error.to_string() })?;
        Ok(Self { shared, clock, thread: Some(thread) })
    }

    /// Says that a record may be needed. It is copied when nothing that is needed waits, without holding a slot for sure.
    ///
    /// # Errors
    /// No such layer or expert.
    pub fn prefetch(&self, layer: u32, expert: u32) -> Result<Ticket, PrefetchError> {
        let id = ExpertId { layer, expert };
        self.shared.lock().scheduler.prefetch(id)?;
        self.shared.work.notify_one();
        Ok(Ticket { id, demand: false })
    }

    /// Says that a record is needed: it goes before all speculation, and from now on it is not evicted until its lease ends.
    ///
    /// # Errors
    /// No such layer or expert; no slot that could be freed for it, since all are held.
    pub fn demand(&self, layer: u32, expert: u32) -> Result<Ticket, PrefetchError> {
        let id = ExpertId { layer, expert };
        self.shared.lock().scheduler.demand(id)?;
        self.shared.work.notify_one();
        Ok(Ticket { id, demand: true })
    }

    /// Waits until the record is there. A ticket of [`Self::prefetch`] becomes a demand, wherever its copy stands.
    ///
    /// # Errors
    /// As [`Self::demand`]; the record could not be read or copied. Another demand tries again.
    pub fn wait(&self, ticket: Ticket) -> Result<Lease<E>, PrefetchError> {
        let id = ticket.id;
        let mut inner = self.shared.lock();
        if !ticket.demand {
            inner.scheduler.demand(id)?;
            self.shared.work.notify_one();
        }
        let mut waited_since = None;
        loop {
            let slot = match inner.scheduler.state(id)? {
                State::There(slot) => Some(slot),
                State::Ordered(slot) if inner.stream_ordered => Some(slot),
                State::Failed(reason) => {
                    inner.scheduler.release(id, None)?;
                    return Err(PrefetchError::Copy { id, reason });
                }
                State::Waiting | State::Ordered(_) => None,
            };
            if let Some(data) = slot.and_then(|slot| inner.data[slot as usize].clone()) {
                if let Some(since) = waited_since {
                    inner.scheduler.stalled(self.clock.now().saturating_sub(since));
                }
                return Ok(Lease { id, data: Some(data), shared: Arc::clone(&self.shared) });
            }
            if inner.ended {
                inner.scheduler.release(id, None)?;
                return Err(PrefetchError::Copy { id, reason: "the copying thread has ended".to_owned() });
            }
            waited_since.get_or_insert_with(|| self.clock.now());
            inner = self.shared.news.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Demands experts of a layer together, and waits for all of them.
    ///
    /// # Errors
    /// As [`Self::wait`], for the first that fails; then none is held.
    pub fn acquire(&self, layer: u32, experts: &[u32]) -> Result<Vec<Lease<E>>, PrefetchError> {
        let mut tickets = Vec::with_capacity(experts.len());
        for &expert in experts {
            match self.demand(layer, expert) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => {
                    self.give_up(tickets);
                    return Err(error);
                }
            }
        }
        let mut leases = Vec::with_capacity(tickets.len());
        let mut tickets = tickets.into_iter();
        while let Some(ticket) = tickets.next() {
            match self.wait(ticket) {
                Ok(lease) => leases.push(lease),
                Err(error) => {
                    self.give_up(tickets);
                    return Err(error);
                }
            }
        }
        Ok(leases)
    }

    fn give_up(&self, tickets: impl IntoIterator<Item = Ticket>) {
        for ticket in tickets {
            // Each was demanded just now.
            let _ = self.cancel(ticket);
        }
    }

    /// Takes a request back: a speculation that nobody has demanded is dropped, unless all of it is on its way; a demand no
    /// longer holds its record.
    ///
    /// # Errors
    /// A demand's ticket that was waited for or cancelled before.
    pub fn cancel(&self, ticket: Ticket) -> Result<(), PrefetchError> {
        let mut inner = self.shared.lock();
        let result =
            if ticket.demand { inner.scheduler.release(ticket.id, None) } else { inner.scheduler.cancel(ticket.id) };
        self.shared.work.notify_one();
        result
    }

    /// Says that a layer has been computed: speculations for it that have not come are dropped, those that came and were not
    /// demanded leave before everything else.
    ///
    /// # Errors
    /// No such layer.
    pub fn pass(&self, layer: u32) -> Result<(), PrefetchError> {
        let result = self.shared.lock().scheduler.pass(layer);
        self.shared.work.notify_one();
        result
    }

    /// Whether all of a record is in a slot now: what a caller asks who could do without it, or compute elsewhere.
    ///
    /// # Errors
    /// No such layer or expert.
    pub fn is_there(&self, layer: u32, expert: u32) -> Result<bool, PrefetchError> {
        let state = self.shared.lock().scheduler.state(ExpertId { layer, expert })?;
        Ok(matches!(state, State::There(_)))
    }

    /// What happened.
    pub fn stats(&self) -> Stats {
        *self.shared.lock().scheduler.stats()
    }

    /// How many slots there are, and the bytes of each.
    pub fn slots(&self) -> (u32, u64) {
        let inner = self.shared.lock();
        (inner.scheduler.geometry().slots, inner.scheduler.geometry().slot_bytes)
    }
}

impl<E: Engine> Drop for ExpertSlots<E> {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn run<E: Engine>(shared: &Shared<E>, mut engine: E) {
    let (batch, depth) = engine.limits();
    let mut flights: VecDeque<Vec<Chunk<E::Free>>> = VecDeque::new();
    loop {
        let mut inner = shared.lock();
        let mut chunks = Vec::new();
        while !inner.closing {
            if flights.len() < depth.max(1) {
                chunks = inner.scheduler.next(batch.max(1));
            }
            if !chunks.is_empty() || !flights.is_empty() {
                break;
            }
            inner = shared.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.closing && flights.is_empty() {
            inner.ended = true;
            shared.news.notify_all();
            return;
        }
        if chunks.is_empty() {
            drop(inner);
            let result = caught(|| engine.finish());
            if let Some(chunks) = flights.pop_front() {
                ended(shared, &mut engine, &chunks, &result);
            }
            continue;
        }
        let mut old: Vec<_> =
            chunks.iter().map(|c| if c.offset == 0 { inner.data[c.slot as usize].take() } else { None }).collect();
        drop(inner);
        match caught(|| engine.submit(&mut chunks, &mut old)) {
            Ok(()) => {
                let mut inner = shared.lock();
                if inner.stream_ordered {
                    publish(&mut inner, &mut engine, &chunks);
                    shared.news.notify_all();
                }
                flights.push_back(chunks);
            }
            error => ended(shared, &mut engine, &chunks, &error),
        }
    }
}

/// A panic of a source is its record's failure, not ours.
fn caught(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the source panicked".to_owned()))
}

fn ended<E: Engine>(shared: &Shared<E>, engine: &mut E, chunks: &[Chunk<E::Free>], result: &Result<(), String>) {
    let mut inner = shared.lock();
    for chunk in chunks {
        // It can only fail for a record that doesn't exist.
        let _ = inner.scheduler.ended(chunk, result);
    }
    if result.is_ok() && !inner.stream_ordered {
        publish(&mut inner, engine, chunks);
    }
    shared.news.notify_all();
}

/// What the chunks have completed can be leased.
fn publish<E: Engine>(inner: &mut Inner<E>, engine: &mut E, chunks: &[Chunk<E::Free>]) {
    for chunk in chunks.iter().filter(|chunk| chunk.last) {
        inner.data[chunk.slot as usize] = engine.data(chunk.slot);
    }
}
