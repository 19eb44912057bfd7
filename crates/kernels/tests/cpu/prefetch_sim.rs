//! The prefetch scheduler in virtual time: closed forms of pipelines and caches, and random schedules under which nothing is
//! read early, overwritten early, or over budget, and nothing hangs.

use std::time::Duration;

use ashlar_kernels::prefetch::{Config, Link, Lru, PrefetchError, SimLease, Simulation, Ticket};
use proptest::{prelude::*, sample::select};

const BIG: u64 = 1 << 40;

/// One byte a nanosecond, so that bytes are times.
const LINK: Link = Link { bytes_per_second: 1e9, latency: Duration::ZERO };

fn ns(time: u64) -> Duration {
    Duration::from_nanos(time)
}

/// A layer is attention, then its expert; a record takes `transfer`. Without prefetch: the sum of all. With it the copy of the
/// next layer's expert goes on while this layer's expert and the next attention are computed.
fn pipeline(layers: u32, attention: u64, expert: u64, transfer: u64, prefetch: bool) -> u64 {
    let mut sim = Simulation::new(Config::new(1, BIG), vec![vec![transfer]; layers as usize], LINK).unwrap();
    let mut guess = None;
    for layer in 0..layers {
        sim.compute(ns(attention));
        let ticket = guess.take().unwrap_or_else(|| sim.demand(layer, 0).unwrap());
        let lease = sim.wait(ticket).unwrap();
        if prefetch && layer + 1 < layers {
            guess = Some(sim.prefetch(layer + 1, 0).unwrap());
        }
        sim.compute(ns(expert));
        sim.release(lease);
        sim.pass(layer).unwrap();
    }
    assert_eq!(sim.violations(), &[] as &[String]);
    sim.elapsed().as_nanos() as u64
}

/// The specification of expert offloading computes these by hand (moe-offload, oracle 12), in units that are 10 µs here.
#[test]
fn pipelines_take_what_the_arithmetic_says() {
    for (transfer, on_demand, ahead) in [(3, 20, 14), (1, 12, 9)] {
        assert_eq!(pipeline(4, 10_000, 10_000, transfer * 10_000, false), on_demand * 10_000);
        assert_eq!(pipeline(4, 10_000, 10_000, transfer * 10_000, true), ahead * 10_000);
    }
    assert_eq!(pipeline(48, 250_000, 170_000, 3_020_000, false), 165_120_000);
    assert_eq!(pipeline(48, 250_000, 170_000, 3_020_000, true), 145_380_000);
}

/// The specification's cache oracle (moe-offload, oracle 10): hits of least recently used on one trace.
#[test]
fn the_cache_hits_where_lru_hits() {
    let trace = [0, 1, 2, 0, 1, 3, 0, 1, 2, 3, 0, 0, 1, 4, 0, 1];
    for (slots, hits) in
        [(2, "MMMMMMMMMMMHMMMM"), (3, "MMMHHMHHMMMHMMHH"), (4, "MMMHHMHHHHHHHMHH"), (5, "MMMHHMHHHHHHHMHH")]
    {
        let mut sim = Simulation::new(Config::new(slots, BIG), vec![vec![1000; 5]], LINK).unwrap();
        let mut seen = String::new();
        for expert in trace {
            let before = sim.stats().hits;
            let ticket = sim.demand(0, expert).unwrap();
            let lease = sim.wait(ticket).unwrap();
            sim.release(lease);
            seen.push(if sim.stats().hits > before { 'H' } else { 'M' });
        }
        assert_eq!(seen, hits, "{slots} slots");
        assert_eq!(sim.stats().evictions, sim.stats().misses - slots as u64, "{slots} slots");
        assert!(sim.violations().is_empty());
    }
}

