//! Time on the GPU's own clock.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use ashlar_kernels::device::DeviceInfo;
use ashlar_kernels::launch::Runtime;
use criterion::{Bencher, Criterion, Throughput};
use cudarc::driver::sys::{CUdevice_attribute as Attribute, CUevent_flags};
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream};

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Calls before anything is timed.
const WARM_UPS: usize = 50;

/// Two events on the runtime's stream, and what a cold cache takes.
pub struct Timer<'a> {
    pub rt: &'a Runtime,
    pub stream: Arc<CudaStream>,
    start: CudaEvent,
    end: CudaEvent,
    /// Twice the second-level cache.
    flush: RefCell<CudaSlice<u8>>,
}

impl<'a> Timer<'a> {
    pub fn new(rt: &'a Runtime) -> Outcome<Self> {
        let stream = rt.cuda_stream().ok_or("the runtime is a GPU's")?.clone();
        let context = stream.context();
        // cudarc's default flags switch the clock off.
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let (start, end) = (event()?, event()?);
        let cache = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.max(1 << 20) as usize;
        let flush = RefCell::new(stream.alloc_zeros(2 * cache)?);
        Ok(Self { rt, stream, start, end, flush })
    }

    /// What the table's head says, as JSON.
    pub fn describe(&self, info: &DeviceInfo) -> serde_json::Value {
        let context = self.stream.context();
        let ask = |which| context.attribute(which).unwrap_or(0);
        serde_json::json!({
            "name": context.name().unwrap_or_default(),
            "driver": info.driver,
            "l2_bytes": self.flush.borrow().len() / 2,
            "clock_khz": ask(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
            "memory_clock_khz": ask(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
            "multiprocessors": ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        })
    }

    fn between(&self, work: impl FnOnce() -> Outcome) -> Outcome<Duration> {
        self.start.record(&self.stream)?;
        work()?;
        self.end.record(&self.stream)?;
        self.end.synchronize()?;
        Ok(Duration::from_secs_f64(self.start.elapsed_ms(&self.end)? as f64 / 1e3))
    }

    /// `iters` calls, each after the cache was overwritten.
    fn cold(&self, iters: u64, work: &mut dyn FnMut() -> Outcome) -> Outcome<Duration> {
        let mut total = Duration::ZERO;
        for _ in 0..iters {
            self.stream.memset_zeros(&mut *self.flush.borrow_mut())?;
            total += self.between(&mut *work)?;
        }
        Ok(total)
    }

    /// `iters` calls in a row.
    fn warm(&self, iters: u64, work: &mut dyn FnMut() -> Outcome) -> Outcome<Duration> {
        self.between(|| (0..iters).try_for_each(|_| work()))
    }

    /// One entry: `work` moves `bytes` at least.
    pub fn entry(&self, criterion: &mut Criterion, name: &str, bytes: u64, work: impl FnMut() -> Outcome) -> Outcome {
        let half = (bytes / 2).max(1) as usize;
        let (from, mut to) = (self.stream.alloc_zeros::<u8>(half)?, self.stream.alloc_zeros::<u8>(half)?);
        self.beside(criterion, name, bytes, work, || Ok(self.stream.memcpy_dtod(&from, &mut to)?))
    }

    /// One entry beside a copy of its own.
    pub fn beside(
        &self,
        criterion: &mut Criterion,
        name: &str,
        bytes: u64,
        mut work: impl FnMut() -> Outcome,
        mut copy: impl FnMut() -> Outcome,
    ) -> Outcome {
        for _ in 0..WARM_UPS {
            work()?;
            copy()?;
        }
        self.rt.synchronize()?;
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes));
        let time = |bencher: &mut Bencher, cold: bool, work: &mut dyn FnMut() -> Outcome| {
            bencher.iter_custom(|iters| {
                let time = if cold { self.cold(iters, work) } else { self.warm(iters, work) };
                time.expect("a kernel that runs")
            });
        };
        for (state, cold) in [("cold", true), ("warm", false)] {
            group.bench_function(state, |bencher| time(bencher, cold, &mut work));
            group.bench_function(format!("copy {state}"), |bencher| time(bencher, cold, &mut copy));
        }
        group.finish();
        Ok(())
    }
}
