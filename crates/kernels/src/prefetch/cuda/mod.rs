//! The GPU's engine: slots in device memory, filled from pinned memory by a copy stream of high priority.
//!
//! A chunk's copy waits on the device for the slot's `free` event, which the compute stream records when a lease is dropped;
//! the compute stream waits for a record's `ready` event, which the copy stream records after its last chunk, when the lease
//! is first used. So leases are given out in stream order, before the bytes have come, and no thread waits for a GPU except
//! the scheduler's own, which sleeps (events with blocking synchronisation and no timing). Nothing synchronises the device.
//! cudarc's own event tracking is not used: slots are plain addresses.
//!
//! Sources whose bytes are pinned ([`PinnedSource`]) are copied from where they are; all others go through two pinned buffers,
//! the second filled while the first is copied.
//!
//! Tested with a driver that plays one (order of calls, bytes, errors). Not yet measured on a GPU: bandwidth against a plain
//! pinned copy, the time between chunks, and what `cuMemcpyBatchAsync` saves.

mod batch;
mod memory;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, result};

use self::batch::{Batch, Piece};
use self::memory::{DeviceSlots, Signal, failed, name};
use super::config::ALIGN;
use super::engine::Engine;
use super::slots::Lease;
use super::{Chunk, Config, ExpertId, ExpertSlots, Policy, PrefetchError, Source};
use crate::dequant::{Float, Format};
use crate::launch::{Buf, Runtime};

pub use memory::Pinned;

/// Chunks in a submission, and submissions on their way.
const LIMITS: (usize, usize) = (16, 3);

/// A record in device memory, or on its way there.
#[derive(Debug)]
pub struct DeviceRecord {
    slots: Arc<DeviceSlots>,
    address: u64,
    len: u64,
    ready: Arc<CudaEvent>,
    compute: Arc<CudaStream>,
}

/// Device slots and their copy stream.
pub struct CudaEngine<S> {
    source: S,
    batch: Batch,
    copy: Arc<CudaStream>,
    compute: Arc<CudaStream>,
    slots: Arc<DeviceSlots>,
    /// Records whose last chunk has been submitted, by slot.
    ready: Vec<Option<Arc<DeviceRecord>>>,
    flights: VecDeque<Signal>,
    staging: [Staging; 2],
    turn: usize,
}

/// A pinned buffer, made when it is first needed, and the copy that last read it.
#[derive(Default)]
struct Staging {
    memory: Option<Pinned>,
    read: Option<Signal>,
}

const QUIET: CUevent_flags = CUevent_flags::CU_EVENT_DISABLE_TIMING;

impl<S: Source> CudaEngine<S> {
    fn new(source: S, compute: Arc<CudaStream>, slots: u32, slot_bytes: u64) -> Result<Self, PrefetchError> {
        let context = compute.context();
        context.bind_to_thread().map_err(failed("opening the GPU"))?;
        let highest = result::stream::get_priority_range().map_or(0, |(_, greatest)| greatest);
        let copy = context.new_stream_with_priority(highest).map_err(failed("making a copy stream"))?;
        let device = Arc::new(DeviceSlots::new(context, slots, slot_bytes)?);
        Ok(Self {
            source,
            batch: Batch::find(),
            copy,
            slots: device,
            compute,
            ready: (0..slots).map(|_| None).collect(),
            flights: VecDeque::new(),
            staging: [Staging::default(), Staging::default()],
            turn: 0,
        })
    }

