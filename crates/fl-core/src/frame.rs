//! A frame for sparse values on the wire, and its length without making it.
//!
//! `[tag u8][count varint][index section][values f32 LE]`. The index section is the shortest of: nothing (all d values,
//! tag 0), a bitmap of d bits (tag 1), u32 indices (tag 2), LEB128 gaps (tag 3: the first index, then index − previous −
//! 1). Both sides know d.

use ashlar_kernels::SparseVec;
use ashlar_kernels::sparse::code::{gaps_len, push_varint, read_gaps, read_varint, varint_len};

use crate::{Error, Result};

const DENSE: u8 = 0;
const BITMAP: u8 = 1;
const INDICES: u8 = 2;
const GAPS: u8 = 3;

/// Tag and length of the shortest index section for `count` of `d` values.
fn shortest(d: u64, count: u64, indices: impl Iterator<Item = u32>) -> (u8, u64) {
    if count == d {
        return (DENSE, 0);
    }
    let bitmap = d.div_ceil(8);
    let plain = 4 * count;
    let (tag, bytes) = if bitmap <= plain { (BITMAP, bitmap) } else { (INDICES, plain) };
    // A gap takes at least a byte: with no fewer values than that there is nothing to gain.
    if count >= bytes {
        return (tag, bytes);
    }
    let gaps = gaps_len(indices);
    if gaps < bytes { (GAPS, gaps) } else { (tag, bytes) }
}

/// Bytes of the frame for `count` of `d` values at these ascending indices.
pub fn frame_len(d: u64, count: u64, indices: impl Iterator<Item = u32>) -> u64 {
    1 + varint_len(count) + shortest(d, count, indices).1 + 4 * count
}

/// Bytes of a frame of `cells` numbers of `width` bytes without indices.
pub const fn dense_len(cells: u64, width: u64) -> u64 {
    1 + varint_len(cells) + width * cells
}

/// The frame.
pub fn encode(sparse: &SparseVec) -> Vec<u8> {
    let (d, count) = (sparse.len(), sparse.nnz() as u64);
    let (tag, index_bytes) = shortest(d, count, sparse.idx().iter().copied());
    let mut frame = Vec::with_capacity((1 + varint_len(count) + index_bytes + 4 * count) as usize);
    frame.push(tag);
    push_varint(&mut frame, count);
    match tag {
        BITMAP => {
            let start = frame.len();
            frame.resize(start + index_bytes as usize, 0);
            for &i in sparse.idx() {
                frame[start + i as usize / 8] |= 1 << (i % 8);
            }
        }
        INDICES => sparse.idx().iter().for_each(|i| frame.extend_from_slice(&i.to_le_bytes())),
        GAPS => {
            let mut next = 0;
            for &i in sparse.idx() {
                push_varint(&mut frame, u64::from(i) - next);
                next = u64::from(i) + 1;
            }
        }
        _ => {}
    }
    sparse.val().iter().for_each(|value| frame.extend_from_slice(&value.to_le_bytes()));
    frame
}

