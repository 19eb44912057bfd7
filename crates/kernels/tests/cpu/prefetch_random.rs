//! Random schedules under which the prefetch scheduler reads nothing early, overwrites nothing early, stays within its budget
//! and never hangs.

use std::time::Duration;

use ashlar_kernels::prefetch::{Config, Link, Lru, PrefetchError, SimLease, Simulation, Ticket};
use proptest::{prelude::*, sample::select};

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
    let link = Link { bytes_per_second: 1e9, latency: Duration::from_nanos(latency) };
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
                sim.release_after(leases.swap_remove(at % leases.len()), Duration::from_nanos(time));
            }
            Step::Compute(time) => sim.compute(Duration::from_nanos(time)),
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
