//! The prefetch arena with real threads: the bytes that were asked for, whatever happens at the same time.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use ashlar_kernels::prefetch::{
    Arena, Candidate, Config, ExpertId, ExpertSlots, FileSource, Lru, MemorySource, Policy, PrefetchError, Source,
    dense_places,
};
use ashlar_kernels::rng::SplitMix64;

/// Every 8 bytes of a record say which they are.
fn word(id: ExpertId, at: u64) -> u64 {
    SplitMix64::new((id.layer as u64) << 40 | (id.expert as u64) << 32 | at).next_u64()
}

fn record(id: ExpertId, bytes: u64) -> Vec<u8> {
    (0..bytes.div_ceil(8)).flat_map(|at| word(id, at).to_le_bytes()).take(bytes as usize).collect()
}

fn check(id: ExpertId, bytes: &[u8], expected: u64) {
    assert_eq!(bytes.len() as u64, expected);
    assert_eq!(bytes.as_ptr() as usize % 256, 0);
    for (at, chunk) in bytes.chunks(8).enumerate() {
        assert_eq!(chunk, &word(id, at as u64).to_le_bytes()[..chunk.len()], "{id}, word {at}");
    }
}

fn all(layers: u32, experts: u32, bytes: u64) -> Vec<u8> {
    let ids = (0..layers).flat_map(|layer| (0..experts).map(move |expert| ExpertId { layer, expert }));
    ids.flat_map(|id| record(id, bytes)).collect()
}

