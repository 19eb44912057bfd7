//! Slots, bytes and chunks, from the sizes of the records.

use super::{ExpertId, PrefetchError};

/// The most that is copied at once, so that a demand waits for no more: 32 MiB.
pub const CHUNK: u64 = 32 << 20;

/// Slots begin and end at multiples of this, as device memory does.
pub(super) const ALIGN: u64 = 256;

/// How much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Experts of a layer that may be held at once, at least 1; those above the layer's number of experts are not used.
    pub slots_per_layer: u32,
    /// Bytes of all slots together. Where it is less than all layers' slots, layers take them from each other.
    pub budget: u64,
    /// Bytes that a copy moves at once, at least 4096 and at most [`CHUNK`], the default.
    pub chunk: u64,
}

impl Config {
    /// Slots, a budget in bytes, chunks of 32 MiB.
    pub const fn new(slots_per_layer: u32, budget: u64) -> Self {
        Self { slots_per_layer, budget, chunk: CHUNK }
    }

    /// Smaller chunks.
    #[must_use]
    pub const fn chunk(self, chunk: u64) -> Self {
        Self { chunk, ..self }
    }
}

/// Where each record stands in the lists, and what fits.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Number of the first record of each layer, and of all records at the end.
    first: Vec<u32>,
    pub bytes: Vec<u64>,
    pub slots_per_layer: u32,
    /// Slots in all.
    pub slots: u32,
    pub slot_bytes: u64,
    /// Bytes of speculation that may be on their way at once.
    pub window: u64,
    /// How many chunks the window is cut into.
    parts: u64,
}

impl Geometry {
    /// `sizes[layer][expert]` in bytes.
    pub fn new(config: &Config, sizes: &[Vec<u64>], parts: u32) -> Result<Self, PrefetchError> {
        let parameter = |what, value, expected| PrefetchError::Parameter { what, value, expected };
        if config.slots_per_layer == 0 {
            return Err(parameter("slots_per_layer", 0, "at least 1"));
        }
        if !(4096..=CHUNK).contains(&config.chunk) {
            return Err(parameter("chunk", config.chunk, "4096 to 33554432 bytes"));
        }
        let mut first = vec![0_u32];
        let mut largest = (0, ExpertId { layer: 0, expert: 0 });
        for (layer, sizes) in sizes.iter().enumerate() {
            let next = first.last().copied().unwrap_or(0) as u64 + sizes.len() as u64;
            first.push(u32::try_from(next).map_err(|_| parameter("the number of experts", next, "below 2^32"))?);
            for (expert, &bytes) in sizes.iter().enumerate() {
                let id = ExpertId { layer: layer as u32, expert: expert as u32 };
                if bytes == 0 {
                    return Err(PrefetchError::Empty { id });
                }
                if bytes > 1 << 62 {
                    return Err(parameter("the bytes of an expert", bytes, "at most 2^62"));
                }
                largest = largest.max((bytes, id));
            }
        }
        let bytes = sizes.concat();
        if bytes.is_empty() {
            return Err(parameter("the number of experts", 0, "at least 1"));
        }
        let slot_bytes = largest.0.next_multiple_of(ALIGN);
        let useful: u64 = sizes.iter().map(|layer| (config.slots_per_layer as u64).min(layer.len() as u64)).sum();
        let slots = useful.min(config.budget / slot_bytes) as u32;
        if slots == 0 {
            return Err(PrefetchError::Budget { budget: config.budget, id: largest.1, bytes: slot_bytes });
        }
        let window = largest.0.min(config.chunk);
        let slots_per_layer = config.slots_per_layer.min(slots);
        Ok(Self { first, bytes, slots_per_layer, slots, slot_bytes, window, parts: parts.max(1) as u64 })
    }

    pub fn layers(&self) -> u32 {
        self.first.len() as u32 - 1
    }

    /// Numbers of a layer's records.
    pub fn layer(&self, layer: u32) -> Result<std::ops::Range<usize>, PrefetchError> {
        match self.first.get(layer as usize..layer as usize + 2) {
            Some(&[from, until]) => Ok(from as usize..until as usize),
            _ => Err(PrefetchError::Layer { layer, layers: self.layers() }),
        }
    }

    pub fn number(&self, id: ExpertId) -> Result<usize, PrefetchError> {
        let range = self.layer(id.layer)?;
        if id.expert as usize >= range.len() {
            let (layer, expert, experts) = (id.layer, id.expert, range.len() as u32);
            return Err(PrefetchError::Expert { layer, expert, experts });
        }
        Ok(range.start + id.expert as usize)
    }

    pub fn id(&self, number: usize) -> ExpertId {
        let layer = self.first.partition_point(|&first| first as usize <= number) - 1;
        ExpertId { layer: layer as u32, expert: number as u32 - self.first[layer] }
    }

    /// Bytes of a record's chunks: at most its share of the window, in whole pages but for the last.
    pub fn chunk(&self, number: usize) -> u64 {
        let whole = self.bytes[number].min(self.window);
        if self.parts == 1 {
            return whole;
        }
        (whole / self.parts / 4096 * 4096).max(4096).min(whole)
    }
}
