//! The kernels on `cuda:0`, timed by CUDA events, beside a copy of equal bytes in the same run.
//!
//! `cargo bench -p ashlar-benches --features cuda --bench gpu`; without a driver it prints why it skips, and succeeds
//! (`ASHLAR_REQUIRE_GPU=1` makes that a failure). `ASHLAR_GPU_BENCH_LOG2` sets the size of the inputs (default 26, 256 MiB).
//!
//! Each entry is a group of four: the call and a copy, each with the second-level cache flushed before every call (a buffer
//! of twice its size is written) and without. Bytes are those that the call must move, and the copy moves as many, reads
//! and writes counted. Times lie between two events on the stream, so they are of whole calls as a user makes them: working
//! memory, launches, and the few words that come back to the host are in them, and bound the kernels from above. Inputs
//! are fixed by their seeds; nothing is made on the host between the events. `cargo xtask gpu-table` makes the table.
#![allow(missing_docs)] // criterion's macros

mod entries;
mod timing;

use std::time::Duration;

use ashlar_kernels::device::{DeviceInfo, gpu_for_test};
use criterion::Criterion;

#[allow(clippy::print_stdout)]
fn main() {
    let rt = match gpu_for_test() {
        Ok(rt) => rt,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let log2 =
        std::env::var("ASHLAR_GPU_BENCH_LOG2").map_or(26, |text| text.parse().expect("a power of two's exponent"));
    assert!((12..=30).contains(&log2), "ASHLAR_GPU_BENCH_LOG2 = {log2}: 12 to 30");
    let timer = timing::Timer::new(&rt).expect("events and a buffer to flush with");
    println!("gpu: {}", timer.describe(&DeviceInfo::probe()));
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    entries::all(&mut criterion, &timer, 1 << log2).expect("kernels that run");
    criterion.final_summary();
}