/// A source that can be held up, fails where it is told to, and counts its reads.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicBool,
    reads: AtomicU64,
    log: Mutex<Vec<ExpertId>>,
    bad: Mutex<Vec<(ExpertId, &'static str)>>,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Until the copying thread stands at the gate.
    fn until_waiting(&self) {
        while !self.waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

struct Gated(Arc<Gate>);

const LAYERS: u32 = 3;
const EXPERTS: u32 = 5;
const BYTES: u64 = 20_000;

impl Source for Gated {
    fn sizes(&self) -> Vec<Vec<u64>> {
        vec![vec![BYTES; EXPERTS as usize]; LAYERS as usize]
    }

    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let mut open = self.0.open.lock().unwrap();
        while !*open {
            self.0.waiting.store(true, Ordering::SeqCst);
            open = self.0.opened.wait(open).unwrap();
        }
        drop(open);
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        self.0.log.lock().unwrap().push(id);
        let bad = self.0.bad.lock().unwrap().iter().find(|(other, _)| *other == id).map(|(_, how)| *how);
        match bad {
            Some("panic") => panic!("a source that panics on purpose"),
            Some("io") if offset > 0 => return Err(io::Error::other("the disk is on fire")),
            _ => {}
        }
        to.copy_from_slice(&record(id, BYTES)[offset as usize..][..to.len()]);
        Ok(())
    }
}

fn gated() -> (Arc<Gate>, ExpertSlots<Arena<Gated>>) {
    let gate = Arc::new(Gate::default());
    let slots = ExpertSlots::new(Config::new(2, 1 << 30).chunk(8192), Gated(Arc::clone(&gate))).unwrap();
    (gate, slots)
}

fn id(layer: u32, expert: u32) -> ExpertId {
    ExpertId { layer, expert }
}

/// Several threads demand, guess, cancel and hold at once, from memory and from a file.
#[test]
fn leases_hold_the_bytes_that_were_asked_for() {
    let (layers, experts, bytes) = (4, 6, 30_001);
    let content = all(layers, experts, bytes);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let places = || dense_places(layers, experts, bytes);
    // Room for 14 of the 16 slots, so that layers take them from each other.
    let config = Config::new(4, 14 * bytes.next_multiple_of(256)).chunk(8192);
    stress(ExpertSlots::new(config, MemorySource::new(content, places()).unwrap()).unwrap(), layers, experts, bytes);
    stress(ExpertSlots::new(config, FileSource::new(file, places()).unwrap()).unwrap(), layers, experts, bytes);
}

fn stress<S: Source>(slots: ExpertSlots<Arena<S>>, layers: u32, experts: u32, bytes: u64) {
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (slots, served) = (&slots, &served);
            scope.spawn(move || {
                let mut draw = SplitMix64::new(seed);
                for _ in 0..1500 {
                    let word = draw.next_u64();
                    let (layer, expert) = (word as u32 % layers, (word >> 32) as u32 % experts);
                    let ticket = slots.prefetch((layer + 1) % layers, expert).unwrap();
                    match word >> 60 {
                        0..4 => slots.cancel(ticket).unwrap(),
                        4..6 => slots.pass(layer).unwrap(),
                        _ => {}
                    }
                    // One at a time in each of three threads: four slots a layer are enough.
                    let lease = slots.acquire(layer, &[expert]).unwrap();
                    check(id(layer, expert), &lease[0], bytes);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let stats = slots.stats();
    assert_eq!(stats.demands(), served.load(Ordering::Relaxed));
    assert!(stats.peak_bytes <= 14 * bytes.next_multiple_of(256) && stats.failures == 0, "{stats:?}");
    assert!(stats.hits > 0 && stats.speculative_hits > 0 && stats.misses > 0 && stats.evictions > 0, "{stats:?}");
}

#[test]
fn a_demand_goes_before_the_guesses_that_wait() {
    let (gate, slots) = gated();
    for layer in 0..2 {
        for expert in 0..2 {
            let _guess = slots.prefetch(layer, expert).unwrap();
        }
    }
    gate.until_waiting(); // in the first chunk of the first guess
    let ticket = slots.demand(2, 4).unwrap();
    gate.open();
    let lease = slots.wait(ticket).unwrap();
    check(id(2, 4), &lease, BYTES);
    // One chunk of a guess, then all three of the demand.
    let (demanded, guess) = (id(2, 4), id(0, 0));
    assert_eq!(gate.log.lock().unwrap()[..4], [guess, demanded, demanded, demanded]);
    let stats = slots.stats();
    assert!(stats.misses == 1 && stats.demand_bytes == BYTES, "{stats:?}");
}

#[test]
fn a_guess_on_its_way_is_waited_for_not_begun_again() {
    let (gate, slots) = gated();
    let ticket = slots.prefetch(0, 3).unwrap();
    gate.until_waiting();
    gate.open();
    assert!(!slots.is_there(0, 3).unwrap() || gate.reads.load(Ordering::SeqCst) == BYTES.div_ceil(8192));
    let lease = slots.wait(ticket).unwrap();
    check(id(0, 3), &lease, BYTES);
    assert!(slots.is_there(0, 3).unwrap() && !slots.is_there(0, 2).unwrap() && slots.is_there(0, 9).is_err());
    assert_eq!(gate.reads.load(Ordering::SeqCst), BYTES.div_ceil(8192));
    let stats = slots.stats();
    assert_eq!((stats.speculative_hits, stats.misses, stats.copied_bytes()), (1, 0, BYTES));
}

#[test]
fn a_read_that_fails_is_the_waiters_error_and_can_be_tried_again() {
    let (gate, slots) = gated();
    gate.open();
    *gate.bad.lock().unwrap() = vec![(id(1, 1), "io"), (id(1, 2), "panic")];
    let error = slots.acquire(1, &[0, 1]).unwrap_err();
    assert_eq!(error.to_string(), "expert 1 of layer 1: the disk is on fire");
    assert!(!error.is_input());
    let ticket = slots.prefetch(1, 2).unwrap();
    let error = slots.wait(ticket).unwrap_err();
    assert_eq!(error.to_string(), "expert 2 of layer 1: the source panicked");
    gate.bad.lock().unwrap().clear();
    let leases = slots.acquire(1, &[1, 2]).unwrap();
    check(id(1, 1), &leases[0], BYTES);
    check(id(1, 2), &leases[1], BYTES);
    assert_eq!(slots.stats().failures, 2);
}

#[test]
fn guesses_that_fail_are_only_counted() {
    let (gate, slots) = gated();
    *gate.bad.lock().unwrap() = vec![(id(0, 0), "panic")];
    let _guess = slots.prefetch(0, 0).unwrap();
    gate.open();
    let lease = slots.acquire(0, &[1]).unwrap();
    check(id(0, 1), &lease[0], BYTES);
    while slots.stats().failures == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn dropping_the_slots_ends_their_copies_and_keeps_the_leases() {
    let (gate, slots) = gated();
    gate.open();
    let lease = slots.acquire(0, &[0]).unwrap();
    *gate.open.lock().unwrap() = false;
    gate.waiting.store(false, Ordering::SeqCst);
    for expert in 0..EXPERTS {
        let _guess = slots.prefetch(1, expert).unwrap();
    }
    let ticket = slots.demand(2, 2).unwrap();
    gate.until_waiting();
    let before = gate.reads.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(slots));
        gate.open();
    });
    assert!(gate.reads.load(Ordering::SeqCst) - before <= BYTES.div_ceil(8192) * (EXPERTS as u64 + 1));
    check(id(0, 0), &lease[0], BYTES);
    assert!(ticket.is_demand());
}

#[test]
fn what_is_held_is_not_evicted_and_too_much_is_refused() {
    let (gate, slots) = gated();
    gate.open();
    let leases = slots.acquire(0, &[0, 1]).unwrap();
    assert!(matches!(slots.acquire(0, &[2]).unwrap_err(), PrefetchError::Full { slots: 2, .. }));
    for expert in 2..EXPERTS {
        let _guess = slots.prefetch(0, expert).unwrap();
    }
    for (expert, lease) in leases.iter().enumerate() {
        check(id(0, expert as u32), lease, BYTES);
    }
    drop(leases);
    check(id(0, 4), &slots.acquire(0, &[4]).unwrap()[0], BYTES);
    // One of a refused set is not held afterwards.
    assert!(slots.acquire(0, &[0, 1, 2]).is_err());
    assert_eq!(slots.acquire(0, &[3, 4]).unwrap().len(), 2);
}

#[test]
fn another_policy_chooses_what_leaves() {
    /// Most recently used.
    struct Mru(Arc<AtomicU64>);
    impl Policy for Mru {
        fn victim(&mut self, candidates: &[Candidate]) -> usize {
            self.0.fetch_add(1, Ordering::SeqCst);
            (0..candidates.len()).max_by_key(|&at| candidates[at].last_use).unwrap()
        }
    }
    let asked = Arc::new(AtomicU64::new(0));
    let content = MemorySource::new(all(1, 4, 5000), dense_places(1, 4, 5000)).unwrap();
    let slots = ExpertSlots::with_policy(Config::new(2, 1 << 20), content, Box::new(Mru(Arc::clone(&asked)))).unwrap();
    for expert in [0, 1, 2, 0] {
        check(id(0, expert), &slots.acquire(0, &[expert]).unwrap()[0], 5000);
    }
    assert_eq!((slots.stats().hits, asked.load(Ordering::SeqCst)), (1, 1)); // 1 left for 2, 0 stayed
}

#[test]
fn sources_are_checked_when_they_are_made() {
    let error = MemorySource::new(vec![0; 99], dense_places(1, 2, 50)).unwrap_err();
    assert_eq!(error.to_string(), "expert 1 of layer 0 is at bytes 50..100 of a source of 99 bytes");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 99]).unwrap();
    assert!(FileSource::new(file.try_clone().unwrap(), dense_places(1, 2, 50)).unwrap_err().is_input());
    // Shorter since: an error of the read.
    let source = FileSource::new(file.try_clone().unwrap(), dense_places(1, 2, 49)).unwrap();
    let slots = ExpertSlots::with_policy(Config::new(2, 1 << 20), source, Box::new(Lru)).unwrap();
    file.set_len(60).unwrap();
    assert_eq!(&slots.acquire(0, &[0]).unwrap()[0][..], [7; 49]);
    let error = slots.acquire(0, &[1]).unwrap_err();
    assert!(error.to_string().starts_with("expert 1 of layer 0: ") && !error.is_input(), "{error}");
    for (layer, expert) in [(1, 0), (0, 2)] {
        assert!(slots.prefetch(layer, expert).unwrap_err().is_input());
        assert!(slots.acquire(layer, &[expert]).unwrap_err().is_input());
    }
}
