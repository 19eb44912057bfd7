//! Index lists as bytes: round trips, size against the entropy, and damaged codes.

use ashlar_kernels::Error;
use ashlar_kernels::rng::SplitMix64;
use ashlar_kernels::sparse::code::{gaps_len, push_gaps, push_varint, read_gaps, read_varint, varint_len};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_come_back(
        idx in prop_oneof![prop::collection::btree_set(any::<u32>(), 0..300), prop::collection::btree_set(0..2000_u32, 0..300)],
        before in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let idx: Vec<u32> = idx.into_iter().collect();
        let len = idx.last().map_or(0, |&last| last as u64 + 1);
        let mut bytes = before.clone();
        push_gaps(&mut bytes, &idx).unwrap();
        prop_assert_eq!((bytes.len() - before.len()) as u64, gaps_len(idx.iter().copied()));
        let mut at = before.len();
        prop_assert_eq!(&read_gaps(&bytes, &mut at, idx.len() as u64, len).unwrap(), &idx);
        prop_assert_eq!(at, bytes.len());
        if !idx.is_empty() {
            prop_assert!(read_gaps(&bytes[..bytes.len() - 1], &mut before.len(), idx.len() as u64, len).is_err());
            prop_assert!(read_gaps(&bytes, &mut before.len(), idx.len() as u64, len - 1).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0..70_u64, len: u64) {
        let mut at = 0;
        if let Ok(idx) = read_gaps(&bytes, &mut at, count, len) {
            let mut again = Vec::new();
            push_gaps(&mut again, &idx).unwrap();
            prop_assert_eq!(again, &bytes[..at]);
        }
    }
}

/// Bits an index of random lists of density 1/every, against the log2(n/k) + 1.5 that a bit-wise code would take.
#[test]
fn size_against_the_entropy() {
    for (every, bits, entropy) in [(10_u64, 8.0, 4.8), (100, 10.2, 8.1), (1000, 15.05, 11.5), (10_000, 17.5, 14.8)] {
        let mut mix = SplitMix64::new(every);
        let n = 400_000 * every / 10;
        let idx: Vec<u32> = (0..n as u32).filter(|_| mix.next_u64().is_multiple_of(every)).collect();
        let (count, bytes) = (idx.len(), gaps_len(idx.iter().copied()));
        let got = 8.0 * bytes as f64 / count as f64;
        assert!((got - bits).abs() < 0.1, "1 of {every}: {got}");
        assert!(((n as f64 / count as f64).log2() + 1.5 - entropy).abs() < 0.05);
    }
}

#[test]
fn damaged_codes_are_refused() {
    assert_eq!([0, 1, 127, 128, 16383, 16384, u64::MAX].map(varint_len), [1, 1, 1, 2, 2, 3, 10]);
    let mut bytes = Vec::new();
    push_varint(&mut bytes, u64::MAX);
    assert_eq!(read_varint(&bytes, &mut 0).unwrap(), u64::MAX);
    for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
        assert!(matches!(read_varint(bad, &mut 0), Err(Error::IndexCode { .. })), "{bad:?}");
    }
    assert!(matches!(read_gaps(&[1, 2], &mut 0, u64::MAX, 9), Err(Error::IndexCode { .. })));
    assert!(matches!(read_gaps(&[1, 7], &mut 0, 2, 9), Err(Error::SparseIndex { position: 1, index: 9, .. })));
    assert!(push_gaps(&mut bytes, &[2, 2]).is_err());

    // 200,000 codes with a byte changed, cut or put in: whatever is read is a list in order that is written the same.
    let mut mix = SplitMix64::new(1);
    let mut next = |n: usize| (mix.next_u64() >> 33) as usize % n;
    let mut read = 0;
    for _ in 0..200_000 {
        let mut idx: Vec<u32> = (0..=next(12)).map(|_| (next(1 << 31) >> next(31)) as u32).collect();
        idx.sort_unstable();
        idx.dedup();
        let mut bytes = Vec::new();
        push_gaps(&mut bytes, &idx).unwrap();
        let at = next(bytes.len());
        match next(3) {
            0 => bytes[at] ^= 1 << next(8),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, next(256) as u8),
        }
        let mut end = 0;
        if let Ok(list) = read_gaps(&bytes, &mut end, idx.len() as u64, 1 << 31) {
            let mut again = Vec::new();
            push_gaps(&mut again, &list).unwrap();
            assert_eq!(again, bytes[..end]);
            read += 1;
        }
    }
    assert!(read > 1000 && read < 199_000, "{read}");
}