    /// Where the chunk's bytes are pinned: in the source, or in a buffer that they are read into now.
    fn piece(&mut self, chunk: &Chunk<Arc<CudaEvent>>) -> Result<(Piece, bool), String> {
        let (from, bytes) = (chunk.offset as usize, chunk.bytes as usize);
        let to = self.slots.address(chunk.slot) + chunk.offset;
        let in_memory = self.source.bytes(chunk.id).and_then(|record| record.get(from..from + bytes));
        if self.source.is_pinned()
            && let Some(record) = in_memory
        {
            return Ok((Piece { to, from: record.as_ptr(), bytes }, false));
        }
        self.turn = 1 - self.turn;
        let staging = &mut self.staging[self.turn];
        if let Some(read) = staging.read.take() {
            read.wait().map_err(name)?;
        }
        if staging.memory.as_ref().is_none_or(|memory| memory.len() < bytes) {
            let memory = Pinned::zeros(self.copy.context(), bytes).map_err(|error| error.to_string())?;
            staging.memory = Some(memory);
        }
        let Some(memory) = &mut staging.memory else { return Err("no pinned buffer".to_owned()) };
        if let Some(record) = in_memory {
            memory[..bytes].copy_from_slice(record);
        } else {
            let read = self.source.read_at(chunk.id, chunk.offset, &mut memory[..bytes]);
            read.map_err(|error| error.to_string())?;
        }
        Ok((Piece { to, from: memory.as_ptr(), bytes }, true))
    }

    fn signal(&self) -> Result<Signal, String> {
        Signal::record(&self.copy).map_err(name)
    }

    /// Starts the copies of pieces that are all in pinned memory that stays.
    fn start(&self, pieces: &mut Vec<Piece>) -> Result<(), String> {
        self.copy.context().bind_to_thread().map_err(name)?;
        // SAFETY: targets are in our slots, which the scheduler gave to these chunks; sources are pinned, and the source, which
        // this engine owns, or the staging buffer, whose next use waits for an event, keeps them until then.
        let started = unsafe { self.batch.copy(pieces, self.copy.cu_stream()) };
        pieces.clear();
        started.map_err(name)
    }
}

impl<S: Source> Engine for CudaEngine<S> {
    type Data = Arc<DeviceRecord>;
    type Free = Arc<CudaEvent>;

    /// The next chunk must be with the driver before the one before it has ended.
    fn parts(&self) -> u32 {
        PARTS
    }

    fn limits(&self) -> (usize, usize) {
        LIMITS
    }

    fn stream_ordered(&self) -> bool {
        true
    }

    fn submit(&mut self, chunks: &mut [Chunk<Self::Free>], _old: &mut [Option<Self::Data>]) -> Result<(), String> {
        // All waits first, so that the copies can go in one call. Slots of one batch are different, or of one record.
        for chunk in chunks.iter_mut() {
            if let Some(free) = chunk.after.take() {
                self.copy.wait(&free).map_err(name)?;
            }
        }
        let mut pieces = Vec::with_capacity(chunks.len());
        for chunk in chunks.iter() {
            let (piece, staged) = self.piece(chunk)?;
            pieces.push(piece);
            if staged {
                self.start(&mut pieces)?;
                self.staging[self.turn].read = Some(self.signal()?);
            }
        }
        self.start(&mut pieces)?;
        let ready = Arc::new(self.copy.record_event(Some(QUIET)).map_err(name)?);
        for chunk in chunks.iter().filter(|chunk| chunk.last) {
            self.ready[chunk.slot as usize] = Some(Arc::new(DeviceRecord {
                slots: Arc::clone(&self.slots),
                address: self.slots.address(chunk.slot),
                len: chunk.offset + chunk.bytes,
                ready: Arc::clone(&ready),
                compute: Arc::clone(&self.compute),
            }));
        }
        self.flights.push_back(self.signal()?);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.flights.pop_front().map_or(Ok(()), |flight| flight.wait().map_err(name))
    }

    fn data(&mut self, slot: u32) -> Option<Arc<DeviceRecord>> {
        self.ready[slot as usize].take()
    }

    /// After whatever was started with the lease on the compute stream. If the driver can't record that, the device is waited
    /// for, so that the slot is free in any case.
    fn release(data: Arc<DeviceRecord>) -> Option<Arc<CudaEvent>> {
        let free = data.compute.record_event(Some(QUIET));
        if free.is_err() {
            let _ = data.compute.synchronize();
        }
        free.ok().map(Arc::new)
    }
}

impl<S> Drop for CudaEngine<S> {
    /// Copies on their way end before their sources go.
    fn drop(&mut self) {
        let _ = self.copy.synchronize();
    }
}