/// Reads a frame of a vector of length d; anything that [`encode`] would not have written is an error or reads as an
/// equal vector, never a panic.
pub fn decode(frame: &[u8], d: u64) -> Result<SparseVec> {
    let mut reader = Reader { frame, at: 0 };
    let tag = reader.bytes(1)?[0];
    let count = reader.varint()?;
    if count > d || count > frame.len() as u64 / 4 {
        return Err(reader.damaged("it counts more values than it or the vector has"));
    }
    let count = count as usize;
    let idx: Vec<u32> = match tag {
        DENSE if count as u64 == d => (0..count as u32).collect(),
        BITMAP => {
            let bits = reader.bytes(usize::try_from(d.div_ceil(8)).unwrap_or(usize::MAX))?;
            let set = |(byte, bits): (usize, &u8)| {
                let bits = *bits;
                (0..8u32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| byte as u32 * 8 + bit)
            };
            bits.iter().enumerate().flat_map(set).collect()
        }
        INDICES => {
            let bytes = reader.bytes(4 * count)?;
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        GAPS => read_gaps(frame, &mut reader.at, count as u64, d)?,
        _ => return Err(reader.damaged("the tag is unknown, or dense without all values")),
    };
    if idx.len() != count {
        return Err(reader.damaged("the bitmap does not have as many bits as there are values"));
    }
    let values = reader.bytes(4 * count)?;
    let val = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    if reader.at != frame.len() {
        return Err(reader.damaged("bytes are left over"));
    }
    Ok(SparseVec::new(d, idx, val)?)
}

struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, reason: &'static str) -> Error {
        Error::Frame { offset: self.at, reason }
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.frame.len());
        let end = end.ok_or_else(|| self.damaged("it is cut short"))?;
        let bytes = &self.frame[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64> {
        Ok(read_varint(self.frame, &mut self.at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sparse() -> impl Strategy<Value = SparseVec> {
        let dense = prop::collection::btree_map(0u32..300, any::<f32>(), 0..300).prop_map(|m| (300u64, m));
        let wide = prop::collection::btree_map(any::<u32>(), any::<f32>(), 0..40).prop_map(|m| (1 << 32, m));
        let full = (1u32..70).prop_map(|d| (u64::from(d), (0..d).map(|i| (i, i as f32)).collect()));
        prop_oneof![dense, wide, full].prop_map(|(d, map): (u64, std::collections::BTreeMap<u32, f32>)| {
            SparseVec::new(d, map.keys().copied().collect(), map.values().copied().collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn round_trips(v in sparse()) {
            let frame = encode(&v);
            prop_assert_eq!(frame.len() as u64, frame_len(v.len(), v.nnz() as u64, v.idx().iter().copied()));
            let back = decode(&frame, v.len()).unwrap();
            prop_assert_eq!(back.idx(), v.idx());
            let bits = |v: &SparseVec| v.val().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&v));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), d in 0u64..5000) {
            let _ = decode(&bytes, d);
        }

        #[test]
        fn truncated_and_flipped_frames_do_not_panic(v in sparse(), cut in any::<prop::sample::Index>(), bit in 0u8..8) {
            let frame = encode(&v);
            let at = cut.index(frame.len());
            prop_assert!(decode(&frame[..at], v.len()).is_err());
            let mut flipped = frame;
            flipped[at] ^= 1 << bit;
            let _ = decode(&flipped, v.len());
        }
    }

    #[test]
    fn lengths_by_hand() {
        // d = 80: bitmap 10 bytes; 3 plain indices 12; gaps 3 (0, 9, 9).
        let v = SparseVec::new(80, vec![0, 10, 20], vec![1.0; 3]).unwrap();
        assert_eq!(encode(&v).len(), 1 + 1 + 3 + 12);
        assert_eq!(encode(&v)[..9], [GAPS, 3, 0, 9, 9, 0, 0, 0x80, 0x3f]);
        // A gap of 294 in two bytes: 294 = 2·128 + 38.
        let v = SparseVec::new(1000, vec![5, 300], vec![1.0; 2]).unwrap();
        assert_eq!(encode(&v)[..5], [GAPS, 2, 5, 0xa6, 2]);
        // Twelve of 80: gaps take no fewer than the 10 bytes of the bitmap.
        assert_eq!(frame_len(80, 12, 0..12), 1 + 1 + 10 + 48);
        assert_eq!(frame_len(80, 80, 0..80), 1 + 1 + 320);
        // Two of 2³² far apart: gaps of 5 bytes lose against plain indices.
        let v = SparseVec::new(1 << 32, vec![1 << 31, u32::MAX], vec![1.0; 2]).unwrap();
        assert_eq!(encode(&v)[0], INDICES);
        assert_eq!([0, 1, 127, 128, 16383, 16384, u64::MAX].map(varint_len), [1, 1, 1, 2, 2, 3, 10]);
    }
}
