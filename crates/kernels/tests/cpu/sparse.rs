use ashlar_kernels::{BitMask, SparseVec};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dense_and_back(keep in prop::collection::vec(any::<bool>(), 1..300)) {
        let idx: Vec<u32> = (0..keep.len() as u32).filter(|&i| keep[i as usize]).collect();
        let val: Vec<f32> = idx.iter().map(|&i| i as f32 + 1.0).collect();
        let x = SparseVec::new(keep.len() as u64, idx.clone(), val).unwrap();
        let dense = x.to_dense();
        let mut sum = vec![1.0; keep.len()];
        x.add_to(&mut sum, 2.0).unwrap();
        for i in 0..keep.len() {
            prop_assert_eq!(dense[i] != 0.0, keep[i]);
            prop_assert_eq!(sum[i], 1.0 + 2.0 * dense[i]);
        }
        let mask = x.mask();
        prop_assert_eq!(mask.count() as usize, x.nnz());
        prop_assert!(mask.ones().eq(idx.iter().map(|&i| i as usize)));
        prop_assert_eq!(mask.complement().complement(), mask.clone());
        prop_assert_eq!(mask.complement().count() + mask.count(), keep.len() as u64);
        let mut ones = vec![1.0; keep.len()];
        mask.apply(&mut ones).unwrap();
        prop_assert!(ones.iter().zip(&keep).all(|(&x, &keep)| (x == 1.0) == keep));
        x.zero_in(&mut ones).unwrap();
        prop_assert!(ones.iter().all(|&x| x == 0.0));
    }
}

#[test]
fn bad_parts_are_refused() {
    let message =
        |len, idx: &[u32], val: &[f32]| SparseVec::new(len, idx.to_vec(), val.to_vec()).unwrap_err().to_string();
    assert!(message(5, &[1], &[]).contains("idx has 1 elements and val has 0"));
    assert!(message(5, &[1, 1], &[0.0; 2]).contains("index 1 at position 1"));
    assert!(message(5, &[3, 2], &[0.0; 2]).contains("index 2 at position 1"));
    assert!(message(5, &[5], &[0.0]).contains("not below the length 5"));
    assert!(SparseVec::new(5, vec![0], vec![1.0]).unwrap().add_to(&mut [0.0; 4], 1.0).is_err());
    assert!(BitMask::from_words(65, vec![0]).is_err());
    assert_eq!(BitMask::from_words(3, vec![u64::MAX]).unwrap().count(), 3);
    assert!(BitMask::zeros(3).apply(&mut [0.0; 4]).is_err());
}
