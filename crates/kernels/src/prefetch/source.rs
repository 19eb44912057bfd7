//! Where records come from.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::{ExpertId, PrefetchError};

/// The records of all experts: memory, a memory-mapped file, a file, or anything that can be read at a place.
pub trait Source: Send + Sync + 'static {
    /// Bytes of each record, `[layer][expert]`.
    fn sizes(&self) -> Vec<Vec<u64>>;

    /// Fills `to` with the record's bytes from `offset` on.
    ///
    /// # Errors
    /// What reading gives; the demand that waits for the record gets it.
    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()>;

    /// The record's bytes where they are in memory already: copies then take them from there.
    fn bytes(&self, _id: ExpertId) -> Option<&[u8]> {
        None
    }

    /// Whether [`Self::bytes`] are in memory that a GPU's copy engine reads by itself (page-locked, in its context).
    fn is_pinned(&self) -> bool {
        false
    }
}

impl<S: Source + ?Sized> Source for std::sync::Arc<S> {
    fn sizes(&self) -> Vec<Vec<u64>> {
        (**self).sizes()
    }
    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()> {
        (**self).read_at(id, offset, to)
    }
    fn bytes(&self, id: ExpertId) -> Option<&[u8]> {
        (**self).bytes(id)
    }
    fn is_pinned(&self) -> bool {
        (**self).is_pinned()
    }
}

/// Places of records in one run of bytes, `[layer][expert]`.
pub type Places = Vec<Vec<Range<u64>>>;

/// Records of one size, layer by layer, expert by expert, without gaps.
pub fn dense_places(layers: u32, experts: u32, bytes: u64) -> Places {
    let at = |layer: u32, expert: u32| (layer as u64 * experts as u64 + expert as u64) * bytes;
    (0..layers).map(|l| (0..experts).map(|e| at(l, e)..at(l, e) + bytes).collect()).collect()
}

/// Refuses places outside `len` bytes, so that no read goes there later.
fn check(places: &Places, len: u64) -> Result<(), PrefetchError> {
    for (layer, experts) in places.iter().enumerate() {
        for (expert, place) in experts.iter().enumerate() {
            if place.start > place.end || place.end > len {
                let id = ExpertId { layer: layer as u32, expert: expert as u32 };
                return Err(PrefetchError::Outside { id, offset: place.start, end: place.end, len });
            }
        }
    }
    Ok(())
}

fn sizes(places: &Places) -> Vec<Vec<u64>> {
    places.iter().map(|layer| layer.iter().map(|place| place.end - place.start).collect()).collect()
}

/// The place of `len` bytes of a record.
fn place(places: &Places, id: ExpertId, offset: u64, len: usize) -> io::Result<Range<u64>> {
    let record = places.get(id.layer as usize).and_then(|layer| layer.get(id.expert as usize));
    let from = record.and_then(|record| record.start.checked_add(offset));
    match (record, from, from.and_then(|from| from.checked_add(len as u64))) {
        (Some(record), Some(from), Some(until)) if until <= record.end => Ok(from..until),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no bytes {offset}.. of {id}"))),
    }
}

/// Records in memory: a `Vec<u8>`, pinned memory, or a memory map.
#[derive(Debug)]
pub struct MemorySource<B> {
    bytes: B,
    places: Places,
}

impl<B: AsRef<[u8]> + Send + Sync + 'static> MemorySource<B> {
    /// Records at `places` of `bytes`.
    ///
    /// # Errors
    /// A place that is outside.
    pub fn new(bytes: B, places: Places) -> Result<Self, PrefetchError> {
        check(&places, bytes.as_ref().len() as u64)?;
        Ok(Self { bytes, places })
    }
}

impl<B: AsRef<[u8]> + Send + Sync + 'static> Source for MemorySource<B> {
    fn sizes(&self) -> Vec<Vec<u64>> {
        sizes(&self.places)
    }

    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let place = place(&self.places, id, offset, to.len())?;
        let bytes = self.bytes.as_ref().get(place.start as usize..place.end as usize);
        to.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn bytes(&self, id: ExpertId) -> Option<&[u8]> {
        let record = self.places.get(id.layer as usize)?.get(id.expert as usize)?;
        self.bytes.as_ref().get(record.start as usize..record.end as usize)
    }
}

/// Records in a file, read at their places; a file that has become shorter is an error of the read, not a signal.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    places: Places,
}

impl FileSource {
    /// Records at `places` of `file`.
    ///
    /// # Errors
    /// A place past the file's end; a file that can't say its length.
    pub fn new(file: File, places: Places) -> Result<Self, PrefetchError> {
        let len = file
            .metadata()
            .map_err(|error| PrefetchError::System { what: "asking for a file's length", reason: error.to_string() })?;
        check(&places, len.len())?;
        Ok(Self { file, places })
    }
}

impl Source for FileSource {
    fn sizes(&self) -> Vec<Vec<u64>> {
        sizes(&self.places)
    }

    fn read_at(&self, id: ExpertId, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let place = place(&self.places, id, offset, to.len())?;
        read_exact_at(&self.file, to, place.start)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut to: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                to = &mut to[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}