/// Chunks that a record is cut into.
const PARTS: u32 = 2;

impl<S: Source> ExpertSlots<CudaEngine<S>> {
    /// Slots on the GPU of `compute`, the stream that leases are used on (a [`Runtime`]'s is
    /// [`cuda_stream`](Runtime::cuda_stream)).
    ///
    /// # Errors
    /// A configuration that can't work, as for the arena; no memory on the GPU; what the driver reports.
    pub fn on_stream(
        config: Config,
        source: S,
        policy: Box<dyn Policy>,
        compute: &Arc<CudaStream>,
    ) -> Result<Self, PrefetchError> {
        let sizes = source.sizes();
        Self::start(config, &sizes, policy, PARTS, |slots, bytes| {
            CudaEngine::new(source, Arc::clone(compute), slots, bytes)
        })
    }
}

impl<S: Source> Lease<CudaEngine<S>> {
    /// The record's device address (a multiple of 256) and bytes; work on the compute stream from now on finds it there.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn device(&self) -> Result<(u64, u64), PrefetchError> {
        let Some(record) = self.data() else { return Ok((0, 0)) };
        record.compute.wait(&record.ready).map_err(failed("waiting for a copy"))?;
        debug_assert!(record.address >= record.slots.address(0));
        Ok((record.address, record.len))
    }

    /// Unpacks the tensor that begins at byte `from` of the record into `out`, on the compute stream: weights travel packed.
    ///
    /// # Errors
    /// As [`Format::run_dequantise`]; a runtime of another stream.
    pub fn dequantise<T: Float>(
        &self,
        rt: &Runtime,
        format: Format,
        from: usize,
        out: &mut Buf<T>,
    ) -> crate::Result<()> {
        let same = self.data().zip(rt.cuda_stream());
        if same.is_none_or(|(record, stream)| record.compute.cu_stream() != stream.cu_stream()) {
            return Err(crate::device::DeviceError::Elsewhere { device: rt.device() }.into());
        }
        let (address, len) = self.device()?;
        format.dequantise_at(rt, address, len as usize, from, out)
    }
}

/// Records in pinned memory, one slab a layer, each record at a multiple of 256 bytes.
#[derive(Debug)]
pub struct PinnedSource {
    slabs: Vec<(Pinned, Vec<std::ops::Range<usize>>)>,
}

impl PinnedSource {
    /// Reads all of `source` into pinned memory. Pinning takes as long as touching each page.
    ///
    /// # Errors
    /// No such memory left; a record that can't be read.
    pub fn load(context: &Arc<CudaContext>, source: &impl Source) -> Result<Self, PrefetchError> {
        let mut slabs = Vec::new();
        for (layer, sizes) in source.sizes().iter().enumerate() {
            let mut places = Vec::new();
            let mut end = 0_usize;
            for &bytes in sizes {
                let start = end.next_multiple_of(ALIGN as usize);
                end = start.saturating_add(bytes as usize);
                places.push(start..end);
            }
            let mut slab = Pinned::zeros(context, end)?;
            for (expert, place) in places.iter().enumerate() {
                let id = ExpertId { layer: layer as u32, expert: expert as u32 };
                let read = source.read_at(id, 0, &mut slab[place.clone()]);
                read.map_err(|error| PrefetchError::Copy { id, reason: error.to_string() })?;
            }
            slabs.push((slab, places));
        }
        Ok(Self { slabs })
    }
}

impl Source for PinnedSource {
    fn sizes(&self) -> Vec<Vec<u64>> {
        self.slabs.iter().map(|(_, places)| places.iter().map(|place| place.len() as u64).collect()).collect()
    }

    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let from = offset as usize..(offset as usize).saturating_add(to.len());
        let record = self.bytes(id).and_then(|record| record.get(from));
        to.copy_from_slice(record.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    fn bytes(&self, id: ExpertId) -> Option<&[u8]> {
        let (slab, places) = self.slabs.get(id.layer as usize)?;
        slab.get(places.get(id.expert as usize)?.clone())
    }

    fn is_pinned(&self) -> bool {
        true
    }
}