/// The max-plus recursion of a pipeline whose copies are all asked for at the start: layer l begins when layer l − 1 is done
/// and its bytes have come.
#[test]
fn copies_asked_for_at_the_start_end_one_after_another() {
    let (transfers, computes) = ([500_u64, 90, 900, 10, 10, 400], [300_u64, 300, 20, 700, 5, 5]);
    let sizes = transfers.iter().map(|&t| vec![t * 1000]).collect();
    let mut sim = Simulation::new(Config::new(1, BIG), sizes, LINK).unwrap();
    let tickets: Vec<Ticket> = (0..6).map(|layer| sim.prefetch(layer, 0).unwrap()).collect();
    let (mut arrived, mut done, mut stall) = (0, 0, 0);
    for ((ticket, transfer), compute) in tickets.into_iter().zip(transfers).zip(computes) {
        arrived += transfer * 1000;
        stall += arrived.saturating_sub(done);
        done = done.max(arrived) + compute * 1000;
        let lease = sim.wait(ticket).unwrap();
        sim.compute(ns(compute * 1000));
        sim.release(lease);
        assert_eq!(sim.elapsed(), ns(done));
        assert_eq!(sim.stats().stall, ns(stall));
    }
    assert_eq!(sim.stats().speculative_hits, 6);
}

fn wait_of(speculative: u64, record: u64, chunk: u64, depth: usize, early: u64) -> u64 {
    let sizes = vec![vec![record; 64]; 2];
    let config = Config::new(64, BIG).chunk(chunk);
    let mut sim = Simulation::with(config, sizes, LINK, Box::new(Lru), depth, 4).unwrap();
    for expert in 0..speculative {
        let _guess = sim.prefetch(1, expert as u32).unwrap();
    }
    sim.compute(ns(early));
    let ticket = sim.demand(0, 7).unwrap();
    let lease = sim.wait(ticket).unwrap();
    sim.release(lease);
    let wait = sim.stats().stall.as_nanos() as u64;
    sim.compute(ns(speculative * record + wait)); // the rest comes
    assert_eq!(sim.stats().speculative_bytes, speculative * record);
    assert!(sim.violations().is_empty());
    wait - record
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A miss in the middle of a burst waits for one record or one chunk limit at most, whichever is less.
    #[test]
    fn a_miss_overtakes_the_burst(
        burst in 1_u64..60, record in 1_u64..300_000, chunk in 4096_u64..400_000, depth in 1_usize..4, early in 0_u64..3_000_000,
    ) {
        let before = wait_of(burst, record, chunk, depth, early);
        prop_assert!(before <= record.min(chunk), "waited for {before} bytes; record {record}, chunk {chunk}");
    }

    /// With guesses a layer ahead and room for two layers, what is waited for is max(0, bytes/bandwidth − compute), within 3 %
    /// of the larger.
    #[test]
    fn the_stall_is_what_cannot_be_hidden(
        layers in 10_u32..40, used in 1_u32..5, record in 100_000_u64..3_000_000, compute in 0_u64..12_000_000,
        depth in 1_usize..4, bandwidth in select(vec![1e9, 25e9, 55e9]), latency in 0_u64..100, seed: u64,
    ) {
        let link = Link { bytes_per_second: bandwidth, latency: ns(latency) };
        let experts = 4 * used;
        let config = Config::new(2 * used, BIG).chunk(1 << 20);
        let mut sim =
            Simulation::with(config, vec![vec![record; experts as usize]; layers as usize], link, Box::new(Lru), depth, 4).unwrap();
        // A different quarter of the experts at each step, so that all that is needed must be copied.
        let needed = |step: u64, layer: u32| {
            let turn = ((seed >> (layer % 60)) as u32).wrapping_add(step as u32) % 4;
            (0..used).map(move |i| turn * used + i)
        };
        let guess = |sim: &mut Simulation, step: u64, layer: u32| {
            let (step, layer) = if layer == layers { (step + 1, 0) } else { (step, layer) };
            for expert in needed(step, layer) {
                let _ticket = sim.prefetch(layer, expert).unwrap();
            }
        };
        let (mut computed, mut copied) = (0, 0);
        guess(&mut sim, 0, 0);
        sim.compute(ns((used as f64 * record as f64 / bandwidth * 1e9) as u64 + 100 * latency + 1000)); // the pipeline fills
        let start = sim.elapsed();
        for step in 0..3 {
            for layer in 0..layers {
                let leases: Vec<SimLease> = needed(step, layer)
                    .map(|expert| {
                        let ticket = sim.demand(layer, expert).unwrap();
                        sim.wait(ticket).unwrap()
                    })
                    .collect();
                guess(&mut sim, step, layer + 1);
                sim.compute(ns(compute));
                (computed, copied) = (computed + compute, copied + used as u64 * record);
                for lease in leases {
                    sim.release(lease);
                }
                sim.pass(layer).unwrap();
            }
        }
        prop_assert_eq!(sim.violations(), &[] as &[String]);
        let transfer = copied as f64 / bandwidth * 1e9;
        let bound = (transfer - computed as f64).max(0.0) + 0.03 * transfer.max(computed as f64);
        let stall = sim.stats().stall.as_nanos() as f64;
        prop_assert!(stall <= bound, "stall {stall}, bound {bound}");
        prop_assert_eq!(sim.elapsed(), start + ns(computed) + sim.stats().stall);
        prop_assert_eq!((sim.stats().misses, sim.stats().wasted_bytes), (0, 0));
    }
}

