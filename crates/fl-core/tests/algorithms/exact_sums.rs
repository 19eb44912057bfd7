//! Fixed-point sums: order, threads and splits do not change a bit; what is not finite is dropped.

use ashlar_fl_core::exact::{self, Divisor, Reduction};
use ashlar_fl_core::{CountSketch, Error, TableKind, Update, Values};
use ashlar_kernels::sketch::scale_for;
use proptest::prelude::*;

use crate::noise;

fn round(seed: u64, clients: usize, d: usize) -> Vec<Update> {
    (0..clients)
        .map(|c| {
            let values = noise(seed * 1000 + c as u64, d).iter().map(|x| x * 10f32.powi(c as i32 % 7 - 3)).collect();
            Update::gradient(c as u32, 1 + (c as u64 * 7) % 13, values)
        })
        .collect()
}

proptest! {
    #[test]
    fn neither_order_nor_threads_nor_ranks_matter(
        seed in 0u64..1000, clients in 1usize..12, d in 1usize..9000, turn in 0usize..12, ranks in 1usize..5, threads in 1usize..4,
    ) {
        let updates = round(seed, clients, d);
        let one = exact::reduce(&updates, d, &Reduction::default()).unwrap();
        let mut turned = updates.clone();
        turned.rotate_left(turn % clients);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let other = pool.install(|| exact::reduce(&turned, d, &Reduction::default())).unwrap();
        prop_assert_eq!(one.dense().unwrap(), other.dense().unwrap());

        // Ranks: screen, agree on the scale, sum, add.
        let screened = exact::screen(&updates, d).unwrap();
        let scale = exact::scale_log2(screened.max_log2, clients);
        let whole = exact::fixed_sum(&screened, d, scale).unwrap();
        let mut sum = vec![0i64; d];
        for rank in 0..ranks {
            let mine: Vec<Update> = updates.iter().filter(|u| u.client as usize % ranks == rank).cloned().collect();
            let part = exact::fixed_sum(&exact::screen(&mine, d).unwrap(), d, scale).unwrap();
            sum.iter_mut().zip(part.q).for_each(|(sum, q)| *sum += q);
        }
        prop_assert_eq!(sum, whole.q);
    }

    /// The vectorised rounding is round_ties_even for every float that can occur.
    #[test]
    fn quantises_like_the_definition(bits in prop::collection::vec(any::<u32>(), 1..50), n in 1u64..1_000_000) {
        let values: Vec<f32> = bits.into_iter().map(f32::from_bits).map(|x| if x.is_finite() { x } else { 1.5 }).collect();
        let d = values.len();
        let update = [Update::gradient(0, n, values.clone())];
        let screened = exact::screen(&update, d).unwrap();
        prop_assume!(screened.dropped == 0);
        let s = exact::scale_log2(screened.max_log2, 1);
        let found = exact::fixed_sum(&screened, d, s).unwrap();
        for (x, q) in values.iter().zip(found.q) {
            let expected = (f64::from(*x) * n as f64 * 2f64.powi(s)).round_ties_even();
            prop_assert_eq!(q as f64, expected);
        }
    }

    #[test]
    fn near_the_mean_in_f64(seed in 0u64..1000, clients in 1usize..12, d in 1usize..300) {
        let updates = round(seed, clients, d);
        let exact = exact::reduce(&updates, d, &Reduction::default()).unwrap();
        let ordered = exact::reduce(&updates, d, &Reduction { exact: false, ..Reduction::default() }).unwrap();
        for (a, b) in exact.dense().unwrap().iter().zip(ordered.dense().unwrap().iter()) {
            prop_assert!((a - b).abs() <= 1e-6 * b.abs() + 1e-9, "{a} {b}");
        }
    }
}

#[test]
fn ties_go_to_the_even_integer() {
    // The large value makes s = 0 (beside it the others vanish from ‖x‖₁ in f64).
    let big = 2f32.powi(62);
    let values = vec![0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.25, big];
    let update = [Update::gradient(0, 1, values)];
    let screened = exact::screen(&update, 8).unwrap();
    let s = exact::scale_log2(screened.max_log2, 1);
    assert_eq!(s, 0);
    let sum = exact::fixed_sum(&screened, 8, s).unwrap();
    assert_eq!(sum.q, [0, 2, 2, 0, -2, -2, 3, 1 << 62]);
}

#[test]
fn the_scale_is_the_specifications() {
    // platform.md oracle 13.
    let v = [5.0f32, -3.0, 0.5, 0.25, -0.125, 8.0, 1.0, -1.0];
    let update = [Update::gradient(0, 1, v.to_vec())];
    let screened = exact::screen(&update, 8).unwrap();
    assert_eq!(exact::scale_log2(screened.max_log2, 1), 57);
    for parts in [1usize, 2, 3, 64, 65, 100, 1000] {
        assert_eq!(exact::scale_log2(screened.max_log2, parts), scale_for(18.875, parts as u64));
    }
    // All updates zero: s = 0.
    let zero = [Update::gradient(0, 1, vec![0.0; 8])];
    assert_eq!(exact::scale_log2(exact::screen(&zero, 8).unwrap().max_log2, 1), 0);
    assert_eq!(exact::reduce(&zero, 8, &Reduction::default()).unwrap().dense().unwrap().as_ref(), [0.0; 8]);
    // A power of two needs no further bit; anything above it does.
    let power = [Update::gradient(0, 4, vec![1.0; 8])];
    assert_eq!(exact::screen(&power, 8).unwrap().max_log2, Some(5));
}

