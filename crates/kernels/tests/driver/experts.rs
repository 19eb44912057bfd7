//! Expert slots on a GPU that is played: what is ordered on which stream, in which order, and what arrives.

use std::sync::Arc;

use ashlar_kernels::prefetch::{
    Config, CudaEngine, ExpertId, ExpertSlots, Lease, Lru, MemorySource, PinnedSource, Source, dense_places,
};
use cudarc::driver::{CudaContext, CudaStream};

use super::ask_test;

const BYTES: u64 = 20_000;

fn record(layer: u32, expert: u32) -> Vec<u8> {
    (0..BYTES as u32).map(|at| (at * 7 + layer * 31 + expert * 101) as u8).collect()
}

fn source() -> MemorySource<Vec<u8>> {
    let bytes = (0..2).flat_map(|layer| (0..4).flat_map(move |expert| record(layer, expert))).collect();
    MemorySource::new(bytes, dense_places(2, 4, BYTES)).expect("places inside")
}

fn slots<S: Source>(source: S, compute: &Arc<CudaStream>) -> ExpertSlots<CudaEngine<S>> {
    let made = ExpertSlots::on_stream(Config::new(2, 1 << 30), source, Box::new(Lru), compute);
    made.unwrap_or_else(|error| panic!("{error}"))
}

/// The played device's memory is the host's.
fn check<S: Source>(lease: &Lease<CudaEngine<S>>) {
    let (address, len) = lease.device().expect("the driver works");
    assert_eq!(address % 256, 0);
    // SAFETY: device memory of that length.
    let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, len as usize) };
    assert!(bytes == record(lease.id().layer, lease.id().expert), "{} holds something else", lease.id());
}

fn environment<'a>(driver: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("FAKE_GPUS", "Card A:9.0"), ("FAKE_DRIVER", driver), ("FAKE_TRACE", "1")], more].concat()
}

#[test]
#[ignore = "asked by the other tests"]
fn pinned_child() {
    let Ok(context) = CudaContext::new(0) else { return };
    let compute = context.new_stream().expect("a stream");
    let pinned = PinnedSource::load(&context, &source()).expect("memory");
    assert!(pinned.is_pinned() && pinned.bytes(ExpertId { layer: 1, expert: 3 }) == Some(&record(1, 3)[..]));
    let slots = slots(pinned, &compute);
    println!("\n> first");
    let first = slots.acquire(0, &[0]).expect("a copy");
    check(&first[0]);
    drop(first);
    println!("\n> second");
    let second = slots.acquire(0, &[1, 2]).expect("copies");
    second.iter().for_each(check);
    drop(slots);
    println!("\n> dropped");
    second.iter().for_each(check);
}

/// A slot is written after `free`, and read after `ready`.
#[test]
fn streams_wait_for_each_other_where_they_must() {
    for (driver, at_once) in [("12040", None), ("12080", Some("as in 12.8")), ("13000", Some("as in 13.0"))] {
        let said = ask_test("experts::pinned_child", &environment(driver, &[]));
        assert!(said.contains("a stream of priority -5"), "{said}");
        assert!(
            said.contains("80672 bytes pinned with flags 0"),
            "a slab a layer, records at multiples of 256: {said}"
        );
        let lines: Vec<&str> = said.lines().collect();
        let after = |what: &str| &lines[lines.iter().position(|line| *line == what).expect(what) + 1..];
        let word = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
        // First: chunks, then ready, on which computing waits, and whose end is `free`.
        let first: Vec<&str> = after("first").iter().take_while(|line| **line != "second").copied().collect();
        let place = |part: &str| {
            first.iter().position(|line| line.starts_with(part)).unwrap_or_else(|| panic!("{part}: {said}"))
        };
        let ready = word(first[place("copy records")]);
        assert!(place("copy copies") < place("copy records"), "{said}");
        assert!(place("copy records") < place(&format!("compute waits for {ready}")), "{said}");
        let free = word(first[place("compute records")]);
        // Second: two records into two slots, of which one has to become free.
        let second: Vec<&str> = after("second").iter().take_while(|line| **line != "dropped").copied().collect();
        let waits = second
            .iter()
            .position(|line| *line == format!("copy waits for {free}"))
            .unwrap_or_else(|| panic!("{said}"));
        let last_copy =
            second.iter().rposition(|line| line.starts_with("copy copies")).unwrap_or_else(|| panic!("{said}"));
        assert!(waits < last_copy, "{said}");
        assert_eq!(said.contains("at once"), at_once.is_some(), "{said}");
        assert!(at_once.is_none_or(|how| said.contains(how)), "{said}");
    }
}

#[test]
#[ignore = "asked by the other tests"]
fn pageable_child() {
    let Ok(context) = CudaContext::new(0) else { return };
    let slots = slots(source(), &context.new_stream().expect("a stream"));
    for step in 0..40 {
        let (layer, expert) = (step % 2, step % 4);
        let _guess = slots.prefetch(1 - layer, (expert + 1) % 4).expect("an expert");
        match slots.acquire(layer, &[expert, (expert + 2) % 4]) {
            Ok(leases) => leases.iter().for_each(check),
            Err(error) => println!("\n> {error}"),
        }
    }
    println!("\n> {} failures", slots.stats().failures);
}

#[test]
fn pageable_memory_goes_through_two_pinned_buffers() {
    let said = ask_test("experts::pageable_child", &environment("13000", &[]));
    assert_eq!(said.lines().filter(|line| line.contains("bytes pinned with flags 0")).count(), 2, "{said}");
    assert!(said.contains("> 0 failures") || said.ends_with("0 failures"), "{said}");
}

#[test]
fn a_copy_that_fails_is_the_waiters_error() {
    let said = ask_test("experts::pageable_child", &environment("13000", &[("FAKE_BROKEN", "3")]));
    // A guess that fails is only counted; the records that were waited for are named.
    assert!(!said.contains("0 failures"), "{said}");
    let named = |line: &&str| line.starts_with("expert ") && line.ends_with("of layer 0: CUDA_ERROR_ILLEGAL_ADDRESS");
    assert!(said.lines().filter(|line| line.starts_with("expert ")).all(|line| named(&line)), "{said}");
}

#[test]
#[ignore = "asked by the other tests"]
fn full_child() {
    let Ok(context) = CudaContext::new(0) else { return };
    let compute = context.new_stream().expect("a stream");
    let made = ExpertSlots::on_stream(Config::new(2, 1 << 30), source(), Box::new(Lru), &compute);
    println!("\n> {}", made.map(|_| ()).expect_err("no memory"));
    println!("\n> {}", PinnedSource::load(&context, &source()).map(|_| ()).expect_err("no memory"));
}

#[test]
fn no_memory_is_said() {
    let said = ask_test("experts::full_child", &environment("13000", &[("FAKE_FULL", "50000")]));
    assert!(said.contains("allocating expert slots on the GPU: CUDA_ERROR_OUT_OF_MEMORY"), "{said}");
    assert!(said.contains("pinning host memory: CUDA_ERROR_OUT_OF_MEMORY"), "{said}");
}