/// A step of a random schedule; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Prefetch(u32, u32),
    Demand(u32, u32),
    Wait(usize),
    Cancel(usize),
    Release(usize, u64),
    Compute(u64),
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u32>(), any::<u32>()).prop_map(|(l, e)| Step::Prefetch(l, e)),
        4 => (any::<u32>(), any::<u32>()).prop_map(|(l, e)| Step::Demand(l, e)),
        4 => any::<usize>().prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Cancel),
        4 => (any::<usize>(), select(vec![0_u64, 0, 10, 1000, 50_000])).prop_map(|(at, time)| Step::Release(at, time)),
        3 => select(vec![0_u64, 1, 10, 100, 1000, 10_000, 100_000]).prop_map(Step::Compute),
        1 => any::<u32>().prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// Sizes by layer, slots, budget, chunk, depth, batch, latency.
type Setting = (Vec<Vec<u64>>, u32, u64, u64, usize, usize, u64);

fn settings() -> impl Strategy<Value = Setting> {
    let size = prop_oneof![3 => Just(8192_u64), 1 => 1_u64..40_000];
    let sizes = prop::collection::vec(prop::collection::vec(size, 1..7), 1..5);
    let chunk = select(vec![4096_u64, 5000, 8192, 1 << 20]);
    (sizes, 1_u32..5, 0.0_f64..1.2, chunk, 1_usize..4, 1_usize..5, 0_u64..2000).prop_map(
        |(sizes, slots, share, chunk, depth, batch, latency)| {
            let largest = sizes.iter().flatten().max().unwrap().next_multiple_of(256);
            let most: u64 = sizes.iter().map(|layer| (layer.len() as u64).min(slots as u64)).sum();
            let budget = largest + (share * (largest * (most - 1)) as f64) as u64;
            (sizes, slots, budget, chunk, depth, batch, latency)
        },
    )
}