#[test]
fn no_cell_overflows_at_the_bound() {
    // W clients, each with all its mass on one coordinate, at exactly a power of two.
    for clients in [1usize, 2, 64, 100] {
        let updates: Vec<Update> = (0..clients).map(|c| Update::gradient(c as u32, 1, vec![1.0, 0.0])).collect();
        let screened = exact::screen(&updates, 2).unwrap();
        let sum = exact::fixed_sum(&screened, 2, exact::scale_log2(screened.max_log2, clients)).unwrap();
        assert!(sum.q[0] > 1 << 60 && sum.q[0] <= 1 << 62, "{clients}: {}", sum.q[0]);
        assert_eq!(sum.to_mean(clients as f64), [1.0, 0.0]);
    }
    let update = [Update::gradient(0, 1, vec![1.0])];
    let refused = exact::fixed_sum(&exact::screen(&update, 1).unwrap(), 1, 63).unwrap_err();
    assert!(matches!(refused, Error::FixedOverflow { scale_log2: 63, .. }), "{refused}");
}

#[test]
fn sketching_the_sum_is_summing_the_sketches() {
    let updates = round(3, 9, 500);
    let screened = exact::screen(&updates, 500).unwrap();
    let scale = exact::scale_log2(screened.max_log2, 9);
    let config =
        ashlar_fl_core::SketchConfig { table: TableKind::Fixed { scale_log2: scale }, ..crate::sketch(500, 3, 40, 5) };
    let mut of_sum = CountSketch::new(config).unwrap();
    of_sum.accumulate_fixed(&exact::fixed_sum(&screened, 500, scale).unwrap().q, 0).unwrap();
    let mut sum = CountSketch::new(config).unwrap();
    for update in updates.iter().rev() {
        let one = std::slice::from_ref(update);
        let mut sketch = CountSketch::new(config).unwrap();
        let part = exact::fixed_sum(&exact::screen(one, 500).unwrap(), 500, scale).unwrap();
        sketch.accumulate_fixed(&part.q, 0).unwrap();
        sum.merge(&sketch).unwrap();
    }
    assert_eq!(sum.table_fixed(), of_sum.table_fixed());
}

#[test]
fn nonfinite_updates_are_dropped_and_counted() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for exact in [true, false] {
            let updates = [
                Update::gradient(0, 3, vec![1.0, 2.0]),
                Update::gradient(1, 5, vec![0.0, bad]),
                Update::gradient(2, 1, vec![5.0, 2.0]),
            ];
            let how = Reduction { exact, ..Reduction::default() };
            let found = exact::reduce(&updates, 2, &how).unwrap();
            assert_eq!((found.clients, found.dropped_nonfinite, found.weight), (2, 1, 4.0));
            assert_eq!(found.dense().unwrap().as_ref(), [2.0, 2.0]);
            let strict = Reduction { max_drop: 0, ..how };
            let refused = exact::reduce(&updates, 2, &strict).unwrap_err();
            assert!(matches!(refused, Error::TooManyDropped { dropped: 1, clients: 3, max_drop: 0 }));
            assert!(matches!(exact::reduce(&updates[1..2], 2, &how), Err(Error::NoUpdates { dropped: 1 })));
        }
    }
    assert!(matches!(exact::reduce(&[], 2, &Reduction::default()), Err(Error::NoUpdates { dropped: 0 })));
}

#[test]
fn sparse_updates_add_like_dense_ones() {
    let d = 10_000;
    let sparse = |c: u32| {
        let idx: Vec<u32> = (0..d as u32).filter(|i| (i + c).is_multiple_of(97)).collect();
        let val = noise(u64::from(c), idx.len());
        Update::prescaled(c, 2, ashlar_fl_core::SparseVec::new(d as u64, idx, val).unwrap())
    };
    let updates: Vec<Update> = (0..5).map(sparse).collect();
    let dense: Vec<Update> =
        updates.iter().map(|u| Update { values: Values::Dense(u.values.dense().into_owned()), ..u.clone() }).collect();
    for exact in [true, false] {
        let how = Reduction { exact, divisor: Divisor::Weights, ..Reduction::default() };
        let (a, b) = (exact::reduce(&updates, d, &how).unwrap(), exact::reduce(&dense, d, &how).unwrap());
        assert_eq!(a.dense().unwrap(), b.dense().unwrap());
        assert_eq!(a.weight, 10.0);
    }
}