fn run(setting: &Setting, steps: &[Step]) -> Result<(), TestCaseError> {
    let (sizes, slots, budget, chunk, depth, batch, latency) = setting.clone();
    let link = Link { bytes_per_second: 1e9, latency: ns(latency) };
    let config = Config::new(slots, budget).chunk(chunk);
    let mut sim = Simulation::with(config, sizes.clone(), link, Box::new(Lru), depth, batch).unwrap();
    let pick = |l: u32, e: u32| {
        let layer = l as usize % sizes.len();
        (layer as u32, e % sizes[layer].len() as u32)
    };
    let (mut tickets, mut leases): (Vec<Ticket>, Vec<SimLease>) = (Vec::new(), Vec::new());
    let mut demands = 0;
    let full = |error: &PrefetchError| matches!(error, PrefetchError::Full { .. });
    for step in steps {
        match *step {
            Step::Prefetch(l, e) => {
                let (layer, expert) = pick(l, e);
                tickets.push(sim.prefetch(layer, expert).unwrap());
            }
            Step::Demand(l, e) => {
                let (layer, expert) = pick(l, e);
                match sim.demand(layer, expert) {
                    Ok(ticket) => {
                        tickets.push(ticket);
                        demands += 1;
                    }
                    Err(error) => prop_assert!(full(&error), "{error}"),
                }
            }
            Step::Wait(at) if !tickets.is_empty() => {
                let ticket = tickets.swap_remove(at % tickets.len());
                match sim.wait(ticket) {
                    Ok(lease) => {
                        prop_assert_eq!(lease.id(), ticket.id());
                        leases.push(lease);
                        demands += !ticket.is_demand() as u64;
                    }
                    // A demand that was accepted never fails.
                    Err(error) => prop_assert!(full(&error) && !ticket.is_demand(), "{error}"),
                }
            }
            Step::Cancel(at) if !tickets.is_empty() => sim.cancel(tickets.swap_remove(at % tickets.len())).unwrap(),
            Step::Release(at, time) if !leases.is_empty() => {
                sim.release_after(leases.swap_remove(at % leases.len()), ns(time));
            }
            Step::Compute(time) => sim.compute(ns(time)),
            Step::Pass(layer) => sim.pass(layer % sizes.len() as u32).unwrap(),
            _ => {}
        }
        let (window, on_their_way) = sim.window();
        prop_assert!(on_their_way <= window && window <= chunk.max(4096));
        prop_assert!(sim.stats().peak_bytes <= budget, "{} bytes held", sim.stats().peak_bytes);
    }
    for lease in leases {
        sim.release(lease);
    }
    for ticket in tickets {
        if ticket.is_demand() {
            let lease = sim.wait(ticket);
            prop_assert!(lease.is_ok(), "{lease:?}");
            sim.release(lease.unwrap());
        }
    }
    prop_assert_eq!(sim.violations(), &[] as &[String]);
    prop_assert_eq!(sim.stats().demands(), demands);
    prop_assert!(sim.stats().wasted_bytes <= sim.stats().speculative_bytes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_break_nothing(setting in settings(), steps in steps()) {
        run(&setting, &steps)?;
    }
}

/// A million steps of one run.
#[test]
fn a_long_random_schedule_breaks_nothing() {
    let mut seed = ashlar_kernels::rng::SplitMix64::new(11);
    let mut draw = move || seed.next_u64();
    for _ in 0..500 {
        let setting =
            (vec![vec![8192; 8]; 6], 2 + (draw() % 3) as u32, 8192 * (4 + draw() % 15), 4096, 2, 2, draw() % 500);
        let steps: Vec<Step> = (0..2000)
            .map(|_| {
                let (a, b) = (draw(), draw());
                match a % 23 {
                    0..6 => Step::Prefetch((b >> 32) as u32, b as u32),
                    6..10 => Step::Demand((b >> 32) as u32, b as u32),
                    10..15 => Step::Wait(b as usize),
                    15 => Step::Cancel(b as usize),
                    16..20 => Step::Release(b as usize, if a & 1 << 40 == 0 { 0 } else { b % 50_000 }),
                    20..22 => Step::Compute(b % 20_000),
                    _ => Step::Pass(b as u32),
                }
            })
            .collect();
        run(&setting, &steps).unwrap();
    }
}

#[test]
fn what_cannot_work_is_named() {
    let said = |config: Config, sizes: Vec<Vec<u64>>| {
        Simulation::new(config, sizes, LINK).map(|_| ()).unwrap_err().to_string()
    };
    let error = said(Config::new(2, 1000), vec![vec![500, 1001]]);
    assert_eq!(error, "the budget of 1000 bytes holds no expert: expert 1 of layer 0 needs 1024");
    assert_eq!(said(Config::new(2, BIG), vec![vec![5], vec![5, 0]]), "expert 1 of layer 1 has no bytes");
    assert!(said(Config::new(0, BIG), vec![vec![5]]).contains("slots_per_layer = 0"));
    assert!(said(Config::new(2, BIG), vec![]).contains("the number of experts = 0"));
    assert!(said(Config::new(2, BIG).chunk(100), vec![vec![5]]).contains("chunk = 100"));
    assert!(said(Config::new(2, BIG).chunk((32 << 20) + 1), vec![vec![5]]).contains("4096 to 33554432"));
    assert!(said(Config::new(2, BIG), vec![vec![u64::MAX]]).contains("at most 2^62"));
    for bytes_per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let link = Link { bytes_per_second, latency: Duration::ZERO };
        assert!(Simulation::new(Config::new(2, BIG), vec![vec![5]], link).is_err());
    }
    let mut sim = Simulation::new(Config::new(2, BIG), vec![vec![5; 3], vec![5; 3]], LINK).unwrap();
    assert_eq!(sim.prefetch(2, 0).unwrap_err().to_string(), "layer 2 of 2: layers are numbered from 0");
    assert_eq!(
        sim.demand(1, 3).unwrap_err().to_string(),
        "expert 3 of layer 1, which has 3: experts are numbered from 0"
    );
    assert!(sim.pass(9).is_err());
    let held = [sim.demand(0, 0).unwrap(), sim.demand(0, 1).unwrap()];
    assert_eq!(
        sim.demand(0, 2).unwrap_err().to_string(),
        "no slot for expert 2 of layer 0: all 2 slots of its layer are held by leases or demanded; release some, or give more slots"
    );
    sim.cancel(held[0]).unwrap();
    let again = sim.demand(0, 2).unwrap();
    sim.cancel(again).unwrap();
    assert!(sim.cancel(again).unwrap_err().to_string().contains("expert 2 of layer 0 was not demanded by this ticket"));
}

/// What was guessed and not needed: dropped or first out, and counted.
#[test]
fn wrong_guesses_are_counted_and_leave_first() {
    let mut sim = Simulation::new(Config::new(2, BIG), vec![vec![10_000; 4]], LINK).unwrap();
    let used = sim.demand(0, 0).unwrap();
    let lease = sim.wait(used).unwrap();
    sim.release(lease);
    let _wrong = sim.prefetch(0, 1).unwrap();
    let _dropped = sim.prefetch(0, 2).unwrap(); // takes the slot of 0, which nobody predicts
    sim.compute(ns(15_000));
    sim.pass(0).unwrap(); // 1 has come; half of 2 has been ordered whole, so it comes
    sim.compute(ns(100_000));
    let right = sim.demand(0, 3).unwrap();
    let lease = sim.wait(right).unwrap();
    sim.release(lease);
    let stats = sim.stats();
    assert_eq!((stats.misses, stats.speculated, stats.wasted_bytes, stats.evictions), (2, 2, 10_000, 2));
    assert!(sim.violations().is_empty());
}

/// A guess for a record that is there protects it from other guesses.
#[test]
fn what_is_predicted_is_not_evicted_by_guesses() {
    let mut sim = Simulation::new(Config::new(2, BIG), vec![vec![10_000; 4]], LINK).unwrap();
    for expert in [0, 1] {
        let ticket = sim.demand(0, expert).unwrap();
        let lease = sim.wait(ticket).unwrap();
        sim.release(lease);
    }
    for expert in [0, 2, 3] {
        let _guess = sim.prefetch(0, expert).unwrap(); // 2 takes the slot of 1; 3 finds none
    }
    sim.compute(ns(100_000));
    let before = sim.stats();
    for expert in [0, 2] {
        let ticket = sim.demand(0, expert).unwrap();
        let lease = sim.wait(ticket).unwrap();
        sim.release(lease);
    }
    let stats = sim.stats();
    assert_eq!((stats.hits - before.hits, stats.speculative_hits, stats.stall), (1, 1, before.stall));
}
